"""Surveys in, picture out; and the picture as HTML."""

from dataclasses import replace

import pytest

from nbqueue.client.remote.survey import Queue, Running, Survey, Worker
from nbqueue.notebook import cluster_picture
from nbqueue.notebook.cluster_picture import ClusterPicture, as_message
from nbqueue.notebook.views import cluster as view
from nbqueue.store.rejections import Rejections

WORKER = Worker(
    name="a@box", host="box", pid=7, pool="prefork", processes=2, leaving=0, resizable=True,
    queues=("celery",), running=(), n_running=0, done=0, memory_mb=100.0, up_s=5.0,
)  # fmt: skip
RUN = Running("m", "id", "grid", "fit", 0, 100, 17, 2.5)


def survey(at, *workers, queues=()):
    return Survey(at, tuple(workers), tuple(queues))


def after(*surveys, **options):
    picture = ClusterPicture()
    for each in surveys:
        picture = cluster_picture.seen(picture, each, **options)
    return picture


def counts(*done, every_s=2.0):
    return [survey(10 + every_s * k, replace(WORKER, done=n)) for k, n in enumerate(done)]


@pytest.mark.parametrize(
    ("done", "rate"),
    [
        ([5], None),
        ([0, 20], 10.0),
        ([0, 20, 20, 40], 40 / 6),
        ([0, 100, 100, 100, 100, 100, 100], 0.0),  # what is longer ago than 10 s does not count
        ([50, 60, 0], None),  # started anew under the same name
        ([50, 0, 8], 4.0),
    ],
)
def test_a_rate_is_of_the_last_ten_seconds(done, rate):
    picture = after(*counts(*done))
    assert picture.workers[0].items_per_s == picture.items_per_s == rate


def test_the_clusters_rate_is_that_of_the_workers_that_answer():
    both = [
        survey(at, replace(WORKER, done=at), replace(WORKER, name="b@box", done=10 * at))
        for at in (0, 2)
    ]
    assert after(*both).items_per_s == 11.0
    assert after(*both, survey(4, replace(WORKER, done=4))).items_per_s == 1.0


def test_a_worker_that_misses_a_question_is_silent_and_then_gone():
    picture = after(survey(0, WORKER), survey(4))
    assert [picture.silent_s(each) for each in picture.workers] == [4.0]
    assert after(survey(0, WORKER), survey(20)).workers == ()
    back = after(survey(0, WORKER), survey(4), survey(6, WORKER))
    assert back.silent_s(back.workers[0]) == 0.0


def test_one_that_was_told_to_stop_is_waited_for_longer():
    told = cluster_picture.told_to_stop(after(survey(0, WORKER)), "a@box")
    still = cluster_picture.seen(told, survey(30))
    assert [(each.worker.name, each.stopping) for each in still.workers] == [("a@box", True)]
    gone = cluster_picture.seen(told, survey(100))
    assert (gone.workers, gone.stopping) == ((), frozenset())


def test_where_there_is_one_worker_at_a_time_the_next_takes_its_place():
    new = replace(WORKER, name="b@box")
    told = cluster_picture.told_to_stop(after(survey(0, WORKER)), "a@box")
    picture = cluster_picture.seen(told, survey(4, new), alone=True)
    assert [each.worker.name for each in picture.workers] == ["b@box"]
    assert len(cluster_picture.seen(told, survey(4), alone=True).workers) == 1


def test_trouble_leaves_what_was_known_and_goes_with_the_next_answer():
    picture = cluster_picture.missed(after(survey(0, WORKER)), "no broker answers")
    assert picture.trouble == "no broker answers"
    assert len(picture.workers) == 1
    assert cluster_picture.seen(picture, survey(2, WORKER)).trouble == ""


def test_what_does_not_answer_is_timed_from_when_that_was_first_noticed():
    picture = cluster_picture.missed(after(survey(0, WORKER)), "gone", 100.0, away="Redis …")
    picture = cluster_picture.missed(picture, "still gone", 109.0, away="Redis …")
    message = as_message(picture, now=112.0)
    assert (message["away"], message["away_s"], message["trouble"]) == ("Redis …", 12, "still gone")
    assert as_message(cluster_picture.seen(picture, survey(2, WORKER)))["away"] == ""
    again = cluster_picture.missed(cluster_picture.seen(picture, survey(2)), "", 200.0, away="x")
    assert as_message(again, now=200.0)["away_s"] == 0


def test_what_was_refused_is_counted_with_the_latest_and_why():
    refused = Rejections({"message": 2, "unreadable message": 1}, "message", "host/1", at=990.0)
    picture = cluster_picture.seen(ClusterPicture(), survey(0, WORKER), refused)
    told = as_message(picture, clock=1000.0)["refused"]
    assert (told["total"], told["by"], told["ago_s"]) == (3, "host/1", 10.0)
    assert told["last"] == "a message that is not signed with a key of the workers"
    assert told["counts"][1] == ["a message that cannot be read", 1]
    assert "3 refused; the last: a message that is not signed" in view.html(picture, "cluster")
    assert as_message(after(survey(0, WORKER)))["refused"] is None
    assert "refused" not in view.html(after(survey(0, WORKER)), "cluster")


def test_what_somebody_has_written_there_is_shown_at_no_length():
    refused = Rejections({f"{k}{'x' * 9999}": 1 for k in range(99)}, "<b>" * 9999, "y" * 9999, 0.0)
    picture = cluster_picture.seen(ClusterPicture(), survey(0), refused)
    assert len(str(as_message(picture))) < 6000
    page = view.html(picture, "cluster")
    assert "<b><b>" not in page
    assert len(page) < 6000


def test_a_message_is_bounded_and_says_so():
    many = [
        replace(WORKER, name=f"{k:03}@box", running=(RUN,) * 50, n_running=50) for k in range(500)
    ]
    message = as_message(after(survey(0, *many)))
    assert len(message["workers"]) == cluster_picture.MOST_WORKERS
    assert message["n_workers"] == 500
    assert len(message["workers"][0]["running"]) == cluster_picture.MOST_RUNNING
    assert message["workers"][0]["n_running"] == 50
    assert as_message(ClusterPicture())["known"] is False


def test_the_page_shows_workers_and_queues():
    busy = replace(WORKER, running=(RUN,), n_running=1, done=1234)
    picture = after(survey(0, busy, queues=[Queue("celery", 3, 1)]))
    page = view.html(picture, "Cluster on this machine", "as of noon")
    for text in ("a@box", "prefork", "grid 17 (2.5 s)", "1,234", "100 MB", "as of noon"):
        assert text in page
    assert "1 worker · 1 of 2 processes busy · 3 messages waiting" in page


def test_names_are_text_and_not_html():
    hostile = "<img src=x onerror=alert(1)>"
    worker = replace(
        WORKER, name=hostile, pool=hostile, queues=(hostile,),
        running=(replace(RUN, job=hostile),), n_running=1,
    )  # fmt: skip
    picture = cluster_picture.missed(
        after(survey(0, worker, queues=[Queue(hostile, 1, 0)])), hostile
    )
    page = view.html(picture, hostile, hostile)
    assert "<img" not in page
    assert page.count("&lt;img") >= 6


def test_before_the_first_answer_the_page_says_only_what_it_is():
    assert view.html(ClusterPicture(), "Cluster on this machine").count("<table") == 0
    assert view.summary(after(survey(0))) == "0 workers · 0 messages waiting"
