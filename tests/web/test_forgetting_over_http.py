"""`DELETE /calls/{callSid}`, and what a whole call leaves on the disk."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import LedgerUnavailable
from agent.ledger.keys import KEY
from agent.ledger.purging import Which, purging
from agent.ledger.reading import open_ledger
from agent.web import listing

if TYPE_CHECKING:
    import httpx2 as httpx
    import pytest
    from conftest import Callmood, Start

SECOND_OF_SILENCE = b"\xff" * 8_000
NUMBER = "+15550100042"
WORDS = "words that somebody spoke"
BEARER = {"Authorization": "Bearer token-of-the-tests"}


async def delete(callmood: Callmood, call_sid: str, headers: dict[str, str] = BEARER) -> httpx.Response:
    return await callmood.http.delete(f"{callmood.url}/calls/{call_sid}", headers=headers)


def written(folder: Path) -> bytes:
    """Every byte the service has written, but the key's; and what it compressed, as it was before."""
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != KEY]
    with open_ledger(folder) as reader:
        calls = [row.call_sid for row in reader.calls()]
        return b"".join([*files, *(each for sid in calls for each in (*reader.timeline(sid), *reader.steps(sid)))])


async def a_whole_call(callmood: Callmood, number: str = NUMBER) -> str:
    """A call in which the assistant is told, interrupted and overheard, and an operator has a word."""
    async with callmood.on_the_line(from_=number) as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.start_turn(WORDS)
        timeline = callmood.ready.directory.find(line.call_sid).timeline
        timeline.record("tts.started", text=WORDS)
        for _ in range(4):
            await callmood.emotion(line.call_sid, "angry", 0.95)
        await callmood.event(line.call_sid, "context.updated")
        await callmood.post(f"/calls/{line.call_sid}/actions", b'{"action":"context","text":"a word of the operator"}')
        await line.stream.play(SECOND_OF_SILENCE)
    await callmood.ended(line.call_sid)
    return line.call_sid


async def test_a_finished_call_is_forgotten_everywhere(callmood: Callmood) -> None:
    folder = Path(callmood.settings.data)
    forgotten, kept = await a_whole_call(callmood), await a_whole_call(callmood)
    assert forgotten.encode() in written(folder)
    answer = await delete(callmood, forgotten)
    assert (answer.status_code, answer.content) == (204, b"")
    assert forgotten.encode() not in written(folder)
    assert (await callmood.get(f"/calls/{forgotten}")).status_code == 404
    assert [entry["callSid"] for entry in (await callmood.get("/calls")).json()["calls"]] == [kept]
    assert (await callmood.get(f"/events?call={forgotten}")).status_code == 404
    epoch = callmood.ready.directory.broadcast.epoch
    async with callmood.watch(last=f"{epoch}-0") as events:
        assert {event["callSid"] for _, event in await events.take(5)} == {kept}
    assert len((await callmood.entry(kept))["timeline"]) > 5


