"""No key and no password is to be seen: a canary is looked for wherever anybody may look."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbclient
import nbformat
import pytest

import nbqueue as nq
from tests.e2e.conftest import ROOT, _until

KEY = "canary-key-of-more-than-16-letters"
OLD_KEY = "canary-key-that-was-the-one-before"
PASSWORD = "canary-pa55word"
CANARY = re.compile("canary-key|canary-pa55")

pytestmark = pytest.mark.timeout(240)


def clean(text, where):
    found = [text[max(m.start() - 300, 0) : m.end() + 100] for m in CANARY.finditer(text)]
    assert not found, f"{where}: …{found[0]}…"


@pytest.fixture(scope="module")
def url(servers):
    return servers.redis(PASSWORD)


def environment(url, **more):
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NBQUEUE_BROKER": url,
        "NBQUEUE_KEY": f"{KEY},{OLD_KEY}",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@pytest.fixture(scope="module")
def worker(servers, url):
    return servers.worker(url, f"{KEY},{OLD_KEY}", "-c", "1", "-E", "-l", "debug")


@pytest.fixture
def client(worker, url):
    with nq.connect(url, key=f"{KEY},{OLD_KEY}") as made:
        yield made


def nbqueue(url, *arguments, **more):
    done = subprocess.run(
        [sys.executable, "-m", "nbqueue", *arguments],
        env=environment(url, **more),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.stdout + done.stderr


def test_not_in_reprs(client, tmp_path):
    seen, todo = set(), [("client", client, 4)]
    while todo:
        name, thing, depth = todo.pop()
        if id(thing) in seen or isinstance(thing, (str, bytes, int, float)):
            continue
        seen.add(id(thing))
        for shown in (repr, str):
            clean(shown(thing), f"{shown.__name__}({name})")
        module = type(thing).__module__
        if depth and module.startswith("nbqueue"):
            attributes = {k: v for k, v in getattr(thing, "__dict__", {}).items() if k[:1] != "_"}
            todo += [(f"{name}.{k}", v, depth - 1) for k, v in attributes.items()]
    clean(repr(client.app) + repr(client.publisher) + repr(client._make), "private parts")
    job = nq.task(len).map(["a"], name="plain")
    clean(repr(job) + repr(job.result(20)) + repr(job.to_frame()), "job")
    clean(nq.jobs().to_string() + nq.workers().to_string() + nq.queues().to_string(), "frames")
    clean(repr(nq.doctor()) + nq.doctor().to_frame().to_string(), "doctor")


def test_not_in_answers_to_control_commands(client, worker, url):
    for command in (
        ["inspect", "conf", "--json"],
        ["inspect", "stats", "--json"],
        ["inspect", "report"],
        ["inspect", "registered"],
        ["inspect", "nbqueue_look", "--json"],
        ["inspect", "active_queues", "--json"],
        ["report"],
        ["doctor"],
        ["jobs"],
        ["status"],
        ["keygen", "--help"],
        ["worker", "--help"],
    ):
        clean(nbqueue(url, *command), " ".join(command))
    for said in (nq.control.inspect("conf"), nq.control.inspect("report")):
        clean(str(said), "nq.control.inspect")


def test_not_in_flower(client, servers, url):
    server, log = servers.start(
        "flower",
        [sys.executable, "-u", "-m", "nbqueue", "flower", "--port=0"],
        env=environment(url, FLOWER_UNAUTHENTICATED_API="true"),
    )
    [page] = _until(lambda: re.findall(r"Visit me at (http://127.0.0.1:\d+)", log.read_text()), 40)
    nq.task(len).map(["a"]).result(20)

    def get(path):
        with urllib.request.urlopen(page + path, timeout=20) as answer:
            return answer.read().decode()

    def whole():
        """The workers that have answered all of Flower's questions that their page needs."""
        found = json.loads(get("/api/workers?refresh=1"))
        return [name for name, about in found.items() if "stats" in about]

    names = _until(whole, 40)
    for path in (
        "/",
        "/workers",
        f"/worker/{names[0]}",
        "/tasks",
        "/broker",
        "/api/workers?refresh=1",
        "/api/queues/length",
        "/api/tasks",
    ):
        clean(get(path), f"Flower's {path}")
    server.terminate()
    clean(log.read_text(), "Flower's log")


def test_not_in_what_a_task_can_say(client, worker):
    def tell():
        import os
        import sys
        import traceback

        frames = []
        frame = sys._getframe()
        while frame is not None:
            frames.append({k: repr(v)[:2000] for k, v in frame.f_locals.items()})
            frame = frame.f_back
        print(dict(os.environ))
        try:
            raise ValueError("as told")
        except ValueError as exc:
            found = traceback.TracebackException.from_exception(exc, capture_locals=True)
            print("".join(found.format()))
        return frames, dict(os.environ)

    job = nq.task(tell).submit()
    frames, env = job.result(20)
    clean(str(frames), "locals of the worker's frames")
    clean(str(env), "the environment of tasks")
    clean(str(job.log(0)), "an item's output")

    def fail():
        secret = nq  # noqa: F841 - what a cell captures
        raise RuntimeError("on purpose")

    failed = nq.task(fail).submit().result(20, errors="return")
    clean(str(failed) + str(failed.__cause__), "a task's traceback")


