"""Existing Celery projects: their tasks as jobs, and as steps of workflows."""
