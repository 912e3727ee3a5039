"""The wheel and the sdist: what is in them, and that the wheel works where there is nothing else.

"Nothing else" is a virtual environment without this one's packages, an empty home, and nothing on
the PATH: no redis-server, no git, no shell.
"""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.e2e.servers import ROOT, processes_of, until

FIRST_JOB = """
import pathlib, sys
import nbqueue as nq
from nbqueue.notebook import magics

assert pathlib.Path(nq.__file__).is_relative_to(sys.prefix), nq.__file__

@nq.task
def power(base, exponent):
    return {"value": base**exponent}

job = power.starmap([(2, 10), (0, -1)], name="powers")
job.wait()
print(job)
frame = job.to_frame()
print(list(frame["value"])[0], frame["error"][1])
"""

FIRST_CELL = """
%load_ext nbqueue
factor = 3
many = %enqueue factor * 14
print(many.result(60))
import nbqueue as nq
many
"""

WIDGET = """
from nbqueue.notebook.job_widget import JobWidget

print(len(str(JobWidget._esm)), len(str(JobWidget._css)))
"""


def run(*command, **options):
    """What a command printed; what it said when it failed is shown."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=280, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source, target, *kinds):
    """Build distributions of a source tree; only their files lie in ``target`` then."""
    run(sys.executable, "-m", "hatchling", "build", "-d", target, *kinds, cwd=source)
    return sorted(target.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist of this clone."""
    wheel, sdist = sorted(
        build(ROOT, tmp_path_factory.mktemp("dist")), key=lambda path: path.suffix != ".whl"
    )
    return wheel, sdist


@pytest.fixture(scope="module")
def bare_machine(built, tmp_path_factory):
    """Runs programs of an environment with the wheel and its extra ``local``, and no more."""
    folder = tmp_path_factory.mktemp("bare")
    home = folder / "home"
    home.mkdir()
    run("uv", "venv", "--quiet", "--python", sys.executable, folder / "venv")
    programs = folder / "venv" / "bin"
    # No compiler either: everything there has to come as a wheel.
    run(
        *("uv", "pip", "install", "--quiet", "--only-binary", ":all:"),
        *("--python", programs / "python", f"nbqueue[local] @ {built[0].as_uri()}"),
    )
    nowhere = folder / "nowhere"
    nowhere.mkdir()
    env = {"HOME": str(home), "PATH": str(nowhere), "LANG": "C.UTF-8"}

    def program(name, *arguments):
        return run(programs / name, *arguments, env=env, cwd=home)

    yield program
    program("nbqueue", "down")
    until(lambda: not processes_of(folder))


def names(archive):
    """The files of a wheel or an sdist, from its root."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {info.filename: info.file_size for info in wheel.infolist()}
    with tarfile.open(archive) as sdist:
        return {
            str(PurePosixPath(*PurePosixPath(one.name).parts[1:])): one.size
            for one in sdist.getmembers()
            if one.isfile()
        }


def tracked(*folders):
    """What git knows of these folders."""
    return run("git", "ls-files", *folders, cwd=ROOT).splitlines()


def test_the_wheel_has_all_of_the_package_and_the_notebooks_and_nothing_else(built):
    found = set(names(built[0]))
    package = set(tracked("nbqueue"))
    notebooks = {
        f"nbqueue/cli/{name}" for name in tracked("notebooks") if name.endswith((".ipynb", ".md"))
    }
    about = {name for name in found if ".dist-info/" in name}
    assert {PurePosixPath(name).name for name in about} == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE")
    }
    assert found - about == package | notebooks
    assert {PurePosixPath(name).suffix for name in package} == {
        *(".py", ".lua", ".js", ".css", ".typed")
    }


def test_the_sdist_can_be_built_and_tested_and_its_pages_lead_nowhere_else(built):
    found = set(names(built[1]))
    assert found >= {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO"}
    assert found >= set(tracked("nbqueue", "tests", "notebooks"))


@pytest.mark.parametrize("which", [0, 1], ids=["wheel", "sdist"])
def test_nothing_in_them_is_large(which, built):
    files = names(built[which])
    assert {name: size for name, size in files.items() if size > 200_000} == {}
    assert sum(files.values()) < 6_000_000


def test_the_sdist_builds_the_same_wheel(built, tmp_path):
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    (again,) = build(source, tmp_path / "dist", "-t", "wheel")
    assert again.name == wheel.name
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, again)]
    assert digests[0] == digests[1]


def test_the_first_job_runs_with_nothing_else_on_the_machine(bare_machine, built):
    version = built[0].name.split("-")[1]
    assert bare_machine("nbqueue", "--version").split() == ["nbqueue", version]
    said = bare_machine("python", "-c", FIRST_JOB)
    assert "<Job 'powers': FAILURE, 2 items (SUCCESS 1, FAILURE 1)>" in said
    assert "1024" in said
    assert "ZeroDivisionError" in said
    assert "running" in bare_machine("nbqueue", "status")


def test_the_extension_runs_in_plain_ipython_with_nothing_else(bare_machine):
    home = Path(bare_machine("python", "-c", "import pathlib; print(pathlib.Path.home())").strip())
    (home / "first.ipy").write_text(FIRST_CELL)
    assert "42" in bare_machine("ipython", "--no-banner", "--colors=NoColor", "first.ipy")


def test_the_widgets_javascript_comes_with_the_wheel(bare_machine):
    said = bare_machine("python", "-c", WIDGET)
    assert all(int(length) > 5_000 for length in said.split())
