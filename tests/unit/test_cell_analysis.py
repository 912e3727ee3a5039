"""What a cell reads and assigns, found without running it."""

import builtins
import sys

import pytest

from nbqueue.notebook.analysis import analyse, is_expression

BUILTINS = set(dir(builtins))


def reads(source):
    return set(analyse(source).reads) - BUILTINS


READS = [
    # -- order ---------------------------------------------------------------------------------
    ("x = a + b", "a b"),
    ("x = 1\ny = x", ""),
    ("y = x\nx = 1", "x"),
    ("x = x + 1", "x"),
    ("x += 1", "x"),
    ("x: int = y", "y"),
    ("x: Kind = 1", "Kind"),
    ("x: int\nx", "x"),
    ("a.b = 1\na[i] = 2", "a i"),
    ("a = b = c", "c"),
    ("(a, [b, *c]), d = t\na, b, c, d", "t"),
    ("del x", "x"),
    ("x = 1\ndel x\nx", "x"),
    ("del x[k]", "x k"),
    ("(y := f(x)) + y", "f x"),
    ("a if b else c", "a b c"),
    # -- ways through ----------------------------------------------------------------------------
    ("if c:\n  x = 1\nx", "c x"),
    ("if c:\n  x = 1\nelse:\n  x = 2\nx", "c"),
    ("if c:\n  x = 1\nelse:\n  raise E\nx", "c E"),
    ("for i in s:\n  t = i\ni, t", "s"),
    ("for i in s:\n  if i: continue\n  t = i\nelse:\n  u = 1\ni, u", "s"),
    ("for i in s:\n  total = total + i", "s total"),
    ("while n > 0:\n  n = n - 1", "n"),
    ("try:\n  x = f()\nexcept E as e:\n  print(e)\nx", "f E x"),
    ("try:\n  x = f()\nexcept E as e:\n  raise\nx", "f E"),
    ("try:\n  x = 1\nfinally:\n  y = x\ny", ""),
    ("try:\n  1\nexcept E as e:\n  pass\ne", "E e"),
    ("with open(p) as f, g() as (h, k):\n  f, h, k", "p g"),
    (
        "match v:\n  case {'k': w, **r} if w > m: s = w, r\n  case [a, *b]: s = a, b\n"
        "  case P(x=q): s = q\n  case _: s = 0\ns",
        "v m P",
    ),
    ("match v:\n  case 1: s = 1\ns", "v s"),
    # -- inner scopes ----------------------------------------------------------------------------
    ("[x + q for x in xs if x]", "xs q"),
    ("[x for x in xs]\nx", "xs x"),
    ("{k: w for k, w in d.items()}", "d"),
    ("[y for x in xs for y in x[a]]", "xs a"),
    ("[z := x for x in xs]\nz", "xs"),
    ("g = (x * k for x in xs)", "xs k"),
    ("f = lambda x, y=d: x + y + k", "d k"),
    ("[(lambda: x + k)() for x in xs]", "xs k"),
    ("def f(x, y=d, *a, z: T = e, **k) -> R:\n  local = x\n  return local + g", "d T e R g"),
    ("def f():\n  def h():\n    return deep\n  return h\nf", "deep"),
    ("def f(n):\n  return f(n - 1)", ""),
    ("def f():\n  global made\n  made = 1\nf()\nmade", "made"),
    ("def f():\n  x = 1\n  def g():\n    nonlocal x\n    x = k\n  return g", "k"),
    ("@deco(arg)\ndef f(): return k", "deco arg k"),
    ("def f():\n  return [x for x in xs if x in ys]", "xs ys"),
    ("async def f():\n  async with c as d:\n    return [x async for x in d]\nawait f()", "c"),
    ("class A(B, metaclass=M):\n  x: T = n\n  y = x\n  def m(self): return g\nA", "B M T n g"),
    ("class A:\n  x = 1\n  y = [x for _ in r]", "x r"),
    ("class A:\n  x = 1\n  def m(self): return x", "x"),
    ("class A:\n  x = x", "x"),
    ("class A:\n  def m(self): return A()", ""),
    # -- functions wait until they are used --------------------------------------------------------
    ("def f(): return a\na = 3\nf()", ""),
    ("def f(): return a\nf()\na = 3", "a"),
    ("def f(): return a\ng = f\na = 3", "a"),
    ("def f(): return a\ndef g(): return f()\na = 3\ng()", ""),
    ("def f(): return a\ndef g(): return f()\ng()\na = 3", "a"),
    ("class A:\n  def m(self): return a\nA()\na = 1", "a"),
    # -- texts -------------------------------------------------------------------------------------
    ("f'{x:{w}} {y!r}'", "x w y"),
    ("df.query('a > @lim and @d.x')", "df lim d"),
    ("df.eval('c = a + @k')", "df k"),
    ("pd.eval('u + v')", "pd u v"),
    ("eval('u + v')", "u v"),
    ("exec('w = u')\nw", "u"),
    # -- imports -----------------------------------------------------------------------------------
    ("import numpy as np, os.path\nnp, os", ""),
    ("from m import a as b, c\nb, c, a", "a"),
    ("def f():\n  import json\n  return json.dumps(k)", "k"),
    # -- IPython's own -----------------------------------------------------------------------------
    ("x = !ls {folder} $name", "folder name"),
    ("!echo {a + b} {c[0]} $$HOME {{d}}", "a b c"),
    ("!awk '{print $1}' {path}", "path"),
    ("%time y = f(x)\ny", "f x"),
    ("%timeit -n 10 -r 3 f(x)", "f x"),
    ("%%time\ny = f(x)\ny", "f x"),
    ("%%capture out --no-stderr\nprint(x)", "x"),
    ("%%timeit s = g()\nf(s)", "g f"),
    ("%%bash -s {arg}\necho $HOME", "arg"),
    ("thing?", "thing"),
    ("%cd {where}\nx", "where x"),
    ("await f(x)\nasync for i in s:\n  i\nasync with c as d:\n  d", "f x s c"),
    ("x;", "x"),
]  # fmt: skip

