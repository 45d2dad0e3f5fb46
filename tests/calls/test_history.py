"""The calls there have been, from the ledger's milestones and from every call since."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calls import history
from agent.calls.history import History


def started(sid: str = "CA1", **fields: object) -> dict[str, Any]:
    at = "2026-01-01T10:00:00.000Z"
    return {"t": 0, "at": at, "callSid": sid, "event": "call.started", "attach": "bridge", "caller": "***01", **fields}


def ended(sid: str = "CA1", **fields: object) -> dict[str, Any]:
    summary = {"vapiCallId": "v1", "mood": {"label": "sad", "score": 0.8, "trend": "rising"}, "bufferSize": 4}
    at = "2026-01-01T10:01:00.000Z"
    return {
        "t": 60_000,
        "at": at,
        "callSid": sid,
        "event": "call.ended",
        "outcome": "hangup",
        "summary": summary,
    } | fields


def lines(*events: dict[str, Any]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


def test_a_call_that_was_is_listed_with_everything_the_interface_promises() -> None:
    assert History(lines(started(), ended())).find("CA1") == {
        "callSid": "CA1",
        "vapiCallId": "v1",
        "state": "ended",
        "startedAt": "2026-01-01T10:00:00.000Z",
        "endedAt": "2026-01-01T10:01:00.000Z",
        "outcome": "hangup",
        "attach": "bridge",
        "caller": "***01",
        "mood": {"label": "sad", "score": 0.8, "trend": "rising"},
        "bufferSize": 4,
    }


def test_the_newest_comes_first_and_an_id_that_comes_again_is_one_call() -> None:
    past = History(lines(*[event for sid in ("CA1", "CA2", "CA1", "CA3") for event in (started(sid), ended(sid))]))
    assert [ended.call_sid for ended in past.ended()] == ["CA3", "CA1", "CA2"]


def test_calls_without_an_end_are_told_apart() -> None:
    past = History(lines(started("CA1"), started("CA2"), ended("CA1"), started("CA3")))
    assert [(entry["callSid"], entry["state"], entry["endedAt"]) for entry in past.unfinished()] == [
        ("CA3", "live", None),
        ("CA2", "live", None),
    ]
    assert past.find("CA2") is None


def test_other_events_are_passed_over() -> None:
    past = History()
    past.note({"event": "audio.chunk", "callSid": "CA1"})
    assert (past.ended(), past.unfinished()) == ([], [])


def test_an_end_whose_beginning_was_rotated_away_is_still_a_call() -> None:
    entry = History(lines(ended(summary=None))).find("CA1")
    assert entry is not None
    assert (entry["startedAt"], entry["caller"], entry["mood"]["label"]) == (None, "", "neutral")


def test_the_oldest_calls_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT", 3)
    past = History(lines(*[event for n in range(10) for event in (started(f"CA{n}"), ended(f"CA{n}"))]))
    assert [ended.call_sid for ended in past.ended()] == ["CA9", "CA8", "CA7"]


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b'{"event":"call.started"}',
        b'{"event":"call.ended","callSid":"CA9"}',
        b'{"event":"call.started","callSid":["CA9"]}',
        b'{"event":"call.ended","callSid":"CA9","at":"x","outcome":"x","summary":[1]}',
        lines(ended())[0][:-10],
        lines(started())[0][:-10] + lines(started())[0],
        b'{"event":"call.started","callSid":"\xff"}',
        b'{"event":"call.started","callSid":"\xe2\x82","event":"call.ended"}',
    ],
)
def test_a_line_that_cannot_be_used_costs_itself_and_no_other(torn: bytes) -> None:
    past = History([*lines(started("CA1")), torn, *lines(ended("CA1"))])
    assert [ended.call_sid for ended in past.ended()] == ["CA1"]


@given(st.lists(st.binary(max_size=60)), st.integers(0, 200), st.binary(max_size=3))
def test_no_ledger_keeps_the_service_from_starting(junk: list[bytes], at: int, damage: bytes) -> None:
    good = lines(ended())[0]
    History([*junk, good[:at] + damage + good[at + 1 :]])
