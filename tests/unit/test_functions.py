"""Functions by value: a worker runs the code that this kernel has in memory."""

import functools
import importlib
import json
import linecache
import math
import os
import statistics
import struct
import subprocess
import sys
import textwrap
import threading
import traceback
import types
from pathlib import Path

import numpy as np
import pytest

import nbqueue
from nbqueue.core.errors import BadSignature, Expired, FunctionNotLoadable, NotPicklable
from nbqueue.store import keys
from nbqueue.store.code import functions
from nbqueue.store.code.functions import Functions, dump, imports, load
from nbqueue.store.signing import Keyring
from nbqueue.store.values import localmodules
from tests.unit.builders import KEY, DictBlobs


@pytest.fixture
def blobs():
    return DictBlobs()


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Write modules beside the notebook; they are importable, and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(**sources):
        for name, source in sources.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()

    write.folder = tmp_path
    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def notebook(monkeypatch):
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)

    def cell(source):
        exec(compile(textwrap.dedent(source), "<cell>", "exec"), vars(module))
        return vars(module)

    return cell


WORKER = """
import sys
from tests.unit.builders import DictBlobs
from nbqueue.store.code.functions import load
blobs = DictBlobs()
with open(sys.argv[1], "rb") as file:
    stored = file.read()
import pickle
with open(sys.argv[2], "rb") as file:
    blobs.stored = pickle.load(file)
loaded = load(stored, blobs)
loaded.settle_in()
print(repr(loaded.function()))
"""


def in_a_worker(function, blobs, folder):
    """Call a function in a fresh process that has nothing of this one; give its result's repr."""
    import pickle

    (folder / "function").write_bytes(dump(function, blobs))
    (folder / "blobs").write_bytes(pickle.dumps(blobs.stored))
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(folder / "function"), str(folder / "blobs")],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def call(function, blobs):
    loaded = load(dump(function, blobs), blobs)
    return loaded.function()


# -- kinds of functions ------------------------------------------------------------------------


def test_functions_of_a_notebook_run_elsewhere(notebook, blobs, tmp_path):
    scope = notebook(
        """
        import math
        from fractions import Fraction
        import dataclasses, enum, collections

        class Base:
            scale = 3
            def __init__(self, x): self.x = x
            @property
            def scaled(self): return self.scale * self.x
            @classmethod
            def of(cls, x): return cls(x)
            @staticmethod
            def one(): return 1

        class Child(Base):
            def __init__(self, x): super().__init__(x + 1)

        @dataclasses.dataclass
        class Data:
            a: int = 1

        class Colour(enum.Enum):
            RED = 1

        Point = collections.namedtuple("Point", "x y")

        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        def adder(k): return lambda x: x + k
        add2 = adder(2)
        later = lambda: defined_below()
        def defined_below(): return "below"
        def gen():
            yield from (i * add2(1) for i in range(3))

        def f():
            import os.path
            return (fib(10), even(7), add2(1), Child.of(1).scaled, Base.one(), Data().a,
                    Colour.RED.name, Colour(1) is Colour.RED, Point(1, 2)._replace(x=5).x,
                    str(Fraction(1, 3)), math.floor(2.5), list(gen()), later(),
                    os.path.join("a", "b"))
        """
    )
    expected = (55, False, 3, 6, 1, 1, "RED", True, 5, "1/3", 2, [0, 3, 6], "below", "a/b")
    assert in_a_worker(scope["f"], blobs, tmp_path) == repr(expected)


@pytest.mark.parametrize(
    "function",
    [
        len,
        math.sqrt,
        statistics.mean,
        functools.partial(int, base=2),
        "abc".upper,
        dict,
        lambda *a, **k: (a, k),
    ],
    ids=["len", "sqrt", "mean", "partial", "method", "type", "lambda"],
)
def test_anything_callable_is_loaded_as_it_was(function, blobs):
    loaded = load(dump(function, blobs), blobs).function
    arguments = {math.sqrt: (4,), dict: (), "abc".upper: ()}.get(function)
    if arguments is None:
        arguments = ("101",) if isinstance(function, functools.partial) else ([1, 2],)
    assert loaded(*arguments) == function(*arguments)


def test_a_function_that_uses_the_package_itself_imports_it(notebook, blobs):
    source = "import nbqueue as nq\ndef f():\n    return nq"
    f = notebook(source)["f"]
    assert call(f, blobs) is nbqueue


