"""Workers' answers as frames: with rows, without, and of answers that make no sense."""

import pandas as pd
import pytest

from nbqueue.client.remote import answers

REQUEST = {
    "id": "m1",
    "name": "fit",
    "args": "grid[10:20] of job abc",
    "delivery_info": {"routing_key": "gpu", "priority": 3},
}
PLAIN = {"id": "m2", "name": "proj.add", "args": "(1, 2)", "delivery_info": {}}


def test_reserved_messages_say_what_they_are_about():
    frame = answers.reserved({"a@x": {"reserved": [REQUEST, PLAIN]}}, {})
    mine, plain = frame.to_dict("records")
    assert frame.index.tolist() == ["a@x", "a@x"]
    assert (mine["task"], mine["job"], mine["job_id"]) == ("fit", "grid", "abc")
    assert (mine["start"], mine["stop"], mine["queue"], mine["priority"]) == (10, 20, "gpu", 3)
    assert (plain["task"], plain["job"], plain["args"]) == ("proj.add", "", "(1, 2)")
    assert pd.isna(plain["start"])


def test_scheduled_messages_have_their_time():
    later = {"eta": "2030-01-02T03:04:05+00:00", "request": REQUEST}
    frame = answers.scheduled({"a@x": {"scheduled": [later]}}, {"c@x": [{**later, "eta": "soon"}]})
    assert frame["eta"].tolist() == [pd.Timestamp("2030-01-02T03:04:05Z"), pd.NaT]
    assert str(frame["eta"].dtype).endswith("UTC]")


def test_active_of_both_kinds_of_workers():
    look = {"running": [{"id": "m1", "task": "fit", "what": REQUEST["args"], "item": 12}]}
    look["running"][0]["item_for_s"] = 2.5
    frame = answers.active({"a@x": look, "c@x": {"error": "what?"}}, {"c@x": [PLAIN]})
    mine, plain = frame.to_dict("records")
    assert (mine["task"], mine["job"], mine["item"], mine["seconds"]) == ("fit", "grid", 12, 2.5)
    assert (plain["task"], plain["args"], plain["job"]) == ("proj.add", "(1, 2)", "")


def test_orders_tell_who_did_and_who_did_not():
    said = {"a@x": {"ok": "done"}, "b@x": {"error": "unknown task"}}
    frame = answers.orders(said)
    assert frame["ok"].to_dict() == {"a@x": True, "b@x": False}
    assert frame["answer"].tolist() == ["done", "unknown task"]
    assert answers.refusals(said) == ["unknown task"]


def test_pings_list_the_silent_too():
    frame = answers.pings({"b@x": {"ok": "pong"}}, ["a@x"])
    assert frame["ok"].to_dict() == {"a@x": False, "b@x": True}


def test_tasks_and_what_differs_in_them():
    frame = answers.registered({"a@x": ["proj.add [rate_limit=10/s]", "proj.mul"]})
    assert frame["task"].tolist() == ["proj.add", "proj.mul"]
    assert frame["info"].tolist() == ["rate_limit=10/s", ""]


def test_settings_have_a_column_a_worker():
    frame = answers.settings({"a@x": {"x": 1}, "b@x": {"x": 2, "y": None}, "c@x": {"error": "?"}})
    assert frame.columns.tolist() == ["a@x", "b@x"]
    assert frame.loc["x"].tolist() == [1, 2]


NONSENSE = [None, 3, "text", [], {}, [None, 7], {"error": "x"}, {"ok": None}]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=repr)
@pytest.mark.parametrize(
    "read",
    [
        answers.orders,
        answers.stats,
        answers.registered,
        answers.queues,
        answers.settings,
        answers.reports,
        answers.revoked,
        answers.queried,
        lambda said: answers.pings(said, ()),
        lambda said: answers.active(said, said),
        lambda said: answers.reserved(said, said),
        lambda said: answers.scheduled(said, said),
    ],
)
def test_answers_that_make_no_sense_break_nothing(read, nonsense):
    nothing = read({})
    frame = read({"a@x": nonsense})
    if read is not answers.settings:
        assert frame.dtypes.to_dict() == nothing.dtypes.to_dict()
