"""The calls as others see them: `/calls`, `/events`, and the ledger on disk."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import trio

from agent.ledger.keys import KEY
from agent.ledger.reading import open_ledger
from agent.settings import Settings

if TYPE_CHECKING:
    from conftest import Callmood, Start

ENTRY = {
    "callSid",
    "vapiCallId",
    "state",
    "startedAt",
    "endedAt",
    "outcome",
    "attach",
    "caller",
    "mood",
    "bufferSize",
}
SECOND_OF_SILENCE = b"\xff" * 8_000


async def listed(callmood: Callmood, query: str = "") -> list[str]:
    answer = await callmood.get("/calls" + query)
    assert answer.status_code == 200, answer.text
    return [entry["callSid"] for entry in answer.json()["calls"]]


async def finished(callmood: Callmood, **more: Any) -> str:
    """A call from its webhook to its end; its id."""
    async with callmood.on_the_line(**more) as line:
        pass
    await callmood.ended(line.call_sid)
    return line.call_sid


# The list.


async def test_an_empty_house_lists_no_calls(callmood: Callmood) -> None:
    assert (await callmood.get("/calls")).json() == {"calls": []}


async def test_an_entry_has_exactly_the_promised_fields_live_and_ended(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        [live] = (await callmood.get("/calls")).json()["calls"]
        assert set(live) == ENTRY
        assert live["state"] == "live"
        assert live["endedAt"] is live["outcome"] is live["vapiCallId"] is None
        assert set(live["mood"]) == {"label", "score", "trend"}
    await callmood.ended(line.call_sid)
    [ended] = (await callmood.get("/calls")).json()["calls"]
    assert set(ended) == ENTRY
    assert (ended["state"], ended["outcome"]) == ("ended", "hangup")
    assert ended["startedAt"] == live["startedAt"]
    assert datetime.fromisoformat(ended["endedAt"]) >= datetime.fromisoformat(ended["startedAt"])
    assert datetime.fromisoformat(ended["endedAt"]).utcoffset() == timedelta(0)


async def test_the_newest_call_comes_first_and_the_state_narrows(callmood: Callmood) -> None:
    first = await finished(callmood)
    second = await finished(callmood)
    async with callmood.on_the_line() as line:
        assert await listed(callmood) == [line.call_sid, second, first]
        assert await listed(callmood, "?state=live") == [line.call_sid]
        assert await listed(callmood, "?state=ended") == [second, first]


async def test_limit_and_before_page_through_the_list(callmood: Callmood) -> None:
    sids = [await finished(callmood) for _ in range(4)][::-1]
    assert await listed(callmood, "?limit=2") == sids[:2]
    assert await listed(callmood, f"?limit=2&before={sids[1]}") == sids[2:]
    assert await listed(callmood, f"?before={sids[-1]}") == []
    started = (await callmood.entry(sids[1]))["startedAt"]
    assert await listed(callmood, f"?before={quote(started)}") == sids[2:]


@pytest.mark.parametrize(
    "query",
    [
        *("state=", "state=dead", "limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=%C2%B2"),
        *("limit=1001", "limit=99999999999999999999", "limit=0000000019999", "before=", "before=yesterday"),
        *("before=2026-01-01T00:00:00", "before=%ff"),
    ],
)
async def test_a_question_that_makes_no_sense_is_400(callmood: Callmood, query: str) -> None:
    answer = await callmood.get("/calls?" + query)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"code", "message"}


@pytest.mark.parametrize(
    ("number", "shown"),
    [("+15550100042", "42"), ("client:alice", ""), ("sip:bob@example.com", ""), ("anonymous", ""), ("", "")],
)
async def test_a_callers_number_is_masked_to_its_last_two_digits_everywhere(
    callmood: Callmood, number: str, shown: str
) -> None:
    async with callmood.on_the_line(from_=number) as line:
        texts = [(await callmood.get("/calls")).text, (await callmood.get(f"/calls/{line.call_sid}")).text]
        assert (await callmood.entry(line.call_sid))["caller"].endswith(shown)
    await callmood.ended(line.call_sid)
    texts += [(await callmood.get("/calls")).text, (await callmood.get("/metrics")).text, on_disk(callmood.settings)]
    for text in texts:
        assert not number or number not in text
        assert "5550100" not in text


# One call.


async def test_one_call_comes_with_its_timeline(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await callmood.emotion(line.call_sid, "happy", 0.9)
    entry = await callmood.ended(line.call_sid)
    assert set(entry) == ENTRY | {"timeline"}
    timeline = entry["timeline"]
    assert [event["event"] for event in timeline] == ["call.started", "audio.chunk", "call.ended"]
    for event in timeline:
        assert event["callSid"] == line.call_sid
        assert isinstance(event["t"], int)
        assert datetime.fromisoformat(event["at"]).utcoffset() == timedelta(0)
    assert [event["t"] for event in timeline] == sorted(event["t"] for event in timeline)
    started, chunk, ended = timeline
    assert {"attach", "vapiCallId"} <= set(started)
    assert {"emotion", "scores", "startMs", "endMs", "quality", "source"} <= set(chunk)
    assert {"outcome", "durationMs", "summary"} <= set(ended)


@pytest.mark.parametrize("sid", ["CA1", "%20", "..%2f..", "x" * 5000, "%00", "%ff", '"'])
async def test_an_unknown_call_is_404(callmood: Callmood, sid: str) -> None:
    answer = await callmood.get(f"/calls/{sid}")
    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"code", "message"}


async def test_a_call_whose_id_ends_like_another_has_a_timeline_of_its_own(callmood: Callmood) -> None:
    short, long = "CA" + "0c" * 16, "X-CA" + "0c" * 16
    for sid in (short, long):
        await finished(callmood, call_sid=sid)
    assert {event["callSid"] for event in (await callmood.entry(short))["timeline"]} == {short}


async def test_calls_of_an_earlier_run_are_still_listed_with_their_timeline(start: Start) -> None:
    callmood = await start()
    sid = await finished(callmood)
    callmood.stop.set()
    await callmood.returned.wait()
    again = await start()
    assert await listed(again) == [sid]
    assert (await again.entry(sid))["timeline"][-1]["event"] == "call.ended"


# Watching.


async def test_all_events_of_all_calls_arrive_live_in_order(callmood: Callmood) -> None:
    async with callmood.watch() as events, callmood.on_the_line() as one, callmood.on_the_line() as other:
        await callmood.emotion(one.call_sid, "happy", 0.9)
        await callmood.emotion(other.call_sid, "sad", 0.9)
        seen = await events.take(4)
    assert [(event["callSid"], event["event"]) for _, event in seen] == [
        (one.call_sid, "call.started"),
        (other.call_sid, "call.started"),
        (one.call_sid, "audio.chunk"),
        (other.call_sid, "audio.chunk"),
    ]
    assert len({number for number, _ in seen}) == 4


async def test_watching_all_calls_begins_with_now(callmood: Callmood) -> None:
    await finished(callmood)
    async with callmood.watch() as events:
        sid = await finished(callmood)
        assert (await anext(events))[1]["callSid"] == sid


async def test_what_was_missed_is_given_to_who_comes_back_once(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        async with callmood.watch() as events:
            for score in (0.1, 0.2, 0.3):
                await callmood.emotion(line.call_sid, "happy", score)
            seen = await events.take(3)
        await callmood.emotion(line.call_sid, "happy", 0.4)
        async with callmood.watch(last=seen[1][0]) as events:
            await callmood.emotion(line.call_sid, "happy", 0.5)
            again = await events.take(3)
    assert [event["emotion"]["score"] for _, event in again] == [0.3, 0.4, 0.5]


@pytest.mark.parametrize("last", ["", "x", "-", "1", "-1", "99999", "\xb2", "{epoch}-\xb2", "{epoch}-" + "9" * 5000])
async def test_an_odd_last_event_id_is_no_reason_to_show_nothing(callmood: Callmood, last: str) -> None:
    odd = last.replace("{epoch}", callmood.ready.directory.broadcast.epoch)
    async with callmood.watch(last=odd) as events:
        sid = await finished(callmood)
        assert (await anext(events))[1]["callSid"] == sid


async def test_one_call_is_shown_from_its_beginning_and_then_live(callmood: Callmood) -> None:
    async with callmood.on_the_line() as other, callmood.on_the_line() as line:
        await callmood.emotion(line.call_sid, "happy", 0.8)
        async with callmood.watch(f"?call={line.call_sid}") as events:
            assert [event["event"] for _, event in await events.take(2)] == ["call.started", "audio.chunk"]
            await callmood.emotion(other.call_sid, "happy", 0.8)
            await callmood.emotion(line.call_sid, "happy", 0.9)
            _, event = await anext(events)
            assert (event["callSid"], event["emotion"]["score"]) == (line.call_sid, 0.9)


async def test_nothing_is_lost_or_shown_twice_around_the_switch_from_past_to_live(callmood: Callmood) -> None:
    total = 120
    watched: list[list[tuple[str, dict[str, Any]]]] = []

    async def watch(sid: str, after: int) -> None:
        await callmood.until(lambda: callmood.ready.directory.find(sid).timeline.counts["audio.chunk"] >= after)
        async with callmood.watch(f"?call={sid}") as events:
            watched.append(await events.take(total + 1))

    async with callmood.on_the_line() as line, trio.open_nursery() as nursery:
        for after in (0, 5, 20, 40, 60, 80, 100, total):
            nursery.start_soon(watch, line.call_sid, after)
        for number in range(total):
            await callmood.emotion(line.call_sid, "happy", number / 1000)
    assert len(watched) == 8
    for seen in watched:
        assert [event["emotion"]["score"] for _, event in seen[1:]] == [number / 1000 for number in range(total)]
        assert [number for number, _ in seen] == [number for number, _ in watched[0]]


async def test_one_call_can_be_resumed_after_the_last_event_seen(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        for score in (0.1, 0.2, 0.3):
            await callmood.emotion(line.call_sid, "happy", score)
        async with callmood.watch(f"?call={line.call_sid}") as events:
            seen = await events.take(3)
        async with callmood.watch(f"?call={line.call_sid}", last=seen[-1][0]) as events:
            await callmood.emotion(line.call_sid, "happy", 0.4)
            assert [event["emotion"]["score"] for _, event in await events.take(2)] == [0.3, 0.4]


async def test_a_call_that_has_ended_can_still_be_watched_from_its_beginning(callmood: Callmood) -> None:
    sid = await finished(callmood)
    async with callmood.watch(f"?call={sid}") as events:
        assert [event["event"] for _, event in await events.take(2)] == ["call.started", "call.ended"]


async def test_a_call_id_that_comes_again_is_shown_live_too(callmood: Callmood) -> None:
    caller = callmood.caller()
    for _ in range(2):
        await finished(callmood, call_sid=caller.call_sid)
    async with callmood.on_the_line(caller) as line, callmood.watch(f"?call={line.call_sid}") as events:
        await callmood.emotion(line.call_sid, "happy", 0.8)
        with trio.fail_after(3):
            async for _, event in events:
                if event["event"] == "audio.chunk":
                    break


async def test_watching_a_call_nobody_knows_is_404_and_an_unknown_view_400(callmood: Callmood) -> None:
    assert (await callmood.get("/events?call=CA1")).status_code == 404
    assert (await callmood.get("/events?view=all")).status_code == 400


async def test_a_watcher_who_does_not_read_costs_the_others_nothing(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line, callmood.watch(), callmood.watch() as events:
        for number in range(200):
            await callmood.emotion(line.call_sid, "happy", number / 1000)
        assert len(await events.take(200)) == 200


async def test_spoken_text_is_shown_live_and_not_kept(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        timeline = callmood.ready.directory.find(line.call_sid).timeline
        async with callmood.watch() as events:
            timeline.record("tts.started", text="words that somebody spoke")
            assert (await anext(events))[1]["text"] == "words that somebody spoke"
    entry = await callmood.ended(line.call_sid)
    assert "words that somebody" not in json.dumps(entry)
    assert "words that somebody" not in on_disk(callmood.settings)


# The disk.


def on_disk(settings: Settings) -> str:
    """Every byte of the folder, but the key's; a character each."""
    kept = [path for path in sorted(Path(settings.data).rglob("*")) if path.is_file() and path.name != KEY]
    return "".join(path.read_bytes().decode("latin-1") for path in kept)


