"""The numbers of a running service, scraped during calls and after them, as Prometheus does it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from agent.audiofile import bundled_voice
from agent.calls.mailbox import BLOCKS_A_SECOND
from agent.core.audio import MediaFrame
from agent.core.emotion import Emotion
from agent.testing import FakeCall, Fault, Pace, ScriptedEngine
from agent.watchdog import LAG_EVERY_S, lag
from agent.web.collectors import CHANNELS

if TYPE_CHECKING:
    from .conftest import Callmood, Line, Start

VOICE = bundled_voice()
LONG_S = 30.0


class Page:
    """One page of numbers."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._found = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self._found["callmood_" + name, frozenset(labels.items())]

    def total(self, name: str, **labels: str) -> float:
        """Of all that have these labels."""
        wanted = set(labels.items())
        return sum(
            value for (found, has), value in self._found.items() if found == "callmood_" + name and wanted <= has
        )

    @property
    def label_values(self) -> set[str]:
        return {value for _, labels in self._found for _, value in labels}


async def scrape(callmood: Callmood) -> Page:
    answer = await callmood.get("/metrics", {})
    assert answer.status_code == 200
    return Page(answer.text)


async def until(callmood: Callmood, at_least: float, name: str, **labels: str) -> Page:
    """The first page on which this number is as large as that."""
    while (page := await scrape(callmood))(name, **labels) < at_least:  # noqa: ASYNC110 - it is asked from outside
        await trio.sleep(0.02)
    return page


async def attached(callmood: Callmood, line: Line) -> FakeCall:
    assistant = callmood.assistant(line.call_sid)
    await assistant.send_status_update("in-progress")
    return assistant


async def feel(callmood: Callmood, line: Line, label: str) -> None:
    for _ in range(3):
        await callmood.emotion(line.call_sid, label, 0.9)


async def test_a_quiet_service_shows_every_number_at_rest(callmood: Callmood) -> None:
    page = await scrape(callmood)
    for name in ("calls_live", "full", "draining", "frame_age_seconds", "ledger_waiting", "ledger_dropped_total"):
        assert page(name) == 0, name
    for channel in CHANNELS:
        assert page("channel_waiting", channel=channel) == page("channel_dropped_total", channel=channel) == 0
    for kind in ("note", "interruption", "transfer"):
        assert page("actions_total", kind=kind, result="failed") == 0
    assert page("calls_ended_total", outcome="crashed") == page("rules_reloads_total", result="bad") == 0
    assert page("engine_degraded", engine="local") == 0
    assert page("engine_failures_total", engine="local", how="slow") == 0
    assert page("wire_latency_seconds_count", kind="note") == page("decision_latency_seconds_count") == 0


