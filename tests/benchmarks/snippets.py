"""Measurements that need a fresh interpreter each: cold start, the price of `import`, libraries.

A snippet prints the seconds it took. It runs as `python -c`, as a notebook's cell would: its
functions belong to `__main__` and travel by value.
"""

from tests.benchmarks import ecosystem

IMPORT = """
import time
began = time.perf_counter()
import {modules}
print(time.perf_counter() - began)
"""

# nbqueue's names load when they are first used, so `import nbqueue` alone says little.
IMPORT_USED = """
import time
began = time.perf_counter()
import nbqueue as nq
nq.task, nq.connect, nq.LocalCluster
print(time.perf_counter() - began)
"""

COLD_NBQUEUE = """
import time
began = time.perf_counter()
import nbqueue as nq
cluster = nq.LocalCluster({workers})
client = cluster.connect()
@nq.task
def double(x):
    return 2 * x
assert double.submit(21).result() == 42
print(time.perf_counter() - began)
client.close()
cluster.close()
"""

COLD_DASK = """
import time
began = time.perf_counter()
from dask.distributed import Client, LocalCluster
cluster = LocalCluster(n_workers={workers}, threads_per_worker=1, dashboard_address=":0")
client = Client(cluster)
def double(x):
    return 2 * x
assert client.submit(double, 21).result() == 42
print(time.perf_counter() - began)
client.close()
cluster.close()
"""

# By scenario and peer. "nbqueue_used" and "imports" are no peers.
SNIPPETS = {
    "cold_start": {"nbqueue": COLD_NBQUEUE, "dask": COLD_DASK},
    "import_time": {
        "nbqueue": IMPORT.replace("{modules}", "nbqueue"),
        "nbqueue_used": IMPORT_USED,
        "imports": IMPORT.replace("{modules}", "celery, redis"),
    },
    "grid": {"nbqueue": ecosystem.GRID_NBQUEUE, "joblib": ecosystem.GRID_LOKY},
    "array": {"nbqueue": ecosystem.ARRAY_NBQUEUE, "dask": ecosystem.ARRAY_DASK},
    "cache": {"nbqueue": ecosystem.CACHED},
}
METRIC_OF = {
    "cold_start": "cold_s",
    "import_time": "import_s",
    "grid": "grid_s",
    "array": "array_s",
    "cache": "cached_x",
}
# An import takes a fraction of a second and varies by as much, so each round takes several.
RUNS_A_ROUND = {name: 3 if name == "import_time" else 1 for name in SNIPPETS}
