"""Who signed what, and for which place."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.core.errors import BadSignature, UsageError
from nbqueue.store.signing import SIZE, Keyring, generate
from tests.unit.builders import KEY

OLD, NEW = "an old key that is long enough", "a new key that is long enough"


@given(st.text(), st.binary())
def test_what_is_sealed_is_unsealed_in_its_place_only(context, body):
    ring = Keyring(KEY)
    sealed = ring.seal(context, body)
    assert ring.unseal(context, sealed) == body
    with pytest.raises(BadSignature):
        ring.unseal(context + "x", sealed)
    with pytest.raises(BadSignature):
        Keyring(NEW).unseal(context, sealed)


@given(st.binary(min_size=1), st.data())
def test_a_changed_byte_breaks_the_seal(body, data):
    sealed = bytearray(Keyring(KEY).seal("here", body))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadSignature):
        Keyring(KEY).unseal("here", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"x", b"\0" * (SIZE - 1), b"\0" * SIZE])
def test_too_few_bytes_are_a_bad_signature(sealed):
    with pytest.raises(BadSignature):
        Keyring(KEY).unseal("here", sealed)


@given(st.text(), st.text(), st.binary())
def test_no_context_and_body_pass_for_others_of_the_same_text(context, more, body):
    ring = Keyring(KEY)
    moved = ring.sign(context, more.encode() + b"\0" + body)
    assert not ring.verify(f"{context}\0{more}", body, moved)


@given(st.text(max_size=20), st.binary(max_size=50))
def test_the_address_of_a_value_is_never_the_signature_of_something_else(context, body):
    # An array whose bytes somebody else chose must not have an address that signs a message.
    ring = Keyring(KEY)
    for chosen in (context.encode() + b"\0" + body, body):
        assert not ring.verify(context, body, bytes.fromhex(ring.address(chosen, "blob")))
        assert not ring.verify("", chosen, bytes.fromhex(ring.address(chosen, "blob")))


@pytest.mark.parametrize("size", [0, 10, 99_999, 100_000, 3_000_000])
def test_large_and_small_values_have_one_address_each(size):
    ring, body = Keyring(KEY), b"a" * size
    assert ring.address(body, "blob") == ring.address(memoryview(bytearray(body)), "blob")
    assert ring.matches(ring.address(body, "blob"), body, "blob")
    assert not ring.matches(ring.address(body, "blob"), body + b"a", "blob")
    assert not Keyring(NEW).matches(ring.address(body, "blob"), body, "blob")


def test_keys_are_rotated_by_having_both_for_a_while():
    before, between, after = Keyring(OLD), Keyring(f"{NEW}, {OLD}"), Keyring(NEW)
    old, new = before.seal("here", b"x"), between.seal("here", b"x")
    assert between.unseal("here", old) == between.unseal("here", new) == b"x"
    assert after.unseal("here", new) == b"x"
    assert between.matches(before.address(b"blob", "blob"), b"blob", "blob")
    with pytest.raises(BadSignature):
        after.unseal("here", old)


def test_the_address_of_a_value_is_never_that_of_a_function():
    # A downloaded array may hold a pickle: nobody can have it called by naming its address.
    ring = Keyring(KEY)
    address = ring.address(b"anything", "blob")
    assert not ring.matches(address, b"anything", "function")
    assert not ring.matches(ring.address(b"anything", "function"), b"anything", "blob")
    with pytest.raises(BadSignature, match="submit it again"):
        ring.check(address, b"anything", "function", "submit it again")
    ring.check(address, b"anything", "blob", "")


@pytest.mark.parametrize("address", ["", "x", "é" * 64, "\udc80", "0" * 64])
def test_what_is_no_address_names_nothing(address):
    assert not Keyring(KEY).matches(address, b"anything", "blob")


def test_whatever_is_refused_is_told():
    ring, told = Keyring(KEY), []
    ring.on_refusal = told.append
    for context in ("message", "arguments 3 of job x", "schedule s", "cached result 0", "other"):
        with pytest.raises(BadSignature):
            ring.unseal(context, b"x" * 50)
    with pytest.raises(BadSignature):
        ring.check("0" * 64, b"", "function", "")
    assert told == [
        "message",
        "argument block",
        "schedule",
        "cached result",
        "log record",
        "function",
    ]


@pytest.mark.parametrize(
    "keys",
    ["", " ", ",", "s3cret", f"{KEY},s3cret", f"s3cret, {KEY}", f"{KEY}\ns3cret", f"s3cret\0{KEY}"],
)
def test_a_key_that_is_no_key_is_refused_without_being_shown(keys):
    with pytest.raises(UsageError, match="nbqueue keygen") as caught:
        Keyring(keys)
    assert "s3cret" not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("keys", [None, 3, KEY.encode()])
def test_a_key_that_is_not_text_is_refused(keys):
    with pytest.raises(UsageError, match="is text, not"):
        Keyring(keys)


def test_a_key_from_the_environment(monkeypatch):
    monkeypatch.setenv("NBQUEUE_KEY", KEY)
    assert Keyring.from_environment().verify("a", b"b", Keyring(KEY).sign("a", b"b"))
    monkeypatch.delenv("NBQUEUE_KEY")
    with pytest.raises(UsageError, match="NBQUEUE_KEY"):
        Keyring.from_environment()


def test_generated_keys_are_good_and_differ():
    assert generate() != generate()
    Keyring(generate())


def test_a_keyring_shows_and_gives_away_nothing():
    import cloudpickle

    ring = Keyring(KEY)
    assert KEY not in repr(ring)
    for travel in (pickle.dumps, cloudpickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="does not travel") as caught:
            travel(ring)
        assert KEY not in str(caught.value)
