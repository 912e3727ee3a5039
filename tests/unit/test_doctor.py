"""What `doctor` thinks of what it is told: facts in, findings out."""

from types import SimpleNamespace

import pytest
from IPython.core.formatters import DisplayFormatter

from nbqueue.client.doctor import embedded, jobs, judging
from nbqueue.client.doctor.findings import Report, bad, doubtful, good
from nbqueue.client.remote.survey import Queue, Survey, Worker
from nbqueue.cluster import binaries
from nbqueue.cluster.status import Status
from nbqueue.notebook.register import register
from nbqueue.notebook.views import doctor as views
from nbqueue.store import vitals
from nbqueue.store.rejections import Rejections
from nbqueue.store.signing import Keyring
from nbqueue.store.vitals import RedisFacts

GB = 1_000_000_000


def redis(**facts):
    known = {"version": "7.2.4", "run_id": "r", "latency_s": 0.001}
    return judging.redis("store", "redis://x", RedisFacts(**{**known, **facts}))


def worst(findings):
    return max((f.status for f in findings), key=["OK", "WARN", "FAIL"].index, default="OK")


def told(findings, status):
    return " | ".join(f.text for f in findings if f.status == status)


def test_a_redis_that_is_well_is_so():
    assert worst(redis(used=GB)) == "OK"
    assert "Redis 7.2.4 at redis://x answers in 1 ms" in told(redis(), "OK")


