"""What other libraries get out of nbqueue, beside what they use of themselves, as snippets.

Warm: clusters and pools have worked before the clock starts.
"""

GRID = """
import time
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
from joblib import parallel_config

X, y = load_digits(return_X_y=True)

def search(candidates):
    grid = {"C": [0.1, 0.3, 1, 3, 10][:candidates], "gamma": [1e-4, 3e-4, 1e-3, 3e-3]}
    return GridSearchCV(SVC(), grid, cv=5).fit(X, y)

def measure():
    search(1)
    began = time.perf_counter()
    assert len(search(5).cv_results_["params"]) == 20
    print(time.perf_counter() - began)
"""

GRID_NBQUEUE = (
    GRID
    + """
import nbqueue as nq
with nq.LocalCluster({workers}) as cluster, cluster.connect(), parallel_config("nbqueue"):
    measure()
"""
)

GRID_LOKY = (
    GRID
    + """
with parallel_config("loky", n_jobs={workers}):
    measure()
"""
)

ARRAY = """
import time
import dask
import dask.array as da

def reduce(n):
    x = da.random.default_rng(0).random((n, n), chunks=(500, 500))
    return float((x - x.mean(axis=0)).std(axis=0).sum().compute())

def measure():
    reduce(1000)
    began = time.perf_counter()
    assert 1150 < reduce(4000) < 1160
    print(time.perf_counter() - began)

if __name__ == "__main__":
"""

ARRAY_NBQUEUE = (
    ARRAY
    + """
    import nbqueue as nq
    with nq.LocalCluster({workers}) as cluster, cluster.connect(), nq.Executor() as executor:
        with dask.config.set(scheduler=executor):
            measure()
"""
)

ARRAY_DASK = (
    ARRAY
    + """
    with dask.config.set(scheduler="processes", num_workers={workers}):
        measure()
"""
)

CACHED = """
import time
import nbqueue as nq

@nq.task(cache=True)
def slow(x):
    time.sleep(0.005)
    return x

def timed():
    began = time.perf_counter()
    assert slow.map(range(10_000)).result() == list(range(10_000))
    return time.perf_counter() - began

with nq.LocalCluster({workers}) as cluster, cluster.connect():
    nq.task(abs).submit(1).result()
    ran = timed()
    print(ran / min(timed() for _ in range(3)))
"""