def test_cached_functions_and_properties_run_elsewhere(notebook, blobs, tmp_path):
    scope = notebook(
        """
        import functools

        @functools.lru_cache(maxsize=7, typed=True)
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)

        @functools.cache
        def even(n): return n == 0 or odd(n - 1)

        @functools.cache
        def odd(n): return n != 0 and even(n - 1)

        @functools.singledispatch
        def kind(x): return "any"

        @kind.register
        def _(x: int): return "int"

        class C:
            def __init__(self): self.calls = 0
            @functools.cached_property
            def p(self):
                self.calls += 1
                return 5
            @functools.lru_cache
            def m(self, x): return x + 1
            @functools.partialmethod
            def q(self): return 6

        def f():
            c = C()
            return fib(30), fib.cache_parameters(), even(7), c.p + c.p, c.calls, c.m(1), kind(1)
        """
    )
    expected = (832040, {"maxsize": 7, "typed": True}, False, 10, 1, 2, "int")
    assert in_a_worker(scope["f"], blobs, tmp_path) == repr(expected)
    assert load(dump(scope["fib"], blobs), blobs).function(20) == 6765


def test_an_instance_with_a_call_and_a_bound_method_run_elsewhere(notebook, blobs, tmp_path):
    scope = notebook(
        """
        class Model:
            def __init__(self, k): self.k = k
            def __call__(self): return self.k + 1
            def predict(self): return self.k + 2
        model = Model(5)
        """
    )
    assert in_a_worker(scope["model"], blobs, tmp_path) == "6"
    assert in_a_worker(scope["model"].predict, blobs, tmp_path) == "7"


def test_only_what_travels_by_value_brings_its_source(blobs):
    stored = dump(lambda: statistics.mean([1]), blobs)
    (size,) = struct.unpack_from("<I", stored)
    sources = json.loads(stored[4 : 4 + size])["sources"]
    assert list(sources) == [__file__]
    assert "test_only_what_travels" in sources[__file__]


def test_large_captured_values_go_out_once(blobs):
    data = np.arange(300_000.0)

    def f(k=1):
        return data.sum() * k

    def g(k=2):
        return data.sum() * k

    assert len(dump(f, blobs)) < 100_000
    assert blobs.puts == 1
    dump(g, blobs)
    assert blobs.puts == 1
    assert call(f, blobs) == data.sum()


# -- modules beside the notebook -----------------------------------------------------------------


def test_a_function_of_a_module_beside_it_runs_elsewhere(beside, blobs, tmp_path):
    beside(
        helpers="""
            import math
            K = 3
            class C:
                def m(self): return K
            def inner(): return math.floor(K + 0.5)
            def f(): return inner(), C().m()
            """
    )
    import helpers

    assert in_a_worker(helpers.f, blobs, tmp_path) == "(3, 3)"
    assert in_a_worker(lambda: helpers.f(), blobs, tmp_path) == "(3, 3)"


def test_an_edited_and_reloaded_module_runs_its_new_code(beside, blobs, tmp_path):
    beside(helpers="def f(): return 1\n")
    import helpers

    task = lambda: helpers.f()  # noqa: E731 - a lambda on purpose

    def inside():
        import helpers

        return helpers.f()

    assert in_a_worker(task, blobs, tmp_path) == in_a_worker(inside, blobs, tmp_path) == "1"
    beside(helpers="def f(): return 22\n")
    # Not reloaded: what this kernel has in memory counts, not the disk.
    assert in_a_worker(task, blobs, tmp_path) == in_a_worker(inside, blobs, tmp_path) == "1"
    importlib.reload(helpers)
    assert in_a_worker(task, blobs, tmp_path) == in_a_worker(inside, blobs, tmp_path) == "22"


def test_a_module_imported_only_in_the_body_travels(beside, blobs, tmp_path):
    beside(
        helpers="""
            import helpers2
            def f(): return helpers2.g()
            def late():
                import helpers3
                return helpers3.X
            """,
        helpers2="def g(): return 'two'\n",
        helpers3="X = 'three'\n",
    )

    def task():
        import helpers

        return helpers.f(), helpers.late()

    assert in_a_worker(task, blobs, tmp_path) == "('two', 'three')"


