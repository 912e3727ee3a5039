"""%%enqueue and its kin: typed into a real IPython, run by real workers."""

import re
import sys
import threading
import time
import traceback
import warnings

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nbqueue as nq
from nbqueue.client.remote import control
from nbqueue.notebook import display

pytestmark = [
    pytest.mark.usefixtures("cluster"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Notebook:
    """An IPython in this process."""

    def __init__(self, shell):
        self.shell = shell
        self.names = shell.user_ns

    def run(self, source):
        """Run a cell that succeeds; its value."""
        done = self.shell.run_cell(source)
        done.raise_error()
        return done.result

    def completions(self, line):
        """What Tab offers at the end of a line."""
        with provisionalcompleter():
            return [c.text for c in self.shell.Completer.completions(line, len(line))]

    def refused(self, source, capfd):
        """Run a cell that is misuse: the one line that it shows."""
        capfd.readouterr()
        done = self.shell.run_cell(source)
        assert not done.success
        out, err = capfd.readouterr()
        shown = (out + err).strip()
        assert shown.startswith("UsageError: "), shown
        assert "\n" not in shown
        return shown.removeprefix("UsageError: ")


@pytest.fixture(scope="module")
def shell():
    main = sys.modules["__main__"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    made.run_line_magic("load_ext", "nbqueue")
    yield made
    made.run_line_magic("unload_ext", "nbqueue")
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main


@pytest.fixture
def notebook(shell):
    shell.reset(new_session=True)
    return Notebook(shell)


# -- a cell and its names --------------------------------------------------------------------------


def test_a_cell_takes_what_it_reads_and_brings_what_it_assigns(notebook):
    notebook.run("import math\nbase = 10\ndef f(x): return math.sqrt(base + x)\nunused = lambda: 1")
    notebook.run("%%enqueue job\ny = f(6)\nz = [y, base]")
    job = notebook.names["job"]
    assert isinstance(job, nq.Job)
    assert (job.name, job.n) == ("job", 1)
    assert notebook.run("job.pull()") == {"y": 4.0, "z": [4.0, 10]}
    assert (notebook.names["y"], notebook.names["z"]) == (4.0, [4.0, 10])


def test_it_returns_at_once_and_shows_the_job(notebook, gate, monkeypatch):
    shown = []
    monkeypatch.setattr(display, "show", lambda job, **_: shown.append(job))
    notebook.names["path"] = str(gate)
    notebook.run("%%enqueue job\nimport os, time\nwhile not os.path.exists(path): time.sleep(.01)")
    job = notebook.names["job"]
    assert shown == [job]
    assert not job.finished  # and cannot be, before the gate opens
    gate.touch()
    assert job.wait(20)


def test_a_function_sees_the_names_that_the_cell_assigns(notebook):
    notebook.run("base = 10\ndef f(x): return base + x")
    notebook.run("%%enqueue --wait\nbase = 3\ny = f(1)")
    assert notebook.names["y"] == 4


def test_what_was_assigned_in_the_notebook_later_does_not_matter(notebook):
    notebook.run("items = [1]")
    notebook.run("%%enqueue job\ntotal = sum(items)")
    notebook.run("items.append(100)")
    assert notebook.run("job.pull()") == {"total": 1}


def test_a_large_value_travels_and_comes_back(notebook):
    notebook.run("import numpy as np\nbig = np.arange(1_000_000.)")
    notebook.run("%%enqueue --wait\ndouble = big * 2")
    assert notebook.run("bool((double == big * 2).all())")


def test_a_module_beside_the_notebook_travels_with_a_cell_that_imports_it(
    notebook, tmp_path, monkeypatch
):
    (tmp_path / "beside_nb.py").write_text("def thrice(x):\n    return 3 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    notebook.run("%%enqueue --wait\nfrom beside_nb import thrice\ny = thrice(4)")
    assert notebook.names["y"] == 12


def test_a_name_that_only_the_built_ins_had_may_be_ones_own(notebook):
    notebook.run("id = 5")
    notebook.run("%%enqueue --wait\ny = id")
    assert notebook.names["y"] == 5


def test_out_chooses_what_comes_back(notebook):
    notebook.run("%%enqueue job --out b\na = 1\nb = 2\n_c = 3")
    assert notebook.run("job.pull()") == {"b": 2}
    notebook.run("%%enqueue job\na = 1\nb = 2\n_c = 3")
    assert notebook.run("job.pull()") == {"a": 1, "b": 2}


def test_a_value_that_was_changed_in_place_comes_back_when_asked_for(notebook):
    notebook.run("d = {}")
    notebook.run("%%enqueue --out d --wait\nd['k'] = 1")
    assert notebook.names["d"] == {"k": 1}


def test_in_sends_what_only_a_text_names(notebook, capsys):
    notebook.run("hidden = 7\ncode = 'y = hidden'")
    notebook.run("%%enqueue job --in hidden --out y\nexec(code)")
    assert notebook.run("job.pull()") == {"y": 7}
    assert "--in" not in capsys.readouterr().err


def test_what_cannot_be_known_is_said_in_one_line(notebook, capsys):
    notebook.run("code = 'y = 1'")
    notebook.run("%%enqueue job\nexec(code)")
    (line,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("nbqueue:")]
    assert "exec(...)" in line
    assert "--in NAMES" in line


def test_the_names_of_a_shell_line_travel(notebook):
    notebook.run("word = 'hello'")
    notebook.run("%%enqueue --wait\nsaid = !echo {word} $word")
    assert list(notebook.names["said"]) == ["hello hello"]


def test_a_name_that_is_missing_fails_there_with_a_hint(notebook):
    notebook.run("%%enqueue job\nnowhere + 1")
    with pytest.raises(NameError, match="the notebook had no 'nowhere'"):
        notebook.names["job"].result(20)


def test_a_name_that_the_job_before_assigned_is_to_be_pulled(notebook):
    notebook.run("%%enqueue first\nfound = 1")
    notebook.run("%%enqueue second --after first\nfound + 1")
    with pytest.raises(NameError, match=r"first\.pull\(\) brings 'found' to the notebook"):
        notebook.names["second"].result(20)


# -- the last expression ---------------------------------------------------------------------------


def test_the_last_expression_has_a_column_and_is_pulled_when_asked_for(notebook):
    notebook.run("%%enqueue job --for x=[1,2]\ny = x\nx * 10")
    job = notebook.names["job"]
    job.wait(20)
    frame = job.to_frame()
    assert list(frame.columns[:4]) == ["x", "state", "y", "value"]
    assert frame["value"].tolist() == [10, 20]
    assert job.result() == [{"y": 1, "value": 10}, {"y": 2, "value": 20}]
    assert notebook.run("job.pull()") == {"y": [1, 2]}
    assert notebook.run("job.pull('value')") == {"value": [10, 20]}


@pytest.mark.parametrize(
    ("cell", "brought"),
    [
        ("y = 3\ny", {"y": 3}),  # it comes back already
        ("y = 3\ny + 1;", {"y": 3}),
        ("value = 3\nvalue + 1", {"value": 3}),
        ("import threading\nthreading.Lock()", {}),
        ("import ipywidgets\nipywidgets.IntSlider()", {}),
        ("import matplotlib.pyplot as plt\nplt.plot([1, 2])", {}),
        ("None", {}),
        ("%time 1 + 1", {"value": 2}),
        ("class A:\n    x = 5\nA().x", {"value": 5}),
    ],
)
def test_a_last_expression_that_is_not_brought_back_twice_or_not_at_all(notebook, cell, brought):
    notebook.run(f"%%enqueue job\n{cell}")
    result = notebook.names["job"].result(60)
    result.pop("A", None)
    assert result == brought


def test_a_large_last_expression_stays_and_says_so(notebook):
    notebook.run("%%enqueue job\nimport numpy as np\nnp.zeros(1_000_000)")
    kept = notebook.names["job"].result(20)["value"]
    assert repr(kept).startswith("<ndarray, not brought back: it takes more than 100 kB")


def test_out_leaves_the_last_expression_away_unless_it_names_it(notebook):
    notebook.run("%%enqueue job --out a\na = b = 1\n5")
    assert notebook.names["job"].result(20) == {"a": 1}
    notebook.run("%%enqueue job --out a value\na = b = 1\n5")
    assert notebook.names["job"].result(20) == {"a": 1, "value": 5}


# -- sweeps ----------------------------------------------------------------------------------------


def test_for_runs_all_combinations_and_the_frame_has_a_column_for_each_name(notebook):
    notebook.run("scale = 10\nlrs = [0.1, 0.3]")
    notebook.run(
        '%%enqueue sweep --for "depth=range(2, 4)" --for "lr=(x for x in lrs)" --out auc,half\n'
        "auc = depth * scale + lr\nhalf = depth / 2"
    )
    job = notebook.names["sweep"]
    assert job.wait(20)
    frame = job.to_frame()
    assert list(frame.columns[:5]) == ["depth", "lr", "state", "auc", "half"]
    assert frame["depth"].tolist() == [2, 2, 3, 3]
    assert frame["lr"].tolist() == [0.1, 0.3, 0.1, 0.3]
    assert frame["auc"].tolist() == [20.1, 20.3, 30.1, 30.3]
    assert frame["auc"].dtype == float
    assert notebook.run("sweep.pull('auc')") == {"auc": [20.1, 20.3, 30.1, 30.3]}
    assert notebook.names["auc"] == [20.1, 20.3, 30.1, 30.3]
    assert "half" not in notebook.names


def test_for_takes_pairs_and_braces(notebook):
    notebook.run("%%enqueue job --for \"a, b = {1: 'x', 2: 'y'}.items()\"\nc = f'{a}{b}'")
    assert notebook.run("job.pull()") == {"c": ["1x", "2y"]}


def test_for_over_nothing_is_a_job_of_no_items_and_says_so(notebook, capsys):
    notebook.run("%%enqueue job --for x=[]\ny = x")
    assert "job 'job' has no items" in capsys.readouterr().err
    job = notebook.names["job"]
    assert (job.n, job.finished) == (0, True)
    assert notebook.run("job.pull()") == {}


def test_figures_of_a_sweep_come_back_only_when_they_are_asked_for(notebook):
    notebook.run("import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt")
    draw = "fig, ax = plt.subplots()\nax.plot([x])\ny = x"
    notebook.run(f"%%enqueue job --for x=[1,2]\n{draw}")
    assert notebook.names["job"].result(60) == [{"y": 1}, {"y": 2}]
    with pytest.raises(nq.UsageError, match="figures of a sweep come back only if --out names"):
        notebook.names["job"].pull("fig")
    notebook.run(f"%%enqueue job --for x=[1] --out fig\n{draw}")
    assert type(notebook.names["job"].result(60)[0]["fig"]).__name__ == "Figure"
    notebook.run(f"%%enqueue job\nx = 1\n{draw}")
    assert list(notebook.names["job"].result(60)) == ["x", "fig", "ax", "y"]


def test_failed_items_leave_gaps_in_the_frame_and_stop_a_pull(notebook):
    notebook.run("%%enqueue job --for x=[1,0,4] --out y,gone\ny = 1 / x\ngone = y")
    job = notebook.names["job"]
    job.wait(20)
    frame = job.to_frame()
    assert frame["state"].tolist() == ["SUCCESS", "FAILURE", "SUCCESS"]
    assert frame["y"].isna().tolist() == [False, True, False]
    assert "ZeroDivisionError" in frame["error"][1]
    with pytest.raises(ZeroDivisionError) as failed:
        job.pull()
    assert "y" not in notebook.names
    advice = "".join(traceback.format_exception(failed.value))
    assert "1 of 3 items of job 'job' did not succeed" in advice
    assert 'job.pull(errors="drop")' in advice


def test_a_pull_brings_what_arrived_when_it_may_drop_the_rest(notebook, capsys):
    notebook.run("%%enqueue job --for x=[1,0,4]\ny = 1 / x")
    assert notebook.run("job.pull(errors='drop')") == {"y": [1.0, 0.25]}
    assert notebook.names["y"] == [1.0, 0.25]
    notebook.run("%%enqueue none --for x=[0,0]\ny = 1 / x")
    capsys.readouterr()
    assert notebook.run("none.pull('y', errors='drop')") == {}
    assert "nothing of job 'none' arrived" in capsys.readouterr().err
    assert notebook.names["y"] == [1.0, 0.25]
    with pytest.raises(nq.UsageError, match="errors must be 'raise' or 'drop', not 'return'"):
        notebook.names["job"].pull(errors="return")


def test_values_that_cannot_come_back_are_named_and_the_rest_arrives(notebook, capsys):
    notebook.run("%%enqueue job\nimport threading\nlock = threading.Lock()\ny = 1")
    capsys.readouterr()
    assert notebook.run("job.pull()") == {"y": 1}
    err = capsys.readouterr().err
    assert "could not bring back lock (a value of type _thread.lock cannot be pickled" in err
    assert "lock" not in notebook.names


def test_a_widget_stays_where_it_was_made(notebook, capsys):
    notebook.run("%%enqueue job\nimport ipywidgets\ns = ipywidgets.IntSlider()\ny = 1")
    assert notebook.run("job.pull()") == {"y": 1}
    assert "s (a widget stays in the process that made it)" in capsys.readouterr().err


def test_a_frame_shows_which_values_did_not_come_back(notebook, capsys):
    notebook.run(
        "%%enqueue job --for x=[1,2]\nimport threading\nv = threading.Lock() if x > 1 else x"
    )
    job = notebook.names["job"]
    job.wait(20)
    frame = job.to_frame()
    assert frame["v"][0] == 1
    assert repr(frame["v"][1]).startswith("<lock, not brought back")
    assert job.pull(into={})["v"][0] == 1
    assert "v of 1 item(s)" in capsys.readouterr().err


def test_a_displayed_frame_of_values_of_all_kinds(notebook):
    notebook.run(
        "%%enqueue job --for x=[1,2]\nv = __import__('pandas').DataFrame({'a': [x]})\nw = None"
    )
    job = notebook.names["job"]
    job.wait(20)
    frame = job.to_frame()
    assert isinstance(frame["v"][0], pd.DataFrame)
    assert "w" in frame
    assert repr(frame)


# -- options ---------------------------------------------------------------------------------------


def test_names_and_braces_in_options_are_expanded(notebook):
    notebook.run("k = 3\nq = 'celery'")
    notebook.run("%%enqueue job --name run-{k+1} --queue $q\nx = 1")
    job = notebook.names["job"]
    assert job.name == "run-4"
    assert nq.job("run-4").result(20) == {"x": 1}


def test_wait_waits_and_pulls(notebook):
    notebook.run("%%enqueue --wait\nx = 41 + 1")
    assert notebook.names["x"] == 42


def test_what_fails_with_wait_is_shown_once_and_as_if_it_had_failed_here(notebook, capsys):
    capsys.readouterr()
    done = notebook.shell.run_cell("%%enqueue bad --wait\nx = 1\ny = x / 0")
    assert type(done.error_in_exec) is ZeroDivisionError
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert shown.count("division by zero") == 1
    assert "<cell bad>, line 2" in shown
    assert "2 y = x / 0" in shown
    assert "nbqueue/" not in shown
    assert "did not succeed" not in shown  # nothing arrived that could be pulled


def test_a_job_that_takes_the_place_of_a_value_says_so_in_one_line(notebook, capsys):
    notebook.run("import pandas as pd\ndf = pd.DataFrame()")
    notebook.run("%%enqueue df\ny = 1")
    (line,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("nbqueue:")]
    assert "'df' is the job now; the DataFrame that it was is gone" in line
    notebook.run("%%enqueue df\ny = 2")  # a job's place
    notebook.run("%%enqueue fresh\ny = 3")
    assert "is the job now" not in capsys.readouterr().err
    assert notebook.names["df"].result(20) == {"y": 2}


def test_a_cell_that_assigns_the_name_of_its_job_says_what_becomes_of_it(notebook, capsys):
    notebook.run("%%enqueue same --wait\nsame = 3")
    assert "nq.job('same') gives the job" in capsys.readouterr().err
    assert notebook.names["same"] == 3
    assert nq.job("same").result(20) == {"same": 3}


def test_a_sweep_that_fails_with_wait_says_which_item_and_what_arrived(notebook, capsys):
    capsys.readouterr()
    notebook.shell.run_cell("%%enqueue bad --wait --for x=[1,0]\ny = 1 / x")
    shown = capsys.readouterr().out
    assert "in item 1 of job 'bad':" in shown
    assert 'job.pull(errors="drop")' in shown
    assert "nbqueue/" not in shown


def test_an_exception_that_does_not_travel_is_shown_with_its_lines_all_the_same(notebook, capsys):
    notebook.run(
        "class Boom(Exception):\n    def __init__(self, a, b): super().__init__(a)\n"
        "def f():\n    raise Boom(1, 2)"
    )
    capsys.readouterr()
    done = notebook.shell.run_cell("%%enqueue bad --wait\nf()")
    assert type(done.error_in_exec) is nq.RemoteError
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert "<cell bad>, line 1" in shown
    assert "Boom: 1" in shown


def test_what_had_no_chance_to_say_why_it_failed_is_shown_without_our_frames(notebook, capsys):
    notebook.run("%%enqueue first\n1 / 0")
    capsys.readouterr()
    done = notebook.shell.run_cell("%%enqueue second --wait --after first\ny = 1")
    assert type(done.error_in_exec) is nq.UpstreamFailed
    shown = capsys.readouterr().out
    assert "UpstreamFailed: " in shown
    assert "nbqueue/" not in shown


def test_after_takes_variables_and_names_of_jobs(notebook, gate):
    notebook.names["path"] = str(gate)
    wait = "import pathlib, time\nwhile not pathlib.Path(path).exists(): time.sleep(.01)"
    notebook.run(f"%%enqueue first --name the-first\n{wait}")
    notebook.run("%%enqueue one --after first\nx = 1")
    notebook.run("%%enqueue two --after the-first,one\nx = 2")
    assert not notebook.names["two"].finished
    gate.touch()
    assert notebook.names["two"].result(20) == {"x": 2}
    assert notebook.names["one"].finished


def test_retries_and_timeout_hold(notebook, tmp_path):
    notebook.names["path"] = str(tmp_path / "tries")
    notebook.run(
        "%%enqueue job --retries 2\nwith open(path, 'a') as f: f.write('x')\n"
        "n = len(open(path).read())\nassert n == 3"
    )
    assert notebook.names["job"].result(20)["n"] == 3
    notebook.run("%%enqueue slow --timeout 0.2\nimport time\ntime.sleep(30)")
    assert notebook.names["slow"].wait(60)
    assert "TimeLimitExceeded" in notebook.names["slow"].to_frame()["error"][0]


# -- expressions -----------------------------------------------------------------------------------


def test_an_expression_gives_a_job_that_is_displayed_once(notebook, monkeypatch):
    shown = []
    monkeypatch.setattr(display, "show", lambda job, **_: shown.append(job))
    notebook.run("k = 2\ndef f(x): return k * x")
    job = notebook.run('%enqueue f(21) if k else "a  b"')
    assert isinstance(job, nq.Job)  # the cell's value: IPython displays it
    assert job.result(20) == 42
    assert notebook.run("job = %enqueue --wait f(3)") is None
    assert notebook.names["job"].finished
    assert notebook.names["job"].task == "f"
    assert shown == []


def test_pulling_what_is_no_cell_says_what_to_do(notebook):
    notebook.run("job = %enqueue 1 + 1")
    with pytest.raises(nq.UsageError, match=r"runs an expression: job\.result\(\) gives"):
        notebook.names["job"].pull()
    with pytest.raises(nq.UsageError, match=r"runs the task <lambda>: job\.result\(\) gives"):
        nq.task(lambda: 1).submit().pull()


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("%%enqueue\n   \n", "the cell is empty, so there is nothing to send"),
        ("%%enqueue name --wait", "the cell is empty, so there is nothing to send"),
        ("%%enqueue --for x=5\nx", "--for x=5: 5 (of type int) cannot be gone through"),
        ("%%enqueue --for x=nope\nx", "--for x=nope: NameError: name 'nope' is not defined"),
        ("%%enqueue --for x,y=[1]\nx", "--for x,y=[1]: 1 is not 2 values; nothing was sent"),
        ("%%enqueue --timeout soon\nx", "--timeout takes seconds above 0"),
        ("%%enqueue --in nope\nx", "--in: there is no 'nope' in this notebook"),
        ("%%enqueue job # why\nx = 1", "unrecognized arguments: # why; comments go below the"),
        ("%%enqueue --out a b\na = 1", "--out: the cell neither assigns nor reads 'b'"),
        ("%%enqueue --for x=range(10**12)\nx", "1,000,000,000,000 items, and a job may have"),
        (
            "%%enqueue --for x=range(10**6) --for y=range(10**6)\nx",
            "1,000,000 × 1,000,000 combinations are 1,000,000,000,000 items",
        ),
        (
            "%%enqueue --for x=range(2) --for \"y=__import__('itertools').count()\"\nx",
            "count(0) never ends, and a job may have 20,000,000 items",
        ),
        ("%%enqueue --after nope\nx = 1", "no job with id or name 'nope'"),
        ("%%enqueue 3x\nx = 1", "NAME takes names of variables"),
        ("%%enqueue --bogus\nx = 1", "unrecognized arguments: --bogus"),
        ("%enqueue", "%enqueue needs an expression"),
        ("%enqueue x = 1", "%enqueue sends one expression"),
        ("%cancel", "%cancel takes names of jobs"),
        ("%cancel nope", "no job with id or name 'nope'"),
        ("%jobs -n many", "-n takes a whole number, not 'many'"),
        ("%jobs a b", "%jobs takes one pattern"),
        ("%workers now", "%workers takes no arguments"),
    ],
)
def test_misuse_is_one_line(notebook, capfd, cell, line):
    before = len(nq.jobs())
    assert line in notebook.refused(cell, capfd)
    assert len(nq.jobs()) == before


@pytest.mark.parametrize(
    ("value", "name", "reason"),
    [
        ("__import__('threading').Lock()", "lock", "_thread.lock"),
        ("__import__('sqlite3').connect(':memory:')", "db", "sqlite3.Connection"),
        ("(i for i in range(3))", "gen", "generator"),
        ("open('/dev/null', 'w')", "file", "TextIOWrapper"),
    ],
)
def test_a_value_that_cannot_travel_is_named(notebook, capfd, value, name, reason):
    notebook.run(f"{name} = {value}\ndef f(): return {name}\nholder = [{name}]")
    said = notebook.refused(f"%%enqueue job\n{name}", capfd)
    assert f"<cell job> uses the variable {name!r}" in said
    assert reason in said
    assert "Make it in the cell instead" in said
    said = notebook.refused("%%enqueue job\nf()", capfd)
    assert f"uses the variable {name!r} of 'f'" in said
    assert "uses the variable 'holder'" in notebook.refused("%enqueue holder", capfd)
    assert "x=" in notebook.refused(f"%%enqueue --for x=[{name}]\nx", capfd)


def test_a_job_does_not_travel_and_says_what_to_use(notebook, capfd):
    notebook.run("%%enqueue job\nx = 1")
    said = notebook.refused("%%enqueue other\ny = job.result()", capfd)
    assert "uses the variable 'job'" in said
    assert "pass what it gave (job.result())" in said


def test_what_only_the_compiler_finds_is_shown_with_its_line(notebook, capfd):
    notebook.shell.run_cell("%%enqueue job\nx = 1\nreturn x")
    out, err = capfd.readouterr()
    assert "return x" in re.sub(r"\x1b\[[\d;]*m", "", out + err)


@pytest.mark.parametrize(
    "cell",
    ["%%enqueue job\nx = 1\ny = = 2", "%%enqueue job\nreturn 1", "%enqueue f(", "%enqueue 1 +"],
)
def test_a_syntax_error_is_shown_as_ipython_shows_it_and_nothing_is_sent(notebook, capfd, cell):
    before = len(nq.jobs())
    done = notebook.shell.run_cell(cell)
    assert not done.success
    out, err = capfd.readouterr()
    shown = out + err
    assert "SyntaxError" in shown
    assert "Traceback" not in shown
    assert "magics.py" not in shown
    assert len(nq.jobs()) == before
    assert "job" not in notebook.names


def test_nobody_listens_on_a_queue_and_a_line_says_so(notebook, capfd, until, monkeypatch):
    look, sent = control.look, threading.Event()
    monkeypatch.setattr(control, "look", lambda client: sent.wait(60) and look(client))
    notebook.run("%%enqueue job --queue nobody\nx = 1")  # back before the workers are asked
    sent.set()
    seen = []
    until(lambda: seen.append(capfd.readouterr().err) or "no worker listens" in "".join(seen))
    (line,) = [s for s in "".join(seen).splitlines() if "no worker listens" in s]
    assert "queue 'nobody'" in line
    assert "nbqueue worker -Q nobody" in line
    assert line.endswith("there are workers on: celery")
    notebook.run("%cancel job")


# -- looking after jobs ----------------------------------------------------------------------------


def test_jobs_lists_the_latest_first(notebook):
    for name in ("alpha_1", "alpha_2", "beta_1"):
        notebook.run(f"%%enqueue {name}\nx = 1")
        notebook.names[name].wait(20)
    assert notebook.run("%jobs -n 2")["name"].tolist() == ["beta_1", "alpha_2"]
    assert notebook.run("%jobs alpha")["name"].tolist() == ["alpha_2", "alpha_1"]
    assert notebook.run("%jobs *_1 -n 2")["name"].tolist() == ["beta_1", "alpha_1"]
    assert notebook.run("%jobs nothing-like-it").empty


def test_jobs_have_the_times_of_the_clock_on_the_wall(notebook, monkeypatch, until):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        notebook.run("%%enqueue job -q nobody-there\nx = 1")
        latest = notebook.run("%jobs -n 1").iloc[0]
    finally:
        monkeypatch.undo()
        time.tzset()
    notebook.names["job"].cancel()
    in_utc = nq.jobs()["submitted"].iloc[0]
    assert latest["submitted"] == in_utc.tz_convert("Asia/Tokyo").tz_localize(None).floor("s")
    assert pd.isna(latest["finished"])
    # That nobody listens on its queue is said later, and would be in another test's output.
    until(lambda: all(thread.name != "nbqueue-queues" for thread in threading.enumerate()))


def test_a_terminal_goes_on_reading_after_the_first_line_of_a_cell(notebook):
    assert notebook.shell.check_complete("%%enqueue name")[0] == "incomplete"
    assert notebook.shell.check_complete("%%enqueue -h")[0] == "complete"
    assert notebook.shell.check_complete("%%enqueue name\ny = 1\n\n")[0] == "complete"


def test_cancel_takes_variables_and_names(notebook, gate, capsys):
    notebook.names["path"] = str(gate)
    wait = "import pathlib, time\nwhile not pathlib.Path(path).exists(): time.sleep(.01)"
    notebook.run(f"%%enqueue one\n{wait}")
    notebook.run(f"%%enqueue two --name second --for x=range(3)\n{wait}")
    capsys.readouterr()
    notebook.run("%cancel one second --terminate")
    assert capsys.readouterr().out.splitlines() == [
        "one: 1 of 1 items cancelled",
        "second: 3 of 3 items cancelled",
    ]
    assert notebook.names["two"].wait(20)
    assert notebook.names["one"].state == "REVOKED"


def test_workers_and_schedules(notebook, until, capfd):
    until(lambda: len(notebook.run("%workers")) == 1)  # of a cluster that may have just begun
    assert notebook.run("%schedules").index.name == "name"
    assert "no arguments" in notebook.refused("%schedules all", capfd)


@pytest.mark.parametrize(
    "cell", ["%%enqueue -h", "%%enqueue a --help\n", "%%enqueue -h\nx = 1", "%enqueue -h"]
)
def test_help_is_printed(notebook, capsys, cell):
    notebook.run(cell)
    assert "--for" in capsys.readouterr().out


def test_a_question_mark_explains(notebook, capsys):
    notebook.run("%enqueue?")
    assert "%%enqueue sweep --for" in capsys.readouterr().out


def test_retrying_a_cell_runs_the_same_and_no_other_task(notebook, tmp_path):
    notebook.names["path"] = str(tmp_path / "there")
    notebook.run("%%enqueue job --for x=[1,2]\ny = x + len(open(path).read())")
    job = notebook.names["job"]
    job.wait(20)
    assert job.state == "FAILURE"
    (tmp_path / "there").write_text("abc")
    with pytest.raises(nq.UsageError, match="another task cannot take its place"):
        job.retry(nq.task(lambda x: x))
    assert job.retry().result(20) == [{"y": 4}, {"y": 5}]


def test_rerunning_a_cell_says_how(notebook):
    notebook.run("""%%enqueue job --for x=[1,2] --for "y=['a']"\nx / 0""")
    job = notebook.names["job"]
    job.wait(20)
    with pytest.raises(nq.UsageError, match=r"run the cell here.*\n\nx = 2\ny = 'a'\n"):
        job.rerun(1)


# -- coming and going ------------------------------------------------------------------------------


def test_the_job_of_a_cell_is_found_again_and_pulled_elsewhere(notebook):
    notebook.run("%%enqueue job --name found-again\nx = 5\ny = 6")
    notebook.names["job"].wait(20)
    again = nq.job("found-again")
    into = {}
    assert again.pull("x", into=into) == {"x": 5} == into
    with pytest.raises(nq.UsageError, match="has brought back no 'z', only: x, y"):
        again.pull("z")


def test_the_extension_is_unloaded_and_loaded_again(notebook):
    notebook.run("%unload_ext nbqueue")
    assert "enqueue" not in notebook.shell.magics_manager.magics["line"]
    assert notebook.completions("%%enqueue --re") != ["--retries"]
    notebook.run("%load_ext nbqueue")
    assert notebook.completions("%%enqueue --re") == ["--retries"]
    notebook.run("%%enqueue --wait\nx = 1")
    assert notebook.names["x"] == 1


def test_tab_completes_jobs_queues_and_names(notebook):
    notebook.run("alpha = 1")
    notebook.run("%%enqueue job --name tab-job\nx = 1")
    assert notebook.completions("%cancel tab-") == ["tab-job"]
    assert notebook.completions("%%enqueue --after tab-") == ["tab-job"]
    assert notebook.completions("%%enqueue --in alp") == ["alpha"]
    assert notebook.completions("later = %enqueue f(alp") == ["alpha"]
    assert notebook.completions("%%enqueue -q cel") == ["celery"]


# -- the cache -------------------------------------------------------------------------------------


def test_a_cell_is_taken_from_the_cache_until_it_or_what_it_uses_is_another(notebook, tmp_path):
    def cached(options, source="y = by * len(path.read_text())"):
        notebook.run(f"%%enqueue job {options} --wait\n{source}")
        job = notebook.names["job"]
        return notebook.names["y"], job.to_frame()["cached"].tolist()

    path = notebook.names["path"] = tmp_path / "data"
    notebook.names["by"] = 10
    path.write_text("12")
    assert cached("--cache") == (20, [False])
    path.write_text("1234")
    assert cached("--cache") == (20, [True])
    assert cached("--no-cache") == (40, [False])
    path.write_text("123456")
    assert cached("--cache") == (40, [True])
    notebook.names["by"] = 100
    assert cached("--cache") == (600, [False])
    assert cached("--cache", "y = by + len(path.read_text())") == (106, [False])
    assert cached("--cache") == (600, [True])


def test_a_cell_with_a_value_that_pickles_otherwise_each_time_says_so(notebook, capfd):
    notebook.run(
        "import time\n"
        "class Restless:\n"
        "    def __reduce__(self):\n"
        "        return Restless, (), {'at': time.perf_counter_ns()}\n"
        "restless = Restless()"
    )
    capfd.readouterr()
    notebook.run("%%enqueue job --cache --wait\nz = type(restless).__name__")
    assert "never found in the cache again: what it uses (restless) does" in capfd.readouterr().err
