"""The page on what is protected from whom: what it names exists."""

import re
from pathlib import Path

import pytest

from nbqueue.store.connection import tls

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "notebooks" / "security.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?:[\w/]+/)?test_\w+\.py", PAGE))))
def test_a_test_that_is_named_exists(name):
    if name.startswith("tests/"):
        path = ROOT / name
    else:
        path = ROOT / "tests" / (name if "/" in name else f"e2e/{name}")
    assert path.exists()


def test_the_options_of_tls_that_are_named_exist():
    assert set(re.findall(r"\bssl_\w+", PAGE)) <= set(tls._NAMES)


def test_readme_leads_there():
    assert "(notebooks/security.md)" in (ROOT / "README.md").read_text()
