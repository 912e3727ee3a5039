"""Large values: stored once, verified, and private to whoever reads them."""

import gc
import os
import resource

import numpy as np
import pytest

from nbqueue.core.errors import BadSignature, Expired, InfrastructureError
from nbqueue.store import keys
from nbqueue.store.signing import Keyring
from nbqueue.store.values.blobs import Blobs, cache_folder, private_folder
from nbqueue.store.values.packing import pack, unpack
from tests.unit.builders import KEY

BIG = bytes(range(256)) * 5000


@pytest.fixture
def here(fake_store, tmp_path):
    return Blobs(fake_store, Keyring(KEY), tmp_path, remote=False)


@pytest.fixture
def make_remote(store, tmp_path_factory):
    return lambda key=KEY: Blobs(
        store, Keyring(key), tmp_path_factory.mktemp("machine"), remote=True
    )


def test_equal_bytes_are_one_file(here, tmp_path):
    address = here.put(BIG)
    assert here.put(memoryview(bytearray(BIG))) == address
    assert [path.name for path in tmp_path.iterdir()] == [address]
    assert here.get(address) == BIG


def test_bytes_travel_through_the_store_to_another_machine(make_remote, store, monkeypatch):
    monkeypatch.setattr("nbqueue.store.values.blobs._CHUNK", 300_000)
    one, other = make_remote(), make_remote()
    address = one.put(BIG)
    assert store.llen(keys.blob(address)) == 5
    assert one.put(BIG) == address
    assert list(store.keys("nbq:blob:*")) == [keys.blob(address).encode()]
    assert store.ttl(keys.blob(address)) > 0
    assert other.get(address) == BIG
    store.flushall()
    assert other.get(address) == BIG  # kept on this machine


def test_files_that_nobody_has_used_for_long_are_swept(here, tmp_path):
    old, read, sent, renewed = (here.put(bytes([k]) * 100) for k in range(4))
    half = tmp_path / f"{'5' * 64}.123.456"
    not_ours = tmp_path / "README"
    for path in (half, not_ours):
        path.write_bytes(b"x")
    for path in tmp_path.iterdir():
        os.utime(path, (1.0, 1.0))
    held = here.get(read)
    here.put(bytes([2]) * 100)
    assert here.renew(renewed) == bytes([3]) * 100
    assert here.renew("0" * 64) is None
    assert here.sweep() == 2
    assert {path.name for path in tmp_path.iterdir()} == {read, sent, renewed, "README"}
    assert held == bytes([1]) * 100
    with pytest.raises(Expired, match="send the value again"):
        here.get(old)


def test_what_a_process_keeps_open_and_uses_is_not_swept(here, tmp_path, monkeypatch):
    address = here.put(BIG)
    here.get(address)
    os.utime(tmp_path / address, (1.0, 1.0))
    monkeypatch.setattr("nbqueue.store.values.blobs._USE_S", 0.0)
    here.get(address)
    assert here.sweep() == 0


def test_what_is_used_from_a_copy_is_kept_in_the_store_too(make_remote, store, monkeypatch):
    one = make_remote()
    address = one.put(BIG)
    one.get(address)
    store.expire(keys.blob(address), 60)
    monkeypatch.setattr("nbqueue.store.values.blobs._USE_S", 0.0)
    one.get(address)
    assert store.ttl(keys.blob(address)) > 60


def test_a_file_that_cannot_be_deleted_is_told_of(here, tmp_path, monkeypatch, caplog):
    path = tmp_path / here.put(BIG)
    os.utime(path, (1.0, 1.0))

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(type(path), "replace", refuse)
    assert here.sweep() == 0
    assert "cannot be deleted" in caplog.text
    assert path.exists()


def test_bytes_that_are_gone_are_expired(make_remote):
    with pytest.raises(Expired, match="send the value again"):
        make_remote().get("0" * 64)


