"""The guide's first example prints what the guide says."""

import contextlib
import io
import re

import pytest

from tests.e2e.servers import ROOT

pytestmark = pytest.mark.usefixtures("cluster")


def test_the_ten_lines_print_what_stands_below_them():
    page = (ROOT / "notebooks" / "guide.md").read_text().partition("## Ten lines")[2]
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    said = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "guide", "exec"), {"__name__": "__main__"})
    assert out.getvalue() == said
