"""The page of compatibility names the lowest versions that `pyproject.toml` allows."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "notebooks" / "compatibility.md").read_text()
NEEDS = (ROOT / "pyproject.toml").read_text()
ROWS = re.findall(r"^\| `([\w-]+)`[^|]*\| ([\d.]+), \*\*some\*\*", PAGE, re.MULTILINE)


def lowest(package):
    """The lowest version of a package that any list of `pyproject.toml` allows."""
    needs = re.findall(rf'"({package}(?:\[[^]]*\])?>=[^"]*)"', NEEDS)
    specifiers = [one for need in needs for one in Requirement(need).specifier]
    assert specifiers, package
    return {one.version for one in specifiers if one.operator == ">="}


@pytest.mark.parametrize(("package", "version"), ROWS)
def test_the_oldest_version_is_the_one_that_is_allowed(package, version):
    assert lowest(package) == {version}


def test_the_rows_and_the_pythons_are_there():
    assert len(ROWS) >= 9
    python = re.search(r'requires-python = ">=([\d.]+)"', NEEDS)
    assert python
    assert f"| Python | {python[1]}," in PAGE
    newest = max(re.findall(r"Python :: 3\.(\d+)", NEEDS), key=int)
    assert re.search(rf"\| Python \|.*\| 3\.{newest}, \*\*some\*\* \|", PAGE)
