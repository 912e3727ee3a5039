"""Existing Celery projects, driven from a notebook: their own workers, serializers and settings.

Each project is a folder of its own with its own `celery -A … worker`; the notebook is a process
that stands in that folder. Job logs are on the module's embedded cluster, which the project's
workers know nothing of.
"""

import json
import os
import sys
import textwrap

import pytest

from tests.e2e.rabbit_node import KEY

APP = """
from celery import Celery

app = Celery("proj", broker={broker!r}, backend={backend!r}, include=["proj.tasks", "proj.more"])
app.conf.update(
    task_serializer={serializer!r}, result_serializer={serializer!r},
    accept_content=[{serializer!r}],
    task_routes={{"proj.more.*": {{"queue": "more"}}}}, broker_connection_retry_on_startup=True,
    result_extended=True,
)
"""

TASKS = '''
import time
from celery import shared_task
from proj.celery import app

@app.task
def add(x, y=1):
    """Give the sum of two numbers."""
    return x + y

@app.task
def stats(n):
    return {"n": n, "square": n * n}

@app.task
def inverse(x):
    return 1 / x

@shared_task
def shout(text):
    return text.upper()

@app.task
def hold(gate):
    import pathlib
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return "over"

@app.task(bind=True)
def shy(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0)
    return self.request.retries

@app.task(ignore_result=True)
def forgetful():
    return 1
'''

MORE = """
from proj.celery import app

@app.task
def where():
    import os
    return os.getcwd()

@app.task
def add(x):
    return -x
"""


JOINED = """
import json, nbqueue as nq
from nbqueue.core.errors import UsageError

@nq.task
def double(x):
    return 2 * x
"""


class Project:
    """A project's folder, its worker, and notebooks that stand in the folder."""

    def __init__(self, folder, servers, until):
        self.folder = folder
        self._servers = servers
        self._until = until

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def store(self, servers):
        """A Redis for jobs, where the project has none."""
        return None if self.redis else servers.redis("st0re")

    def worker(self, app="proj", queues="celery,more"):
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-c", "2", "-l", "info"]
        process, log = self._servers.start(
            f"{app}-{self.folder.name}", [*command, "-Q", queues], cwd=self.folder
        )
        self._until(lambda: "ready." in log.read_text() or process.poll() is not None, 40)
        assert process.poll() is None, log.read_text()


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def project(request, servers, until):
    """The project, with JSON on Redis, or with msgpack and `rpc://` on RabbitMQ."""
    if request.param == "redis":
        broker = backend = servers.redis("s3cret")
        serializer = "json"
    else:
        broker, backend = request.getfixturevalue("rabbit"), "rpc://"
        serializer = "msgpack"
    made = Project(servers.folder / request.param, servers, until)
    made.broker, made.redis = broker, request.param == "redis"
    made.write("proj/__init__.py", "")
    made.write("proj/celery.py", APP.format(broker=broker, backend=backend, serializer=serializer))
    made.write("proj/tasks.py", TASKS)
    made.write("proj/more.py", MORE)
    made.worker()
    return made


@pytest.fixture
def drive(project, notebook):
    """Runs a cell in the project's folder; what it left in `out`."""
    notebook.folder = project.folder

    def run(text, *args):
        begin = "import json, sys\ntasks = nq.tasks('proj')\n"
        return json.loads(notebook.run(begin + textwrap.dedent(text) + SHOW, *args))

    return run


SAID = "import io, sys\nsaid = sys.stderr = io.StringIO()\n"
SHOW = "\nprint(json.dumps(out))\n"


def test_its_tasks_have_names_signatures_docs_and_completion(drive):
    out = drive(
        """
        import inspect
        from IPython.core.completer import IPCompleter
        complete = IPCompleter(namespace={"tasks": tasks}, use_jedi=False)
        out = [
            sorted(tasks), str(inspect.signature(tasks["proj.tasks.add"])), tasks.stats.name,
            inspect.getdoc(tasks["proj.tasks.add"]), hasattr(tasks, "add"), repr(tasks),
            complete.complete("tasks.sh")[1], complete.complete("tasks['proj.mo")[1],
        ]
        """
    )
    names, signature, stats, doc, ambiguous, shown, attributes, keys = out
    assert "proj.tasks.shout" in names
    assert "proj.more.where" in names
    assert not any(name.startswith("celery.") for name in names)
    assert (signature, stats, doc) == (
        "(x, y=1)",
        "proj.tasks.stats",
        "Give the sum of two numbers.",
    )
    assert not ambiguous  # two tasks are called add
    assert "proj.tasks.add(x, y=1)" in shown
    assert [name for name in attributes if "shout" in name]
    assert [name for name in keys if "proj.more" in name]


