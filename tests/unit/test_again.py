"""Items that are put off: the messages that will run them, and the record."""

from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core.records import Error
from nbqueue.core.splitting import runs_of
from nbqueue.store.broker import message as messages
from nbqueue.store.broker.message import Attempt, Message
from nbqueue.store.log.opening import Opening
from nbqueue.store.signing import Keyring
from nbqueue.worker.reporting.again import PutOff, later, parts
from tests.unit.builders import KEY, make_spec

WHY = Error("OSError", "away", "tb", b"pickled")
MESSAGE = Message(Opening(make_spec(1000), b"body", b"s" * 32, b""), 0, 1000, 2, whole=True)

put_offs = st.lists(
    st.builds(
        PutOff,
        st.builds(Attempt, st.integers(0, 999), st.integers(1, 9), st.binary(max_size=5)),
        st.floats(1000, 1010),
        st.sampled_from([WHY, Error("ValueError", "no", "")]),
    ),
    min_size=1,
    max_size=50,
    unique_by=lambda one: one.attempt.item,
)


@given(put_offs)
def test_every_item_is_in_one_message_that_is_due_soon_after_it(found):
    record, kept = later(MESSAGE, found, "w1")
    assert sorted(a for _, m in kept for a in m.again) == sorted(one.attempt for one in found)
    when = {a.item: due for due, m in kept for a in m.again}
    assert all(0 <= when[one.attempt.item] - one.due <= 0.05 + 1e-9 for one in found)
    for _, kept_message in kept:
        items = [a.item for a in kept_message.again]
        assert (kept_message.start, kept_message.stop) == (min(items), max(items) + 1)
        assert kept_message.check
        assert kept_message.round == 2
        assert not kept_message.whole
    assert [(i, k) for i, k, _, _ in record.items] == [one.attempt[:2] for one in found]
    assert all(record.errors[why].pickled == b"" for *_, why in record.items)


def test_a_thousand_items_that_are_due_together_are_few_messages_and_one_error():
    found = [PutOff(Attempt(i, 1), 1000 + i / 1e6, WHY) for i in range(1000)]
    record, kept = later(MESSAGE, found, "w1")
    assert len(kept) == 2
    assert len(record.errors) == 1


@given(put_offs, st.integers(1, 9), st.data())
def test_what_is_left_of_a_message_of_retries_is_divided_whole(found, n, data):
    message = MESSAGE.of_attempts([one.attempt for one in found])
    left = data.draw(st.sets(st.sampled_from([a.item for a in message.again]), min_size=1))
    made = parts(message, runs_of(sorted(left)), n)
    assert sorted(a.item for m in made for a in m.again) == sorted(left)
    assert len(made) <= n


def test_a_message_of_retries_arrives_as_it_was():
    keyring = Keyring(KEY)
    spec = make_spec(1000)
    opening = Opening(spec, messages.wire.encode(spec), b"s" * 32, b"")
    sent = Message(opening, 0, 1000).of_attempts([Attempt(7, 2, b"\0\xff"), Attempt(3, 1)])
    assert messages.decode(keyring, messages.encode(keyring, sent)) == sent
