"""What is left of an item's outputs, and what a worker keeps of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core.outputs import settle
from nbqueue.worker.reporting.outputs import LIMIT_CHARS, Outputs


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(text, display_id=None, kind="display_data"):
    output = {"output_type": kind, "data": {"text/plain": text}, "metadata": {}}
    return output if display_id is None else {**output, "transient": {"display_id": display_id}}


def update(text, display_id):
    return shown(text, display_id, kind="update_display_data")


def clear(wait=False):
    return {"output_type": "clear_output", "wait": wait}


# -- settle ----------------------------------------------------------------------------------------


def test_neighbouring_texts_of_one_stream_become_one():
    said = [stream("a"), stream("b"), stream("c", "stderr"), stream("d")]
    assert settle(said) == [stream("ab"), stream("c", "stderr"), stream("d")]


def test_an_update_changes_every_output_of_its_id_and_nothing_else():
    said = [shown("1", "x"), shown("2", "y"), shown("3", "x"), update("9", "x")]
    assert settle(said) == [shown("9"), shown("2"), shown("9")]


def test_an_update_of_what_was_never_shown_shows_nothing():
    assert settle([update("9", "x")]) == []


def test_clearing_takes_away_at_once():
    assert settle([stream("a"), clear(), stream("b")]) == [stream("b")]
    assert settle([stream("a"), clear()]) == []


def test_clearing_with_wait_takes_away_when_the_next_output_comes():
    assert settle([stream("a"), clear(wait=True)]) == [stream("a")]
    assert settle([stream("a"), clear(wait=True), stream("b")]) == [stream("b")]
    assert settle([stream("a"), clear(wait=True), clear(), stream("b")]) == [stream("b")]


def test_what_was_cleared_is_updated_no_more():
    assert settle([shown("1", "x"), clear(), update("2", "x")]) == []


texts = st.text(alphabet="ab\n", min_size=1, max_size=3)
ids = st.sampled_from([None, "x", "y"])
messages = st.lists(
    st.one_of(
        st.builds(stream, texts, st.sampled_from(["stdout", "stderr"])),
        st.builds(shown, texts, ids),
        st.builds(update, texts, st.sampled_from(["x", "y"])),
        st.builds(clear, st.booleans()),
    ),
    max_size=12,
)


@given(messages)
def test_what_is_settled_stays_as_it_is(said):
    once = settle(said)
    assert settle(once) == once
    assert all("transient" not in output for output in once)
    assert {output["output_type"] for output in once} <= {"stream", "display_data"}


# -- what a worker keeps ---------------------------------------------------------------------------


def kept(said, *, takes=(), item=0):
    """All records of an item's outputs, taken after some of them and at the end."""
    outputs = Outputs("m")
    records = []
    for k, output in enumerate(said):
        outputs.add(item, output)
        if k in takes:
            records += outputs.take()
    outputs.end([item])
    return records + outputs.take()


@given(messages, st.sets(st.integers(0, 11)))
def test_what_is_kept_settles_as_all_would(said, takes):
    records = kept(said, takes=takes)
    assert settle(r.output for r in records) == settle(said)


@given(messages, st.sets(st.integers(0, 11)))
def test_records_are_numbered_in_order(said, takes):
    records = kept(said, takes=takes)
    assert [r.place for r in records] == list(range(len(records)))


def test_updates_that_nobody_has_seen_cost_one():
    said = [shown("0", "x"), *(update(str(i), "x") for i in range(1000))]
    assert [r.output["data"]["text/plain"] for r in kept(said)] == ["0", "999"]


def test_what_is_cleared_before_anybody_saw_it_is_not_written():
    said = [stream("x" * 1000), clear(wait=True), stream("y")]
    assert [r.output for r in kept(said)] == [clear(wait=True), stream("y")]
    assert [r.output for r in kept([stream("x"), clear()])] == [clear()]


