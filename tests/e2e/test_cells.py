"""Cells on real workers: what they put out, what they bring back, and what they leave behind."""

import pytest

import nbqueue as nq
from nbqueue.client import client as clients
from nbqueue.client import dispatch
from nbqueue.client.dispatch import Submission
from nbqueue.client.options import TaskOptions
from nbqueue.store import functions
from nbqueue.store.cell import Cell, NotBrought

pytestmark = pytest.mark.usefixtures("cluster")


def send(source, namespace=None, *, out=(), params=(), rows=None, title="<cell>", **more):
    """Send a cell; with rows, an item for each."""
    client = clients.default_client()
    cell = Cell(source, title, namespace or {}, tuple(out), tuple(params), **more)
    address = client.functions.put(functions.dump(cell, client.blobs))
    sub = Submission("cell", address, tuple(params), TaskOptions())
    if rows is None:
        return dispatch.submit_call(client, sub, (), {})
    return dispatch.submit_rows(client, sub, rows)


def outputs(source, *args, **options):
    """What a cell that succeeds has put out."""
    job = send(source, *args, **options)
    job.result(30)
    return job.outputs.get(0, [])


def text(said, name="stdout"):
    return "".join(o["text"] for o in said if o.get("name") == name)


def stream(words, name="stdout"):
    return {"output_type": "stream", "name": name, "text": words}


# -- results ---------------------------------------------------------------------------------------


def test_names_come_back_and_those_that_are_not_bound_do_not():
    job = send("x = 1\ny = x + z", {"z": 2}, out=["x", "y", "never"])
    assert job.result(30) == {"x": 1, "y": 3}


def test_an_expression_gives_its_value_and_shows_nothing():
    job = send("[a, b]", {"a": 1, "b": "two"}, expression=True)
    assert job.result(30) == [1, "two"]
    assert job.outputs == {}


def test_an_expression_that_cannot_be_pickled_fails_as_a_result_does():
    job = send("__import__('threading').Lock()", expression=True)
    with pytest.raises(nq.ResultNotPicklable, match="lock"):
        job.result(30)


def test_what_cannot_be_pickled_is_named_and_the_rest_arrives():
    job = send("import threading\na = threading.Lock()\nb = 2", out=["a", "b"])
    result = job.result(30)
    assert result["b"] == 2
    assert isinstance(result["a"], NotBrought)
    assert result["a"].type == "lock"
    assert "pickle" in result["a"].reason


def test_names_that_share_a_value_still_share_it():
    result = send("a = []\nb = {'a': a}", out=["a", "b"]).result(30)
    assert result["b"]["a"] is result["a"]


def test_each_item_runs_in_a_namespace_of_its_own():
    job = send(
        "seen.append(i)\nn = len(seen)", {"seen": []}, out=["n"], params=["i"], rows=[(1,), (2,)]
    )
    assert job.result(30) == [{"n": 1}, {"n": 1}]


def test_functions_and_classes_of_a_cell_come_back_by_value():
    job = send(
        "base = 10\ndef add(x):\n    return x + base\nclass Point:\n    x = 3\np = Point()",
        out=["add", "p"],
    )
    result = job.result(30)
    assert result["add"](1) == 11
    assert result["p"].x == 3


# -- outputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "shown"), [("1 + 1", "2"), ("1 + 1;", None), ("x = 1", None)])
def test_the_last_expression_is_shown_unless_it_ends_in_a_semicolon(source, shown):
    expected = [] if shown is None else [shown]
    assert [o["data"]["text/plain"] for o in outputs(source)] == expected


def test_an_error_shows_the_cells_own_lines_and_fails_the_item():
    job = send("def f(x):\n    return 1 / x\n\nf(0)", title="<cell grid>")
    with pytest.raises(ZeroDivisionError):
        job.result(30)
    (output,) = job.outputs[0]
    assert output["output_type"] == "error"
    assert output["ename"] == "ZeroDivisionError"
    shown = "\n".join(output["traceback"])
    assert "cell grid" in shown
    assert "\x1b[" in shown
    assert "site-packages" not in shown
    plain = job._live.state.error(0).traceback
    assert 'File "<cell grid>", line 4, in <module>' in plain
    assert "    return 1 / x" in plain
    assert "\x1b[" not in plain
    assert "IPython" not in plain
    assert "nbqueue" not in plain
