"""Measurements that need a fresh interpreter each: cold start, and the price of `import`.

A snippet prints the seconds it took. It runs as `python -c`, as a notebook's cell would: its
functions belong to `__main__` and travel by value.
"""

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
}
METRIC_OF = {"cold_start": "cold_s", "import_time": "import_s"}
# An import takes a fraction of a second and varies by as much, so each round takes several.
RUNS_A_ROUND = {"cold_start": 1, "import_time": 3}