def test_tasks_that_send_tasks_need_no_key_in_their_environment(client, worker):
    def outer():
        import nbqueue as nq

        return nq.task(len).submit("abc").id

    sent = nq.task(outer).submit().result(30)
    _until(lambda: sent in nq.jobs().index)
    assert nq.job(sent).result(30) == 3


VERBOSE = """
from IPython.terminal.interactiveshell import TerminalInteractiveShell as Shell
shell = Shell.instance(colors="NoColor", xmode="Verbose")
cells = (
    "nq.connect()",
    "nq.connect(os.environ['WRONG'])",
    "nq.connect(os.environ['NOWHERE'])",
    "nq.connect(os.environ['NBQUEUE_BROKER'], key=os.environ['SHORT'])",
    "nq.connect('amqp://guest:' + os.environ['SHORT'] + '@127.0.0.1:1//', backend=os.environ['B'])",
    "nq.connect(os.environ['NOWHERE'] + '?ssl_cert_reqs=x', key=os.environ['NBQUEUE_KEY'])",
    "nq.connect('http://:' + os.environ['SHORT'] + '@host', backend=os.environ['B'])",
    "nq.job('nothing of that name')",
    "nq.doctor(os.environ['NOWHERE'])",
)
for number, cell in enumerate(cells):
    # Without source: what a person's own lines show is theirs.
    source = f"import os; import nbqueue as nq\\ndef call{number}(): {cell}"
    exec(compile(source, "<nowhere>", "exec"))
    shell.user_ns[f"call{number}"] = globals()[f"call{number}"]
    shell.run_cell(f"call{number}()")
"""


def test_not_in_errors_with_all_their_locals(url, worker):
    wrong = url.replace(PASSWORD, "canary-pa55-not")
    nowhere = re.sub(r"127.0.0.1:\d+", "127.0.0.1:1", url)
    done = subprocess.run(
        [sys.executable, "-c", VERBOSE],
        env=environment(url, WRONG=wrong, NOWHERE=nowhere, SHORT="canary-pa55", B=url),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    text = done.stdout + done.stderr
    assert text.count("BrokerUnreachable") >= 3, text
    clean(text, "IPython's verbose tracebacks")


def test_not_in_saved_notebooks(client, worker, url, tmp_path):
    cells = [
        "%load_ext nbqueue",
        "client = nq.connect(); client",
        "job = nq.task(lambda x: 1 / x).map([1, 0], name='some'); job",
        "job.wait(); job",
        "job.to_frame()",
        "%jobs",
        "%workers",
        "%%enqueue shell --wait\n!env\nimport os; print(dict(os.environ))",
        "nq.jobs()",
        "nq.doctor()",
        "job[1].result()",
    ]
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in ["import nbqueue as nq", *cells]]
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(url).items():
            patch.setenv(name, value)
        nbclient.NotebookClient(
            made, timeout=90, kernel_name="python3", allow_errors=True, store_widget_state=True
        ).execute(cwd=str(tmp_path))
    text = nbformat.writes(made)
    assert "ZeroDivisionError" in text
    clean(text, "a saved notebook")


def test_not_in_process_lists(servers, worker, url, tmp_path):
    options = ["2", "-c", "1", f"--pidfile={tmp_path}/%n.pid", f"--logfile={tmp_path}/%n%I.log"]
    assert "OK" in nbqueue(url, "multi", "start", *options)
    servers.start("reload", [sys.executable, "-m", "nbqueue", "worker", "--reload", "-c", "1"],
                  env=environment(url), cwd=tmp_path)  # fmt: skip
    servers.start("beat", [sys.executable, "-m", "nbqueue", "beat"], env=environment(url))
    _until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, 40)
    give_up = time.monotonic() + 3
    try:
        while time.monotonic() < give_up:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if "redis-server" not in words:  # the test's own
                    clean(words, "a process list")
            time.sleep(0.05)
    finally:
        nbqueue(url, "multi", "stopwait", *options)
    for log in [*tmp_path.glob("*.log"), *servers.folder.glob("*.log")]:
        if "redis" not in log.name:
            clean(log.read_text(), log.name)


def test_not_in_the_workers_log(worker):
    clean(worker[1].read_text(), "the worker's log")


def test_a_password_on_the_command_line_is_advised_against(url, worker):
    said = nbqueue(url, "inspect", "ping", f"--broker={url}")
    assert "$NBQUEUE_BROKER" in said
    clean(said, "inspect")
