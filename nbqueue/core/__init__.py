"""Pure logic that runs anywhere and touches nothing: errors, records, fold, splitting.

Nothing in this room does I/O or imports redis, celery, IPython, pandas or numpy, so that
everything here can be tested as *events in, state out* and imported by every process.
"""
