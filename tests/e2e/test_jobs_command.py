"""`nbqueue jobs`: what a person does with jobs in a terminal, and a program in a pipe."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import nbqueue as nq
from nbqueue import cli
from nbqueue.store import signing

KEY = signing.generate()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(servers):
    made = servers.redis("s3cret")
    servers.worker(made, KEY, "-c", "2")
    return made


@pytest.fixture
def client(url):
    with nq.connect(url, key=KEY) as made:
        yield made


@pytest.fixture
def jobs(url, client, monkeypatch, capsys):
    """Runs `nbqueue jobs …` here, and gives what it printed."""
    monkeypatch.setenv("NBQUEUE_BROKER", url)
    monkeypatch.setenv("NBQUEUE_KEY", KEY)

    def run(*words, status=0):
        capsys.readouterr()
        assert cli.main(["jobs", *map(str, words)]) == status
        said = capsys.readouterr()
        return said.out if status == 0 else said.out + said.err

    return run


@nq.task
def halve(x):
    print("halving", x)
    if x == 3:
        raise ValueError("three is odd")
    return {"half": x / 2}


@nq.task
def wait_for(path):
    import time

    while not path.exists():
        time.sleep(0.01)


def test_a_list_names_what_ran_and_can_be_cut_down(jobs):
    halve.map([1, 2], name="list-good").wait()
    halve.map([2, 3], name="list-bad").wait()
    lines = jobs().splitlines()
    assert lines[0].split()[:3] == ["name", "task", "state"]
    assert [line.split()[0] for line in lines[1:3]] == ["list-bad", "list-good"]
    assert jobs("list", "--limit", 1).splitlines()[1].split()[0] == "list-bad"
    (bad,) = json.loads(jobs("list", "--state", "failure", "--name", "list-*", "--json"))
    assert (bad["name"], bad["n"], bad["failure"], bad["state"]) == ("list-bad", 2, 1, "FAILURE")
    assert bad["finished"] > bad["submitted"] > "2020"
    assert "none of" in jobs("--name", "nothing-like-it")


def test_a_job_is_shown_with_its_errors_and_an_item_with_its_output(jobs):
    job = halve.map([1, 3], name="shown")
    job.wait()
    assert jobs("shown") == jobs("show", "shown") == jobs("show", job.id)
    assert "item 1: ValueError: three is odd" in jobs("shown")
    assert json.loads(jobs("show", "shown", "--json"))["counts"]["FAILURE"] == 1
    page = jobs("show", "shown", "-i", "-1")
    assert "ValueError: three is odd" in page
    assert page.splitlines()[-1] == "halving 3"
    assert json.loads(jobs("show", "shown", "-i", 0, "--json"))["output"] == "halving 1\n"
    assert "there is no item 7" in jobs("show", "shown", "-i", 7, status=1)


def test_of_a_long_output_the_end_is_shown(jobs):
    nq.task(lambda: print(*range(30), sep="\n")).submit().wait()
    (latest,) = json.loads(jobs("list", "--limit", 1, "--json"))
    page = jobs("show", latest["id"], "-i", 0, "--lines", 3)
    assert page.splitlines()[-4:] == ["… 27 lines more (--lines)", "27", "28", "29"]


def test_a_name_that_is_mistyped_is_answered_with_near_ones(jobs):
    halve.map([1], name="misspelt").wait()
    for words in (["mispelt"], ["cancel", "mispelt"], ["wait", "mispelt"], ["delete", "mispelt"]):
        said = jobs(*words, status=1)
        assert said.startswith("nbqueue: no job with id or name 'mispelt'")
        assert "'misspelt'" in said
    assert "`nbqueue jobs`, lists all" in jobs("nothing like that", status=1)


def test_several_are_cancelled_or_none_if_a_name_is_wrong(jobs, gate):
    first, second = wait_for.map([gate]), halve.with_options(queue="nobody").map([1])
    assert "no job" in jobs("cancel", first.id, "no such", status=1)
    assert not first.finished
    assert jobs("cancel", first.id, second.id, "--terminate").splitlines() == [
        f"{first.name}: 1 item cancelled",
        f"{second.name}: 1 item cancelled",
    ]
    assert first.wait(30)
    assert second.wait(30)
    assert first.state == second.state == "REVOKED"
    assert jobs("cancel", first.id) == f"{first.name}: was over\n"


def test_what_failed_is_run_again(jobs, tmp_path):
    @nq.task
    def once(path):
        if not path.exists():
            path.touch()
            raise ValueError("the first time")
        return 1

    job = once.map([tmp_path / "a", tmp_path / "b"], name="again")
    job.wait()
    assert jobs("retry", "again").startswith("again: 2 items run again")
    assert jobs("wait", "again", "--timeout", 60) == "again: SUCCESS (2 SUCCESS)\n"
    assert jobs("retry", "again") == "again: no item has failed\n"


def test_a_wait_tells_by_its_status_how_it_ended(jobs, gate):
    running = wait_for.map([gate])
    said = jobs("wait", running.id, "--timeout", 0.2, status=1)
    assert "STARTED" in said or "PENDING" in said
    assert "not ended within 0.2 s; it goes on" in said
    gate.touch()
    assert "SUCCESS" in jobs("wait", running.id)
    failed = halve.map([3], name="waited")
    assert "waited: FAILURE (1 FAILURE)" in jobs("wait", failed.id, status=1)


def test_only_what_is_over_is_deleted_and_only_if_somebody_agrees(jobs, gate, monkeypatch, client):
    running, over = wait_for.map([gate]), halve.map([1], name="deleted")
    over.wait()
    said = jobs("delete", "--yes", over.id, running.id, status=1)
    assert f"job {running.id!r} has 1 item that has not ended" in said
    assert f"`nbqueue jobs cancel {running.id}` first" in said
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert "--yes" in jobs("delete", over.id, status=1)  # a pipe is not asked
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert "nothing was deleted" in jobs("delete", over.id, status=1)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert jobs("delete", over.id).endswith(f"{over.id}: deleted\n")
    with pytest.raises(nq.UnknownJob):
        client.job(over.id)
    running.cancel()
    assert jobs("delete", "-y", running.id) == f"{running.id}: deleted\n"


def test_a_result_is_printed_or_written(jobs, tmp_path):
    halve.map([1, 3, 4], name="result").wait()
    assert "three is odd" in jobs("result", "result")
    assert "3 items" in jobs("result", "result", "-o", tmp_path / "r.csv")
    assert pd.read_csv(tmp_path / "r.csv")["half"].tolist()[::2] == [0.5, 2.0]
    jobs("result", "result", "-o", tmp_path / "r.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [row["half"] for row in rows] == [0.5, None, 2.0]
    assert rows[1]["error"] == "ValueError: three is odd"
    assert "one of .csv" in jobs("result", "result", "-o", tmp_path / "r.xls", status=1)
    assert "cannot write" in jobs("result", "result", "-o", tmp_path / "no" / "r.csv", status=1)


def test_help_and_a_pipe_are_plain(url, client):
    halve.map([1], name="piped").wait()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NBQUEUE_KEY": KEY, "NBQUEUE_BROKER": url}

    def run(*words):
        command = [sys.executable, "-m", "nbqueue", "jobs", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert "\x1b" not in done.stdout
        return done.stdout

    assert "nbqueue jobs show grid -i 17" in run("--help")
    assert run("wait", "piped") == "piped: SUCCESS (1 SUCCESS)\n"


def test_without_a_cluster_there_are_no_jobs(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("NBQUEUE_HOME", str(tmp_path / "none"))
    assert cli.main(["jobs"]) == 0
    assert capsys.readouterr().out == "no jobs yet\n"
    assert cli.main(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
