"""Results from the cache: found by source, captured values and arguments, in any kernel."""

import time
from pathlib import Path

import numpy as np
import pytest

import nbqueue as nq
from nbqueue import cli
from nbqueue.client.connecting import default_client

pytestmark = pytest.mark.usefixtures("cluster")

SCRIPT = """
import sys
offset = {offset}

def shifted(x): return x + offset

@nq.task(cache=True)
def slow(x, *, path):
    from pathlib import Path
    with Path(path).open("a") as file:
        file.write("ran\\n")
    print("ran for", x)
    return shifted(x){more}

job = slow.submit(4, path={path!r})
print(job.result(), job.outputs[0][0]["text"].strip(), job.to_frame()["cached"].tolist())
"""


def runs(path):
    return Path(path).read_text().count("ran") if Path(path).exists() else 0


def test_another_kernel_finds_the_result_and_what_was_printed(notebook, tmp_path):
    path = str(tmp_path / "a")
    cell = {"offset": 1, "more": "", "path": path}
    assert notebook.run(SCRIPT.format(**cell)) == "5 ran for 4 [False]\n"
    assert notebook.run("\n\n" + SCRIPT.format(**cell)) == "5 ran for 4 [True]\n"
    assert runs(path) == 1


@pytest.mark.parametrize("change", [{"offset": 2}, {"more": " + 0"}])
def test_an_edit_or_another_captured_value_runs_anew(notebook, tmp_path, change):
    path = str(tmp_path / "a")
    cell = {"offset": 1, "more": "", "path": path}
    notebook.run(SCRIPT.format(**cell))
    assert "[False]" in notebook.run(SCRIPT.format(**{**cell, **change}))
    assert runs(path) == 2


def counting(folder, x):
    from pathlib import Path

    with (Path(folder) / str(x)).open("a") as file:
        file.write("ran\n")
    if x < 0:
        raise ValueError("negative")
    return np.full(300_000, x) if x == 9 else x


def test_a_map_runs_only_what_is_new_and_failures_again(tmp_path):
    task = nq.task(cache=True)(counting)
    folder = str(tmp_path)
    task.starmap([(folder, x) for x in (-1, 1, 2, 9)]).wait(20)
    job = task.starmap([(folder, x) for x in (-1, 1, 2, 3, 9)])
    assert job.wait(20)
    frame = job.to_frame()
    assert frame["cached"].tolist() == [False, True, True, False, True]
    assert frame["result"][2] == 2
    assert frame["result"][4].sum() == 9 * 300_000
    assert [runs(tmp_path / str(x)) for x in (-1, 1, 2, 3, 9)] == [2, 1, 1, 1, 1]


def test_a_retry_with_other_code_neither_uses_nor_fills_the_cache(tmp_path):
    task = nq.task(cache=True)(counting)
    job = task.submit(str(tmp_path), -7)
    job.wait(20)
    job.retry(nq.task(lambda folder, x: "mended"))
    assert job.result(20) == "mended"
    again = task.submit(str(tmp_path), -7)
    assert again.wait(20)
    assert again.state == "FAILURE"


def test_steps_of_a_workflow_have_the_cache_and_its_column(tmp_path):
    task = nq.task(cache=True)(counting)
    folder = str(tmp_path)
    task.submit(folder, 1).wait(20)
    total = nq.task(lambda values: sum(values), name="total")
    job = nq.run(nq.group(task.s(folder, x) for x in (1, 2)) | total.s())
    assert job.result(20) == 3
    assert job.to_frame()["cached"].tolist() == [True, False, False]


def test_without_the_option_there_is_no_cache_and_no_column(tmp_path):
    task = nq.task(counting)
    for _ in range(2):
        job = task.submit(str(tmp_path), 1)
        job.result(20)
    assert runs(tmp_path / "1") == 2
    assert "cached" not in job.to_frame()


