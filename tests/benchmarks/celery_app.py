"""A stock Celery application: default settings, and the tasks. Its worker loads this module."""

import os

from celery import Celery

from tests.benchmarks import tasks

URL_VARIABLE = "NBQUEUE_BENCH_CELERY_URL"

app = Celery("benchmarks", broker=os.environ[URL_VARIABLE], backend=os.environ[URL_VARIABLE])
noop = app.task(name="noop")(tasks.noop)
nap = app.task(name="nap")(tasks.nap)
total = app.task(name="total")(tasks.total)
