"""What is submitted again and again: schedules, their runs, and how Celery's beat reads them."""