@pytest.mark.parametrize(
    ("facts", "status", "text"),
    [
        ({"latency_s": 0.5}, "WARN", "answers in 0.5 s"),
        ({"role": "slave"}, "FAIL", "nobody can write to"),
        ({"version": "5.0.7"}, "WARN", "older than 6.2"),
        ({"most": GB, "policy": "allkeys-lru"}, "FAIL", "throws away anything"),
        ({"most": GB, "policy": "volatile-lru"}, "WARN", "throws away results"),
        ({"most": GB, "used": GB * 95 // 100}, "WARN", "nearly all"),
        ({"most": GB, "used": GB}, "FAIL", "nearly all"),
        ({"appends": False, "saves": True}, "WARN", "loses what is newer"),
        ({"appends": False, "saves": False}, "WARN", "loses all jobs"),
        ({"troubles": ("its last save: err",)}, "FAIL", "cannot write to its disk"),
    ],
)
def test_a_redis_that_is_not(facts, status, text):
    found = redis(**facts)
    assert worst(found) == status
    assert text in told(found, status)
    assert all(f.advice for f in found if f.status != "OK")


def test_with_a_limit_and_no_eviction_it_says_that_it_refuses():
    assert "throws nothing away" in told(redis(most=GB), "OK")


def test_of_rabbitmq_it_is_said_that_it_answers():
    (found,) = judging.rabbitmq("amqp://x", "3.10.8", 0.001)
    assert (found.status, "3.10.8" in found.text) == ("OK", True)
    assert worst(judging.rabbitmq("filesystem://", "", 0.001)) == "OK"


def test_info_is_read_whatever_is_missing():
    facts = vitals.read_info({"redis_version": "7", "rdb_last_bgsave_status": "err"}, 0.1, None)
    assert facts.troubles == ("its last save: err",)
    assert (facts.appends, facts.saves, facts.policy) == (False, None, "noeviction")


# -- workers ---------------------------------------------------------------------------------------

MINE = {"versions": {"nbqueue": "0.1.0", "python": "3.11.7", "celery": "5.5.1"}, "store": "r1"}


def says(*, trusted=True, versions=None, **more):
    its = {
        "versions": {**MINE["versions"], **(versions or {})},
        "knows": True,
        "store": "r1",
        "offset_s": 0.1,
        "trouble": "",
        "blobs": {"path": "/b", "free": 50 * GB, "trouble": ""},
    }
    return judging.worker("w1", {**its, **more}, MINE, trusted=trusted)


def test_a_worker_that_fits():
    (found,) = says()
    assert (found.status, found.check) == ("OK", "worker w1")
    assert worst(says(versions={"python": "3.11.2", "celery": "5.5.9"})) == "OK"


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ({"trusted": False, "knows": False}, "FAIL", "another signing key"),
        ({"trusted": True, "knows": False}, "FAIL", "does not accept this client's key"),
        ({"trusted": False, "knows": True}, "FAIL", "signs with a key that this client does not"),
        ({"versions": {"python": "3.12.1"}}, "FAIL", "has python 3.12.1, and this client 3.11.7"),
        ({"versions": {"nbqueue": "0.0.9"}}, "WARN", "has nbqueue 0.0.9"),
        ({"versions": {"celery": "5.4.0"}}, "WARN", "has celery 5.4.0"),
        ({"store": "r2"}, "FAIL", "keeps jobs in another Redis"),
        ({"trouble": "refused"}, "FAIL", "does not reach its store: refused"),
        ({"offset_s": 60.0}, "WARN", "its clock is 1 min behind"),
        ({"offset_s": -60.0}, "WARN", "its clock is 1 min ahead"),
        ({"blobs": {"path": "/b", "trouble": "No space left"}}, "FAIL", "/b: No space left"),
        ({"blobs": {"path": "/b", "free": 10_000}}, "FAIL", "10 kB left"),
        ({"blobs": {"path": "/b", "free": GB // 2}}, "WARN", "500 MB left"),
    ],
)
def test_a_worker_that_does_not(more, status, text):
    found = says(**more)
    assert worst(found) == status
    assert text in told(found, status)
    assert all(f.advice for f in found)


@pytest.mark.parametrize("said", [None, {"error": "?"}, {"versions": 7}, "x", {"versions": {}}])
def test_an_answer_of_another_shape_is_no_error(said):
    assert judging.worker("w1", said, MINE, trusted=False)
    assert judging.disk("w1", {"free": "lots"})


def worker(queues=("celery",)):
    return Worker("w1", "h", 1, "prefork", 2, 0, True, queues, (), 0, 0, 1.0, 1.0)


def test_who_answers():
    found = judging.answering(Survey(1.0, (worker(),), (), ("w2",)), unfinished=0, embedded=False)
    assert [f.status for f in found] == ["OK", "WARN"]
    assert found[1].text.startswith("w2 was there a moment ago")
    nobody = Survey(1.0, (), ())
    (found,) = judging.answering(nobody, unfinished=2, embedded=False)
    assert (found.status, found.text) == ("FAIL", "no worker answers, and 2 jobs wait for one")
    assert judging.answering(nobody, unfinished=0, embedded=True)[0].status == "WARN"


def test_what_was_refused_grows_old():
    found = Rejections({"message": 2, "log record": 1}, "message", "host/7", 990.0)
    (fresh,) = judging.rejected(found, 1000.0)
    assert fresh.status == "WARN"
    assert fresh.text == "refused: 1 x log record, 2 x message, the last 10 s ago by host/7"
    (old,) = judging.rejected(found, 990.0 + 2 * judging.OLD_S)
    assert (old.status, old.advice) == ("OK", "")
    assert judging.rejected(Rejections({"message": 1}), 1000.0)[0].status == "WARN"


def test_queues_that_nobody_consumes():
    lonely, served = Queue("gpu", 3, 0), Queue("celery", 9, 1)
    (found,) = judging.queues([lonely, served], [worker()])
    assert found.text == "'gpu' has 3 messages and no consumer; workers are on celery"
    assert found.advice.startswith("nbqueue worker -Q gpu")
    assert judging.queues([served, Queue("empty", 0, 0)], [worker()])[0].status == "OK"


def test_of_many_jobs_that_are_stuck_a_few_are_named():
    stuck = [doubtful("jobs", f"job {k}", "do") for k in range(50)]
    told_ = jobs.told(stuck, looked=50, unfinished=7000)
    assert [f.text for f in told_[:5]] == [f"job {k}" for k in range(5)]
    assert told_[5].text == "45 more are stuck likewise (50 of 7,000 unfinished jobs looked at)"
    assert len(told_) == 6
    assert jobs.told(stuck[:2], looked=2, unfinished=2) == stuck[:2]
    (fine,) = jobs.told([], looked=3, unfinished=9)
    assert fine.text == "9 unfinished jobs, none of them stuck (6 were not looked at)"
    assert jobs.told([], looked=1, unfinished=1)[0].text == "1 unfinished job, which is not stuck"
    assert jobs.told([], looked=0, unfinished=0)[0].text == "none is unfinished"


# -- the private cluster ---------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    return tmp_path


def test_a_private_cluster_that_never_ran_is_well(tmp_path):
    (found,) = embedded.examine(Status(False, tmp_path / "none"))
    assert found.status == "OK"


def test_one_that_runs_tells_its_processes(home):
    running = Status(True, home, "running", 1, uptime_s=60, worker_pid=2, redis_pid=3)
    found = embedded.examine(running)
    assert worst(found) == "OK"
    assert "supervisor 1, redis 3, worker 2" in found[0].text
    again = Status(True, home, "running", 1, worker_pid=2, redis_pid=3, worker_restarts=2,
                   worker_message="SIGKILL")  # fmt: skip
    assert "worker was started again 2 time(s); it last ended with: SIGKILL" in told(
        embedded.examine(again), "WARN"
    )
    starting = Status(True, home, "running", 1, redis_pid=3)
    assert "being started" in embedded.examine(starting)[0].advice


def test_one_that_failed_says_why(home):
    (home / "supervisor.log").write_text("one\nno room on the disk\n")
    found = embedded.examine(Status(False, home, "failed"))
    assert found[0].text == "could not be started: no room on the disk"
    assert worst(found) == "FAIL"


def test_a_key_that_others_can_read_and_errors_in_logs(home):
    (home / "key").chmod(0o644)
    (home / "worker.log").write_text("[x: INFO] fine\n[x: ERROR/MainProcess] oh no\nmore\n")
    found = embedded.examine(Status(False, home))
    assert "can be read by others (mode 644)" in told(found, "FAIL")
    assert "worker.log has 1 error in its last" in told(found, "WARN")
    assert "oh no" in told(found, "WARN")


def test_an_item_that_ends_its_process_is_no_error_of_the_cluster(home):
    exited = "[x: ERROR/MainProcess] Process 'ForkPoolWorker-1' pid:7 exited with 'exitcode 42'\n"
    lost = (
        "x ERROR celery.worker.request: Task handler raised error: "
        "WorkerLostError('Worker exited prematurely: exitcode 42 Job: 0.')\nTraceback: ...\n"
    )
    (home / "worker.log").write_text(2 * exited + 2 * lost)
    assert "worker.log" not in told(embedded.examine(Status(False, home)), "WARN")
    idle = exited.replace("pid:7", "pid:8")
    (home / "worker.log").write_text(exited + lost + idle)  # the last one ran no item
    found = embedded.examine(Status(False, home))
    assert "worker.log has 1 error in its last" in told(found, "WARN")


def test_a_private_cluster_whose_data_no_server_here_reads_is_not_well(tmp_path, monkeypatch):
    monkeypatch.setattr(binaries, "_candidates", list)
    (tmp_path / "appendonlydir").mkdir()
    base = tmp_path / "appendonlydir" / "appendonly.aof.1.base.rdb"
    base.write_bytes(b"REDIS0010\xfa\x09redis-ver\x067.0.15\xfa")
    found = embedded.examine(Status(False, tmp_path))
    assert worst(found) == "FAIL"
    assert "was written by Redis 7.0.15" in told(found, "FAIL")


# -- what processes say of themselves --------------------------------------------------------------


def test_a_process_proves_its_key_and_tells_no_secret(fake_store, tmp_path):
    keyring = Keyring("a key of more than sixteen letters")
    said = vitals.mine(fake_store, keyring, tmp_path, b"nonce")
    assert keyring.verify(vitals.ANSWER, b"nonce", bytes.fromhex(said["signature"]))
    assert "sixteen" not in str(said)
    assert {"nbqueue", "python", "celery", "cloudpickle"} <= said["versions"].keys()
    assert said["blobs"]["free"] > 0
    assert said["blobs"]["trouble"] == ""
    assert vitals.folder(tmp_path / "none")["trouble"]


# -- told ------------------------------------------------------------------------------------------


def test_a_report_is_a_line_a_finding_and_what_mends_it():
    report = Report((good("store", "x"), bad("key", "<b>", "mend it")), 1.0)
    assert repr(report).splitlines() == [
        "OK    store  x",
        "FAIL  key    <b>",
        "             → mend it",
        "1 failed (2 checks)",
    ]
    assert not report.ok
    assert report.to_frame()["status"].tolist() == ["OK", "FAIL"]
    warned = Report((doubtful("a", "b", "c"),), 1.0)
    assert (warned.ok, warned.text) == (True, "1 to look at")
    assert Report((good("a", "b"),), 1.0).text == "all is well"


def test_a_notebook_shows_a_table():
    formatter = DisplayFormatter()
    register(SimpleNamespace(display_formatter=formatter, kernel=None))
    report = Report((good("store", "x"), bad("key", "<b>", "a & b")), 1.0)
    page = formatter.format(report)[0]["text/html"]
    assert page == views.report(report)
    assert "&lt;b&gt;" in page
    assert "a &amp; b" in page
