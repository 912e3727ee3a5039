"""The notebook's face: magics, the analysis of cells, views and widgets.

Runs in the kernel, above the client; nothing below knows of it. Views are pure: a picture of a job
goes in, HTML, PNG or text comes out. Widgets show the same pictures live, at most ten times a
second, and never ask the store.
"""
