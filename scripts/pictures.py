#!/usr/bin/env python3
"""Takes pictures of the supervisor's screen in this machine's Chromium.

.venv/bin/python scripts/pictures.py                  # docs/live.png, which the README shows: the real service,
                                                      # with the simulated callers of scripts/wall, after a minute
.venv/bin/python scripts/pictures.py --all FOLDER     # made-up calls: the list and one call, wide and narrow,
                                                      # light and dark
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from agent.testing.browser import PHONE, WIDE, chromium, in_thread
from agent.testing.made_calls import made_calls
from agent.testing.made_wall import MadeWall

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "docs" / "live.png"
README_SIZE: ViewportSize = {"width": 1440, "height": 912}
CALLS = 13
"""One of each fate, and some calm ones."""
UNDER_WAY_S = 32
"""Until every caller has come to what makes it different."""
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
    if folder is None:
        shoot_service()
    else:
        shoot_made_calls(folder)
    return 0


def shoot_service() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "fates.py"), f"--calls={CALLS}", f"--seconds={UNDER_WAY_S + 30}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as callers:
        try:
            assert callers.stdout is not None
            link = re.search(r"http\S+", callers.stdout.readline())
            if link is None:
                raise SystemExit("the simulated callers did not start: try scripts/wall")
            time.sleep(UNDER_WAY_S)
            with chromium() as browser:
                shoot(browser, link[0], link[0], README, README_SIZE)
        finally:
            callers.terminate()


def shoot_made_calls(folder: Path) -> None:
    wall = MadeWall(made_calls(CALLS))
    with in_thread(wall.run), chromium() as browser:
        for name, url in {"calls": f"{wall.url}/live", "call": f"{wall.url}/live/{angry(wall)}"}.items():
            for size, viewport in {"wide": WIDE, "narrow": PHONE}.items():
                for scheme in ("light", "dark"):
                    shoot(browser, wall.link, url, folder / f"{name}-{size}-{scheme}.png", viewport, scheme)


def angry(wall: MadeWall) -> str:
    return next(call.call_sid for call in wall.calls.values() if call.fate == "angry")


if __name__ == "__main__":
    sys.exit(main())
