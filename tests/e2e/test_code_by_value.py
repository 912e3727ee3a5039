"""Functions, classes, modules and large values of a notebook, as a worker gets them.

Most tests run a script as a notebook: what it defines is in its ``__main__``, which no worker has.
"""

import textwrap

import numpy as np
import pandas as pd
import pytest

import nbqueue as nq

BIG = 5_000_000


def cells(text):
    return textwrap.dedent(text)


@pytest.fixture
def kernel(tmp_path, cluster):
    """Runs cells in a real IPython kernel, beside its own modules; gives what they print."""
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(pytest_root()))
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        km, kc = manager.start_new_kernel(kernel_name="python3", cwd=str(tmp_path))

    def run(text):
        printed = []

        def hear(message):
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                printed.append("\n".join(content["traceback"]))

        reply = kc.execute_interactive(cells(text), timeout=60, output_hook=hear)
        run.ok = reply["content"]["status"] == "ok"
        return "".join(printed)

    run(connecting(cluster))
    assert run.ok
    yield run
    kc.stop_channels()
    km.shutdown_kernel(now=False)


def pytest_root():
    from pathlib import Path

    return Path(__file__).resolve().parents[2]


def connecting(cluster):
    return (
        "import nbqueue as nq, pathlib\n"
        "from nbqueue.client.connecting import connect_address\n"
        "from nbqueue.cluster.embedded import ensure\n"
        f"_ = connect_address(ensure(pathlib.Path({str(cluster.folder)!r})))\n"
    )


def blobs_of(cluster):
    return sorted((cluster.folder / "blobs").glob("*"))


# -- functions and classes of __main__ -----------------------------------------------------------


def test_functions_and_what_they_use_come_from_the_notebook(notebook):
    out = notebook.run(
        cells("""
        import math
        from collections import Counter
        factor = 3
        def helper(x): return factor * x
        def outer(k):
            def inner(x): return helper(x) + k
            return inner
        @nq.task
        def f(x): return math.floor(helper(x) + 0.5), Counter("aab")["a"]
        print(f.map([1, 2]).result(20))
        print(nq.task(outer(100)).submit(1).result(20))
        """)
    )
    assert out == "[(3, 2), (6, 2)]\n103\n"


def test_edited_code_and_values_are_what_runs_next(notebook):
    out = notebook.run(
        cells("""
        def helper(x): return x + 1
        k = 1
        @nq.task
        def f(x): return helper(x) * k
        got = [f.submit(1).result(20)]
        def helper(x): return x + 2
        got.append(f.submit(1).result(20))
        k = 10
        got.append(f.submit(1).result(20))
        @nq.task
        def f(x): return "new"
        got.append(f.submit(1).result(20))
        values = [1]
        g = nq.task(lambda: sum(values))
        got.append(g.submit().result(20))
        values.append(5)
        got.append(g.submit().result(20))
        print(got)
        """)
    )
    assert out == "[2, 3, 30, 'new', 1, 6]\n"


def test_a_job_keeps_the_code_it_was_submitted_with(notebook):
    out = notebook.run(
        cells("""
        import time
        @nq.task
        def f(x):
            time.sleep(0.1)
            return "old"
        job = f.map(range(8))
        @nq.task
        def f(x): return "new"
        print(set(job.result(20)), job.rerun(0), f.submit(0).result(20))
        """)
    )
    assert out == "{'old'} old new\n"


def test_instances_come_back_as_instances_of_the_notebooks_own_class(notebook):
    out = notebook.run(
        cells("""
        from dataclasses import dataclass
        from enum import Enum
        from typing import NamedTuple
        class Plain:
            def __init__(self, x): self.x = x
        @dataclass
        class Data:
            x: int
        class Named(NamedTuple):
            x: int
        class Colour(Enum):
            RED = 1
        @nq.task
        def make(x): return [Plain(x), Data(x), Named(x), Colour.RED]
        found = make.submit(1).result(20)
        print([isinstance(v, c) for v, c in zip(found, [Plain, Data, Named, Colour])])
        print(found[1] == Data(1), found[3] is Colour.RED)
        @nq.task
        def check(p): return isinstance(p, Plain), p.x
        print(check.submit(Plain(5)).result(20))
        class Mine(Exception): pass
        @nq.task
        def fail(): raise Mine("oh")
        try: fail.submit().result(20)
        except Mine as exc: print("caught", exc)
        """)
    )
    assert out == "[True, True, True, True]\nTrue True\n(True, 5)\ncaught oh\n"


