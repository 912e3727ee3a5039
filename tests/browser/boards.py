"""A job's widget as a person finds it: by its name, its buttons, and what it says of itself.

Only what the widget promises is used: roles and labels, and the counters in its `data-*`
attributes (`done`, `n`, `counts` by state's code, `state`, `finished`, `seq`, `theme`).
"""

import json

from nbqueue.core import states

_ROOTS = """([name, area]) => {
    const within = area === null ? document
        : document.querySelectorAll('.jp-Notebook .jp-Cell')[area]
    return [...(within?.querySelectorAll('section[aria-label]') ?? [])]
        .filter(node => node.getAttribute('aria-label') === 'Job ' + name)
}"""

_PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    const seen = new Map()
    for (const word of new Uint32Array(data.buffer)) seen.set(word, (seen.get(word) ?? 0) + 1)
    return [...seen].sort((a, b) => b[1] - a[1])
}"""


class Board:
    """The widgets that show one job, in the whole page or under one cell."""

    def __init__(self, notebook, name, *, under=None):
        self.notebook = notebook
        self.name = name
        self._where = [name, under]
        scope = notebook.page if under is None else notebook.cell(under)
        self.views = scope.locator(f"section[aria-label={json.dumps('Job ' + name)}]")
        self.view = self.views.first

    def data(self):
        """Give what the first view says of itself."""
        return self.view.evaluate("node => ({...node.dataset})")

    def counts(self):
        """Give how many items are in each state, as the first view has it."""
        return dict(zip(states.NAMES, map(int, self.data()["counts"].split(",")), strict=True))

    def wait(self, condition, timeout_s=60.0):
        """Return when all views, and at least one, meet a condition about their data, `d`."""
        try:
            self.notebook.wait_for(
                f"where => {{ const found = ({_ROOTS})(where);"
                f" return found.length && found.every(node => {{"
                f" const d = node.dataset; return {condition} }}) }}",
                self._where,
                timeout_s=timeout_s,
            )
        except AssertionError:
            said = self.views.evaluate_all("nodes => nodes.map(node => ({...node.dataset}))")
            raise AssertionError(
                f"job {self.name!r}: not {condition} after {timeout_s:g} s; its views: {said}"
            ) from None

    def wait_until_gone(self, timeout_s=60.0):
        """Return when no widget of the job is left: the static page has taken its place."""
        self.notebook.wait_for(
            f"where => !({_ROOTS})(where).length", self._where, timeout_s=timeout_s
        )

    def button(self, text):
        """Give a button of the first view."""
        return self.view.get_by_role("button", name=text)

    def colours(self):
        """Give the grid's pixels by how often they occur: [[colour, count], ...]."""
        return self.view.get_by_role("img").first.evaluate(_PIXELS)
