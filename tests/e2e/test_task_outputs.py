"""What tasks print, log, warn of, draw and display: each item's own, without being asked for."""

import contextlib
import os
import signal

import pytest
from tqdm import tqdm

import nbqueue as nq

pytestmark = pytest.mark.usefixtures("cluster")


def put_out(function, *args):
    """What one item of a function has put out."""
    job = nq.task(function).submit(*args)
    job.result(40)
    return job.outputs.get(0, [])


def text(said, name="stdout"):
    return "".join(o["text"] for o in said if o.get("name") == name)


def kinds(said):
    return [o["output_type"] for o in said]


# -- text ------------------------------------------------------------------------------------------


def test_prints_and_what_subprocesses_write_stay_in_order():
    def f():
        import subprocess

        print("one")
        subprocess.run(["echo", "two"], check=True)
        os.write(1, b"three\n")
        print("four")

    assert put_out(f) == [
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo\nthree\nfour\n"}
    ]


def test_items_of_one_message_keep_their_own(until):
    def f(i):
        print("py", i)
        os.system(f"echo sh {i}")

    job = nq.task(f).chunks([(i,) for i in range(20)], 20)
    job.result(40)
    assert {i: text(said) for i, said in job.outputs.items()} == {
        i: f"py {i}\nsh {i}\n" for i in range(20)
    }


def test_threads_and_forked_children_print_into_their_item():
    def f():
        import threading

        thread = threading.Thread(target=lambda: print("thread", nq.current().item))
        thread.start()
        thread.join()
        pid = os.fork()
        if not pid:
            print("child")
            os._exit(0)
        os.waitpid(pid, 0)
        return True

    assert text(put_out(f)) == "thread 0\nchild\n"


def test_a_print_of_an_async_task_is_captured():
    async def f():
        print("awaited")

    assert text(put_out(f)) == "awaited\n"


# -- logging and warnings --------------------------------------------------------------------------


def test_logging_begins_as_in_a_fresh_python():
    def f():
        import logging

        logging.getLogger("mine").info("unseen")
        logging.getLogger("mine").warning("seen")

    for _ in range(3):
        assert text(put_out(f), "stderr") == "seen\n"


def test_each_job_may_set_logging_up():
    def f(level):
        import logging

        logging.basicConfig(level=level, format="%(levelname)s %(message)s")
        logging.getLogger("mine").info("said")
        logging.getLogger("mine").error("wrong")

    for _ in range(3):
        assert text(put_out(f, "ERROR"), "stderr") == "ERROR wrong\n"
        assert text(put_out(f, "INFO"), "stderr") == "INFO said\nERROR wrong\n"


def test_a_handler_made_by_one_item_writes_into_the_next():
    def f(i):
        import logging

        log = logging.getLogger("made once")
        if not log.handlers:
            log.addHandler(logging.StreamHandler())
            log.propagate = False
        log.warning("item %d", i)

    job = nq.task(f).chunks([(i,) for i in range(3)], 3)
    job.result(40)
    assert [text(job.outputs[i], "stderr") for i in range(3)] == [
        f"item {i}\n" for i in range(3)
    ]  # fmt: skip


def test_the_workers_own_log_is_nobodys_output():
    def f():
        import logging

        logging.getLogger("nbqueue.worker").warning("the worker's")
        logging.getLogger("celery.app").warning("the worker's")

    assert put_out(f) == []


def test_a_warning_is_seen_once():
    def f():
        import warnings

        for _ in range(3):
            warnings.warn("careful", stacklevel=1)

    said = text(put_out(f), "stderr")
    assert said.count("UserWarning: careful") == 1


def test_nobody_answers_input():
    with pytest.raises(EOFError, match="cannot ask anybody"):
        put_out(lambda: input("who? "))


# -- figures and displays --------------------------------------------------------------------------


def test_figures_left_open_are_shown_and_closed():
    def f(i):
        import matplotlib.pyplot as plt

        plt.plot([1, i])
        print(len(plt.get_fignums()))

    job = nq.task(f).map(range(3))
    job.result(60)
    for i in range(3):
        assert kinds(job.outputs[i]) == ["stream", "display_data"]
        assert text(job.outputs[i]) == "1\n"
        assert job.outputs[i][1]["data"]["image/png"].startswith("iVBOR")


