"""The worker beside its items: Celery's consumer, bootsteps and remote commands, and leases."""
