import multiprocessing
import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from nbqueue.cluster import folder as folders
from nbqueue.cluster.folder import FileLock
from nbqueue.core.errors import ClusterError


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_folder_is_below_nbqueue_home_and_named_after_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NBQUEUE_HOME", str(tmp_path))
    here = folders.default_folder()
    assert here.parent == tmp_path
    monkeypatch.setattr(sys, "prefix", "/somewhere/else")
    assert folders.default_folder() != here


@pytest.mark.parametrize(
    ("platform", "data", "expected"),
    [
        ("linux", "/data", "/data/nbqueue"),
        ("linux", "relative/is/ignored", "/home/ada/.local/share/nbqueue"),
        ("linux", "", "/home/ada/.local/share/nbqueue"),
        ("darwin", "/data", "/home/ada/Library/Application Support/nbqueue"),
    ],
)
def test_without_nbqueue_home_it_is_in_the_users_data(monkeypatch, platform, data, expected):
    monkeypatch.delenv("NBQUEUE_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", data)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(sys, "platform", platform)
    assert folders.default_folder().parent == Path(expected)


def test_prepare_makes_folders_that_only_we_can_enter(tmp_path):
    old = os.umask(0)
    try:
        folders.prepare(tmp_path / "a" / "b")
    finally:
        os.umask(old)
    assert mode(tmp_path / "a" / "b") == 0o700
    assert mode(tmp_path / "a" / "b" / "blobs") == 0o700


def test_prepare_closes_a_folder_that_others_could_read(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    folders.prepare(tmp_path / "open")
    assert mode(tmp_path / "open") == 0o700


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ClusterError, match=r"belongs to user id .*NBQUEUE_HOME"):
        folders.prepare(tmp_path / "theirs")


def test_a_file_system_without_permissions_is_refused(tmp_path, monkeypatch):
    (tmp_path / "fat").mkdir()
    (tmp_path / "fat").chmod(0o777)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(ClusterError, match=r"mode 777.*local disk"):
        folders.prepare(tmp_path / "fat")


def test_a_planted_link_is_refused(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(ClusterError, match="something else"):
        folders.prepare(tmp_path / "link")


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match=r"cannot use its folder .*NBQUEUE_HOME"):
        folders.prepare(tmp_path / "file" / "below")


def test_the_key_is_made_once_and_readable_by_us_alone(tmp_path):
    key = folders.read_key(tmp_path)
    assert len(bytes.fromhex(key)) == 32
    assert mode(tmp_path / "key") == 0o600
    assert folders.read_key(tmp_path) == key


def test_half_a_key_of_a_crash_is_not_taken_for_one(tmp_path):
    (tmp_path / "key.new").write_text("abc")
    assert len(folders.read_key(tmp_path)) == 64


def test_a_damaged_key_is_reported_and_not_shown(tmp_path):
    (tmp_path / "key").write_text("secret")
    with pytest.raises(ClusterError, match="6 characters") as caught:
        folders.read_key(tmp_path)
    assert "secret" not in str(caught.value)


def test_a_key_left_readable_is_closed(tmp_path):
    key = folders.read_key(tmp_path)
    (tmp_path / "key").chmod(0o644)
    assert folders.read_key(tmp_path) == key
    assert mode(tmp_path / "key") == 0o600


def test_a_short_path_holds_the_socket_itself(tmp_path):
    assert folders.socket_path(Path("/x/y")) == Path("/x/y/redis.sock")


@pytest.mark.parametrize("temp", ["/tmp", "/tmp/" + "t" * 100])
def test_a_long_path_puts_the_socket_in_a_private_temp_folder(monkeypatch, temp):
    monkeypatch.setattr(tempfile, "tempdir", temp)
    found = folders.socket_path(Path("/" + "x" * 120))
    try:
        assert len(os.fsencode(found)) <= folders.MAX_SOCKET_BYTES
        assert mode(found.parent) == 0o700
    finally:
        found.parent.rmdir()


def test_a_lock_excludes_and_is_given_back(tmp_path):
    one, two = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.try_acquire()
    assert not two.try_acquire()
    assert not two.acquire(0.02)
    one.release()
    assert two.try_acquire()
    two.release()
    two.release()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_lock_is_given_back_even_if_a_fork_still_lives(tmp_path):
    one, two = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.try_acquire()
    end = multiprocessing.get_context("fork").Event()
    child = multiprocessing.get_context("fork").Process(target=end.wait)
    child.start()
    try:
        one.release()
        assert two.try_acquire()
    finally:
        end.set()
        child.join()
        two.release()


def test_a_lock_knows_that_its_file_was_replaced(tmp_path):
    lock = FileLock(tmp_path / "alive")
    assert lock.try_acquire()
    assert lock.still_in_folder()
    (tmp_path / "alive").rename(tmp_path / "gone")
    assert not lock.still_in_folder()
    (tmp_path / "alive").write_text("")
    assert not lock.still_in_folder()
    lock.release()


def test_a_large_log_is_cut_to_its_end_and_its_writer_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(folders, "KEPT_LOG_BYTES", 100)
    path = tmp_path / "worker.log"
    with path.open("a") as writer:
        writer.write("x" * 2000 + "END")
        writer.flush()
        folders.cap_logs(tmp_path)
        writer.write("more")
    text = path.read_text()
    assert text.startswith("[older lines were cut]\n")
    assert text.endswith("xENDmore")
    assert len(text) < 200


def test_tail_shows_the_last_lines_since_a_mark(tmp_path):
    path = tmp_path / "log"
    assert folders.tail(path) == ""
    path.write_text("old\n")
    mark = path.stat().st_size
    with path.open("a") as file:
        file.write("".join(f"line {i}\n" for i in range(20)))
    assert folders.tail(path, lines=2) == "line 18\nline 19"
    assert "old" not in folders.tail(path, lines=100, since_bytes=mark)
    path.write_text("cut\n")
    assert folders.tail(path, since_bytes=10_000) == "cut"
