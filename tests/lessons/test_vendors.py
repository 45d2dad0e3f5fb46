"""Vendors that vanish, throttle and send more than one expects."""

import json
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from agent.settings import Settings
from agent.testing import Fault

from ..calls.stage import VOICE, open_stage
from ..web.conftest import Callmood

MB = 1024 * 1024


def test_unless_somebody_asks_for_it_no_voice_leaves_the_machine() -> None:
    """Hume's first expression API was switched off in 2026, IBM's Tone Analyzer in 2023."""
    assert Settings().engine == "local"


async def test_a_vendor_that_is_switched_off_during_a_call_costs_readings_and_not_the_call(
    autojump_clock: MockClock,
) -> None:
    """Hume's first expression API was switched off in 2026, IBM's Tone Analyzer in 2023."""
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 10.0)
        await trio.sleep(4)
        stage.engine.fault = Fault("refused")
        await stage.gone(call)
        assert stage.outcome(call) == "hangup"
        assert stage.names(call).count("analyzer.degraded") == 1
        assert stage.events(call, "audio.chunk")[-1]["source"] == "fallback"


@pytest.mark.parametrize("kind", ["unavailable", "refuse_open"])
async def test_an_engine_that_is_down_is_asked_with_pauses_that_grow(
    kind: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pipecat#871: endless reconnects without backoff took other calls down."""
    opened: list[float] = []
    async with open_stage() as stage:
        take = stage.engine._faults.take

        def counted(*kinds: str) -> Fault | None:
            if "refuse_open" in kinds:
                opened.append(trio.current_time())
            return take(*kinds)  # type: ignore[arg-type]

        monkeypatch.setattr(stage.engine._faults, "take", counted)
        stage.engine.fault = Fault(kind)  # type: ignore[arg-type]
        call = stage.ring()
        monkeypatch.setattr("tests.calls.stage.VOICE", VOICE * 5)
        await stage.talk(call, 90)
        await stage.gone(call)
    pauses = [later - earlier for earlier, later in pairwise(opened)]
    assert 4 <= len(pauses) <= 12
    assert max(pauses) > 10
    assert min(pauses[4:]) > 2


async def test_a_control_address_that_is_down_is_asked_with_pauses_that_grow(autojump_clock: MockClock) -> None:
    """pipecat#871: endless reconnects without backoff took other calls down."""
    async with open_stage() as stage:
        stage.assistant.fault = Fault("unavailable")
        await stage.talk(call := stage.ring(), 20)
        await stage.gone(call)
        assert 3 <= stage.assistant.attempts <= 8


@pytest.mark.parametrize(("megabytes", "status"), [(1, 200), (5, 200), (9.9, 200), (10.1, 413)])
async def test_only_a_body_beyond_ten_megabytes_is_too_large(callmood: Callmood, megabytes: float, status: int) -> None:
    """A body limit of 100 kB on the Vapi webhook: 413 before any handler, while bodies reach 10 MB."""
    message = {"type": "end-of-call-report", "artifact": ""}
    message["artifact"] = "x" * (int(megabytes * MB) - len(json.dumps({"message": message})))
    answer = await callmood.vapi_says({"message": message})
    assert answer.status_code == status
