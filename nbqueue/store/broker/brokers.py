"""Kombu's other brokers: what they want to be told, and one that cannot be had.

Redis and RabbitMQ are what nbqueue is made for. Any other broker of Celery's is passed through to
kombu as it is, with its options (Celery's setting ``broker_transport_options``); whether messages
of dead workers come back, and whether workers can be asked, is then kombu's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from nbqueue.core.errors import UsageError

_FOLDERS = ("data_folder_in", "data_folder_out", "control_folder")


def plain(url: str) -> str:
    """Give the URL as kombu takes it: a folder is an option there."""
    return "filesystem://" if url.startswith("filesystem://") else url


def options(url: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Give a broker's transport options.

    A broker of files needs one folder that clients and workers share: ``filesystem:///its/path``,
    or the three options of kombu.

    Raises:
        UsageError: no worker could ever take from this broker.
    """
    if url.startswith("memory://"):
        raise UsageError(
            "memory:// is a broker within one process, so no worker could take a job from it; "
            "nq.connect() without a URL needs no server either"
        )
    if not url.startswith("filesystem://"):
        return dict(chosen)
    folder = unquote(urlsplit(url).path)
    if len(folder) > 1:
        found = {"data_folder_in": folder, "data_folder_out": folder}
        chosen = {**found, "control_folder": str(Path(folder, "control")), **chosen}
    if missing := [name for name in _FOLDERS if name not in chosen]:
        raise UsageError(
            "a broker of files needs a folder that clients and workers share: "
            f"filesystem:///its/path, or {' and '.join(missing)} in broker_transport_options"
        )
    for name in _FOLDERS:
        Path(chosen[name]).mkdir(parents=True, exist_ok=True)
    return dict(chosen)
