"""Notebook cells as items: IPython's shell in a worker, and what is displayed and brought back."""
