"""Messages: what is signed comes back, what is not is refused before anything is read."""

from base64 import b64decode, b64encode

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.store.broker.message import Message, Unverified, decode, encode
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.signing import Keyring
from tests.unit.builders import make_spec

KEYRING = Keyring("k" * 32)
OTHER = Keyring("o" * 32)


def make_message(call=b"", **options):
    joblog = JobLog(fakeredis.FakeRedis(), KEYRING)
    opening = joblog.opening(make_spec(10, block=0 if call else 4), call)
    return Message(opening, 2, 7, round=3, **options)


@given(st.booleans(), st.booleans(), st.binary(max_size=200), st.text(max_size=20))
def test_a_message_comes_back_as_it_was(whole, check, call, function):
    message = make_message(call, whole=whole, check=check, function=function)
    assert decode(KEYRING, encode(KEYRING, message)) == message


def test_a_single_call_brings_its_arguments():
    assert decode(KEYRING, encode(KEYRING, make_message(b"Pxyz"))).opening.inline == b"Pxyz"


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_message_of_which_one_byte_was_changed_is_refused(place, change):
    sealed = bytearray(b64decode(encode(KEYRING, make_message(b"Pxyz"))))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(Unverified):
        decode(KEYRING, b64encode(bytes(sealed)).decode())


@given(st.integers(min_value=0, max_value=2000))
def test_a_message_that_was_cut_short_is_refused(length):
    envelope = encode(KEYRING, make_message(b"Pxyz"))
    with pytest.raises(Unverified):
        decode(KEYRING, envelope[: min(length, len(envelope) - 4)])


def test_a_message_signed_with_another_key_is_refused_and_says_what_it_claims_to_be():
    message = make_message()
    with pytest.raises(Unverified) as caught:
        decode(KEYRING, encode(OTHER, message))
    claim = caught.value
    assert (claim.job_id, claim.start, claim.stop, claim.round) == (message.spec.id, 2, 7, 3)
