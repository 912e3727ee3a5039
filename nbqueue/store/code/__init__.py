"""What is called, as it travels: functions by value, behaviours, cells, notebooks, names."""
