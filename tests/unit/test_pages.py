"""README, and the pages and notebooks it leads to: every link and anchor in them is there."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
PAGES = [ROOT / "README.md", *sorted(NOTEBOOKS.glob("*.md"))]
TEXTS = [*PAGES, *sorted(NOTEBOOKS.glob("*.ipynb"))]

CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
LINK = re.compile(
    r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)|(?:src|srcset|href)=\"([^\"]+)\"", re.MULTILINE
)


def text_of(path):
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "markdown")


def links(path):
    found = LINK.findall(CODE.sub("", text_of(path)))
    return sorted({"".join(groups) for groups in found})


def anchors(path):
    """GitHub's: of each heading, lower case, without punctuation, hyphens for spaces."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", text_of(path), flags=re.DOTALL), re.M
    )
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path):
    for link in links(path):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path.name}: {link}"
        assert target.is_relative_to(ROOT), f"{path.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{path.name}: {link}"


def test_every_page_and_notebook_is_listed():
    listed = {link.partition("#")[0] for link in links(NOTEBOOKS / "README.md")}
    here = {path.name for path in TEXTS if path.parent == NOTEBOOKS} - {"README.md"}
    assert here <= listed
    assert "notebooks/README.md" in links(ROOT / "README.md")


def test_the_repositorys_address_stands_in_one_place():
    found = [
        (path.name, link) for path in TEXTS for link in links(path) if "mybinder.org/v2/" in link
    ]
    ((name, link),) = found
    assert name == "README.md"
    target = link.partition("urlpath=lab/tree/")[2]
    assert (ROOT / target).exists()


def test_readme_says_how_to_begin_and_how_to_test():
    blocks = re.findall(r"```bash\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert any("pip install -e" in block and "nbqueue demo" in block for block in blocks)
    assert "bash tests/run" in blocks


def test_every_row_of_a_table_has_as_many_cells_as_its_head():
    for path in TEXTS:
        for table in re.findall(r"(?:^\|.*\n)+", text_of(path) + "\n", re.MULTILINE):
            rows = [re.split(r"(?<!\\)\|", row)[1:-1] for row in table.splitlines()]
            assert len({len(row) for row in rows}) == 1, f"{path.name}: {table[:60]}"
