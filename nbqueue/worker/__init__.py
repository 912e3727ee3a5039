"""What runs in a Celery worker: the executor of ranges and what it needs.

Order of reading: `app` (the one Celery task), `executor` (a message from its arrival to its
acknowledgement), `ranges` (which items are whose), `reporter` (outcomes to the log), `ticker`;
then what an item finds around it (`surroundings`, `capture`, `figures`) and `cells`.
Nothing here imports pandas, ipywidgets or, but for `shell`, IPython: a worker starts lean and stays
so until a task or a cell asks for more.
"""
