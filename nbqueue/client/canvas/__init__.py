"""Workflows: what a person composes with Celery's canvas, and how it becomes a job of stages.

composing, signature → composition, compiling, fitting → steps → sending → a job; gathering
"""