def test_a_class_edited_later_is_the_new_one_on_both_sides(notebook):
    out = notebook.run(
        cells("""
        class C:
            def hi(self): return 1
        @nq.task
        def f(c): return c.hi(), C
        one = f.submit(C()).result(20)
        print(one[0], one[1] is C)
        class C:
            def hi(self): return 2
        two = f.submit(C()).result(20)
        print(two[0], two[1] is C)
        """)
    )
    assert out == "1 True\n2 True\n"


def test_a_cached_helper_of_the_notebook_travels(notebook):
    out = notebook.run(
        cells("""
        import functools
        @functools.cache
        def load(x): return x + 1
        @nq.task
        def f(x): return load(x)
        print(f.map([1, 2]).result(20))
        @nq.task
        @functools.lru_cache(maxsize=None)
        def g(x): return -x
        print(g.map([1, 2]).result(20))
        """)
    )
    assert out == "[2, 3]\n[-1, -2]\n"


def test_a_class_attribute_set_in_the_kernel_travels(notebook):
    out = notebook.run(
        cells("""
        class Config:
            rate = 1
        @nq.task
        def f(): return Config.rate
        print(f.submit().result(20))
        Config.rate = 7
        print(f.submit().result(20))
        """)
    )
    assert out == "1\n7\n"


# -- modules beside it ---------------------------------------------------------------------------


def test_modules_beside_the_notebook_travel_as_they_are_in_memory(notebook):
    notebook.module("helpers", "RATE = 2\ndef scale(x): return RATE * x\nclass Thing: size = 1\n")
    notebook.module("pack/__init__", "from .inner import deep\n")
    notebook.module("pack/inner", "def deep(x): return ('deep', x)\n")
    out = notebook.run(
        cells("""
        import importlib, pathlib, helpers, pack
        from helpers import scale, Thing
        @nq.task
        def f(x):
            import helpers as late
            from pack.inner import deep
            return scale(x), helpers.scale(x), late.RATE, Thing().size, pack.deep(x), deep(x)
        print(f.submit(3).result(20))
        pathlib.Path("helpers.py").write_text("RATE = 50\\ndef scale(x): return RATE * x\\n"
                                              "class Thing: size = 2\\n")
        print("on disk only:", f.submit(3).result(20)[:3])
        importlib.invalidate_caches(); importlib.reload(helpers)
        from helpers import scale, Thing
        print(f.submit(3).result(20)[:4])
        helpers.RATE = 1000
        print(f.submit(3).result(20)[:3])
        """)
    )
    assert out.splitlines() == [
        "(6, 6, 2, 1, ('deep', 3), ('deep', 3))",
        "on disk only: (6, 6, 2)",
        "(150, 150, 50, 2)",
        "(3000, 3000, 1000)",
    ]


def test_instances_of_a_module_beside_the_notebook_come_back_as_its_own(notebook):
    notebook.module(
        "shapes",
        "class Shape:\n    pass\nclass Bad(Exception):\n    pass\n"
        "def make(): return Shape()\ndef fail(): raise Bad('no')\n",
    )
    out = notebook.run(
        cells("""
        import shapes
        print(isinstance(nq.task(shapes.make).submit().result(20), shapes.Shape))
        try: nq.task(shapes.fail).submit().result(20)
        except shapes.Bad as exc: print("caught", exc)
        """)
    )
    assert out == "True\ncaught no\n"


def test_a_module_imported_only_within_the_task_is_shipped(notebook):
    notebook.module("lazy", "import lazier\ndef f(x): return lazier.g(x)\n")
    notebook.module("lazier", "def g(x): return x + 100\n")
    out = notebook.run(
        cells("""
        @nq.task
        def f(x):
            import lazy
            return lazy.f(x)
        print(f.submit(1).result(20))
        """)
    )
    assert out == "101\n"


def test_two_notebooks_with_modules_of_one_name_each_get_their_own(notebook, tmp_path):
    script = cells("""
        import helpers
        @nq.task
        def f():
            import helpers as again
            return helpers.WHO, again.WHO
        print(f.map_ if False else nq.gather(*[f.submit() for _ in range(8)]))
        """)
    for who in ("first", "second", "first"):
        notebook.module("helpers", f"WHO = {who!r}\n")
        assert set(eval(notebook.run(script))) == {(who, who)}


# -- a real kernel -------------------------------------------------------------------------------


