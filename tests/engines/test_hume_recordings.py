"""Recordings at Hume, against a fake of it."""

from __future__ import annotations

import numpy as np
import pytest
import trio

from agent.core.emotion import EmotionReading
from agent.engines.expressions import load
from agent.engines.hume import recordings
from agent.errors import EngineRefused, EngineUnavailable
from agent.http import client
from agent.testing.fake_hume import FakeHume


async def measured(hume: FakeHume, seconds: int, key: str | None = None) -> list[EmotionReading]:
    audio = np.random.default_rng(1).normal(0, 3000, 8000 * seconds).astype(np.int16)
    with trio.fail_after(20):
        async with client() as http:
            found = recordings.measure(http, hume.url, key or hume.key, load(), audio)
            return [reading async for reading in found]


async def test_a_recording_is_measured_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "PIECE_S", 7)  # in pieces, as one of an hour would be
    async with FakeHume.serve(lambda start_ms, end_ms: [("anger", 0.8 if end_ms == 6000 else 0.1)]) as hume:
        readings = await measured(hume, 20)
    assert [reading.end_ms for reading in readings] == [3000, 6000, 10_000, 13_000, 17_000, 20_000]
    assert [reading.emotion.label for reading in readings] == ["neutral", "angry"] * 3
    assert {reading.source for reading in readings} == {"hume"}


@pytest.mark.parametrize(
    ("fault", "kind"), [("refuse", EngineUnavailable), ("unauthorized", EngineRefused)], ids=["down", "wrong-key"]
)
async def test_what_cannot_be_measured_is_said(fault: str, kind: type[Exception]) -> None:
    async with FakeHume.serve() as hume:
        hume.fault = fault  # type: ignore[assignment]
        with pytest.raises(kind):
            await measured(hume, 1)
