"""What runs in a Celery worker: the executor of ranges and what it needs.

Order of reading: `app` (the one Celery task), `executor` (a message from its arrival to its
acknowledgement), `ranges` (which items are whose), `reporter` (outcomes to the log), `ticker`.
Nothing here imports pandas, IPython or ipywidgets: a worker starts lean and stays so until a task
asks for more.
"""