def test_modules_that_import_each_other_travel(beside, blobs, tmp_path):
    beside(
        ping="""
            import pong
            def hit(n): return pong.hit(n - 1) if n else 'ping'
            """,
        pong="""
            import ping
            def hit(n): return ping.hit(n - 1) if n else 'pong'
            """,
    )
    import ping

    def inside():
        import ping
        from pong import hit

        return ping.hit(3), hit(1)

    assert in_a_worker(lambda: ping.hit(3), blobs, tmp_path) == "'pong'"
    assert in_a_worker(inside, blobs, tmp_path) == "('pong', 'ping')"


def write_package(beside, *, init=True):
    if init:
        (beside.folder / "pkg").mkdir()
        (beside.folder / "pkg" / "__init__.py").write_text("NAME = 'pkg'\n")
    beside(
        pkg__sub="""
            from . import other
            def f(): return other.g()
            def relative():
                from .other import g
                from . import third
                return g(), third.X
            """,
        pkg__other="def g(): return 'other'\n",
        pkg__third="X = 'third'\n",
    )


def test_a_package_with_submodules_travels(beside, blobs, tmp_path):
    write_package(beside)
    import pkg.sub

    def dotted():
        import pkg.sub

        return pkg.sub.f(), pkg.NAME

    def from_package():
        from pkg import NAME, third

        return third.X, NAME

    def nested():
        def inner():
            from pkg.other import g

            return g()

        return inner()

    assert in_a_worker(pkg.sub.f, blobs, tmp_path) == "'other'"
    assert in_a_worker(dotted, blobs, tmp_path) == "('other', 'pkg')"
    assert in_a_worker(from_package, blobs, tmp_path) == "('third', 'pkg')"
    assert in_a_worker(nested, blobs, tmp_path) == "'other'"
    assert in_a_worker(pkg.sub.relative, blobs, tmp_path) == "('other', 'third')"
    assert in_a_worker(lambda: pkg.sub.relative(), blobs, tmp_path) == "('other', 'third')"


def test_a_folder_of_modules_without_an_init_travels(beside, blobs, tmp_path):
    write_package(beside, init=False)

    def task():
        import pkg.other
        from pkg.third import X

        return pkg.other.g(), X

    assert in_a_worker(task, blobs, tmp_path) == "('other', 'third')"


def test_a_module_that_cannot_be_imported_here_is_the_workers_to_judge(beside, blobs):
    beside(broken="1 / 0\n")

    def optional():
        try:
            import broken  # noqa: F401
        except ZeroDivisionError:
            return "broken"
        return "whole"

    def missing():
        try:
            import surely_not_installed.anywhere  # noqa: F401
        except ImportError:
            return "missing"

    assert call(optional, blobs) == "broken"
    assert call(missing, blobs) == "missing"


def test_a_module_under_another_name_does_no_harm(beside, blobs):
    beside(helpers="def f(): return 1\n")
    import helpers

    sys.modules["an_alias"] = sys.modules.pop("helpers")
    assert call(lambda: 5, blobs) == 5
    assert call(helpers.f, blobs) == 1


def test_installed_modules_travel_as_names(blobs):
    assert len(dump(lambda: np.linalg.norm([3, 4]), blobs)) < 100_000
    for module in (np, json, os, math, functions):
        assert not localmodules.is_local(module)
    assert localmodules.is_installed(np.linalg.norm)
    assert not localmodules.is_installed(call)


def test_the_imports_of_a_body_are_named():
    def f():
        import a.b
        from c import d  # noqa: F401

        from ..j import k  # noqa: F401
        from . import g  # noqa: F401
        from .h import i  # noqa: F401

        def inner():
            import m

            return m

        return a, inner

    assert imports(f.__code__, "one.two") == {
        "a", "a.b", "c", "c.d", "one", "one.two", "one.two.g", "one.two.h", "one.two.h.i",
        "one.j", "one.j.k", "m",
    }  # fmt: skip


# -- what cannot travel ------------------------------------------------------------------------


