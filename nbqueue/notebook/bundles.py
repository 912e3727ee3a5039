"""What is put into an output: the forms of a job by MIME type, for whoever reads the notebook.

The static forms are the same three from the first display to the last: HTML for front ends, the
grid as PNG, text for terminals, diffs and ``nbval`` (which compares the names of the forms).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from nbqueue.notebook import picture
from nbqueue.notebook.views import html, png, text

if TYPE_CHECKING:
    from nbqueue.client.live import Live

Bundle = dict[str, Any]


def job(live: Live, note: str = "") -> Bundle:
    """Give the static forms of a job as it is now."""
    taken = picture.take(live, note=note)
    return {
        "text/plain": text.page(taken),
        "text/html": html.page(taken),
        "image/png": base64.b64encode(png.grid(taken.grid)).decode(),
    }


def with_widget(static: Bundle, widget: Any) -> tuple[Bundle, Bundle]:
    """Give data and metadata of a widget, with static forms for where no widget can be shown."""
    data, metadata = _forms(widget)
    for child in getattr(widget, "children", ()):
        metadata = {**_forms(child)[1], **metadata}  # Colab finds a widget's code by its metadata
    return {**data, **static}, metadata


def _forms(widget: Any) -> tuple[Bundle, Bundle]:
    made = widget._repr_mimebundle_() or {}
    data, metadata = made if isinstance(made, tuple) else (made, {})
    return dict(data), dict(metadata)
