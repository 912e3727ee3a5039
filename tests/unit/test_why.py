"""What an item waits for: facts in, a verdict out; and how it is told as text and HTML."""

from types import SimpleNamespace

import pytest
from IPython.core.formatters import DisplayFormatter

from nbqueue.client.remote.survey import Queue, Running, Survey, Worker
from nbqueue.client.why.facts import Facts, Other
from nbqueue.client.why.verdict import verdict
from nbqueue.client.why.why import JobWhy, Why
from nbqueue.core.history import Event
from nbqueue.core.records import Started
from nbqueue.notebook.register import register
from nbqueue.notebook.views import why as views
from nbqueue.store.messages.peeking import Meta, Spot, TaskLimits


def running(job="load", start=0, stop=1, item=None, for_s=2.0, job_id="other", message_id="m1"):
    item = start if stop - start == 1 else item
    return Running(message_id, job_id, job, "fit", start, stop, item, for_s)


def worker(*at, name="w1@host", processes=2, queues=("celery",)):
    return Worker(
        name, "host", 1, "prefork", processes, 0, True, queues, tuple(at), len(at), 0, 50.0, 9.0
    )


def survey(*workers, silent=(), queues=()):
    return Survey(1.0, workers, queues, silent)


def facts(*workers, silent=(), queues=(), **more):
    known = {"job_id": "mine", "item": 3, "state": "PENDING", "now": 1000.0, "queue": "celery"}
    return Facts(**{**known, "survey": survey(*workers, silent=silent, queues=queues), **more})


def queued(ahead=0, before=(), queue="celery"):
    return Spot("queue", 0, 10, queue, ahead, before)


def said(*args, **more):
    found = verdict(facts(*args, **more))
    return found.kind, found.text


BUSY = worker(running("load", item=0), running("load", 4, 5, message_id="m2"))


def test_behind_others_in_a_queue_whose_workers_are_busy():
    kind, text = said(BUSY, spots=(queued(3, (("load", 2), ("grid", 1))),))
    assert kind == "queue"
    assert text == (
        "waits in queue 'celery' behind 3 messages (load ×2, grid); all 2 processes are busy "
        "(w1@host: load for 2 s, load 4 for 2 s)"
    )


@pytest.mark.parametrize("where", ["queue", "taken"])
def test_behind_what_is_cancelled_and_runs_on_it_says_how_to_end_that(where):
    never = (running("never", job_id=f"{k}c" * 8, message_id=f"m{k}") for k in range(2))
    spot = Spot(where, 0, 10, "celery")
    found = verdict(facts(worker(*never), spots=(spot,), cancelled=frozenset({"1c" * 8})))
    assert found.advice == (
        "never is cancelled and runs on: nq.job('1c1c1c1c1c1c1c1c').cancel(terminate=True) ends it"
    )


def test_first_in_a_queue_with_a_free_process():
    kind, text = said(worker(running()), spots=(queued(),))
    assert (kind, text) == ("queue", "waits in queue 'celery', first, and is about to be taken")


def test_in_a_queue_that_nobody_consumes():
    found = verdict(facts(BUSY, queue="gpu", spots=(queued(queue="gpu"),)))
    assert found.kind == "unheard"
    assert "which no worker consumes; there are workers on celery" in found.text
    assert found.advice == "nbqueue worker -Q gpu, or nq.control.add_consumer('gpu')"
    assert "no worker answers at all" in said(spots=(queued(),))[1]


def test_who_does_not_answer_may_consume_the_queue():
    kind, text = said(silent=("w2@host",), spots=(queued(),))
    assert kind == "unheard"
    assert "no worker answers that consumes it (w2@host did not answer)" in text


def test_a_worker_says_that_it_runs():
    mine = running("grid", 0, 10, item=3, job_id="mine")
    assert said(worker(mine)) == ("running", "runs on w1@host for 2 s")
    died = said(worker(mine), meta=Meta(tries=2))
    assert died[1] == "runs on w1@host for 2 s; what ran it before died, 1 time"


def test_behind_another_item_of_its_message():
    mine = running("grid", 0, 10, item=7, job_id="mine")
    assert said(worker(mine)) == (
        "range",
        "is one of items 0–9, which w1@host has; it is at item 7 for 2 s",
    )