def test_a_captured_value_that_cannot_travel_is_named(notebook, blobs):
    scope = notebook(
        """
        import threading
        lock = threading.Lock()
        rows = [1, (i for i in ())]
        def f(): return lock
        def g(): return [lambda: rows]
        def h(): return f()
        def d(x=lock): return x
        """
    )
    with pytest.raises(NotPicklable, match=r"task 'f' uses the variable 'lock': .*lock"):
        dump(scope["f"], blobs)
    with pytest.raises(NotPicklable, match=r"task 'g' uses the variable 'rows': .*generator"):
        dump(scope["g"], blobs)
    with pytest.raises(NotPicklable, match=r"task 'h' uses the variable 'lock' of 'f': "):
        dump(scope["h"], blobs)
    with pytest.raises(NotPicklable, match=r"task 'd' uses the variable 'x': "):
        dump(scope["d"], blobs)


def test_a_closure_that_cannot_travel_is_named(blobs, tmp_path):
    array = np.zeros(3)
    with (tmp_path / "f").open("w") as handle:

        def f():
            return array, handle

        with pytest.raises(NotPicklable, match="uses the variable 'handle'"):
            dump(f, blobs)


def test_a_variable_of_a_module_that_cannot_travel_is_named(beside, blobs):
    beside(helpers="import threading\nguard = threading.Lock()\ndef f(): return 1\n")

    def inside():
        import helpers

        return helpers.f()

    with pytest.raises(NotPicklable, match="the variable 'guard' of 'module helpers'"):
        dump(inside, blobs)
    import helpers

    assert call(helpers.f, blobs) == 1  # which does not use it


# -- loading -----------------------------------------------------------------------------------


def changed_head(stored, **changes):
    (size,) = struct.unpack_from("<I", stored)
    head = json.dumps({**json.loads(stored[4 : 4 + size]), **changes}).encode()
    return struct.pack("<I", len(head)) + head + stored[4 + size :]


def test_a_function_of_another_python_is_not_loaded(blobs):
    stored = changed_head(dump(lambda: 1, blobs), python="2.7")
    with pytest.raises(FunctionNotLoadable, match=r"Python 2\.7.*start the worker with"):
        load(stored, blobs)


def test_a_missing_package_is_named(notebook, blobs, monkeypatch):
    package = types.ModuleType("surely_missing")
    monkeypatch.setitem(sys.modules, "surely_missing", package)
    exec("def g(): pass", vars(package))
    package.g.__module__ = "surely_missing"
    scope = notebook("from surely_missing import g\ndef f(): return g()")
    stored = dump(scope["f"], blobs)
    monkeypatch.delitem(sys.modules, "surely_missing")
    with pytest.raises(FunctionNotLoadable, match=r"'f' needs the package 'surely_missing'.*pip"):
        load(stored, blobs)


def test_whatever_else_prevents_loading_says_so(blobs):
    class Odd:
        def __reduce__(self):
            return int, ("not a number",)

    class Exits:
        def __reduce__(self):
            return sys.exit, ("on load",)

    odd, exits = Odd(), Exits()
    with pytest.raises(FunctionNotLoadable, match="ValueError: invalid literal"):
        load(dump(lambda: odd, blobs), blobs)
    with pytest.raises(FunctionNotLoadable, match="SystemExit: on load"):
        load(dump(lambda: exits, blobs), blobs)


