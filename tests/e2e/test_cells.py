"""Cells on real workers: what they put out, what they bring back, and what they leave behind."""

import os
import re
import signal

import pytest

import nbqueue as nq
from nbqueue.client import connecting as clients
from nbqueue.client import dispatch
from nbqueue.client.dispatch import Submission
from nbqueue.client.options import TaskOptions
from nbqueue.store.code import functions
from nbqueue.store.code.cell import Cell, NotBrought

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


def error_of(job):
    """The error that a cell has shown, its traceback without colours."""
    [error] = [o for o in job.outputs[0] if o["output_type"] == "error"]
    return {**error, "traceback": re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error["traceback"]))}


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


def test_stdout_and_stderr_stay_in_order_with_what_passes_python_by():
    source = (
        "import ctypes, os, subprocess, sys\n"
        "print('one')\nos.system('echo two')\nprint('three')\n"
        "subprocess.run(['echo', 'four'], stdout=sys.stdout)\nos.write(1, b'five\\n')\n"
        "print('six', file=sys.stderr)\nos.system('echo seven >&2')\nprint('eight')"
    )
    assert outputs(source) == [
        stream("one\ntwo\nthree\nfour\nfive\n"),
        stream("six\nseven\n", "stderr"),
        stream("eight\n"),
    ]


def test_what_c_code_prints_is_there_at_the_end():
    assert outputs("import ctypes\nctypes.CDLL(None).printf(b'from c\\n');") == [stream("from c\n")]


def test_a_forked_child_and_a_thread_print_into_their_cell():
    source = (
        "import os, threading\n"
        "t = threading.Thread(target=lambda: print('thread'))\nt.start(); t.join()\n"
        "pid = os.fork()\n"
        "if not pid:\n    print('child')\n    os._exit(0)\n"
        "os.waitpid(pid, 0)\nprint('parent')"
    )
    assert text(outputs(source)) == "thread\nchild\nparent\n"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("!echo shouted", "shouted"),
        ("x = !echo kept\nprint(x)", "['kept']"),
        ("%%bash\necho from bash", "from bash"),
        ("%time 1", "Wall time"),
        ("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')", "awaited"),
        ("len?", "Return the number of items"),
    ],
)
def test_ipythons_own_ways(source, words):
    assert words in text(outputs(source))


def test_displays_updates_and_clearing():
    source = (
        "from IPython.display import HTML, clear_output, display\n"
        "display('gone')\nclear_output()\n"
        "handle = display(HTML('<b>1</b>'), display_id=True)\nprint('between')\n"
        "handle.update(HTML('<b>2</b>'))"
    )
    first, second = outputs(source)
    assert first["data"]["text/html"] == "<b>2</b>"
    assert "transient" not in first
    assert second == stream("between\n")


def test_display_needs_no_import():
    assert outputs("display(1)")[0]["data"] == {"text/plain": "1"}


def test_data_frames_are_shown_as_html():
    (output,) = outputs("import pandas as pd\npd.DataFrame({'a': [1]})")
    assert output["output_type"] == "execute_result"
    assert "<table" in output["data"]["text/html"]


def test_a_widget_leaves_its_text_and_no_view():
    (output,) = outputs("import ipywidgets\nipywidgets.IntSlider()")
    assert list(output["data"]) == ["text/plain"]


def test_figures_come_at_the_end_or_where_they_are_shown():
    source = "import matplotlib.pyplot as plt\nplt.plot([1, 2]){}\nprint('after')"
    kinds = [o["output_type"] for o in outputs(source.format(";"))]
    assert kinds == ["stream", "display_data"]
    said = outputs("%matplotlib inline\n" + source.format("\nplt.show()"))
    assert [o["output_type"] for o in said] == ["display_data", "stream"]
    assert said[0]["data"]["image/png"].startswith("iVBOR")


def test_a_figure_left_open_is_not_the_next_items():
    source = "import matplotlib.pyplot as plt\nplt.ioff()\nplt.figure()\nn = len(plt.get_fignums())"
    job = send(source, out=["n"], params=["i"], rows=[(i,) for i in range(4)])
    assert job.result(60) == [{"n": 1}] * 4


def test_a_worker_that_drew_for_a_task_draws_for_a_cell():
    def draw():
        import matplotlib.pyplot as plt

        plt.plot([1, 2])
        return plt.get_backend()

    drawn = nq.task(draw).starmap([()] * 8)
    drawn.result(60)
    assert all(len(said) == 1 for said in drawn.outputs.values())
    for source in ["import matplotlib.pyplot as plt\nplt.plot([1]);"] * 4:
        (output,) = outputs(source)
        assert output["data"]["image/png"].startswith("iVBOR")
    again = nq.task(draw).starmap([()] * 8)
    again.result(60)
    assert all(len(again.outputs[i]) == 1 for i in range(8))