async def test_the_newest_frame_grows_old_while_none_comes(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await line.stream.play(VOICE[:1600])
        call = callmood.ready.directory.find(line.call_sid)
        assert call is not None
        await callmood.until(lambda: call.mailbox.heard_at > 0)
        since = call.mailbox.heard_at
        await trio.sleep(0.2)
        before, page = trio.current_time(), await scrape(callmood)
        assert before - since <= page("frame_age_seconds") <= trio.current_time() - since
        assert page("calls_live") == 1
    await callmood.ended(line.call_sid)
    assert (await scrape(callmood))("frame_age_seconds") == 0


async def test_what_waits_in_a_channel_is_seen_summed_and_at_its_most(start: Start) -> None:
    callmood = await start(publisher_patience_s=LONG_S)
    async with callmood.on_the_line() as first, callmood.on_the_line() as second:
        for line in (first, second):
            await attached(callmood, line)
        callmood.vapi.fault = Fault("stall")
        for line in (first, second):
            await feel(callmood, line, "sad")
        await until(callmood, 2, "decision_latency_seconds_count")
        await trio.sleep(0.6)  # notes have a spacing of their own
        for line in (first, second):
            await feel(callmood, line, "happy")
            await feel(callmood, line, "happy")
        page = await until(callmood, 2, "channel_waiting", channel="updates")
        assert page("channel_waiting_most", channel="updates") == 1


async def test_what_gave_way_stays_counted_when_its_call_is_over(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        call = callmood.ready.directory.find(line.call_sid)
        assert call is not None
        for number in range(110):  # after a block, two seconds of frames at once: nobody has a chance to take them
            if number == 10:
                await callmood.until(lambda: not call.mailbox.outbox.waiting)
            frame = MediaFrame(number, 20 * number, b"\xff" * 160, trio.current_time())
            call.mailbox.hear(call.mailbox._line, frame)  # type: ignore[arg-type]
        dropped = call.mailbox.dropped
        assert dropped >= BLOCKS_A_SECOND - 1, "of two seconds one may wait, and a block is handed on at once"
        assert (await scrape(callmood))("channel_dropped_total", channel="frames") == dropped
        page = await until(callmood, 100, "audio_missing_ms_total", cause="dropped")
    await callmood.ended(line.call_sid)
    page = await scrape(callmood)
    assert page("channel_dropped_total", channel="frames") == dropped
    assert page("calls_live") == 0


async def test_decisions_and_what_came_of_them_are_timed_and_counted(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await (await attached(callmood, line)).start_turn("I talk on and on.")
        for _ in range(2):
            await feel(callmood, line, "angry")
        page = await until(callmood, 1, "actions_total", kind="interruption", result="done")
        page = await until(callmood, 1, "actions_total", kind="note", result="done")
        decisions = page("decision_latency_seconds_count")
        assert decisions >= 1
        entry = await callmood.entry(line.call_sid)
    notes = [event for event in entry["timeline"] if event["event"] == "context.updated"]
    assert page("wire_latency_seconds_count", kind="note") == page("update_latency_seconds_count") == len(notes)
    assert page("wire_latency_seconds_sum", kind="note") == pytest.approx(sum(n["acceptedMs"] for n in notes) / 1000)
    assert page("wire_latency_seconds_count", kind="interruption") == 1
    assert page("decision_latency_seconds_sum") <= page("update_latency_seconds_sum") + 1


async def test_a_note_that_does_not_arrive_is_counted_as_tried_again(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        callmood.vapi.fault = Fault("status", status=500, times=1)
        await feel(callmood, line, "angry")
        page = await until(callmood, 1, "actions_total", kind="note", result="done")
    assert page("actions_total", kind="note", result="retrying") == 1
    assert page("actions_total", kind="note", result="failed") == 0


async def test_a_transfer_that_cannot_be_made_is_counted_as_failed(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        answer = await callmood.post(f"/calls/{line.call_sid}/actions", '{"action":"transfer"}')
        assert answer.status_code == 202
        await until(callmood, 1, "actions_total", kind="transfer", result="failed")


async def test_an_engine_that_stalls_is_seen_and_its_failures_stay_counted(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine({0: Emotion("neutral", 0.9)}, name="local")
    engine.fault = Fault("stall")
    monkeypatch.setattr("agent.wiring.engine", lambda settings: engine)
    callmood = await start(analyzer_patience_s=0.05)
    caller = callmood.caller()
    placed = await caller.place()
    assert placed.plan is not None
    async with caller.stream(placed.plan, Pace()) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.play, VOICE)
        page = await until(callmood, 2, "engine_failures_total", engine="local", how="slow")
        assert page("engine_degraded", engine="local") == 1
        assert page.total("readings_total", source="fallback") >= 1
        nursery.cancel_scope.cancel()
    await callmood.ended(caller.call_sid)
    page = await scrape(callmood)
    assert page("engine_failures_total", engine="local", how="slow") >= 2
    assert page("engine_degraded", engine="local") == 0


async def test_how_long_a_call_took_to_be_freed_is_measured(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        callmood.vapi.fault = Fault("stall")
        await feel(callmood, line, "angry")
        await until(callmood, 1, "decision_latency_seconds_count")
    await callmood.ended(line.call_sid)
    page = await scrape(callmood)
    assert page("wrap_up_seconds_count") == page("calls_ended_total", outcome="hangup") == 1
    assert page("wrap_up_seconds_sum") >= callmood.settings.wrap_up_s  # its note was still under way


async def test_a_loop_that_is_held_up_is_seen_to_lag(callmood: Callmood) -> None:
    await until(callmood, 1, "loop_lag_seconds_count")
    time.sleep(LAG_EVERY_S + 0.4)  # noqa: ASYNC251 - this is what it looks for
    page = await until(callmood, 0.25, "loop_lag_seconds_sum")
    assert page("loop_lag_seconds_count") > page("loop_lag_seconds_bucket", le="0.25")


async def test_the_lag_is_how_late_the_loop_comes(autojump_clock: trio.testing.MockClock) -> None:
    seen: list[float] = []
    with trio.move_on_after(4.5 * LAG_EVERY_S):
        await lag(seen.append)
    assert seen == [0.0] * 4


async def test_the_ledger_says_what_waits_and_when_it_was_last_written(callmood: Callmood) -> None:
    ledger = callmood.ready.directory._ledger
    async with callmood.on_the_line() as line:
        await callmood.emotion(line.call_sid, "happy", 0.9)
        await ledger.flush()
        assert (await scrape(callmood))("ledger_waiting") == 0
        await until(callmood, 0.3, "ledger_commit_age_seconds")
        for _ in range(5):
            ledger.append(line.call_sid, b'{"event":"audio.chunk"}')
        assert (await scrape(callmood))("ledger_waiting") > 0
        await ledger.flush()
        assert (await scrape(callmood))("ledger_commit_age_seconds") < 0.3


async def test_no_number_names_a_call(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await feel(callmood, line, "angry")
        page = await scrape(callmood)
        assert line.call_sid not in page.text
        assert not [value for value in page.label_values if re.search(r"CA[0-9a-f]{8}|\d{6,}", value)]