def test_a_figure_is_shown_where_show_is_and_before_an_error():
    def f():
        import matplotlib.pyplot as plt

        plt.plot([1, 2])
        plt.show()
        print("between")
        plt.figure()
        raise ValueError("after")

    job = nq.task(f).submit()
    with pytest.raises(ValueError, match="after"):
        job.result(40)
    assert kinds(job.outputs[0]) == ["display_data", "stream", "display_data"]


def test_a_figure_that_cannot_be_drawn_is_told_and_fails_nothing():
    def f():
        import matplotlib.pyplot as plt

        plt.title("$no such \\command$")
        return "fine"

    job = nq.task(f).submit()
    assert job.result(40) == "fine"
    assert "ParseException" in text(job.outputs[0], "stderr") or "ValueError" in text(
        job.outputs[0], "stderr"
    )


def test_display_in_a_task_is_rich():
    def f():
        from IPython.display import HTML, clear_output, display

        display("gone")
        clear_output()
        handle = display(HTML("<b>1</b>"), display_id=True)
        handle.update(HTML("<b>2</b>"))

    (output,) = put_out(f)
    assert output["data"]["text/html"] == "<b>2</b>"


def test_display_needs_no_import():
    def f():
        display([1])  # noqa: F821 - as in a notebook

    (output,) = put_out(f)
    assert output["data"] == {"text/plain": "[1]"}


# -- bars ------------------------------------------------------------------------------------------


def test_a_bar_leaves_no_text():
    def f():
        for _ in tqdm(range(3)):
            pass
        for _ in tqdm(range(3), leave=False):
            tqdm.write("said")

    said = put_out(f)
    assert text(said) == "said\n" * 3
    assert kinds(said) == ["stream"]


def test_a_notebooks_bar_reports_like_the_others():
    def f():
        from tqdm.notebook import tqdm, trange

        for _ in trange(4):
            pass
        for _ in tqdm([1, 2], desc="steps"):
            pass

    job = nq.task(f).submit()
    job.result(40)
    assert job.outputs == {}
    assert job.progress()["total"].tolist() == [2]


# -- bad behaviour ---------------------------------------------------------------------------------


def test_a_flood_is_cut_once_and_counted():
    def f():
        for _ in range(5_000):
            print("x" * 1000)
        print("the last line")

    said, notice, end = put_out(f)
    assert len(said["text"]) == 1_000_000
    assert notice["data"]["text/plain"].endswith("left out: 3,995,014 characters]")
    assert len(end["text"]) == 10_000
    assert end["text"].endswith("x\nthe last line\n")


def test_a_task_that_replaces_stdout_harms_nobody():
    def replaces():
        import io
        import sys

        sys.stdout = io.StringIO()
        print("hidden")

    assert put_out(replaces) == []
    assert text(put_out(lambda: print("seen"))) == "seen\n"


def test_a_crash_is_told_in_the_workers_log(local_cluster):
    def crash():
        import faulthandler

        faulthandler._sigsegv()

    with local_cluster(workers=1) as made:
        made.connect()
        job = nq.task(crash).submit()
        with pytest.raises(nq.WorkerLost):
            job.result(60)
        log = (made.folder / "worker.log").read_text()
    assert "Segmentation fault" in log
    assert "in crash" in log


def test_a_process_left_behind_does_not_hold_the_item():
    def f():
        import subprocess

        return subprocess.Popen(["sleep", "30"]).pid

    pid = nq.task(f).submit().result(20)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


# -- the log ---------------------------------------------------------------------------------------


def test_the_log_names_the_item_and_the_first_words():
    def f():
        print("hello " * 50)
        display(1)  # noqa: F821 - as in a notebook

    job = nq.task(f).starmap([(), ()])
    job.result(40)
    lines = [line for line in job.log(1) if "item 1: " in line]
    assert any("stdout 'hello hello" in line and line.endswith("…") for line in lines)
    assert any(line.endswith("item 1: display_data text/plain") for line in lines)
    assert not any("item 0: " in line for line in job.log(1))


# -- a pool of threads -----------------------------------------------------------------------------


def test_items_of_threads_do_not_mix(local_cluster):
    def f(i):
        import time

        for _ in range(5):
            print(i)
            time.sleep(0.005)

    with local_cluster(threads=4) as made:
        made.connect()
        job = nq.task(f).map(range(12))
        job.result(40)
        assert {i: text(said) for i, said in job.outputs.items()} == {
            i: f"{i}\n" * 5 for i in range(12)
        }
