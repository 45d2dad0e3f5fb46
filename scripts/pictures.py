#!/usr/bin/env python3
"""Draws the picture of the supervisor's screen that the README shows: our page, in this machine's Chromium, with
made-up calls.

    .venv/bin/python scripts/pictures.py                  # docs/live.png
    .venv/bin/python scripts/pictures.py --all FOLDER     # the list and one call, wide and narrow, light and dark
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from agent.testing.browser import PHONE, WIDE, chromium, in_thread
from agent.testing.made_calls import made_calls
from agent.testing.made_wall import MadeWall

README = Path(__file__).resolve().parents[1] / "docs" / "live.png"
README_SIZE: ViewportSize = {"width": 1440, "height": 852}
CALLS = 12
"""One of each fate, and some calm ones."""
SETTLED_MS = 2500


def shoot(browser: Browser, link: str, url: str, path: Path, size: ViewportSize, scheme: str = "light") -> None:
    narrow = size == PHONE
    context = browser.new_context(viewport=size, color_scheme=scheme, is_mobile=narrow, has_touch=narrow)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(link)  # opens the session
    page.goto(url)
    page.wait_for_timeout(SETTLED_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    context.close()
    print(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    folder = parser.parse_args().all
    wall = MadeWall(made_calls(CALLS))
    with in_thread(wall.run), chromium() as browser:
        pages = {"calls": f"{wall.url}/live", "call": f"{wall.url}/live/{angry(wall)}"}
        if folder is None:
            shoot(browser, wall.link, pages["calls"], README, README_SIZE)
            return 0
        for name, url in pages.items():
            for size, viewport in {"wide": WIDE, "narrow": PHONE}.items():
                for scheme in ("light", "dark"):
                    shoot(browser, wall.link, url, folder / f"{name}-{size}-{scheme}.png", viewport, scheme)
    return 0


def angry(wall: MadeWall) -> str:
    return next(call.call_sid for call in wall.calls.values() if call.fate == "angry")


if __name__ == "__main__":
    sys.exit(main())