# -- errors ----------------------------------------------------------------------------------------


def test_a_syntax_error_fails_the_item_and_is_shown():
    job = send("x = = 1")
    with pytest.raises(SyntaxError):
        job.result(30)
    assert job.outputs[0][0]["ename"] == "SyntaxError"


def test_a_name_that_was_not_sent_is_a_name_error_with_a_hint():
    job = send("secret")
    with pytest.raises(NameError, match="--in secret"):
        job.result(30)
    assert "--in secret" in job.outputs[0][0]["evalue"]


def test_a_name_that_the_notebook_did_not_have_is_to_be_defined_there():
    with pytest.raises(NameError, match="define it there first"):
        send("nothing", missing=("nothing",)).result(30)


def test_a_name_that_the_cell_deleted_gets_no_hint():
    with pytest.raises(NameError, match=r"not defined$"):
        send("del a\na", {"a": 1}).result(30)


def test_nobody_answers_input():
    job = send("input('who? ')")
    with pytest.raises(EOFError, match="cannot ask anybody"):
        job.result(30)
    assert "nbqueue/" not in error_of(job)["traceback"]


@pytest.mark.parametrize("source", ["import sys\nsys.exit(3)", "raise SystemExit(3)", "exit"])
def test_leaving_is_an_error_of_the_item_and_not_the_workers_end(source):
    job = send(source)
    with pytest.raises(nq.TaskError, match="SystemExit"):
        job.result(30)
    assert [o["output_type"] for o in job.outputs[0]] == ["error"]
    assert send("1").result(30) == {}


def test_a_soft_limit_interrupts_a_cell(cluster):
    client = clients.default_client()
    cell = Cell("import time\ntime.sleep(60)", "<cell>")
    address = client.functions.put(functions.dump(cell, client.blobs))
    options = TaskOptions().updated({"soft_time_limit": 5})
    job = dispatch.submit_call(client, Submission("cell", address, (), options), (), {})
    with pytest.raises(Exception, match="5 s"):
        job.result(30)
    shown = error_of(job)
    assert shown["evalue"] == "the item ran for longer than its limit of 5 s"
    assert shown["traceback"].count("SoftTimeLimitExceeded") == 2  # first and last line
    assert "limits.py" not in shown["traceback"]


def test_exceptions_of_the_cells_own_classes_arrive():
    with pytest.raises(Exception, match="mine") as caught:
        send("class Mine(Exception): pass\nraise Mine('mine')").result(30)
    assert type(caught.value).__name__ == "Mine"


def test_an_exception_that_cannot_say_what_it_is_is_told_by_its_type():
    job = send("class Odd(Exception):\n    def __str__(self): return 1 / 0\nraise Odd")
    job.wait(30)
    assert "Odd" in str(job.to_frame()["error"][0])
    assert (error_of(job)["ename"], error_of(job)["evalue"]) == (
        "Odd",
        "<its __str__ raised ZeroDivisionError>",
    )


def test_several_errors_at_once_are_shown_plainly():
    source = "raise ExceptionGroup('several', [ValueError(1), KeyError(2)])"
    if not hasattr(__builtins__, "ExceptionGroup") and "ExceptionGroup" not in __builtins__:
        pytest.skip("this Python has no groups of exceptions")
    job = send(source)
    with pytest.raises(Exception, match="several"):
        job.result(30)
    assert "ValueError" in str(job.outputs[0])


# -- bad behaviour ---------------------------------------------------------------------------------


def test_too_much_output_is_cut_once_and_counted():
    said = outputs("!head -c 5000000 /dev/zero | tr '\\0' x\nprint('more')")
    begin, notice, end = said
    assert len(begin["text"]) == 1_000_000
    assert "more than 1 MB" in notice["data"]["text/plain"]
    assert "characters" in notice["data"]["text/plain"]
    assert end["text"].endswith("more\n")


def test_bytes_that_are_no_text_are_replaced():
    said = text(outputs("import os\nos.write(1, b'\\xff\\xfe caf\\xc3\\xa9 \\xe2\\x82');"))
    assert said == "\ufffd\ufffd café \ufffd"


def test_halves_of_a_character_that_come_apart_are_joined():
    said = outputs("import os\nos.write(1, b'\\xe2\\x82'); print(end=''); os.write(1, b'\\xac');")
    assert text(said) == "€"


def test_lone_surrogates_can_be_printed():
    assert text(outputs("print('\\ud800')")) == "\ud800\n"


