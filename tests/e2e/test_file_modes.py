"""Nobody else can read what nbqueue writes, whatever the umask."""

import os
import stat
from pathlib import Path

import pytest

import nbqueue as nq
from nbqueue.core.errors import InfrastructureError
from nbqueue.store.signing import Keyring
from nbqueue.store.values import blobs


@pytest.fixture
def open_umask():
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


def loose(folder):
    """What of a folder others may read, write or enter (sockets aside: their folder is closed)."""
    found = [folder, *folder.rglob("*")]
    return [
        f"{path} {path.lstat().st_mode:o}"
        for path in found
        if not path.is_symlink()
        and not stat.S_ISSOCK(path.lstat().st_mode)
        and path.lstat().st_mode & 0o077
    ]


def test_the_embedded_cluster_writes_for_its_user_only(open_umask, local_cluster, home):
    with local_cluster(workers=1) as made:
        made.connect()
        ref = nq.put(b"x" * 3_000_000)
        assert nq.task(len).submit(ref).result(timeout=40) == 3_000_000
        assert nq.task(lambda: b"y" * 3_000_000).submit().result(timeout=40)[:1] == b"y"
        assert len(list((made.folder / "blobs").iterdir())) >= 2
        assert loose(made.folder) == []


def test_the_folders_above_the_clusters_are_made_for_its_user_only(open_umask, bare_at, tmp_path):
    made = bare_at(tmp_path / "a" / "b" / "c")
    made.ensure()
    made.whole()
    try:
        assert loose(tmp_path / "a") == []
    finally:
        made.leave()
        from nbqueue.cluster import embedded

        embedded.stop(made.folder)


def test_blobs_of_other_clusters_are_kept_for_their_user_only(open_umask, tmp_path, monkeypatch):
    monkeypatch.setattr(blobs.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("NBQUEUE_HOME")
    folder = blobs.cache_folder()
    kept = blobs.Blobs(None, Keyring("k" * 32), folder, remote=False)
    kept.put(b"x" * 2_000_000)
    assert loose(tmp_path / f"nbqueue-{os.getuid()}") == []
    monkeypatch.setenv("NBQUEUE_HOME", str(tmp_path / "home" / "of" / "mine"))
    blobs.cache_folder()
    assert loose(tmp_path / "home") == []


def test_a_link_that_somebody_has_put_into_the_temp_folder_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"nbqueue-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(blobs.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("NBQUEUE_HOME")
    with pytest.raises(InfrastructureError, match="is a link"):
        blobs.cache_folder()
    assert list(Path(tmp_path / "elsewhere").iterdir()) == []