def test_a_loop_of_clears_and_prints_does_not_use_up_the_limit():
    said = [m for i in range(300) for m in (clear(wait=True), stream(str(i) * 10_000))]
    (output,) = settle(r.output for r in kept(said))
    assert output["text"].startswith("299")


def test_too_much_text_is_cut_with_one_line_that_counts_the_rest():
    said = [stream("x" * 600_000), stream("y" * 600_000), stream("z" * 5)]
    text, line, end = settle(r.output for r in kept(said, takes=[0, 1]))
    assert len(text["text"]) == LIMIT_CHARS
    assert line["data"]["text/plain"] == (
        "[nbqueue: this item put out more than 1 MB; left out: 190,005 characters]"
    )
    assert end == stream("y" * 9_995 + "z" * 5)


printed = st.builds(stream, texts, st.sampled_from(["stdout", "stderr"]))


@given(st.lists(printed))
def test_the_end_of_what_is_cut_is_as_it_was_put_out(said):
    flood = stream("x" * 2 * LIMIT_CHARS, "stderr")
    *_, line, first = settle(r.output for r in kept([flood]))
    assert first == stream("x" * 10_000, "stderr")
    outputs = settle(r.output for r in kept([flood, *said]))
    end = outputs[2:]
    whole = settle([flood, *said])
    assert sum(len(o["text"]) for o in end) == 10_000
    assert end[1:] == whole[1:]
    assert whole[0]["text"].endswith(end[0]["text"])
    assert line["data"]["text/plain"].endswith("left out: 990,000 characters]")


def test_text_that_goes_just_beyond_the_limit_is_there_to_its_end():
    outputs = settle(r.output for r in kept([stream("x" * LIMIT_CHARS), stream("last\n")]))
    assert outputs[1]["data"]["text/plain"].endswith("more than 1 MB; left out: nothing]")
    assert outputs[2] == stream("last\n")


def test_the_end_of_a_flood_comes_before_the_error_that_ended_it():
    error = {"output_type": "error", "ename": "E", "evalue": "e", "traceback": ["a"]}
    said = [stream("x" * 2 * LIMIT_CHARS), stream("why\n"), error, stream("after\n")]
    _, line, end, told, after = settle(r.output for r in kept(said))
    assert end["text"].endswith("xwhy\n")
    assert (told["output_type"], after) == ("error", stream("after\n"))
    assert line["data"]["text/plain"].endswith("left out: 990,004 characters]")


def test_images_beyond_the_limit_are_counted():
    image = {
        "output_type": "display_data",
        "data": {"image/png": "A" * 400_000, "text/plain": "<Figure>"},
        "metadata": {},
    }
    *images, line = settle(r.output for r in kept([image] * 5))
    assert images == [image] * 2
    assert line["data"]["text/plain"].endswith("left out: 3 images]")


def test_the_cut_is_told_while_the_item_runs():
    outputs = Outputs("m")
    outputs.add(0, stream("x" * 2 * LIMIT_CHARS))
    assert "left out" in settle(r.output for r in outputs.take())[1]["data"]["text/plain"]


def test_the_limit_is_an_items_own():
    outputs = Outputs("m")
    for item in range(3):
        outputs.add(item, stream("x" * (LIMIT_CHARS - 1)))
    assert len(outputs.take()) == 3


def test_an_error_is_kept_whatever_came_before():
    error = {"output_type": "error", "ename": "E", "evalue": "e", "traceback": ["a", "b"]}
    said = settle(r.output for r in kept([stream("x" * 2 * LIMIT_CHARS), error]))
    assert [o["output_type"] for o in said] == ["stream", "display_data", "stream", "error"]


def test_an_endless_traceback_is_shortened_in_its_middle():
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["line"] * 5000}
    (record,) = kept([error])
    assert len(record.output["traceback"]) == 1001
    assert record.output["traceback"][500] == "… 4,000 lines left out …"


@pytest.mark.parametrize("n", [0, 1])
def test_an_item_that_put_out_little_ends_without_a_word(n):
    assert len(kept([stream("x")] * n)) == n
