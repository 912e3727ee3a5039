"""A notebook open in a browser: run its cells, look at what they show, save, reload, reopen.

Works alike in JupyterLab and Notebook 7, through the application object that both expose
(`jupyterapp`). Every wait has a deadline and fails with what the page said meanwhile. Widgets are
asked through the `data-*` attributes and roles they publish, never through their CSS classes.
"""

import contextlib
import json
import time

import nbformat
from playwright.sync_api import TimeoutError as PlaywrightTimeout

LIMIT_S = 60.0
OPEN_S = 90.0
"""A page and its kernel take 7 to 11 seconds on an idle machine."""

# A notebook that was to get the focus while it was not drawn yet is current when it is clicked on.
_READY = """() => {
    const shell = window.jupyterapp?.shell
    const panel = [...(shell?.widgets('main') ?? [])].find(widget => widget.context)
    if (panel && !shell.currentWidget) shell.activateById(panel.id)
    const kernel = shell?.currentWidget?.context?.sessionContext?.session?.kernel
    return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle'
}"""

_STATE = """() => {
    const shell = window.jupyterapp?.shell
    const names = [...(shell?.widgets('main') ?? [])].map(widget => widget.title.label)
    const kernel = shell?.currentWidget?.context?.sessionContext?.session?.kernel
    return [shell?.currentWidget?.title.label, names, kernel?.connectionStatus, kernel?.status]
}"""

_RUN = """i => {
    const panel = jupyterapp.shell.currentWidget
    const runs = (window.nbqueueRuns ??= {})
    panel.content.deselectAll()
    panel.content.activeCellIndex = i
    runs[i] = 'running'
    jupyterapp.commands.execute('notebook:run-cell')
        .then(() => { runs[i] = 'done' }, error => { runs[i] = 'done: ' + error })
}"""

_SAVE = """() => {
    window.nbqueueSaved = false
    const over = () => { window.nbqueueSaved = true }
    jupyterapp.commands.execute('docmanager:save').then(over, over)
}"""

_OUTPUTS = """i => {
    const model = jupyterapp.shell.currentWidget.content.widgets[i].model
    return model.outputs.toJSON()
}"""


def write(path, cells):
    """Write a notebook of these cells, without outputs."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(made, path)


class NotebookPage:
    """One notebook in one tab."""

    def __init__(self, page, server, name, shots=None):
        self.page = page
        self.server = server
        self.name = name
        self.path = server.notebooks / name
        self.said = []
        """Errors of the console and of scripts, for the report of a test that fails."""
        self._shots = shots
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(f"page error: {error}"))

    def _hear(self, message):
        if message.type == "error":
            self.said.append(f"console: {message.text}")

    def open(self):
        """Load the notebook from its file, with a kernel that is ready."""
        self.page.goto(self.server.page_url(self.name), timeout=OPEN_S * 1000)
        self._await_ready()

    def _await_ready(self):
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=OPEN_S * 1000)
        try:
            self.wait_for(_READY, timeout_s=OPEN_S)
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.page.evaluate(_STATE)}") from None
        self.said.clear()  # Notebook 7 complains of itself while it starts

    # -- cells ---------------------------------------------------------------------------------

    def start_cell(self, i):
        """Begin to run a cell, and do not wait for it."""
        self.page.evaluate(_RUN, i)

    def await_cell(self, i, timeout_s=LIMIT_S):
        """Return when a cell that was started has ended, failed or not."""
        self.wait_for("i => window.nbqueueRuns[i] !== 'running'", i, timeout_s=timeout_s)

    def run_cell(self, i, timeout_s=LIMIT_S):
        """Run a cell to its end; fails when the cell does."""
        self.start_cell(i)
        self.await_cell(i, timeout_s)
        errors = [o for o in self.outputs(i) if o["output_type"] == "error"]
        assert not errors, "\n".join(errors[0]["traceback"])

    def outputs(self, i):
        """Give a cell's outputs as the notebook file would hold them."""
        return self.page.evaluate(_OUTPUTS, i)

    def cell(self, i):
        """Give the locator of a cell's element (input and output)."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(i)

    def output_area(self, i):
        """Give the locator of what is shown under a cell."""
        return self.cell(i).locator(".jp-Cell-outputArea").first

    def text_of(self, i):
        """Give the visible text under a cell."""
        return self.output_area(i).inner_text()

    def show(self, i):
        """Scroll a cell into sight; what is far out of it may not be rendered at all."""
        self.page.evaluate(
            "i => jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", i
        )

    # -- waiting -------------------------------------------------------------------------------

    def wait_for(self, condition, arg=None, timeout_s=LIMIT_S):
        """Return when a JavaScript function gives something truthy, with its value."""
        try:
            handle = self.page.wait_for_function(
                condition, arg=arg, timeout=timeout_s * 1000, polling=50
            )
        except PlaywrightTimeout:
            raise AssertionError(
                f"not so after {timeout_s:g} s: {condition} with {arg!r}\n" + "\n".join(self.said)
            ) from None
        return handle.json_value()

    def wait_text(self, i, *texts, timeout_s=LIMIT_S):
        """Return when all texts stand under a cell."""
        deadline = time.monotonic() + timeout_s
        while any(text not in (shown := self.text_of(i)) for text in texts):
            assert time.monotonic() < deadline, f"{texts!r} not under cell {i}:\n{shown}"
            self.page.wait_for_timeout(50)

    # -- the notebook as a whole ---------------------------------------------------------------

    def change_theme(self, *, light):
        """Switch to JupyterLab's light or dark theme; back when it is drawn."""
        name = "JupyterLab Light" if light else "JupyterLab Dark"
        self.page.evaluate(
            "theme => { jupyterapp.commands.execute('apputils:change-theme', {theme}) }", name
        )
        self.page.wait_for_selector(
            f"body[data-jp-theme-light='{str(light).lower()}']", state="attached"
        )
        # JupyterLab covers the page while it loads the theme's style sheet.
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def save(self):
        """Save; gives the notebook as it stands in the file."""
        before = self.path.stat().st_mtime_ns
        deadline = time.monotonic() + LIMIT_S
        # One that is asked for while another is under way (JupyterLab's own, by time) is dropped.
        while self.path.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline, f"{self.path} was not written"
            self.page.evaluate(_SAVE)
            self.wait_for("() => window.nbqueueSaved")
        # The server has answered: the file is not read while it is written.
        return json.loads(self.path.read_text())

    def reload(self):
        """Load the page anew while the kernel lives on."""
        self.page.reload(timeout=OPEN_S * 1000)
        self._await_ready()

    def reopen(self):
        """Shut the kernel down and open the file again, with a new kernel."""
        self.page.goto("about:blank")
        self.server.shut_kernels_down()
        self.open()

    def screenshot(self, label, *, always=False, of=None):
        """Take a picture: where NBQUEUE_SHOTS says, or (``always``) beside the test's files."""
        folder = self._shots and (self._shots.folder if always else self._shots.wanted)
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.server.flavour.name}-{self.name.removesuffix('.ipynb')}-{label}.png"
        (of or self.page).screenshot(path=path)
        return path

    def close(self):
        """Close the tab and end the kernel."""
        with contextlib.suppress(Exception):  # a page that crashed is closed already
            self.page.context.close()
        self.server.shut_kernels_down()
