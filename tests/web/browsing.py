"""The machine's Chromium for tests: `chromium`, and pages in it that complain of nothing.

Where there is none the tests are skipped with a sentence, unless BROWSER_TESTS=required says that there has to be one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from agent.testing import browser
from agent.testing.browser import PHONE, WIDE, NoBrowser, in_thread
from agent.testing.made_wall import MadeWall

PATIENCE_MS = 15_000
"""Nothing is timed by it: only how long a busy machine may take."""
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    try:
        browser.find_chromium()
    except NoBrowser as none:
        if os.environ.get("BROWSER_TESTS") == "required":
            raise
        pytest.skip(str(none))
    with browser.chromium() as started:
        yield started


@contextmanager
def running(wall: MadeWall) -> Iterator[MadeWall]:
    with in_thread(wall.run):
        yield wall


@contextmanager
def page_of(browser: Browser, *, phone: bool = False, dark: bool = False, **more: Any) -> Iterator[Page]:
    """A session of its own. What the page complains of fails the test."""
    scheme = "dark" if dark else "light"
    size = PHONE if phone else WIDE
    context = browser.new_context(viewport=size, color_scheme=scheme, has_touch=phone, is_mobile=phone, **more)
    context.set_default_timeout(PATIENCE_MS)
    page, troubles = context.new_page(), list[str]()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    try:
        yield page
        assert not troubles
    finally:
        context.close()


def grave(page: Page) -> list[str]:
    """What axe-core holds to be serious or worse, with where it is."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {rule['nodes'][0]['target']} {rule['nodes'][0]['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def sids(page: Page) -> list[str]:
    """The calls as they stand, from the top."""
    return list(page.eval_on_selector_all("#live > li", "rows => rows.map(row => row.dataset.sid)"))


def until(page: Page, holds: str, arg: object = None) -> None:
    """Wait until this function of JavaScript says something true."""
    page.wait_for_function(holds, arg=arg)
