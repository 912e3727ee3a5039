"""`Notebook`: a notebook as the body of a job, whose items are runs of it.

It runs in a worker, through papermill, in a kernel of its own that ends with it.
"""

from __future__ import annotations

import inspect
import os
import tempfile
from pathlib import Path
from typing import Any

from nbqueue.core.errors import FunctionNotLoadable, NotebookFailed


class Notebook:
    """Runs a notebook with values for its parameters, and gives the executed copy."""

    def __init__(self, source: str, name: str, parameters: tuple[str, ...], kernel: str | None):
        self._source = source
        self._parameters = parameters
        self._kernel = kernel
        self.__name__ = name
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        # So that a frame of the job has a column for each parameter.
        self.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in parameters])

    def __call__(self, *values: Any) -> str:
        """Run it; give the executed copy, as the text of an .ipynb file.

        Raises:
            NotebookFailed: a cell raised; it has the copy up to there.
            FunctionNotLoadable: papermill is not installed here.
        """
        try:
            import papermill
        except ImportError as exc:
            raise FunctionNotLoadable(
                f"a worker needs papermill to run notebooks, and this one has none ({exc}): "
                "pip install 'nbqueue[run]' where the workers run"
            ) from None
        with tempfile.TemporaryDirectory(prefix="nbqueue-run-") as folder:
            given, executed = Path(folder, self.__name__), Path(folder, "executed.ipynb")
            given.write_text(self._source, encoding="utf-8")
            try:
                papermill.execute_notebook(
                    str(given),
                    str(executed),
                    parameters=dict(zip(self._parameters, values, strict=True)),
                    kernel_name=self._kernel,
                    cwd=os.getcwd(),  # noqa: PTH109 - the notebook's own, where that is here too
                )
            except papermill.PapermillExecutionError as exc:
                text = f"cell {exc.exec_count} raised {exc.ename}: {exc.evalue}"
                raise NotebookFailed(text, executed.read_text(encoding="utf-8")) from None
            return executed.read_text(encoding="utf-8")
