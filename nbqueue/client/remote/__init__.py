"""Celery's remote control: questions and orders to workers, and what they answer."""
