"""Hume fails over real sockets, in a real service: two calls talk beside it, and end as if nothing were."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

from agent.core.emotion import Emotion
from agent.settings import Secret
from agent.testing import CallResult, Pace, ScriptedEngine
from agent.testing.fake_hume import FakeHume

from ..calls.stage import VOICE
from ..web.conftest import Callmood, Start

TALK_S = 4.0
FAULTS = ("stall", "refuse", "throttle", "unauthorized", "flap", "internal_error", "rate_limit", "nonsense", "gone")
QUICK = ("refuse", "throttle", "unauthorized", "flap", "internal_error", "gone")
"""What is noticed within a call as short as these; the others take their patience."""


@pytest.mark.parametrize("engine", ["hume", "hybrid"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_hume_does_two_calls_end_as_they_should(
    fault: str, engine: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "hybrid":
        own = ScriptedEngine({0: Emotion("neutral", 0.9), 400: Emotion("angry", 0.6)})
        monkeypatch.setattr("agent.wiring.engine", lambda settings: own)
    results: list[CallResult] = []
    async with FakeHume.serve() as hume, AsyncExitStack() as stack:
        hume.fault = fault if fault != "gone" else None  # type: ignore[assignment]
        url = nobody(stack) if fault == "gone" else hume.url
        callmood = await start(engine=engine, hume_base_url=url, hume_api_key=Secret(hume.key))
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(talk, callmood, results)
        entries = [await callmood.ended(result.call_sid) for result in results]
    for entry, result in zip(entries, results, strict=True):
        names = [event["event"] for event in entry["timeline"]]
        assert result.ok
        assert entry["outcome"] == "hangup"
        assert "audio.gap" not in names
        assert names.count("analyzer.degraded") == (fault in QUICK)
        if engine == "hybrid":
            assert len([e for e in chunks(entry) if e["source"] == "local"]) >= 3 * TALK_S
    assert len(callmood.ready.directory) == 0


def nobody(stack: AsyncExitStack) -> str:
    """An address where nobody listens, kept so until the end of the block."""
    bound = stack.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    return f"ws://127.0.0.1:{bound.getsockname()[1]}"


async def talk(callmood: Callmood, results: list[CallResult]) -> None:
    results.append(await callmood.caller().call(VOICE[: int(8000 * TALK_S)], Pace()))


def chunks(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in entry["timeline"] if event["event"] == "audio.chunk"]
