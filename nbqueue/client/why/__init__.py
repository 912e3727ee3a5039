"""Why an item, or a job, is as it is: its history from the log, and what holds it up just now."""
