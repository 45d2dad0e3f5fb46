"""A step that blocks the loop is named, by the line that did it."""

import time

import structlog
import trio

from agent.watchdog import Watchdog


def block(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_the_line_that_blocked_the_loop_is_named_once() -> None:
    async def main() -> None:
        await trio.sleep(0.02)
        block(0.6)
        await trio.sleep(0.02)

    watchdog = Watchdog(slow_s=0.1)
    with structlog.testing.capture_logs() as entries, watchdog.watching():
        trio.run(main, instruments=[watchdog])
    (entry,) = [entry for entry in entries if "block" in str(entry["at"])]
    assert entry["event"] == "loop.blocked"
    assert "main" in str(entry["task"])


def test_waiting_is_not_blocking() -> None:
    async def main() -> None:
        await trio.sleep(0.5)

    watchdog = Watchdog(slow_s=0.3)
    with watchdog.watching():
        trio.run(main, instruments=[watchdog])
    assert watchdog.barked == 0
