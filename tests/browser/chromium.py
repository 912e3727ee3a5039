"""Debian's Chromium, driven by Playwright, whose own browsers would be a download."""

import os
import shutil
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

FLAGS = [
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def started(folder):
    """A browser without a window, that ends with the block.

    ``folder`` stands on its command line, so that one that stays behind is found by it.
    """
    path = os.environ.get("NBQUEUE_CHROMIUM") or shutil.which("chromium")
    assert path, "chromium is not on the PATH: apt-get install chromium"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=path,
            headless=True,
            chromium_sandbox=False,
            args=[*FLAGS, f"--crash-dumps-dir={folder / 'crashes'}"],
        )
        try:
            yield made
        finally:
            made.close()
