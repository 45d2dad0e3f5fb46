"""`callmood serve --workers 2` as processes: one is killed, all are asked to end, and what they leave behind."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.http import client, httpx
from agent.testing import Pace, TwilioCaller
from agent.workers.berth import weight

if TYPE_CHECKING:
    from conftest import Run, Serve, Serving

SECOND_OF_SILENCE = b"\xff" * 8_000
LONGEST_S = 50

Json = dict[str, Any]


def started(folder: Path) -> dict[int, int]:
    """The processes that were started, by their places, the newest of each."""
    return {line["worker"]: line["pid"] for line in said((folder / "serve.err").read_text(), "worker.started")}


def said(err: str, event: str) -> list[Json]:
    """What the log says of this."""
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while not await is_so():  # noqa: ASYNC110 - it happens in another process
        await trio.sleep(0.05)


async def live(http: httpx.AsyncClient, serving: Serving) -> set[str]:
    answer = await http.get(f"{serving.url}/calls?state=live", headers=bearer(serving))
    return {entry["callSid"] for entry in answer.json()["calls"]}


def bearer(serving: Serving) -> dict[str, str]:
    return {"Authorization": f"Bearer {serving.token}"}


async def holds(http: httpx.AsyncClient, serving: Serving, calls: dict[str, int]) -> bool:
    """Whether each worker has so many live calls."""
    page = (await http.get(f"{serving.url}/metrics")).text
    found = re.findall(r'callmood_calls_live{worker="(\d)"} (\S+)', page)
    return {slot: float(count) for slot, count in found} == calls


async def shown(screen: Screen, count: int) -> bool:
    return screen.live == screen.listed == count


class Screen:
    """What the supervisor's screen shows now."""

    def __init__(self) -> None:
        self.live = self.listed = -1

    async def watch(self, http: httpx.AsyncClient, serving: Serving) -> None:
        url = f"{serving.url}/events?view=summary"
        async with http.stream("GET", url, headers=bearer(serving)) as answer, aclosing(answer.aiter_lines()) as lines:
            async for line in lines:
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    self.live = message["live"]
                    if message["full"]:
                        self.listed = len(message["calls"])


class Talking:
    """Callers on the line, until they have talked enough or are left alone."""

    def __init__(self, callers: list[TwilioCaller], nursery: trio.Nursery) -> None:
        self.enough, self.undisturbed = trio.Event(), set[str]()
        self.all_over = trio.Event()
        self._left = len(callers)
        for caller in callers:
            nursery.start_soon(self._talk, caller)

    async def _talk(self, caller: TwilioCaller) -> None:
        placed = await caller.place()
        assert placed.plan is not None
        async with caller.stream(placed.plan, Pace(speed=4)) as stream:
            while not self.enough.is_set() and await stream.play(SECOND_OF_SILENCE):
                pass
            if stream.closed is None:
                self.undisturbed.add(caller.call_sid)
        self._left -= 1
        if not self._left:
            self.all_over.set()


def beginning_at(slot: int, serving: Serving) -> TwilioCaller:
    """A caller whose call this one of two workers has."""
    while True:
        caller = TwilioCaller(serving.url, auth_token=serving.auth_token)
        if max((0, 1), key=lambda each: weight(caller.call_sid, each)) == slot:
            return caller


