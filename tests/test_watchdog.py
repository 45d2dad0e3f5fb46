"""A step that blocks the loop is named, by the line that did it."""

import re
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
    assert "test_watchdog." in str(entry["task"])
    assert str(entry["task"]).endswith("main")


def test_waiting_is_not_blocking() -> None:
    async def main() -> None:
        await trio.sleep(0.5)

    watchdog = Watchdog(slow_s=0.3)
    with watchdog.watching():
        trio.run(main, instruments=[watchdog])
    assert watchdog.barked == 0


def test_many_short_steps_in_one_pass_are_not_one_that_blocks() -> None:
    async def busy(until: float) -> None:
        while time.perf_counter() < until:
            block(0.03)
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):  # 0.6 s a pass
                nursery.start_soon(busy, time.perf_counter() + 1.5)

    watchdog = Watchdog(slow_s=0.2)
    with watchdog.watching():
        trio.run(main, instruments=[watchdog])
    assert watchdog.barked == 0


def test_a_call_that_keeps_the_interpreter_for_itself_is_named() -> None:
    async def main() -> None:
        await trio.sleep(0.1)
        re.match(r"(a|aa)+$", "a" * 34 + "b")  # holds the interpreter's lock all the while
        await trio.sleep(0.1)

    watchdog = Watchdog(slow_s=0.1)
    with structlog.testing.capture_logs() as entries, watchdog.watching():
        trio.run(main, instruments=[watchdog])
    assert [str(entry["task"]).rpartition(".")[2] for entry in entries] == ["main"]
