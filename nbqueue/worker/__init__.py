"""What runs in a Celery worker: the executor of ranges and what it needs.

Order of reading: `app` (the one Celery task), `executor` (a message from its arrival to its
acknowledgement), then, each leaning only on those below it:

    bootsteps   the worker beside its items: consumer, leases, recovery, remote commands
    messages    a message: may it run now, is it refused, passed on, has it killed its process
    calling     an item: its arguments, the call, limits, other attempts
    cells       notebook cells as items: IPython's shell
    capturing   what an item prints, logs or plots
    current     what an item can ask and say about itself
    reporting   how items ended: `ranges` (which are whose), `reporter` (to the log)
    process     connections, memory, what a process of the pool is at

Nothing here imports pandas, ipywidgets or, but for `cells.shell`, IPython: a worker starts lean and
stays so until a task or a cell asks for more.
"""