@pytest.fixture
def site(monkeypatch, tmp_path):
    """The one folder of installed packages; nothing was put into it since this process began."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    os.utime(folder, (0, 0))
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def test_packages_that_were_installed_after_the_worker_started_are_told(site, blobs):
    class Old:
        def __init__(self, text):
            self.text = text

        def __reduce__(self):
            return _lacks, (self.text,)

    old = Old("pyarrow>=16.0.0 is required")
    stored = dump(lambda: old, blobs)
    with pytest.raises(FunctionNotLoadable, match=r"\(are the same package versions installed"):
        load(stored, blobs)
    (site / "pyarrow").mkdir()
    with pytest.raises(FunctionNotLoadable, match=r"pyarrow.*\(packages were installed .*restart"):
        load(stored, blobs)


def test_a_package_that_is_still_missing_after_another_was_installed_is_named(site, blobs):
    class New:
        def __reduce__(self):
            return __import__, ("surely_missing",)

    new = New()
    (site / "another").mkdir()
    with pytest.raises(FunctionNotLoadable, match=r"pip install surely_missing.*nbqueue down"):
        load(dump(lambda: new, blobs), blobs)


def _lacks(text):
    raise ImportError(text)


def test_a_blob_that_was_changed_or_is_gone_is_said_to_be(blobs):
    data = np.zeros(200_000)
    stored = dump(lambda: data, blobs)
    for error in (BadSignature, Expired):

        class Broken(DictBlobs):
            def get(self, address, error=error):
                raise error("x")

        with pytest.raises(error):
            load(stored, Broken())


@pytest.fixture
def kept(store, blobs):
    return Functions(store, Keyring(KEY), blobs)


def test_a_function_is_stored_once_and_loaded_once(kept, store, blobs):
    stored = dump(lambda: 3, blobs)
    address = kept.put(stored)
    assert kept.put(stored) == address
    assert store.keys("*") == [keys.function(address).encode()]
    assert store.ttl(keys.function(address)) > 8 * 24 * 3600 - 100
    assert kept.get(address)() == 3
    store.flushall()
    assert kept.get(address)() == 3
    with pytest.raises(Expired, match="submit it again"):
        Functions(store, Keyring(KEY), blobs).get(address)


def test_a_function_that_was_changed_is_not_unpickled(kept, store, blobs, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "unpickled",)

    bomb = Bomb()
    evil = dump(lambda: bomb, blobs)
    address = kept.put(dump(lambda: 1, blobs))
    store.set(keys.function(address), evil)
    with pytest.raises(BadSignature, match="NBQUEUE_KEY"):
        kept.get(address)
    foreign = Functions(store, Keyring("another key that is long enough"), blobs).put(evil)
    with pytest.raises(BadSignature):
        kept.get(foreign)
    assert not (tmp_path / "unpickled").exists()
    load(evil, blobs)
    assert (tmp_path / "unpickled").exists()  # the bomb works


def test_many_versions_of_a_function_do_not_stay_in_memory(kept, blobs):
    addresses = [kept.put(dump(lambda i=i: i, blobs)) for i in range(100)]
    assert [kept.get(address)() for address in addresses] == list(range(100))
    assert len(kept._loaded) <= 64
    assert kept.get(addresses[0])() == 0


def versions(beside, kept, blobs):
    """Two functions that import two versions of one module, as two notebooks have them."""

    def one():
        import helpers

        return helpers.f()

    def two():
        import helpers

        return helpers.f()

    beside(helpers="def f(): return 1\n")
    import helpers

    first = kept.put(dump(one, blobs))
    beside(helpers="def f(): return 22\n")
    importlib.reload(helpers)
    second = kept.put(dump(two, blobs))
    return first, second


def test_each_function_imports_its_own_version_of_a_module(beside, kept, blobs):
    first, second = versions(beside, kept, blobs)
    alone = kept.put(dump(lambda: "helpers" in sys.modules, blobs))
    del sys.modules["helpers"]
    for _ in range(2):
        assert kept.get(first)() == 1
        assert kept.get(second)() == 22
        assert kept.get(alone)() is False


def test_a_persons_own_modules_are_left_alone(beside, kept, store, blobs):
    first, _ = versions(beside, kept, blobs)
    import helpers

    own, lines = helpers, dict(linecache.cache)
    here = Functions(store, Keyring(KEY), blobs, settles_in=False)
    here.get(first)
    assert sys.modules["helpers"] is own
    assert linecache.cache == lines
    importlib.reload(helpers)


def test_a_workers_traceback_shows_the_cells_own_lines(kept, blobs):
    source = "def f():\n    broken = 1  # in a cell\n    return broken / 0\n"
    linecache.cache["<ipython-input-77>"] = (
        len(source), None, source.splitlines(keepends=True), "<ipython-input-77>",
    )  # fmt: skip
    scope = {"__name__": "__main__"}
    exec(compile(source, "<ipython-input-77>", "exec"), scope)
    address = kept.put(dump(scope["f"], blobs))
    del linecache.cache["<ipython-input-77>"]
    try:
        kept.get(address)()
    except ZeroDivisionError as exc:
        text = "".join(traceback.format_exception(exc))
    assert "return broken / 0" in text
    del linecache.cache["<ipython-input-77>"]


def test_pickling_in_many_threads_at_once(beside, blobs):
    beside(helpers="def f(): return 1\n")
    import helpers

    found = []
    threads = [
        threading.Thread(target=lambda: found.append(call(helpers.f, DictBlobs())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 8
