"""A process of the worker: its connections and keys, its memory, what it tells the main process."""
