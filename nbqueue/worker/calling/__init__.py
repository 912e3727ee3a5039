"""One item: what it is called with, the call, its limits and interruption, and another attempt."""