def test_changed_bytes_are_refused(here, tmp_path):
    address = here.put(BIG)
    for content in (BIG[:-1] + b"!", BIG + b"!", b"x", b""):
        (tmp_path / address).write_bytes(content)
        with pytest.raises(BadSignature, match="send the value again"):
            Blobs(here._store, Keyring(KEY), tmp_path, remote=False).get(address)


def test_bytes_that_were_damaged_are_whole_when_they_are_put_again(here, tmp_path):
    address = here.put(BIG)
    (tmp_path / address).write_bytes(BIG[:-1] + b"!")
    with pytest.raises(BadSignature):
        here.get(address)
    assert here.put(BIG) == address
    assert here.get(address) == BIG


def test_bytes_that_were_damaged_in_the_store_are_whole_when_they_are_put_again(make_remote, store):
    one, other = make_remote(), make_remote()
    address = one.put(BIG)
    store.lset(keys.blob(address), 0, b"x" * len(BIG))
    with pytest.raises(BadSignature):
        other.get(address)
    assert one.put(BIG) == address
    assert other.get(address) == BIG


def test_a_damaged_file_is_fetched_from_the_store_again(make_remote):
    one, other = make_remote(), make_remote()
    address = one.put(BIG)
    other.get(address)
    other.release(0)
    (other.folder / address).write_bytes(BIG[:-1] + b"!")
    assert other.get(address) == BIG


def test_changed_bytes_in_the_store_are_refused(make_remote, store):
    address = make_remote().put(BIG)
    store.rpush(keys.blob(address), b"more")
    with pytest.raises(BadSignature):
        make_remote().get(address)


def test_bytes_of_another_key_are_refused(make_remote):
    address = make_remote().put(BIG)
    with pytest.raises(BadSignature):
        make_remote("another key that is long enough").get(address)


def test_a_file_that_a_crash_cut_short_is_written_again(here, tmp_path):
    address = here.put(BIG)
    (tmp_path / address).write_bytes(b"")
    assert here.put(BIG) == address
    assert here.get(address) == BIG


def test_what_one_reader_changes_no_other_sees(here, tmp_path):
    address = here.put(BIG)
    first = here.get(address)
    first[:4] = b"mine"
    assert here.get(address) == BIG
    assert (tmp_path / address).read_bytes() == BIG


def test_an_array_that_a_task_changes_is_whole_for_the_next(here):
    packed = pack(np.zeros(300_000), here)
    array = unpack(packed, here)
    array += 1
    assert unpack(packed, here).sum() == 0


def test_a_file_that_is_replaced_while_it_is_known_keeps_its_bytes(here, tmp_path):
    address = here.put(BIG)
    assert here.get(address) == BIG
    other = tmp_path / "other"
    other.write_bytes(b"evil" * 320_000)
    other.replace(tmp_path / address)
    assert here.get(address) == BIG


def open_files():
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - counting must open no more than one


def test_thousands_of_large_values_do_not_use_up_the_file_descriptors(here):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, open_files() + 400), hard))
    try:
        addresses = [here.put(b"%06d" % i * 20) for i in range(600)]
        held = [here.get(address) for address in addresses]
        assert [bytes(view[:6]) for view in held] == [b"%06d" % i for i in range(600)]
        held[500][:1] = b"!"  # writable all the same
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    before = open_files()
    del held
    here.release(0)
    gc.collect()
    assert open_files() < before - 200


def test_a_full_disk_leaves_nothing_behind_and_says_what_to_do(here, tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *exc):
            return None

        def write(self, value):
            raise OSError(28, "No space left on device")

    original = type(tmp_path).open

    def fail(path, mode="r", *args, **kwargs):
        file = original(path, mode, *args, **kwargs)
        if "w" not in mode:
            return file
        file.close()
        return Full()

    monkeypatch.setattr(type(tmp_path), "open", fail)
    with pytest.raises(InfrastructureError, match=r"No space left.*NBQUEUE_HOME"):
        pack(np.zeros(300_000), here)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NBQUEUE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder == tmp_path / "blobs"
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(InfrastructureError, match="belongs to another user"):
        private_folder(folder)
