"""Celery's task loggers in an item: what ``get_task_logger`` gives writes to the item's output.

In Celery's own format, which names the task and the item. Their level is INFO, as in a worker of
Celery's that is started with ``-l info``. Outside of items they write where the worker does.
"""

from __future__ import annotations

import logging

from celery.app.defaults import DEFAULT_TASK_LOG_FMT
from celery.utils.log import task_logger

from nbqueue.worker.current import current, reporting


class ItemHandler(logging.Handler):
    """Writes records to the item that this thread runs."""

    def __init__(self, elsewhere: list[logging.Handler]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(DEFAULT_TASK_LOG_FMT))
        self._elsewhere = elsewhere

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        here = reporting()
        if here is None:
            for handler in self._elsewhere:
                handler.handle(record)
            return
        request = current()
        record.task_name, record.task_id = (request.task, request.id) if request else ("", "")
        run, reporter = here
        reporter.printed(run.current, "stderr", f"{self.format(record)}\n")


def install() -> None:
    """See to it that task loggers write to items, also when somebody has set them up anew."""
    handlers = task_logger.handlers
    if not handlers or type(handlers[0]) is not ItemHandler:
        task_logger.handlers = [ItemHandler(task_logger.handlers)]
        task_logger.propagate = False
        task_logger.setLevel(logging.INFO)