def test_cells_of_a_kernel_run_on_workers_and_are_edited(kernel):
    out = kernel("""
        @nq.task
        def f(x):
            return x + 1
        print(f.map([1, 2]).result(20))
        """)
    assert out == "[2, 3]\n"
    out = kernel("""
        @nq.task
        def f(x):
            return x * 100
        print(f.map([1, 2]).result(20))
        """)
    assert out == "[100, 200]\n"


def test_a_kernels_traceback_shows_the_cells_own_lines(kernel):
    out = kernel("""
        def inner(x):
            return 1 / x     # the culprit

        @nq.task
        def f(x):
            return inner(x)

        import traceback
        try:
            f.submit(0).result(20)
        except ZeroDivisionError as exc:
            print("cause", type(exc.__cause__).__name__)
            print(exc.__cause__)
        """)
    assert "cause RemoteTraceback" in out
    assert "return 1 / x     # the culprit" in out
    assert "return inner(x)" in out
    assert "executor.py" not in out


def test_a_kernel_awaits_at_top_level_and_shows_errors(kernel):
    assert kernel("print(await f.map([1]) if 'f' in globals() else 'none')") == "none\n"
    assert kernel("print(await nq.task(lambda x: x + 1).map([1, 2]))") == "[2, 3]\n"
    out = kernel("nq.task(lambda: {}['missing']).submit().result(20)")
    assert not kernel.ok
    assert "KeyError" in out
    assert "missing" in out


# -- large values --------------------------------------------------------------------------------


def test_a_captured_array_is_sent_once_however_many_tasks_use_it(cluster):
    before = set(blobs_of(cluster))
    array = np.arange(BIG // 8, dtype=np.float64)

    @nq.task
    def at(i):
        return float(array[i])

    @nq.task
    def total(x):
        return float(array.sum()) + x

    assert at.map([0, 7]).result(20) == [0.0, 7.0]
    assert total.submit(1).result(20) == array.sum() + 1
    assert nq.task(lambda a: len(a)).map([array] * 5).result(20) == [len(array)] * 5
    new = set(blobs_of(cluster)) - before
    assert [path.stat().st_size for path in new] == [array.nbytes]


def test_a_captured_frame_arrives_whole(cluster):
    frame = pd.DataFrame({"a": np.arange(400_000.0), "b": np.arange(400_000)})
    frame["text"] = "word"
    job = nq.task(lambda column: (frame[column].iloc[-1], frame.shape)).map(["a", "b", "text"])
    assert job.result(30) == [
        (399_999.0, (400_000, 3)),
        (399_999, (400_000, 3)),
        ("word", (400_000, 3)),
    ]
    assert blobs_of(cluster)


@pytest.mark.usefixtures("cluster")
def test_workers_may_change_a_large_value_without_harm_to_each_other():
    array = np.zeros(BIG // 8)

    @nq.task
    def change(i):
        before = float(array[0])
        array[0] = i
        return before, float(array[0])

    found = change.map([5, 6]).result(20)
    assert [after for _, after in found] == [5.0, 6.0]
    assert array[0] == 0.0
    assert {before for before, _ in found} <= {0.0, 5.0, 6.0}  # as a global of one process may be


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    "value",
    [
        "x" * 3_000_000,
        b"x" * 3_000_000,
        bytearray(3_000_000),
        list(range(500_000)),
        {i: str(i) for i in range(200_000)},
        np.arange(400_000),
        [np.arange(400_000), "beside", np.arange(400_000) + 1],
    ],
    ids=["str", "bytes", "bytearray", "list", "dict", "array", "mixed"],
)
def test_large_values_go_there_and_back(value):
    same = nq.task(lambda x: x)
    for found in (same.submit(value).result(30), same.map([value, value]).result(30)[1]):
        assert type(found) is type(value)
        if isinstance(value, list):
            assert len(found) == len(value)
            assert all(np.array_equal(a, b) for a, b in zip(found[:3], value[:3], strict=True))
        else:
            assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value


@pytest.mark.usefixtures("cluster")
def test_a_large_result_may_be_changed_by_whoever_asked_for_it():
    job = nq.task(lambda: np.zeros(400_000)).submit()
    mine = job.result(20)
    mine[0] = 9
    assert mine[0] == 9


# -- a lean worker -------------------------------------------------------------------------------


def test_a_worker_stays_lean(local_cluster):
    def loaded():
        import sys

        return sorted(sys.modules)

    with local_cluster(workers=1):
        found = set(nq.task(loaded).submit().result(20))
    assert "nbqueue.worker.executor" in found
    assert not {"pandas", "numpy", "IPython", "ipywidgets", "anywidget", "nbqueue.client"} & found