def test_a_message_in_a_queue_says_more_than_one_that_may_have_passed_the_item_on():
    mine = running("grid", 0, 10, item=7, job_id="mine")
    assert said(worker(mine), spots=(queued(2, (("grid", 2),)),))[0] == "queue"


@pytest.mark.parametrize(
    ("silent", "there", "expected"),
    [
        (("w9@host",), (), "w9@host did not answer"),
        ((), (worker(),), "which no worker has any more"),
    ],
)
def test_begun_by_a_process_that_does_not_run_it_any_more(silent, there, expected):
    started = Started(1, "host/17", "m1", 3, 990.0)
    found = verdict(facts(*there, silent=silent, state="STARTED", started=started))
    assert found.kind == "stopped"
    assert found.text.startswith("was begun 10 s ago by process host/17, ")
    assert expected in found.text
    assert "comes back by itself" in found.advice
    assert ("there is none now" in found.advice) == (not there)


def test_begun_by_a_process_whose_message_is_being_run():
    started = Started(1, "host/17", "m1", 3, 990.0)
    mine = running("grid", 0, 10, item=None, job_id="mine")
    found = said(worker(mine), state="STARTED", started=started)
    assert found == ("running", "runs on w1@host, in process host/17, for 10 s")


def test_what_came_back_from_a_dead_worker_waits_in_its_queue():
    started = Started(1, "host/17", "m1", 3, 990.0)
    assert said(BUSY, state="STARTED", started=started, spots=(queued(),))[0] == "queue"


def test_jobs_and_steps_that_come_before():
    load = Other("load", 3, 10)
    kind, text = said(BUSY, others=(load,), meta=Meta(held=True))
    assert (kind, text) == ("jobs", "waits for 1 job: 'load' (7 of 10 items ended)")
    assert said(BUSY, others=(load,), step="sum")[1].startswith("waits for 1 step: 'load'")
    failed = said(BUSY, others=(Other("load", 0, 10, 2),), meta=Meta(held=True))
    assert failed[1].endswith("not begun: 'load' did not succeed")


@pytest.mark.parametrize(
    ("spot", "more", "kind", "text"),
    [
        (Spot("later", 0, 9, due=1060.0), {}, "time", "begins in 1 min"),
        (
            Spot("later", 3, 4, due=1003.0, waits_for="retry"),
            {"state": "RETRY", "error": "ValueError: no"},
            "retry",
            "because its last attempt raised ValueError: no",
        ),
        (
            Spot("later", 0, 9, due=1003.0, waits_for="rate", ahead=1),
            {"limits": TaskLimits(rate=0.5)},
            "rate",
            "rate limit of its task (30/m); it asks again in 3 s, with 1 message before it",
        ),
        (
            Spot("later", 0, 9, due=1003.0, waits_for="slot", ahead=2),
            {"limits": TaskLimits(slots=1, holders=("m1",))},
            "slot",
            "1 of 1 slot (concurrency) of its task taken: load on w1@host for 2 s; 2 messages",
        ),
    ],
)
def test_what_is_kept_in_the_store(spot, more, kind, text):
    found = said(BUSY, kept=(spot,), **more)
    assert found[0] == kind
    assert text in found[1]


def test_taken_by_a_worker_that_is_busy_or_that_is_gone():
    taken = Spot("taken", 0, 10, "celery")
    assert said(BUSY, spots=(taken,))[0] == "hand"
    gone = verdict(facts(spots=(taken,)))
    assert gone.kind == "lost"
    assert "there is none now" in gone.advice


def test_a_broker_that_cannot_be_looked_into_says_how_long_its_queue_is():
    there = (Queue("celery", 4, 1),)
    kind, text = said(BUSY, spots=None, queues=there)
    assert kind == "queue"
    assert text.startswith("waits in queue 'celery' with 4 messages in it; all 2 processes")
    assert said(spots=None)[0] == "unheard"


def test_what_was_not_looked_through_is_not_called_lost():
    deep = Spot("queue", 3, 4, "celery", 5000, (("load", 4000),), sure=False)
    kind, text = said(BUSY, unsure=(deep,))
    assert kind == "queue"
    assert text.startswith(
        "waits, as it seems, in queue 'celery' behind more than 5,000 messages (load ×4000); all 2"
    )
    later = Spot("later", 3, 4, ahead=5000, sure=False)
    assert said(BUSY, unsure=(later,)) == (
        "time",
        "waits, as it seems, among more than 5,000 messages that are kept for later",
    )
    mine = running("grid", 0, 10, item=3, job_id="mine")
    assert said(worker(mine), unsure=(deep,))[0] == "running"  # what was seen comes first
    assert said(BUSY, unsure=(deep,), spots=(Spot("taken", 0, 9, "celery"),))[0] == "hand"


