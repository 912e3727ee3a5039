"""The line of %%enqueue and %enqueue: what it asks for, or one clear sentence."""

import pytest

from nbqueue.core.errors import UsageError
from nbqueue.notebook import parsing
from nbqueue.notebook.parsing import Enqueue, Sweep, parse_cell, parse_expression


def test_an_empty_line_asks_for_nothing_special():
    assert parse_cell("") == Enqueue()


def test_all_options_of_a_cell():
    line = (
        'sweep --in a,b c --out auc --for "x=range(2, 9)" --for lr=[0.1] -q gpu --retries 2 '
        '--timeout 1.5m --priority 3 --after one two,three --cache --wait --name "the run"'
    )
    assert parse_cell(line) == Enqueue(
        name="sweep",
        job_name="the run",
        names_in=("a", "b", "c"),
        names_out=("auc",),
        sweeps=(Sweep(("x",), "range(2, 9)"), Sweep(("lr",), "[0.1]")),
        queue="gpu",
        retries=2,
        timeout_s=90.0,
        priority=3,
        after=("one", "two", "three"),
        cache=True,
        wait=True,
    )


@pytest.mark.parametrize(
    ("line", "cache"),
    [("", False), ("--cache", True), ("--no-cache", "refresh"), ("--cache --no-cache", "refresh")],
)
def test_the_cache_is_used_or_filled_anew(line, cache):
    assert parse_cell(line).cache == cache


@pytest.mark.parametrize(
    ("text", "names", "expression"),
    [
        ("x=1", ("x",), "1"),
        ("x = a == b", ("x",), "a == b"),
        ("x=dict(a=1)", ("x",), "dict(a=1)"),
        ("a, b = zip(p, q)", ("a", "b"), "zip(p, q)"),
        ("größe=[1]", ("größe",), "[1]"),
        ("x=lambda: (yield)", ("x",), "lambda: (yield)"),
    ],
)
def test_for_has_names_and_an_expression(text, names, expression):
    assert parse_cell(f"--for '{text}'").sweeps == (Sweep(names, expression),)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1), ("0.5", 0.5), (".5", 0.5), ("90s", 90), ("10m", 600), ("2h", 7200)],
)
def test_a_timeout_is_seconds_or_has_a_unit(text, seconds):
    assert parse_cell(f"--timeout {text}").timeout_s == seconds


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--bogus", "unrecognized arguments: --bogus"),
        ("sweep more", "unrecognized arguments: more"),
        ("--que gpu", "unrecognized arguments: --que"),
        ("3x", "NAME takes names of variables, not '3x'"),
        ("class", "NAME takes names of variables, not 'class'"),
        ("--name 'x", "no closing quotation"),
        ("--name ''", "a job's name is a text of 1 to 300"),
        ("--in 1", "--in takes names of variables, not '1'"),
        ("--out a.b", "--out takes names of variables, not 'a.b'"),
        ("--for x", "--for takes \"name=expression\""),
        ("--for x==1", "--for takes \"name=expression\""),
        ("--for x=", "--for takes \"name=expression\""),
        ("--for if=[1]", "--for takes names of variables, not 'if'"),
        ("--for 'x=1 2'", "'1 2' is not an expression"),
        ("--for x=[1] --for x=[2]", "--for names 'x' more than once"),
        ("--for x=range(2, 9)", "put quotes around all of it"),
        ("--timeout soon", "--timeout takes seconds above 0, or a time like 90s, 10m or 2h, not"),
        ("--timeout 0", "not '0'"),
        ("--timeout -3", "not '-3'"),
        ("--timeout nan", "not 'nan'"),
        ("--retries x", "--retries takes a whole number from 0 on, not 'x'"),
        ("--retries -1", "not '-1'"),
        ("--retries 1.5", "not '1.5'"),
        ("--priority high", "--priority takes a whole number"),
        ("--queue", "argument -q/--queue: expected one argument"),
        ("--queue ''", "--queue takes the name of a queue, not ''"),
    ],
)  # fmt: skip
def test_misuse_is_one_line_that_names_the_part(line, message):
    with pytest.raises(UsageError) as caught:
        parse_cell(line)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_stands_in_braces_is_expanded_except_in_for():
    request = parse_cell(
        "--name {n} -q $n --for 'x={one, 2}' --for=y={three}",
        lambda t: t if t[:1] == "-" else t.upper(),
    )
    assert (request.job_name, request.queue) == ("{N}", "$N")
    assert [sweep.expression for sweep in request.sweeps] == ["{one, 2}", "{three}"]


@pytest.mark.parametrize(
    ("line", "expression"),
    [
        ("f(3)", "f(3)"),
        ('f(3, "a  b")', 'f(3, "a  b")'),
        ("-q gpu --wait f(x, **{'a': 1})", "f(x, **{'a': 1})"),
        ("--name='a b' g", "g"),
        ("--after one,two f()", "f()"),
        ("-x + 1", "-x + 1"),
        ("--x", "--x"),
        ("lambda: '--wait'", "lambda: '--wait'"),
    ],
)
def test_an_expression_follows_its_options_as_it_was_typed(line, expression):
    if line == "--x":
        with pytest.raises(UsageError, match="unrecognized arguments: --x"):
            parse_expression(line)
        return
    assert parse_expression(line).expression == expression


def test_the_options_of_an_expression():
    request = parse_expression("--in a,b -q gpu --retries=3 --timeout 5 --wait f(a)")
    assert (request.names_in, request.queue, request.retries) == (("a", "b"), "gpu", 3)
    assert (request.timeout_s, request.wait, request.expression) == (5, True, "f(a)")


def test_the_expression_is_not_expanded():
    request = parse_expression("-q {q} f({x})", lambda text: text.replace("{q}", "gpu"))
    assert (request.queue, request.expression) == ("gpu", "f({x})")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "%enqueue needs an expression"),
        ("-q gpu", "%enqueue needs an expression"),
        ("-q", "expected one argument"),
        ("--for x=[1] f(x)", "--for belongs to a cell"),
        ("--out y f()", "--out belongs to a cell"),
        ("--frob f()", "unrecognized arguments: --frob"),
    ],
)
def test_misuse_of_an_expression_is_one_line(line, message):
    with pytest.raises(UsageError) as caught:
        parse_expression(line)
    assert message in str(caught.value)


@pytest.mark.parametrize("parse", [parse_cell, parse_expression])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_needs_nothing_else(parse, flag):
    assert parse(flag).help


def test_the_help_names_every_option():
    for option in parsing.OPTIONS:
        assert option in parsing.HELP
    assert parsing.HELP.count("enqueue", parsing.HELP.index("Examples")) == 3