async def test_the_ledger_holds_json_lines_and_the_same_as_what_is_shown(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.start_turn("words that somebody spoke")
        for _ in range(3):
            await callmood.emotion(line.call_sid, "angry", 0.9)
        await callmood.event(line.call_sid, "context.updated")
        await line.stream.play(SECOND_OF_SILENCE)
    entry = await callmood.ended(line.call_sid)
    with open_ledger(Path(callmood.settings.data)) as reader:
        assert [json.loads(text) for text in reader.timeline(line.call_sid)] == entry["timeline"]
    text = on_disk(callmood.settings)
    assert line.call_sid in text
    assert "words that somebody" not in text
    assert not re.search(r"\+?\d{9,}", re.sub(r"(CA|MZ|AC)[0-9a-f]{32}|[0-9a-f-]{36}|[0-9a-f]{64}", "", text))


async def test_what_a_call_said_is_on_disk_soon_after_its_end_while_the_service_runs(callmood: Callmood) -> None:
    sid = await finished(callmood)
    await callmood.until(lambda: '"call.ended"' in on_disk(callmood.settings))
    assert sid in on_disk(callmood.settings)


def readable_by_others(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.stat().st_mode & 0o077]


async def test_the_ledger_can_be_read_by_its_owner_only(callmood: Callmood) -> None:
    await finished(callmood)
    await callmood.until(lambda: '"call.ended"' in on_disk(callmood.settings))
    assert not readable_by_others(Path(callmood.settings.data))


async def test_the_numbers_tell_of_calls_and_not_of_any_call(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await callmood.emotion(line.call_sid, "angry", 0.9)
        page = (await callmood.get("/metrics", {})).text
        assert "callmood_calls_live 1.0" in page
        assert line.call_sid not in page
    await callmood.ended(line.call_sid)
    assert 'callmood_calls_ended_total{outcome="hangup"} 1.0' in (await callmood.get("/metrics", {})).text