def test_a_name_that_is_none_of_its_tasks_says_which_there_are(drive):
    out = drive(
        """
        out = []
        for ask in (lambda: tasks.shuot, lambda: tasks["proj.tasks.hodl"], lambda: tasks.add):
            try:
                ask()
            except (AttributeError, nq.UsageError) as exc:
                out.append(str(exc))
        out.append(hasattr(tasks, "_repr_html_"))
        """
    )
    assert "no task 'shuot'; did you mean 'shout'? It has proj.more.add, " in out[0]
    assert "did you mean 'hold'?" in out[1]
    assert "write tasks['proj.more.add'] or tasks['proj.tasks.add']" in out[2]
    assert out[3] is False


def test_a_calls_retries_are_counted_where_the_project_keeps_them(drive):
    out = drive(
        """
        job = tasks.shy.map([0, 2])
        out = [job.result(30), job.to_frame()["attempts"].tolist()]
        """
    )
    assert out == [[0, 2], [1, 3]]


def test_calls_are_jobs(drive, project):
    out = drive(
        """
        add = tasks["proj.tasks.add"]
        one = add.delay(2, y=3)
        where = tasks.where.submit()                        # routed by the project's settings
        shared = tasks.shout.apply_async(("hello",), name="loud")
        out = [one.result(30), where.result(30), shared.result(30), shared.name, one.task,
               nq.job("loud").state, add(2, 2), nq.jobs().loc[one.id, "state"]]
        """
    )
    assert out[0] == 5
    assert os.path.realpath(out[1]) == os.path.realpath(project.folder)
    assert out[2:] == ["HELLO", "loud", "proj.tasks.add", "SUCCESS", 4, "SUCCESS"]


def test_why_a_task_of_the_project_is_not_over(drive, gate):
    waiting, running, said, done = drive(
        """
        import time
        gate = sys.argv[1]
        job = tasks.hold.submit(gate)
        waiting = job.why(0)
        give_up = time.monotonic() + 30
        while not (well := nq.doctor().ok) and time.monotonic() < give_up:
            pass  # a worker that stood still for some seconds
        out = [waiting.kind, well, repr(job.why())]
        open(gate, "w").close()
        job.result(30)
        out.append(job.why(0).kind)
        """,
        gate,
    )
    assert waiting in ("project", "running")
    assert running is True
    assert "nowhere to be found" not in said
    assert done == "succeeded"


def test_jobs_that_are_sent_one_after_the_other_get_their_own_results(drive):
    # A thread whose job is over leaves its number to the next one, and with it its results' queue.
    out = drive(
        """
        out = []
        for k in range(8):
            first, second = tasks["proj.tasks.add"].delay(k), tasks.shout.submit(f"x{k}")
            out.append([first.result(20), second.result(20)])
        """
    )
    assert out == [[k + 1, f"X{k}"] for k in range(8)]


def test_maps_have_frames_of_arguments_and_results(drive):
    out = drive(
        """
        job = tasks.stats.map(range(50), name="squares")
        job.wait(30)
        frame = job.to_frame()
        starred = tasks["proj.tasks.add"].starmap([(1, 2), {"x": 3, "y": 4}])
        out = [frame["n"].tolist(), frame["square"].tolist(), sorted(set(frame["state"])),
               list(frame.columns), starred.result(30), tasks.stats.map([]).result(20)]
        """
    )
    assert out[0] == list(range(50))
    assert out[1] == [n * n for n in range(50)]
    assert out[2] == ["SUCCESS"]
    assert out[4:] == [[3, 7], []]


def test_errors_are_the_tasks_own(drive):
    out = drive(
        """
        job = tasks.inverse.map([1, 0, 2])
        job.wait(30)
        exc = job.exceptions()[1]
        out = [job.result(errors="drop"), type(exc).__name__, str(exc.__cause__), job.counts()]
        """
    )
    assert out[0] == [1.0, 0.5]
    assert out[1] == "ZeroDivisionError"
    assert "proj/tasks.py" in out[2]
    assert (out[3]["SUCCESS"], out[3]["FAILURE"]) == (2, 1)


def test_what_cannot_be_is_said_before_anything_is_sent(drive):
    out = drive(
        """
        out = []
        for send in (
            lambda: tasks.stats.delay(), lambda: tasks.forgetful.delay(), lambda: tasks["nothing"],
            lambda: nq.tasks("nowhere.celery:app"), lambda: nq.tasks("json"),
            lambda: tasks.stats.delay(object()),
            lambda: (job := tasks.inverse.delay(0)).wait(30) and job.retry(),
            lambda: tasks.stats.delay(1).rerun(0),
        ):
            try:
                send()
                out.append("nothing")
            except Exception as exc:
                out.append(f"{type(exc).__name__}: {exc}")
        """
    )
    assert out[0].startswith("TypeError: missing a required argument")
    assert "ignores its results" in out[1]
    assert "no task 'nothing'" in out[2]
    assert out[3].startswith("UsageError: no Celery app at 'nowhere.celery:app'")
    assert out[4].startswith("UsageError")
    assert out[5].startswith(("EncodeError", "TypeError"))
    assert out[6].startswith("UsageError: job 'proj.tasks.inverse-")
    assert out[7].startswith("UsageError: job 'proj.tasks.stats-")


