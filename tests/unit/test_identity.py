"""What is the same for the cache: source, captured values, arguments; not file or kernel."""

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core.errors import NotPicklable
from nbqueue.store.values.identity import identity

SOURCE = """
import dataclasses, enum
from math import pi
limit = [1, 2]
class Kind(enum.Enum):
    A = 1
@dataclasses.dataclass
class Point:
    x: int = 0
    def far(self): return self.x * pi
def inner(x): return [y + limit[0] for y in x]
def f(x, *, k=3):
    "about"
    try:
        return Point(inner(x)[0]).far() * k if Kind.A else None
    except ValueError: return "é"
"""


def made(source=SOURCE, filename="<cell 1>", before=0):
    scope = {"__name__": "__main__"}
    exec(compile("\n" * before + source, filename, "exec"), scope)
    return scope["f"]


def test_the_file_and_line_of_a_function_do_not_count():
    assert identity(made()) == identity(made(filename="/tmp/other.py", before=40))


@pytest.mark.parametrize(
    ("old", "new"),
    [("+ limit[0]", "- limit[0]"), ("[1, 2]", "[2, 2]"), ("k=3", "k=4"), ("* pi", "+ pi")],
)
def test_an_edit_counts_wherever_it_is(old, new):
    assert identity(made()) != identity(made(SOURCE.replace(old, new)))


def test_another_process_comes_to_the_same():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from nbqueue.store.values.identity import identity\n"
        + SOURCE
        + "\nprint(identity((f, [1, 'a'])))"
    )
    run = [sys.executable, "-c", script, *sys.path[:1]]
    found = {subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in "ab"}
    assert len(found) == 1


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(allow_nan=False), st.lists))
def test_equal_digests_mean_equal_values(value):
    assert identity(value) == identity(value)
    assert identity([value]) != identity([value, value])


def test_arrays_count_by_their_content():
    numpy = pytest.importorskip("numpy")
    a = numpy.arange(1000)
    assert identity(a) == identity(numpy.arange(1000))
    b = a.copy()
    b[500] = 0
    assert identity(a) != identity(b)


def test_sets_count_by_their_members():
    words = [f"word {i}" for i in range(50)]
    backwards = words[::-1]
    assert identity(set(words)) == identity(set(backwards))
    assert identity([frozenset(words)]) == identity([frozenset(backwards)])
    assert identity(set(words)) != identity(set(words[1:]))
    assert identity(set(words)) != identity(frozenset(words))
    assert identity({(1, frozenset("ab"))}) == identity({(1, frozenset("ba"))})


def test_what_cannot_be_pickled_cannot_be_cached():
    with pytest.raises(NotPicklable, match="cannot be cached"):
        identity(threading.Lock())