async def test_what_a_slow_disk_forgets_after_the_answer_is_shown_to_nobody_either(
    callmood: Callmood, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = await a_whole_call(callmood)
    store, go_on = callmood.ready.directory._ledger._store, threading.Event()
    at_once = store.forget
    monkeypatch.setattr(store, "forget", lambda sid: go_on.wait(10) and at_once(sid))
    with monkeypatch.context() as patience:
        patience.setattr(listing, "LEDGER_S", 0.3)
        assert (await delete(callmood, sid)).status_code == 503
    go_on.set()
    assert (await delete(callmood, sid)).status_code == 404
    assert [each for each in callmood.ready.directory.broadcast.since(0) if each.call_sid == sid] == []


async def test_what_another_process_purges_is_not_shown_to_who_comes_back_either(callmood: Callmood) -> None:
    purged, kept = await a_whole_call(callmood), await a_whole_call(callmood)
    await callmood.ready.directory._ledger.flush()
    with purging(Path(callmood.settings.data)) as ledger:
        assert ledger is not None
        ledger.forget(ledger.find(Which(call_sid=purged)))
    epoch = callmood.ready.directory.broadcast.epoch
    async with callmood.on_the_line() as line, callmood.watch(last=f"{epoch}-0") as events:
        shown = {event["callSid"] for _, event in await events.take(8)}
        while line.call_sid not in shown:
            shown |= {event["callSid"] for _, event in await events.take(1)}
    assert shown == {kept, line.call_sid}


async def test_while_the_ledger_cannot_say_what_is_forgotten_only_live_calls_are_shown_again(
    callmood: Callmood, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(call_sids: object) -> set[str]:
        raise LedgerUnavailable("the disk is gone")

    await a_whole_call(callmood)
    monkeypatch.setattr(callmood.ready.directory._ledger, "known", broken)
    epoch = callmood.ready.directory.broadcast.epoch
    async with callmood.on_the_line() as line, callmood.watch(last=f"{epoch}-0") as events:
        [(_, first)] = await events.take(1)
        assert (first["callSid"], first["event"]) == (line.call_sid, "call.started")


async def test_a_live_call_an_unknown_one_and_one_that_was_forgotten_are_not(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        answer = await delete(callmood, line.call_sid)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "live")
        await callmood.emotion(line.call_sid, "happy", 0.9)
    timeline = (await callmood.ended(line.call_sid))["timeline"]
    assert len(timeline) == 3
    assert (await delete(callmood, line.call_sid)).status_code == 204
    for unknown in (line.call_sid, "CA1", "%00", "x" * 5000):
        answer = await delete(callmood, unknown)
        assert answer.status_code == 404
        assert set(answer.json()["error"]) == {"code", "message"}


async def test_while_draining_nothing_is_forgotten_and_who_asks_is_told_to_come_again(start: Start) -> None:
    callmood = await start(drain_s=20.0)
    sid = await a_whole_call(callmood)
    async with callmood.on_the_line():
        callmood.stop.set()
        await callmood.until(lambda: callmood.ready.directory.draining)
        answer = await delete(callmood, sid)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
    await callmood.returned.wait()
    with open_ledger(Path(callmood.settings.data)) as reader:
        assert len(reader.timeline(sid)) > 5, "all of it is there: nothing was half forgotten"


async def test_forgetting_needs_the_token_and_comes_from_no_other_site(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        pass
    await callmood.ended(line.call_sid)
    assert (await delete(callmood, line.call_sid, {})).status_code == 401
    assert (await delete(callmood, line.call_sid, {"Authorization": "Bearer wrong"})).status_code == 401
    assert (await delete(callmood, line.call_sid, {**BEARER, "Origin": "https://evil.example"})).status_code == 403
    await callmood.entry(line.call_sid)


async def test_an_id_that_comes_again_after_it_was_forgotten_is_a_new_call(callmood: Callmood) -> None:
    caller = callmood.caller()
    for _ in range(2):
        async with callmood.on_the_line(caller):
            pass
        assert len((await callmood.ended(caller.call_sid))["timeline"]) == 2
        assert (await delete(callmood, caller.call_sid)).status_code == 204


async def test_no_word_no_number_no_secret_and_no_sound_of_a_call_is_on_the_disk(start: Start) -> None:
    callmood = await start()
    settings = callmood.settings
    sid = await a_whole_call(callmood)
    for _ in range(2):  # while it runs, and when it has ended
        everything = written(Path(settings.data))
        assert sid.encode() in everything
        secrets = (settings.token, settings.twilio_auth_token, settings.vapi_secret, settings.vapi_api_key)
        hidden = [secret.reveal() for secret in secrets if secret]
        assert len(hidden) >= 3
        hidden += [NUMBER, NUMBER[1:], "5550100", WORDS, "a word of the operator", "/control"]
        assert [text for text in hidden if text.encode() in everything] == []
        assert SECOND_OF_SILENCE[:160] not in everything
        callmood.stop.set()
        await callmood.returned.wait()


async def test_words_are_on_the_disk_where_a_setting_says_so(start: Start) -> None:
    callmood = await start(keep_text=True)
    await a_whole_call(callmood)
    assert WORDS.encode() in written(Path(callmood.settings.data))