def test_cancelled_calls_are_revoked(drive, tmp_path):
    gate = tmp_path / "gate"
    out = drive(
        """
        import pathlib
        job = tasks.hold.map([sys.argv[1]] * 6)
        cancelled = job.cancel()
        pathlib.Path(sys.argv[1]).touch()
        after = tasks.stats.delay(3).result(30)
        out = [cancelled, job.counts(), after]
        """,
        gate,
    )
    assert out[0] == 6
    assert out[1]["REVOKED"] == 6
    assert out[2] == {"n": 3, "square": 9}


def test_celerys_own_result_of_any_id(drive, project):
    if project.folder.name == "rabbitmq":
        return  # rpc:// gives a result once, to whoever sent the call
    out = drive(
        """
        own = tasks["proj.tasks.add"].task.delay(20, 22)    # Celery's, past nbqueue
        job = tasks.stats.delay(4)
        job.result(30)
        out = [nq.AsyncResult(own.id).get(timeout=30), nq.AsyncResult(f"{job.id}-0").state]
        """
    )
    assert out == [42, "SUCCESS"]


def test_another_notebook_goes_on_recording(drive, notebook, project, tmp_path, until):
    gate = tmp_path / "gate"
    text = "import sys\ntasks = nq.tasks('proj')\n"
    text += "tasks.hold.map([sys.argv[1]] * 2, name='left')\nprint('sent', flush=True)\n"
    notebook.run(text, gate)
    gate.touch()
    if project.redis:
        out = drive("job = nq.job('left')\ntasks.record(job)\nout = job.result(30)\n")
        assert out == ["over", "over"]
        return
    # rpc:// gives a result once, to whoever sent the call
    out = drive(SAID + "job = nq.job('left')\njob.cancel()\nout = said.getvalue()\n")
    assert "(rpc://) come to nobody else" in out


def test_a_job_that_another_notebook_left_says_whose_task_it_calls(notebook, project, tmp_path):
    gate = tmp_path / "gate"
    notebook.folder = project.folder
    text = "import sys\nnq.tasks('proj').hold.map([sys.argv[1]], name='left')\n"
    notebook.run(text, gate)
    out = notebook.run(SAID + "nq.job('left').cancel()\nprint(said.getvalue())\n")
    gate.touch()
    assert "calls proj.tasks.hold, a Celery project's task" in out


# -- Django ---------------------------------------------------------------------------------------

DJANGO = {
    "site1/__init__.py": "from site1.celery import app as celery_app\n",
    "site1/celery.py": """
        import os
        from celery import Celery

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")
        app = Celery("site1")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.autodiscover_tasks()
        """,
    "site1/settings.py": """
        from pathlib import Path

        SECRET_KEY = "only for tests"
        INSTALLED_APPS = ["shop"]
        USE_TZ = True
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        DATABASES = {"default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(__file__).parent.parent / "db.sqlite3",
            "OPTIONS": {"timeout": 20},
        }}
        CELERY_BROKER_URL = CELERY_RESULT_BACKEND = BROKER
        CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
        """,
    "shop/__init__.py": "",
    "shop/models.py": """
        from django.db import models

        class Item(models.Model):
            name = models.CharField(max_length=50)
            count = models.IntegerField(default=0)
        """,
    "shop/tasks.py": """
        from celery import shared_task
        from django.db.models import F
        from shop.models import Item

        @shared_task
        def restock(pk, n):
            Item.objects.filter(pk=pk).update(count=F("count") + n)
            return Item.objects.get(pk=pk).count
        """,
}


def test_a_django_projects_tasks_are_sent_when_the_transaction_commits(servers, notebook, until):
    url = servers.redis("s3cret")
    site = Project(servers.folder / "django", servers, until)
    for name, text in DJANGO.items():
        site.write(name, text.replace("= BROKER", f"= {url!r}"))
    notebook.folder = site.folder
    notebook.run("""
tasks = nq.tasks("site1")
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
""")
    site.worker("site1", queues="celery")
    out = json.loads(
        notebook.run("""
import json, time
tasks = nq.tasks("site1")
from django.db import transaction
from shop.models import Item

item = Item.objects.create(name="ham", count=1)
jobs = []
with transaction.atomic():
    transaction.on_commit(lambda: jobs.append(tasks.restock.delay(item.pk, 4)))
    inside = len(jobs)
first = jobs[0].result(30)
with transaction.atomic():
    tasks.restock.task.delay_on_commit(item.pk, 10)
give_up = time.monotonic() + 30
while item.count != 15 and time.monotonic() < give_up:
    item.refresh_from_db()
    time.sleep(0.05)
frame = tasks.restock.starmap([{"pk": item.pk, "n": 0}] * 3).to_frame()
print(json.dumps([list(tasks), inside, first, item.count]))
""")
    )
    assert out == [["shop.tasks.restock"], 0, 5, 15]