def test_a_task_of_a_celery_project_is_not_called_lost():
    found = verdict(facts(BUSY, projects=True))
    assert found.kind == "project"
    assert "was sent to queue 'celery', as a task of a Celery project" in found.text


def test_nobody_can_be_asked():
    found = verdict(facts(survey=None, trouble="no broker answers at redis://x"))
    assert found.kind == "unreachable"
    assert "no broker answers at redis://x" in found.text
    started = Started(1, "host/17", "m1", 3, 990.0)
    running = verdict(facts(survey=None, trouble="no", state="STARTED", started=started))
    assert running.text == "runs in process host/17 for 10 s (nobody could be asked: no)"


def test_a_job_that_is_no_longer_there_and_a_message_that_is_nowhere():
    assert said(BUSY, meta=Meta(there=False))[0] == "gone"
    assert said(BUSY)[0] == "lost"


# -- told ------------------------------------------------------------------------------------------


def make_why(**more):
    known = {
        "job": "grid",
        "job_id": "0123",
        "item": 3,
        "task": "fit",
        "state": "FAILURE",
        "kind": "failed",
        "text": "failed: <b>no</b>",
        "advice": "job.rerun(3)",
        "at": 1000.0,
        "events": (Event(1.0, "submitted", "x"), Event(2.0, "failed", "failed: <b>no</b>", "w1")),
        "attempts": 1,
        "deaths": 0,
        "worker": "w1",
        "progress": "1 of 2",
        "output": "one\ntwo <script>",
    }
    return Why(**{**known, **more})


def test_an_item_is_told_in_a_sentence_and_a_line_an_event():
    lines = repr(make_why()).splitlines()
    assert lines[0] == "item 3 of job 'grid', fit, FAILURE: failed: <b>no</b>"
    assert lines[1] == "  → job.rerun(3)"
    assert [line.split()[2] for line in lines[4:6]] == ["submitted", "failed"]
    assert lines[-1] == "  two <script>"


def test_of_thousands_of_events_the_first_and_last_are_shown():
    events = tuple(Event(float(k), "retrying", f"try {k}", "w1") for k in range(1000))
    why = make_why(events=events)
    assert len(repr(why).splitlines()) < 60
    assert "… 960 more …" in repr(why)
    assert "try 999" in views.item(why)
    assert "960 more" in views.item(why)
    assert len(why.to_frame()) == 1000


def test_the_page_escapes_what_it_shows_and_brings_no_colours_of_its_own_background():
    page = views.item(make_why(job="<i>", advice="a & b"))
    assert "<script>" not in page
    assert "<b>no</b>" not in page
    assert "&lt;i&gt;" in page
    assert "a &amp; b" in page
    assert "background:transparent" in page


def test_a_long_word_is_broken_instead_of_widening_the_page():
    assert "overflow-wrap:anywhere" in views.item(make_why()).partition("<b>")[0]


def test_a_job_is_told_in_a_sentence():
    why = JobWhy(
        "grid", "0123", "fit", "STARTED", "1 of 2 items ended", "wait", 1000.0,
        {}, None, None, ("item 1 on w1 for 2 s",), ("item 0: ValueError: <x>",),
    )  # fmt: skip
    assert repr(why).splitlines() == [
        "job 'grid', fit, STARTED: 1 of 2 items ended",
        "  → wait",
        "  running:",
        "    item 1 on w1 for 2 s",
        "  errors:",
        "    item 0: ValueError: <x>",
    ]
    assert "ValueError: &lt;x&gt;" in views.job(why)


def test_a_notebook_shows_the_page_and_a_terminal_the_text():
    formatter = DisplayFormatter()
    register(SimpleNamespace(display_formatter=formatter, kernel=None))
    data, _ = formatter.format(make_why())
    assert data["text/html"] == views.item(make_why())
    assert data["text/plain"] == repr(make_why())