def test_a_refresh_runs_anew_and_what_comes_out_is_what_is_cached(tmp_path):
    def moving(path):
        return Path(path).read_text()

    (tmp_path / "data").write_text("old")
    task = nq.task(cache=True)(moving)
    where = str(tmp_path / "data")
    assert task.submit(where).result(20) == "old"
    (tmp_path / "data").write_text("new")
    assert task.submit(where).result(20) == "old"
    job = task.with_options(cache="refresh").submit(where)
    assert job.result(20) == "new"
    assert job.to_frame()["cached"].tolist() == [False]
    assert task.submit(where).result(20) == "new"
    (tmp_path / "data").write_text("newest")
    assert task.with_options(cache=False).submit(where).result(20) == "newest"
    assert task.submit(where).result(20) == "new"
    with pytest.raises(nq.UsageError, match="cache must be True, False or 'refresh', not 'no'"):
        nq.task(cache="no")(moving)


class Restless:
    """Pickles another way each time."""

    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return Restless, (self.x,), {"at": time.perf_counter_ns()}


def test_arguments_that_do_not_pickle_the_same_way_twice_are_never_a_hit_and_it_is_said():
    def value(restless, steady):
        return restless.x if restless else steady

    task = nq.task(cache=True)(value)
    before = default_client().cache.count()
    for _ in range(2):
        job = task.map([Restless(1), Restless(2)], [0, 0])
        assert job.result(20) == [1, 2]
        assert job.to_frame()["cached"].tolist() == [False, False]
        told = [out["text"] for found in job.outputs.values() for out in found]
        assert len(told) >= 1
        assert set(told) == {
            "nbqueue: this is never found in the cache again: its arguments do not pickle the same "
            "way twice\n"
        }
        assert "never found in the cache" in repr(job.why(min(job.outputs)))
    assert default_client().cache.count() == before
    assert task.submit(None, 3).result(20) == 3
    assert default_client().cache.count() == before + 1


def test_a_captured_value_that_does_not_pickle_the_same_way_twice_is_named_once(capsys):
    restless, steady = Restless(1), 2

    @nq.task(cache=True)
    def uses():
        return restless.x + steady

    for _ in range(2):
        job = uses.submit()
        assert job.result(20) == 3
        assert job.to_frame()["cached"].tolist() == [False]
    said = capsys.readouterr().err
    assert said == (
        "nbqueue: results of 'uses' are never found in the cache again: what it uses (restless) "
        "does not pickle the same way twice\n"
    )


SETS = """
import nbqueue as nq
kinds = {{"one", "two", "three", "four"}}

@nq.task(cache=True)
def known(words):
    return [word in kinds or word in {{"five", "six", "seven"}} for word in sorted(words)]

job = known.submit({{"six", "ten", "one"}})
print(job.result(), job.to_frame()["cached"].tolist())
"""


def test_sets_are_the_same_in_whatever_order_a_kernel_has_them(notebook):
    found = [notebook.run(SETS.format(), PYTHONHASHSEED=str(seed)) for seed in (1, 2, 3)]
    assert found == [f"[True, True, False] [{hit}]\n" for hit in (False, True, True)]


def test_the_command_counts_and_clears(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NBQUEUE_BROKER", cluster.broker_url)
    monkeypatch.setenv("NBQUEUE_KEY", cluster._address.key)
    default_client().clear_cache()
    nq.task(cache=True)(counting).starmap([(str(tmp_path), x) for x in (1, 2)]).wait(20)
    words = ["cache"], ["cache", "clear"], ["cache"]
    assert [cli.main(each) for each in words] == [0, 0, 0]
    assert capsys.readouterr().out == "2 results cached\n2 results forgotten\n0 results cached\n"


def test_clearing_the_cache_makes_everything_run_anew(tmp_path):
    task = nq.task(cache=True)(counting)
    task.submit(str(tmp_path), 1).result(20)
    client = default_client()
    assert client.clear_cache() >= 1
    assert client.clear_cache() == 0
    assert not task.submit(str(tmp_path), 1).done_future().result(20)
    assert runs(tmp_path / "1") == 2