if sys.version_info >= (3, 12):  # type parameters
    READS += [
        ("def f[T: Bound](x: T) -> T: return x, k", "Bound k"),
        ("class A[T](Base[T]):\n  def m(self, x: T): return g", "Base g"),
        ("type P[T] = list[T] | Other", "Other"),
    ]


@pytest.mark.parametrize(("source", "names"), READS, ids=[s for s, _ in READS])
def test_reads(source, names):
    assert reads(source) == set(names.split())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="except* came with Python 3.11")
def test_reads_in_exception_groups():
    assert reads("try:\n  x = f()\nexcept* E as g:\n  raise\nx") == {"f", "E"}


ASSIGNS = [
    ("x = 1; y: int = 2; z: int", "x y"),
    ("x += 1", "x"),
    ("a, (b, *c) = t", "a b c"),
    ("x.y = 1; x[0] = 2", ""),
    ("for i in s: t = i", "i t"),
    ("with f() as g: pass", "g"),
    ("def f(): local = 1\nclass A: attr = 1", "f A"),
    ("import os; from a import b", ""),
    ("try: 1\nexcept E as e: x = 1", "x"),
    ("[w := x for x in xs]", "w"),
    ("if c: x = 1", "x"),
    ("match v:\n  case [a, *r]: s = 1", "a r s"),
    ("def f():\n  global made\n  made = 1", "f made"),
    ("x = !ls", "x"),
    ("%time y = 1", "y"),
    ("%%time\ny = 1", "y"),
    ("%%capture out\n1", "out"),
]


@pytest.mark.parametrize(("source", "names"), ASSIGNS, ids=[s for s, _ in ASSIGNS])
def test_assigns(source, names):
    assert set(analyse(source).assigns) == set(names.split())


def test_names_come_in_the_order_of_the_cell():
    found = analyse("z = b + a\ny = c")
    assert (found.reads, found.assigns) == (("b", "a", "c"), ("z", "y"))


def test_imports_are_named_wherever_they_stand():
    found = analyse("import a.b\nfrom c import d\ndef f():\n  import e")
    assert set(found.imports) == {"a", "a.b", "c", "c.d", "e"}
    assert set(found.borrows) == {"a", "d"}


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("exec(code)", "exec(...)"),
        ("eval(a + b)", "eval(...)"),
        ("globals()['x']", "globals()"),
        ("x = locals()", "locals()"),
        ("vars()", "vars()"),
        ("dir()", "dir()"),
        ("from numpy import *", "from numpy import *"),
        ("df.query(text)", ".query(...) with a text that is computed"),
        ("%run other.py", "%run"),
    ],
)
def test_what_cannot_be_looked_into_is_said(source, what):
    assert analyse(source).unknown == (what,)


@pytest.mark.parametrize(
    "source",
    ["vars(x)", "dir(x)", "model.eval()", "eval('1 + 1')", "def eval(x): 1\neval(k)", "x.query()"],
)
def test_what_only_looks_like_it_is_not(source):
    assert analyse(source).unknown == ()


@pytest.mark.parametrize("source", ["x = 1 +", "return 1", "def f(:", "x = = 2", "break"])
def test_a_syntax_error_is_raised(source):
    with pytest.raises(SyntaxError):
        analyse(source, "<cell>")


def test_an_expression_is_one():
    assert is_expression(" f(3) ")
    assert is_expression("await f(3)")
    assert not is_expression("x = 1")
    assert not is_expression("!ls")