def test_a_cell_that_replaces_stdout_harms_only_itself():
    job = send("import io, sys\nsys.stdout = io.StringIO()\nprint('hidden')")
    job.result(30)
    assert job.outputs == {}
    for _ in range(4):
        assert text(outputs("print('seen')")) == "seen\n"


def test_a_cell_that_closes_its_descriptors_harms_only_itself():
    job = send("import os\nos.close(1); os.close(2)\nprint('still')")
    job.result(30)
    assert text(job.outputs[0]) == "still\n"
    for _ in range(4):
        assert text(outputs("!echo alive")).strip() == "alive"


def test_a_process_left_behind_does_not_hold_the_item():
    job = send("import subprocess\np = subprocess.Popen(['sleep', '30'])\npid = p.pid", out=["pid"])
    os.kill(job.result(20)["pid"], signal.SIGKILL)


def test_output_is_seen_while_the_cell_runs(tmp_path, until):
    gate = tmp_path / "gate"
    source = (
        "!echo begun\nimport time, pathlib\nwhile not pathlib.Path(gate).exists(): time.sleep(.01)"
    )
    job = send(source, {"gate": str(gate)})
    until(lambda: "begun" in str(job.outputs))
    assert not job.finished
    gate.touch()
    job.result(30)


def test_a_cell_whose_process_is_killed_runs_again(tmp_path):
    flag = tmp_path / "flag"
    source = (
        "import os, pathlib, signal\nprint('begun')\n"
        "if not pathlib.Path(flag).exists():\n"
        "    pathlib.Path(flag).touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "done = True"
    )
    job = send(source, {"flag": str(flag)}, out=["done"])
    assert job.result(60) == {"done": True}
    assert text(job.outputs[0]) == "begun\n"


def test_main_is_the_workers_again_after_a_cell():
    send("x = 1").result(30)
    found = nq.task(lambda: hasattr(__import__("sys").modules["__main__"], "x")).starmap([()] * 8)
    assert not any(found.result(30))


def test_main_is_the_cell_while_it_runs():
    job = send("x = 1\nimport __main__, pickle\ny = __main__.x\ndef f(): return x\n"
               "z = pickle.loads(pickle.dumps(f))()", out=["y", "z"])  # fmt: skip
    assert job.result(30) == {"y": 1, "z": 1}


def test_functions_of_the_notebook_see_what_the_cell_assigns(notebook):
    script = """
from nbqueue.client import connecting as clients, dispatch
from nbqueue.client.options import TaskOptions
from nbqueue.store.code import functions
from nbqueue.store.code.cell import Cell
level = 1
calls = []
def show():
    calls.append(level)
    return level
class Thing:
    def level(self):
        return level
client = clients.default_client()
source = "a = show()\\nlevel = 2\\nb = show()\\nc = Thing().level()\\nn = list(calls)"
cell = Cell(source, "<cell>", {"show": show, "Thing": Thing, "calls": calls}, ("a", "b", "c", "n"))
address = client.functions.put(functions.dump(cell, client.blobs))
sub = dispatch.Submission("cell", address, ("i",), TaskOptions())
print(dispatch.submit_rows(client, sub, []).n)
cell = Cell(source, "<cell>", cell.namespace, cell.out, ("i",))
address = client.functions.put(functions.dump(cell, client.blobs))
sub = dispatch.Submission("cell", address, ("i",), TaskOptions())
for result in dispatch.submit_rows(client, sub, [(1,), (2,)]).result(30):
    print(result)
"""
    expected = {"a": 1, "b": 2, "c": 2, "n": [1, 2]}
    assert notebook.run(script).splitlines() == ["0", str(expected), str(expected)]


# -- a pool of threads -----------------------------------------------------------------------------


def test_cells_of_one_process_take_turns(local_cluster):
    with local_cluster(threads=4) as made:
        made.connect()
        source = (
            "import os, time\nprint('py', i)\nos.system(f'echo sh {i}')\ntime.sleep(.02)\nj = i"
        )
        job = send(source, out=["j"], params=["i"], rows=[(i,) for i in range(8)])
        assert job.result(60) == [{"j": i} for i in range(8)]
        assert {i: text(said) for i, said in job.outputs.items()} == {
            i: f"py {i}\nsh {i}\n" for i in range(8)
        }


# -- lean ------------------------------------------------------------------------------------------


def test_ipython_is_loaded_with_the_first_cell_and_not_before(local_cluster):
    def loaded():
        import sys

        print("something")
        names = ("IPython", "matplotlib", "pandas", "ipywidgets", "traitlets")
        return [name for name in names if name in sys.modules]

    with local_cluster(workers=1) as made:
        made.connect()
        assert nq.task(loaded).submit().result(20) == []
        send("x = 1").result(30)
        assert nq.task(loaded).submit().result(20) == ["IPython", "traitlets"]
