"""When a task is pickled anew: whenever it may have become another, and only then."""

import enum
import functools
import json
import math
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.client.code import CodeCache, _same, fingerprint
from nbqueue.store.code import functions
from tests.unit.builders import DictBlobs


@pytest.fixture
def notebook(monkeypatch):
    """Run cells in a namespace of their own, as a kernel does; gives the namespace and a runner."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    scope = vars(module)

    def cell(source):
        exec(compile(source, "<cell>", "exec"), scope)
        return scope

    return cell


def unchanged(function, change):
    before = fingerprint(function)
    change()
    after = fingerprint(function)
    return before is not None and after is not None and _same(before, after)


def test_a_plain_function_is_recognised(notebook):
    scope = notebook("k = 2\ndef f(x, y=1, *, z='a'):\n    return k * x + len([math.pi])")
    assert unchanged(scope["f"], lambda: None)


CHANGES = {
    "a global": ("k = 1", "k = 2"),
    "a global of an equal value": ("k = 1", "k = 1.0"),
    "a global that appears": ("", "k = 2"),
    "a global that goes": ("k = 1", "del k"),
    "a builtin that is shadowed": ("", "len = max"),
    "a function it calls": ("def g(): return 1\nk = 0", "def g(): return 2"),
    "what a function that it calls uses": ("k = 0\nj = 1\ndef g(): return j", "j = 2"),
    "a default": ("k = 0", "f.__defaults__ = (7,)"),
    "a keyword default": ("k = 0", "f.__kwdefaults__ = {'z': 7}"),
    "its code": ("k = 0", "f.__code__ = (lambda x, y=1, *, z=2: 9).__code__"),
    "an attribute": ("k = 0\n", "f.note = 3"),
    "its name": ("k = 0\n", "f.__name__ = 'other'"),
    "an imported module for another": ("import math as k", "import cmath as k"),
    "a builtin for another": ("k = len", "k = max"),
    "a class of a package for another": (
        "from fractions import Fraction as k",
        "from decimal import Decimal as k",
    ),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(notebook, before, after):
    scope = notebook(before)
    scope = notebook(
        "def f(x, y=1, *, z=2):\n"
        "    inner = lambda: k\n"
        "    return inner(), g() if 'g' in globals() else None, len([x])\n"
    )
    assert unchanged(scope["f"], lambda: None)
    assert not unchanged(scope["f"], lambda: notebook(after))


def test_names_that_trade_values_are_seen(notebook):
    scope = notebook("LOW = 1\nHIGH = 2\nlimit = LOW\ndef f(): return LOW, HIGH, limit")
    assert not unchanged(scope["f"], lambda: notebook("limit = HIGH"))
    scope = notebook("a = 1\ndef g(): return a, b")
    assert not unchanged(scope["g"], lambda: notebook("b = a\ndel a"))


def test_defaults_that_move_are_seen():
    def f(a=None, b=None, *, c=None):
        return a, b, c

    f.__defaults__, f.__kwdefaults__ = (1, 2), None
    moved = fingerprint(f)
    f.__defaults__, f.__kwdefaults__ = (1,), {"c": 2}
    assert not _same(moved, fingerprint(f))


def test_a_closures_new_value_is_seen():
    def outer():
        kept = 1

        def f():
            return kept

        def change(value):
            nonlocal kept
            kept = value

        return f, change

    f, change = outer()
    assert unchanged(f, lambda: None)
    assert not unchanged(f, lambda: change(2))
    assert unchanged(f, lambda: change(2))


def test_an_empty_closure_is_not_one_of_none():
    def outer():
        def f():
            return later

        yield f
        later = None
        yield f

    cells = outer()
    f = next(cells)
    before = fingerprint(f)
    next(cells)
    assert not _same(before, fingerprint(f))


class Colour(enum.IntEnum):
    RED = 1


class Number(int):
    pass


class Callable_:
    def __call__(self):
        return 1

    def method(self):
        return 2


results = []
MUTABLE = {
    "list": [1],
    "dict": {},
    "set": set(),
    "bytearray": bytearray(),
    "instance": Callable_(),
    "method": Callable_().method,
    "class": Callable_,
    "enum": Colour.RED,
    "subclass of int": Number(3),
    "partial": functools.partial(len),
    "method of a list": results.append,
    "tuple of a list": ([],),
    "cached": functools.lru_cache(math.sin),
    "dynamic module": types.ModuleType("made_by_hand"),
    "this module": sys.modules[__name__],
    "generator": (i for i in ()),
}


@pytest.mark.parametrize("value", MUTABLE.values(), ids=MUTABLE)
@pytest.mark.parametrize("how", ["itself", "global", "closure", "default", "attribute"])
def test_what_can_change_in_place_is_always_pickled_anew(notebook, value, how):
    if how == "itself":
        assert fingerprint(value) is None
        return
    scope = notebook("def f(x=0): return k")
    f = scope["f"]
    if how == "global":
        scope["k"] = value
    elif how == "closure":
        f = (lambda k: lambda: k)(value)
    elif how == "default":
        f.__defaults__ = (value,)
    else:
        f.note = value
    assert fingerprint(f) is None


def test_immutable_values_of_any_depth_are_recognised(notebook):
    scope = notebook("import json, math\nk = (1, 'a', (2.5, None, b'x', ..., 1j))\n")
    notebook("from math import sin\nfrom json import dumps\ndef g(): return k, sin, dumps")
    notebook("def f(): return g, json, math")
    assert unchanged(scope["f"], lambda: None)


def test_a_function_that_only_claims_to_be_of_a_package_is_looked_into():
    def decorated(function):
        @functools.wraps(json.dumps)
        def wrapper():
            return function()

        return wrapper

    assert fingerprint(decorated([].copy)) is None
    one = decorated(lambda: 1)
    assert one.__module__ == "json"
    assert fingerprint(one)[1:] != ()


def test_functions_that_call_each_other_come_to_an_end(notebook):
    scope = notebook("def f(n): return g(n - 1) if n else 0\ndef g(n): return f(n)")
    assert unchanged(scope["f"], lambda: None)
    assert not unchanged(scope["f"], lambda: notebook("def g(n): return 1"))


def test_a_module_beside_it_imported_in_the_body_is_pickled_anew(notebook, tmp_path, monkeypatch):
    (tmp_path / "beside_fp.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    scope = notebook("def f():\n    import beside_fp\n    return beside_fp.X")
    assert fingerprint(scope["f"]) is None
    scope = notebook("def g():\n    from not_written_yet import X\n    return X")
    assert fingerprint(scope["g"]) is None
    scope = notebook("def h():\n    import json, os.path\n    from math import sin\n    return sin")
    assert unchanged(scope["h"], lambda: None)


VALUES = st.sampled_from([0, 1, 2, True, None, "a", "b", 1.5, (1, 2), (1, "a"), math.sin, len])


@given(st.lists(st.tuples(st.sampled_from("abcd"), VALUES | st.just("delete")), max_size=8))
def test_equal_fingerprints_mean_equal_behaviour(steps):
    # The same function over a namespace that changes: whenever the print is the same as at some
    # time before, so is what the function gives.
    scope = {"__name__": "__main__"}
    exec("def f(): return [globals().get(n, 'none') for n in 'abcd']\ndef g(): a, b, c, d", scope)
    exec("def f():\n    def get():\n        return a\n    return b, c, d, get", scope)
    seen = []
    for name, value in steps:
        if isinstance(value, str) and value == "delete":
            scope.pop(name, None)
        else:
            scope[name] = value
        print_ = fingerprint(scope["f"])
        now = {n: scope[n] for n in "abcd" if n in scope}
        for before, then in seen:
            if _same(before, print_):
                assert list(map(repr, then.items())) == list(map(repr, now.items()))
        seen.append((print_, now))


# -- the cache ---------------------------------------------------------------------------------


class CountingFunctions:
    def __init__(self):
        self.puts = []

    def put(self, stored):
        self.puts.append(stored)
        return f"address {len(self.puts)}"


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def cache(now):
    return CodeCache(CountingFunctions(), DictBlobs(), clock=lambda: now[0])


def loaded(cache):
    return functions.load(cache._store.puts[-1], cache._blobs).function


def test_a_function_that_has_not_changed_is_sent_once(cache, notebook):
    f = notebook("k = 1\ndef f(): return k")["f"]
    assert cache.address(f) == cache.address(f) == "address 1"
    notebook("k = 2")
    assert cache.address(f) == "address 2"
    assert loaded(cache)() == 2


def test_a_captured_list_is_sent_as_it_is_at_each_call(cache, notebook):
    scope = notebook("rows = [1]\ndef f(): return rows")
    for _ in range(2):
        cache.address(scope["f"])
        assert loaded(cache)() == scope["rows"]
        scope["rows"].append(2)
    assert len(cache._store.puts) == 2


def test_a_redefined_function_of_the_same_name_is_another(cache, notebook):
    first = notebook("def f(): return 1")["f"]
    cache.address(first)
    second = notebook("def f(): return 2")["f"]
    cache.address(second)
    assert loaded(cache)() == 2


def test_an_address_is_stored_again_before_it_expires(cache, now, notebook):
    f = notebook("def f(): return 1")["f"]
    cache.address(f)
    now[0] += 3600
    assert cache.address(f) == "address 1"
    now[0] += 24 * 3600
    assert cache.address(f) == "address 2"


def test_functions_made_in_a_loop_are_not_kept_for_ever(cache):
    for i in range(1100):
        cache.address(lambda i=i: i)
    assert len(cache._known) <= 1000
