"""A message of items: whether it may run now, is refused or passed on, and whom it has killed."""
