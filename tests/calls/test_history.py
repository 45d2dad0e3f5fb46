"""The calls there are and those there have been, in one list."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from agent.calls.history import History
from agent.ledger.entries import noted, opened

from .stage import Stage, open_stage

BEGAN = "2026-01-01T10:00:00.000Z"


def started(sid: str = "CA1", **fields: object) -> dict[str, Any]:
    return {
        "t": 0,
        "at": BEGAN,
        "callSid": sid,
        "event": "call.started",
        "attach": "bridge",
        "caller": "***01",
        **fields,
    }


def ended(sid: str = "CA1", **fields: object) -> dict[str, Any]:
    at = "2026-01-01T10:01:00.000Z"
    return {"t": 60_000, "at": at, "callSid": sid, "event": "call.ended", "outcome": "hangup", "summary": {}} | fields


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def past(stage: Stage, sid: str, began: str = BEGAN) -> None:
    """A call that was, before any that lives."""
    stage.ledger.begin(sid, caller="+15550100001")
    stage.ledger.append(sid, line(started(sid, at=began)))
    stage.ledger.append(sid, line(ended(sid)))


async def sids(history: History, limit: int = 100, **which: Any) -> list[str]:
    return [msgspec.json.decode(entry)["callSid"] for entry in await history.page(limit, **which)]


async def test_live_calls_and_past_ones_are_one_list_the_newest_first(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        history = History(stage.directory, stage.ledger)
        for n in range(3):
            past(stage, f"CA{n}", f"2026-01-01T10:00:0{n}.000Z")
        stage.ring("CA7")
        assert await sids(history) == ["CA7", "CA2", "CA1", "CA0"]
        assert await sids(history, state="live") == ["CA7"]
        assert await sids(history, state="ended") == ["CA2", "CA1", "CA0"]
        assert await sids(history, 2) == ["CA7", "CA2"]


async def test_the_ledger_is_told_who_judges_a_call(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        stage.ring("CA1")
        assert stage.ledger.kept["CA1"].model == stage.engine.name != ""


async def test_every_call_is_on_one_page_only_also_of_those_that_began_at_the_same_instant(
    autojump_clock: MockClock,
) -> None:
    async with open_stage() as stage:
        history = History(stage.directory, stage.ledger)
        for n in range(10):
            past(stage, f"CA{n}")
        seen: list[str] = []
        while page := await sids(history, 3, before=await history.place(seen[-1]) if seen else None):
            seen += page
        assert seen == [f"CA{n}" for n in range(9, -1, -1)]


async def test_a_live_call_is_found_as_it_is_now_and_a_past_one_as_it_ended(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        history = History(stage.directory, stage.ledger)
        past(stage, "CA1")
        stage.ring("CA7")
        found = [await history.find(sid) for sid in ("CA1", "CA7", "CA9")]
        assert [entry and entry["state"] for entry in found] == ["ended", "live", None]
        assert await history.place("CA1") == (BEGAN, "CA1")
        assert await history.place("CA9") is None


async def test_an_id_that_comes_again_is_one_call_in_the_list(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        history = History(stage.directory, stage.ledger)
        past(stage, "CA1")
        stage.ring("CA1")
        assert await sids(history) == ["CA1"]
        entry = await history.find("CA1")
        assert entry is not None
        assert entry["state"] == "live"


# --- The entry of a call ---


def test_other_events_change_nothing() -> None:
    assert noted(opened("CA1", BEGAN, ""), line({"event": "audio.chunk", "callSid": "CA1"})) is None


def test_an_end_whose_beginning_was_lost_is_still_a_call() -> None:
    entry = noted(opened("CA1", BEGAN, "***01"), line(ended(summary=None)))
    assert entry is not None
    assert (entry["startedAt"], entry["caller"], entry["mood"]["label"]) == (BEGAN, "***01", "neutral")


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b'{"event":"call.started","at":7}',
        b'{"event":"call.started","at":"then"}',
        b'{"event":"call.started","at":"2026-01-01T10:00:00Z","t":1e300}',
        b'{"event":"call.ended","callSid":"CA9"}',
        b'{"event":"call.ended","callSid":"CA9","at":"x","outcome":"x","summary":[1]}',
        line(ended())[:-10],
        line(started())[:-10] + line(started()),
        b'{"event":"call.started","callSid":"\xff"}',
        b'{"event":"call.started","callSid":"\xe2\x82","event":"call.ended"}',
    ],
)
def test_a_line_that_cannot_be_used_changes_nothing(torn: bytes) -> None:
    assert noted(opened("CA1", BEGAN, ""), torn) is None


@given(st.integers(0, 200), st.binary(max_size=3))
def test_no_line_is_more_than_a_line_that_cannot_be_used(at: int, damage: bytes) -> None:
    good = line(ended())
    noted(opened("CA1", BEGAN, ""), good[:at] + damage + good[at + 1 :])