def test_its_tasks_are_steps_of_workflows_among_tasks_by_value(drive):
    out = drive(
        """
        @nq.task
        def double(x):
            return 2 * x

        @nq.task
        def total(xs):
            return sum(xs)

        add, shout = tasks["proj.tasks.add"], tasks.shout
        where = tasks.where
        failing = nq.run(double.s(0) | tasks.inverse.s() | double.s())
        failing.wait(30)
        frame = failing.to_frame()
        out = [
            nq.run(double.s(4) | add.s(2) | double.s()).result(30),
            (nq.group(add.s(i, i) for i in range(4)) | total.s())().result(30),
            (nq.map(add, [1, 2, 3]) | total.s())().result(30),
            nq.run(nq.signature("proj.tasks.add", (1,)) | double.s()).result(30),
            [nq.run(where.s().set(queue="more")).result(30), str(__import__("pathlib").Path.cwd())],
            [str(error) for error in frame["error"]],
            list(frame["node"]),
        ]
        """
    )
    assert out[:4] == [20, 12, 9, 4]
    assert out[4][0] == out[4][1]
    _, second, third = out[5]
    assert "ZeroDivisionError" in second
    assert "UpstreamFailed" in third
    assert out[6] == ["double", "proj.tasks.inverse", "double"]


def test_a_project_that_workers_cannot_find_by_name_has_no_signatures(drive):
    out = drive(
        """
        from proj.celery import app
        try:
            nq.tasks(app)["proj.tasks.add"].s(1)
        except nq.UsageError as exc:
            out = str(exc)
        """
    )
    assert "nq.tasks('proj.celery:app')" in out


# -- connected to the project's own broker ---------------------------------------------------------


@pytest.fixture
def joined(project, notebook, servers, monkeypatch):
    """Runs a script in the project's folder that connects to nothing but the project."""
    notebook.folder = project.folder
    notebook._connect = ""
    monkeypatch.setenv("NBQUEUE_KEY", KEY)

    def run(text, **env):
        return json.loads(notebook.run(JOINED + textwrap.dedent(text) + SHOW, **env))

    return run


def test_a_connection_to_a_project_shares_its_broker_and_keeps_out_of_its_queues(
    project, joined, servers
):
    store = project.store(servers)
    where = {"backend": store or project.broker, "folder": project.folder}
    servers.worker(project.broker, KEY, "-c", "1", "-Q", "nbqueue", **where)
    out = joined(
        f"""
        client = nq.connect(app="proj.celery:app", backend={store!r})
        tasks = nq.tasks()
        job = double.map([1, 2])
        mixed = nq.run(tasks.stats.s(3) | nq.task(lambda d: d["square"]).s() | double.s())
        out = [job.result(30), tasks.stats.submit(2).result(30), mixed.result(60),
               nq.AsyncResult(job.id + "-1").get(timeout=20), client.default_queue,
               nq.tasks("proj").shout.name]
        client.close()
        """
    )
    assert out == [[2, 4], {"n": 2, "square": 4}, 18, 4, "nbqueue", "proj.tasks.shout"]


def test_a_project_without_redis_says_that_jobs_need_one(project, joined):
    if project.redis:
        project.write("other.py", "from celery import Celery\napp = Celery('other')\n")
        where, want = "other:app", "names no broker"
    else:
        where, want = "proj.celery:app", "neither is a Redis"
    out = joined(
        f"""
        out = []
        for make in (lambda: nq.connect(app={where!r}), lambda: nq.connect(app=3), nq.tasks):
            try:
                make()
            except UsageError as exc:
                out.append(str(exc))
        """
    )
    assert want in out[0]
    assert "'proj.celery:app'), not 3" in out[1]
    assert "whose tasks?" in out[2]
    assert "guest:guest" not in out[0]


def test_its_tasks_and_workflows_with_them_run_on_a_schedule(drive):
    out = drive(
        """
        schedule = tasks["proj.tasks.add"].every("1h", args=[2], kwargs={"y": 5})
        flow = (tasks.stats.s(3) | nq.task(lambda d: d["square"]).s()).every("1h", name="flow")
        out = [schedule.name, schedule.run_now().result(40), flow.run_now().result(40)]
        for made in (schedule, flow):
            made.remove()
        """
    )
    assert out == ["proj.tasks.add", 7, 9]