async def test_a_killed_worker_takes_only_its_own_calls_with_it_and_is_started_again(
    run: Run, serve: Serve, tmp_path: Path
) -> None:
    with trio.fail_after(LONGEST_S):
        service = await trio.to_thread.run_sync(lambda: serve("--workers", "2"))
        callers = [beginning_at(slot, service) for slot in (0, 1) * 5]
        later = [beginning_at(slot, service) for slot in (0, 1)]
        survivors = {caller.call_sid for caller in callers[::2]}
        async with client() as http, trio.open_nursery() as nursery:
            talking, screen = Talking(callers, nursery), Screen()
            await until(lambda: holds(http, service, {"0": 5, "1": 5}))
            assert len(await live(http, service)) == 10
            nursery.start_soon(screen.watch, http, service)
            await until(lambda: shown(screen, 10))
            await trio.sleep(0.6)  # more than the ledger ever waits
            os.kill(started(tmp_path)[1], signal.SIGKILL)

            await until(lambda: shown(screen, 5))
            assert await live(http, service) == survivors
            await until(lambda: holds(http, service, {"0": 5, "1": 0}))
            for caller in later:
                assert (await caller.place()).plan is not None
            assert await holds(http, service, {"0": 6, "1": 1})
            assert 'callmood_worker_restarts_total{worker="1"} 1' in (await http.get(f"{service.url}/metrics")).text
            talking.enough.set()
            await talking.all_over.wait()
            for caller in later:
                await caller.complete(1.0)
            nursery.cancel_scope.cancel()
        assert talking.undisturbed == survivors
        service.signal()
        done = await trio.to_thread.run_sync(service.wait)
    assert done.code == 0
    assert "Traceback" not in done.err
    assert [line["calls"] for line in said(done.err, "calls.crashed")] == [5], "others' calls are none of its business"
    outcomes = {each["callSid"]: each["outcome"] for each in map(json.loads, run("calls", "--json").out.splitlines())}
    for caller in callers:
        assert outcomes[caller.call_sid] == ("hangup" if caller.call_sid in survivors else "crashed")


async def test_all_workers_drain_when_asked_to_and_the_token_is_one(serve: Serve) -> None:
    with trio.fail_after(LONGEST_S):
        service = await trio.to_thread.run_sync(lambda: serve("--workers", "2", CALLMOOD_TOKEN=""))
        callers = [TwilioCaller(service.url, auth_token=service.auth_token) for _ in range(4)]
        async with trio.open_nursery() as nursery:
            draining = trio.Event()

            async def talk(caller: TwilioCaller) -> None:
                placed = await caller.place()
                assert placed.plan is not None
                async with caller.stream(placed.plan, Pace(speed=10)) as stream:
                    await stream.play(SECOND_OF_SILENCE)
                    await draining.wait()
                    assert await stream.play(SECOND_OF_SILENCE), "a live call is waited for"

            for caller in callers:
                nursery.start_soon(talk, caller)
            await trio.sleep(0.5)
            service.signal()
            await trio.to_thread.run_sync(service.wait_until_said, '"worker": 1, "level": "info"')
            draining.set()
        done = await trio.to_thread.run_sync(service.wait)
    assert done.code == 0
    assert done.out.count("ready ") == 1
    assert done.out.count("/live?token=") == 1
    assert "Traceback" not in done.err


async def test_no_worker_outlives_a_supervisor_that_is_killed(serve: Serve, tmp_path: Path) -> None:
    with trio.fail_after(LONGEST_S):
        service = await trio.to_thread.run_sync(lambda: serve("--workers", "2"))
        pids = started(tmp_path)
        assert sorted(pids) == [0, 1]
        service.signal(signal.SIGKILL)
        await trio.to_thread.run_sync(service.wait)
        while any(alive(pid) for pid in pids.values()):  # noqa: ASYNC110 - they are not our children
            await trio.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("workers", "settings", "code", "says"),
    [
        ("0", {}, 2, "workers"),
        ("65", {}, 2, "workers"),
        ("2", {"TWILIO_AUTH_TOKEN": ""}, 2, "TWILIO_AUTH_TOKEN is not set"),
        ("2", {"CALLMOOD_DATA": "/proc/nowhere"}, 1, "CALLMOOD_DATA"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_sentence(
    run: Run, workers: str, settings: dict[str, str], code: int, says: str
) -> None:
    known = {"TWILIO_AUTH_TOKEN": "t", "CALLMOOD_TOKEN": "t", **settings}
    done = run("serve", "--workers", workers, "--port", "0", **known)
    assert done.code == code
    assert says in done.err
    assert "Traceback" not in done.err


def test_a_limit_of_the_service_that_cannot_be_shared_stops_the_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "callmood.toml").write_text("transfers_per_minute = 1\n")
    done = run("serve", "--workers", "2", "--port", "0", TWILIO_AUTH_TOKEN="t")
    assert done.code == 2
    assert "transfers_per_minute is 1, and 2 workers share it" in done.sentence
