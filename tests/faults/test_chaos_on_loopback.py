"""The same chaos with nothing scripted but the two vendors and the engine: real sockets, a real server, a real clock.

A first call suffers; a second runs beside it. Wall-clock figures are not judged here, only what must hold on the
slowest machine: nothing is dropped, the neighbour is told, both calls end as they should and give their slots back.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio

from agent.audiofile import bundled_voice
from agent.calls.directory import CallDirectory
from agent.core.emotion import Emotion
from agent.service import Ready, run_service
from agent.settings import Secret, Settings
from agent.testing import CallResult, FakeCall, FakeVapi, Fault, Hook, Pace, ScriptedEngine, TwilioCaller

VOICE = bundled_voice()
ANGRY_FROM_MS = 600
TALK_S = 2.6


@dataclass
class House:
    """A running service, and what happened to the calls in it."""

    ready: Ready
    vapi: FakeVapi
    engine: ScriptedEngine
    seen: dict[str, list[dict[str, object]]]

    @property
    def directory(self) -> CallDirectory:
        return self.ready.directory

    async def call(self, caller: TwilioCaller, results: dict[str, CallResult]) -> None:
        results[caller.call_sid] = await caller.call(VOICE[: int(8000 * TALK_S)], Pace())

    async def attach(self, caller: TwilioCaller) -> FakeCall:
        """Vapi tells us of the call as soon as it is known here."""
        while self.directory.find(caller.call_sid) is None:  # noqa: ASYNC110 - it is another task's webhook
            await trio.sleep(0.02)
        assistant = self.vapi.call(caller.call_sid, hook=Hook(self.ready.url, "vapi"))
        await assistant.send_status_update("in-progress")
        return assistant

    def names(self, caller: TwilioCaller) -> list[object]:
        return [event["event"] for event in self.seen.get(caller.call_sid, [])]

    def outcome(self, caller: TwilioCaller) -> object:
        return self.seen[caller.call_sid][-1].get("outcome")


@asynccontextmanager
async def open_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    engine = ScriptedEngine({0: Emotion("neutral", 0.9), ANGRY_FROM_MS: Emotion("angry", 0.95)})
    monkeypatch.setattr("agent.wiring.engine", lambda settings: engine)
    settings = Settings(
        port=0,
        data=str(tmp_path),
        wrap_up_s=0.5,
        publisher_patience_s=0.3,
        twilio_auth_token=Secret("twilio"),
        vapi_secret=Secret("vapi"),
        vapi_control_hosts=("127.0.0.1",),
    )
    with trio.fail_after(60):
        async with FakeVapi.serve() as vapi, trio.open_nursery() as nursery:
            ready: Ready = await nursery.start(partial(run_service, settings))
            house = House(ready, vapi, engine, {})
            ready.directory.broadcast.listen(lambda event: house.seen.setdefault(event["callSid"], []).append(event))
            yield house
            nursery.cancel_scope.cancel()


async def two_calls(house: House, fault_path: Fault | None) -> tuple[TwilioCaller, TwilioCaller, dict[str, CallResult]]:
    """Both talk and hang up; the first one's control address suffers the fault."""
    first, beside = (TwilioCaller(house.ready.url, auth_token="twilio") for _ in range(2))
    results: dict[str, CallResult] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.call, first, results)
        suffering = await house.attach(first)
        if fault_path is not None:
            house.vapi.fault = Fault(fault_path.kind, status=fault_path.status, path=suffering.facts.call_id)
        nursery.start_soon(house.call, beside, results)
        await house.attach(beside)
    while len(house.directory):  # noqa: ASYNC110 - until the last has wrapped up
        await trio.sleep(0.02)
    return first, beside, results


@pytest.mark.parametrize("kind", ["stall", "status", "reset", "garbage"])
async def test_a_control_address_that_fails_hurts_no_call(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path, monkeypatch) as house:
        first, beside, results = await two_calls(house, Fault(kind))  # type: ignore[arg-type]
        for caller in (first, beside):
            assert results[caller.call_sid].ok
            assert house.outcome(caller) == "hangup"
            assert "audio.gap" not in house.names(caller)
        assert "context.failed" in house.names(first)
        assert "context.updated" not in house.names(first)
        assert house.names(beside).count("context.updated") == 1
        assert "context.failed" not in house.names(beside)


@pytest.mark.parametrize("kind", ["stall", "unavailable", "crash", "refused"])
async def test_an_engine_that_fails_ends_no_call(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_house(tmp_path, monkeypatch) as house:
        house.engine.fault = Fault(kind)  # type: ignore[arg-type]
        first, beside, results = await two_calls(house, None)
        for caller in (first, beside):
            assert results[caller.call_sid].ok
            assert house.outcome(caller) == "hangup"
            assert house.names(caller).count("analyzer.degraded") == 1
            assert "audio.gap" not in house.names(caller)
        house.engine.fault = None
        third = TwilioCaller(house.ready.url, auth_token="twilio")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.call, third, results)
            await house.attach(third)
        assert "context.updated" in house.names(third)


@pytest.mark.parametrize("ending", ["close", "reset", "silent"])
async def test_a_caller_who_vanishes_is_a_call_that_ended(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.testing.twilio_caller.HALF_OPEN_S", 0.1)
    async with open_house(tmp_path, monkeypatch) as house:
        caller = TwilioCaller(house.ready.url, auth_token="twilio")
        await caller.call(VOICE[:8000], Pace(), ending=ending)  # type: ignore[arg-type]
        while len(house.directory):  # noqa: ASYNC110 - until it has wrapped up
            await trio.sleep(0.02)
        assert house.outcome(caller) == "hangup"
