"""Results from the cache: found by source, captured values and arguments, in any kernel."""

from pathlib import Path

import numpy as np
import pytest

import nbqueue as nq
from nbqueue.client.client import default_client

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


def test_without_the_option_there_is_no_cache_and_no_column(tmp_path):
    task = nq.task(counting)
    for _ in range(2):
        job = task.submit(str(tmp_path), 1)
        job.result(20)
    assert runs(tmp_path / "1") == 2
    assert "cached" not in job.to_frame()


def test_clearing_the_cache_makes_everything_run_anew(tmp_path):
    task = nq.task(cache=True)(counting)
    task.submit(str(tmp_path), 1).result(20)
    client = default_client()
    assert client.clear_cache() >= 1
    assert client.clear_cache() == 0
    assert not task.submit(str(tmp_path), 1).done_future().result(20)
    assert runs(tmp_path / "1") == 2
