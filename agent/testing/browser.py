"""A real Chromium, and a server in a thread beside it: Playwright's calls wait, so that the two may not share a thread.

Needs Playwright, which only the test environment has, and the machine's own Chromium.
"""

import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trio
from playwright.sync_api import Browser, ViewportSize, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
STARTS_S = 20


class NoBrowser(Exception):
    """There is none on this machine."""


def find_chromium() -> str:
    """Its path: CHROMIUM, or what is installed. Raises NoBrowser."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise NoBrowser("No Chromium here: install one (Debian: apt install chromium), or name it in CHROMIUM.")
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. Its sandbox needs rights that a container rarely has, and it visits only us."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def in_thread(serve: Callable[..., Awaitable[Any]]) -> Iterator[None]:
    """A task that reports when it has started, on a loop and in a thread of its own, until the block is left."""
    up, failures = threading.Event(), list[BaseException]()
    stop: list[Callable[[], None]] = []

    async def run() -> None:
        with trio.CancelScope() as scope:
            token = trio.lowlevel.current_trio_token()
            stop.append(lambda: token.run_sync_soon(scope.cancel))
            async with trio.open_nursery() as nursery:
                await nursery.start(serve)
                up.set()

    def thread() -> None:
        try:
            trio.run(run)
        except BaseException as error:  # raised where somebody sees it
            failures.append(error)
        up.set()

    worker = threading.Thread(target=thread, daemon=True)
    worker.start()
    try:
        up.wait(STARTS_S)
        yield
    finally:
        with suppress(trio.RunFinishedError):
            stop[0]()
        worker.join(STARTS_S)
        if failures:
            raise failures[0]
