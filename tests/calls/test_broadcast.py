"""Whoever watches: each with a bounded queue, and a slow one loses its own oldest events only."""

import pytest
import trio

from agent.calls import broadcast
from agent.calls.broadcast import Broadcast, Shown


def publish(events: Broadcast, count: int, call_sid: str = "CA1") -> None:
    for ordinal in range(1, count + 1):
        events.publish(call_sid, ordinal, {"event": "audio.chunk"}, b"{}")


def waiting(inbox: trio.MemoryReceiveChannel[Shown]) -> list[int]:
    return [inbox.receive_nowait().number for _ in range(inbox.statistics().current_buffer_used)]


async def test_watchers_see_every_event_from_now_on_numbered_over_all_calls() -> None:
    events = Broadcast()
    publish(events, 2)
    with events.watch() as inbox:
        events.publish("CA2", 1, {}, b"line")
        shown = inbox.receive_nowait()
    assert shown == Shown(3, "CA2", 1, b"line")


async def test_a_slow_watcher_loses_its_oldest_events_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broadcast, "WATCHER_DEPTH", 3)
    events = Broadcast()
    with events.watch() as slow, events.watch() as quick:
        seen = []
        for _ in range(10):
            publish(events, 1)
            seen += waiting(quick)
        assert waiting(slow) == [8, 9, 10]
    assert seen == list(range(1, 11))


async def test_a_watcher_that_has_gone_costs_nothing_more_even_when_it_failed() -> None:
    events = Broadcast()
    with pytest.raises(ValueError, match="tab closed"), events.watch():
        raise ValueError("tab closed")
    publish(events, 5)
    assert not events._watchers


async def test_what_has_no_place_in_a_call_is_shown_now_and_to_nobody_who_comes_back() -> None:
    events = Broadcast()
    with events.watch("CA1") as inbox:
        events.publish("CA1", 0, {"event": "transcript"}, b"words")
        assert waiting(inbox) == [1]
    assert events.since(0) == []


def test_whoever_was_away_is_shown_what_is_still_kept() -> None:
    events = Broadcast()
    publish(events, broadcast.KEPT + 10)
    assert [shown.number for shown in events.since(broadcast.KEPT + 7)] == [4104, 4105, 4106]
    assert len(events.since(0)) == broadcast.KEPT
    assert events.since(10**9) == []


def test_two_runs_of_the_service_can_be_told_apart() -> None:
    assert Broadcast().epoch != Broadcast().epoch


def test_a_listener_is_told_of_every_event_at_once() -> None:
    events = Broadcast()
    told: list[object] = []
    events.listen(told.append)
    publish(events, 3)
    assert told == [{"event": "audio.chunk"}] * 3
