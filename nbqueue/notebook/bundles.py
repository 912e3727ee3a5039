"""What is put into an output: the forms of a job or a cluster, by MIME type, for all readers.

A job's static forms are the same three from the first display to the last: HTML for front ends, the
grid as PNG, text for terminals, diffs and ``nbval`` (which compares the names of the forms).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from nbqueue.notebook import taking
from nbqueue.notebook.area import Bundle
from nbqueue.notebook.cluster_picture import ClusterPicture
from nbqueue.notebook.picture import JobPicture, without_error
from nbqueue.notebook.views import cluster as cluster_view
from nbqueue.notebook.views import frame as frames
from nbqueue.notebook.views import html, png, text

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.live import Live
    from nbqueue.client.live_frame import LiveFrame


def job(live: Live, note: str = "") -> Bundle:
    """Give the static forms of a job as it is now."""
    return _job(taking.take(live, note=note))


def job_beside_its_error(live: Live, note: str = "") -> Bundle:
    """Give the same without the error of a single call, which the cell shows that waited for it."""
    taken = taking.take(live, note=note)
    return _job(without_error(taken) if live.state.current_round == 1 else taken)


def _job(taken: JobPicture) -> Bundle:
    return {
        "text/plain": text.page(taken),
        "text/html": html.page(taken),
        "image/png": base64.b64encode(png.grid(taken.grid)).decode(),
    }


def frame(shown: LiveFrame, note: str = "") -> Bundle:
    """Give a job's DataFrame as it is now; of a long one, the rows that pandas would show."""
    most, few = frames.limits()
    n = len(shown)
    if n <= most:
        rows, cut = shown.to_frame(), None
    else:
        cut = few - few // 2
        rows = shown.rows([*range(cut), *range(n - few // 2, n)])
    return {
        "text/plain": frames.text(rows, cut, n),
        "text/html": frames.html(rows, cut, n, note),
    }


def cluster(client: Client, picture: ClusterPicture, note: str = "") -> Bundle:
    """Give the static forms of a client's cluster; the text is the same at all times."""
    return {
        "text/plain": repr(client),
        "text/html": cluster_view.html(picture, title(client), note),
    }


def title(client: Client) -> str:
    """Give what a client's cluster is called."""
    return "Cluster on this machine" if client.embedded else client.broker_url


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
