"""What is kept in Redis and how it gets there: job log, arguments, functions, blobs, messages.

This room runs in every process. It knows bytes, keys, scripts and signatures; it runs no task
and waits for nobody.
"""
