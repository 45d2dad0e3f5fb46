#!/usr/bin/env python3
"""What does the supervisor's screen cost the browser that shows it?

    .venv/bin/python scripts/bench/wall_page.py --calls 500
    .venv/bin/python scripts/bench/wall_page.py --link 'http://127.0.0.1:3000/live?token=…'

A Chromium of this machine opens the list of made-up calls, all of which change every second, and the page of one of
them. Printed is the processor time of the page's main thread in milliseconds a second, as Chromium counts it
(TaskDuration of the DevTools protocol: scripts, styles, layout and painting), and what of it is script, style and
layout. Against 100 ms.
"""

import argparse
import sys
import time

from playwright.sync_api import Browser, Page

from agent.testing.browser import WIDE, chromium, in_thread
from agent.testing.made_calls import made_calls
from agent.testing.made_wall import MadeWall

PROMISED_MS = 100
WARM_S = 4
KINDS = {"TaskDuration": "all", "ScriptDuration": "script", "RecalcStyleDuration": "style", "LayoutDuration": "layout"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--link", help="the page of a running server, with its token")
    return parser.parse_args()


def work(page: Page, seconds: float) -> dict[str, float]:
    """Milliseconds of the main thread's work a second, by kind."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})  # its processor time, however busy the machine

    def counted() -> dict[str, float]:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}

    page.wait_for_timeout(1000 * WARM_S)
    before, began = counted(), time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    after, lasted = counted(), time.monotonic() - began
    return {kind: 1000 * (after[name] - before[name]) / lasted for name, kind in KINDS.items()}


def told(what: str, found: dict[str, float]) -> None:
    parts = "  ".join(f"{kind} {ms:6.1f}" for kind, ms in found.items())
    print(f"{what:28} {parts}  ms/s", flush=True)


def measure(browser: Browser, link: str, wall: MadeWall | None, seconds: float) -> bool:
    page = browser.new_page(viewport=WIDE)
    page.goto(link)
    page.locator("#live > li").first.wait_for()
    found = work(page, seconds)
    told(f"{page.locator('#live > li').count()} calls", found)
    page.mouse.move(WIDE["width"] / 2, WIDE["height"] / 2)
    told("the same, order held", work(page, seconds / 2))
    if wall is not None:
        page.goto(f"{wall.url}/live/{next(iter(wall.calls))}")
        page.locator("#plot canvas").wait_for()
        told("one call", work(page, seconds / 2))
    return found["all"] < PROMISED_MS


def main() -> int:
    wanted = arguments()
    wall = MadeWall(made_calls(wanted.calls))
    with in_thread(wall.run), chromium() as browser:
        theirs = wanted.link is not None
        return 0 if measure(browser, wanted.link or wall.link, None if theirs else wall, wanted.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
