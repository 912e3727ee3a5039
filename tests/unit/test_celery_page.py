"""The page that says how all of Celery is reached: what it names exists."""

import re
from pathlib import Path

import pytest

import nbqueue as nq

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "notebooks" / "celery.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:unit/|browser/)?test_\w+\.py)`", PAGE)))
)
def test_a_test_that_is_named_exists(name):
    path = name if "/" in name else f"e2e/{name}"
    assert (ROOT / "tests" / path).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bnq\.(\w+)", PAGE))))
def test_a_name_of_ours_exists(name):
    assert hasattr(nq, name)


def test_every_row_says_how_and_names_a_test_or_that_there_is_none():
    for row in ROWS:
        cells = re.split(r"(?<!\\)\|", row)[1:-1]
        assert len(cells) == 3, row
        celery, here, test = (cell.strip() for cell in cells)
        assert celery
        assert here
        assert test in ("test", "---", "–") or "test_" in test, row
