"""The supervisor's screen over real sockets: what `GET /events?view=summary` sends, to whom, and to whom not."""

from __future__ import annotations

import json
import re
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.audiofile import bundled_voice
from agent.calls import wall
from agent.core.emotion import LABELS
from agent.http import httpx

if TYPE_CHECKING:
    from conftest import Callmood, Start

VOICE = bundled_voice()
SUMMARY = "/events?view=summary"
BEARER = {"Authorization": "Bearer token-of-the-tests"}
ON_SCREEN = {"attention", "anger", "assistantSpeaking", "transferred", "lastAction"}
FEELINGS = re.compile("|".join([*LABELS, "anger", "calm", "emotion"]), re.IGNORECASE)

Json = dict[str, Any]


def messages(stream: str) -> list[Json]:
    return [json.loads(block[6:]) for block in stream.split("\n\n")[:-1] if block.startswith("data: ")]


@asynccontextmanager
async def looking(callmood: Callmood, **headers: str) -> AsyncIterator[tuple[str, trio.SocketStream, bytes]]:
    """The answer's head, and its body as it comes over the wire, with what of it has come."""
    asked = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {**BEARER, **headers}.items())
    async with await callmood.raw() as stream:
        await stream.send_all(f"GET {SUMMARY} HTTP/1.0\r\nHost: x\r\n{asked}\r\n".encode())
        head, _, rest = (await some_of(stream, b"\r\n\r\n")).partition(b"\r\n\r\n")
        yield head.decode().lower(), stream, rest


async def test_the_first_message_is_whole_and_every_entry_has_its_place(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line, callmood.watch("?view=summary") as shown:
        _, whole = await anext(shown)
        assert (whole["full"], whole["live"]) == (True, 1)
        listed = set((await callmood.get("/calls")).json()["calls"][0])
        assert set(whole["calls"][0]) == listed | ON_SCREEN | {"curve"}
        assert whole["calls"][0]["attention"]["level"] == "calibrating"
        for _ in range(3):
            await callmood.emotion(line.call_sid, "angry", 0.9)
        [entry] = (await changed(shown))["calls"]
        assert set(entry) == listed | ON_SCREEN
        assert set(entry["attention"]) == {"level", "rank", "why", "confidence", "sinceT"}
        assert entry["attention"]["level"] == "help"
        assert entry["caller"] == "***01"
        await line.stream.hang_up()
        [entry] = (await changed(shown))["calls"]
        assert (entry["state"], entry["outcome"]) == ("ended", "hangup")
        assert set(entry) == listed


async def changed(shown: Any) -> Json:
    """The next message in which something is new."""
    async for _, message in shown:
        assert not message["full"]
        if message["calls"]:
            return dict(message)
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("encodings", ["gzip", "gzip, deflate, br", "br;q=1.0, gzip;q=0.5, *;q=0"])
async def test_who_takes_gzip_is_sent_gzip_that_can_be_read_as_it_comes(callmood: Callmood, encodings: str) -> None:
    async with callmood.on_the_line() as line, looking(callmood, Accept_Encoding=encodings) as (head, stream, came):
        body = came
        assert "content-encoding: gzip" in head
        assert "vary: accept-encoding" in head
        reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = reader.decompress(body).decode()
        while len(messages(text)) < 1:
            body += (piece := await stream.receive_some())
            text += reader.decompress(piece).decode()
        for _ in range(3):
            await callmood.emotion(line.call_sid, "angry", 0.9)
        while not any(entry["mood"]["label"] == "angry" for each in messages(text) for entry in each["calls"]):
            body += (piece := await stream.receive_some())
            text += reader.decompress(piece).decode()
    assert [each["full"] for each in messages(text)] == [True, *[False] * (len(messages(text)) - 1)]
    assert httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=body).text == text


@pytest.mark.parametrize("encodings", ["identity", "br", "gzip;q=0", ""])
async def test_who_does_not_take_gzip_is_sent_plain_text(callmood: Callmood, encodings: str) -> None:
    async with looking(callmood, Accept_Encoding=encodings) as (head, stream, came):
        body = came
        assert "content-encoding" not in head
        assert "vary: accept-encoding" in head
        while not messages(body.decode()):
            body += await stream.receive_some()
    assert messages(body.decode())[0]["full"]


async def test_who_takes_nothing_for_a_while_is_then_given_the_newest_and_held_next_to_nothing_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "EVERY_S", 0.05)
    callmood = await start(max_calls=400)
    calls = [callmood.ready.directory.register(f"CA{number}", caller="+15550100042") for number in range(300)]
    async with slow_reader(callmood) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(keep_changing, calls)
        data = await some_of(stream, b"data: ")
        passed_by, last = await look_on(callmood, times=10)
        while len(seen := messages(data.partition(b"\r\n\r\n")[2].decode())) < 2:
            data += await some_of(stream, b"\n\n")
        nursery.cancel_scope.cancel()
    assert passed_by > 500_000
    assert seen[0]["full"], "it had begun to be told of this one"
    assert seen[1]["at"] > last["at"], "nothing of what was made meanwhile lay on the way to it"
    assert (seen[1]["full"], len(seen[1]["calls"])) == (True, 300), "and what was missed is told as a whole"


async def look_on(callmood: Callmood, times: int) -> tuple[int, Json]:
    """Take so many messages; how many bytes that was, and the last."""
    total = 0
    async with callmood.watch("?view=summary") as quick:
        for _ in range(times):
            _, last = await anext(quick)
            total += len(json.dumps(last))
    return total, last


async def keep_changing(calls: list[Any]) -> None:
    while True:
        for call in calls:
            call.assistant_turn(started=not call.assistant_speaking)
        await trio.sleep(0.04)


@asynccontextmanager
async def slow_reader(callmood: Callmood) -> AsyncIterator[trio.SocketStream]:
    """A watcher whose own machine takes next to nothing for it."""
    raw = trio.socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await raw.connect(("127.0.0.1", callmood.port))
    async with trio.SocketStream(raw) as stream:
        head = f"GET {SUMMARY} HTTP/1.0\r\nHost: x\r\nAuthorization: {BEARER['Authorization']}\r\n\r\n"
        await stream.send_all(head.encode())
        yield stream


async def some_of(stream: trio.SocketStream, until: bytes) -> bytes:
    data = b""
    while until not in data:
        piece = await stream.receive_some()
        assert piece
        data += piece
    return data


async def test_after_a_restart_the_watcher_is_told_everything_anew(start: Start) -> None:
    first = await start()
    async with first.on_the_line() as line, first.watch("?view=summary") as shown:
        assert (await anext(shown))[1]["calls"][0]["callSid"] == line.call_sid
        first.stop.set()
        async for _ in shown:
            pass  # until the service has gone
    await first.returned.wait()
    second = await start(port=first.port)
    async with second.watch("?view=summary", last="whatever it was") as shown:
        _, whole = await anext(shown)
        assert (whole["full"], whole["calls"], whole["live"]) == (True, [], 0)


async def test_so_many_may_watch_and_one_more_may_not(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.service.WATCHERS", 2)
    callmood = await start()
    async with callmood.watch("?view=summary") as one, callmood.watch():
        await anext(one)
        answer = await callmood.get(SUMMARY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    async with looked_at_by(callmood, 8) as heads:
        assert sorted(head.split()[1] for head in heads) == ["200", "200", *["503"] * 6], "however many come at once"


@asynccontextmanager
async def looked_at_by(callmood: Callmood, many: int) -> AsyncIterator[list[str]]:
    """The head of each answer, of so many that come at once and stay."""
    heads: list[str] = []

    async def look(all_there: trio.Event, over: trio.Event) -> None:
        async with looking(callmood) as (head, _, _):
            heads.append(head)
            if len(heads) == many:
                all_there.set()
            await over.wait()

    async with trio.open_nursery() as nursery:
        all_there, over = trio.Event(), trio.Event()
        for _ in range(many):
            nursery.start_soon(look, all_there, over)
        await all_there.wait()
        yield heads
        over.set()


async def test_a_session_is_a_cookie_of_the_browsers_session_that_no_script_sees_and_no_other_site_sends(
    callmood: Callmood,
) -> None:
    answer = await callmood.get("/live?token=token-of-the-tests", {})
    callmood.http.cookies.clear()
    cookie, *attributes = [part.strip() for part in answer.headers["set-cookie"].split(";")]
    assert {attribute.lower() for attribute in attributes} == {"httponly", "samesite=strict", "path=/"}
    assert (await callmood.get("/calls", {"Cookie": cookie})).status_code == 200
    async with looking(callmood, Authorization="none", Cookie=cookie) as (head, _, _):
        assert " 200 " in head
    assert (await callmood.get(SUMMARY, {})).status_code == 401
    assert (await callmood.get(SUMMARY, {"Cookie": cookie[:-1]})).status_code == 401


async def test_where_nobodys_feelings_are_judged_the_screen_names_none(start: Start) -> None:
    callmood = await start(profile="physical-only")
    async with callmood.on_the_line() as line, callmood.watch("?view=summary") as shown:
        _, whole = await anext(shown)
        assert not {"anger", "curve"} & set(whole["calls"][0])
        assert await line.stream.play(VOICE[: 8000 * 10])
        call = callmood.ready.directory.find(line.call_sid)
        assert call.claim_transfer("operator")
        call.transfer_failed("nobody answered")
        news = await changed(shown)
        while "Not enough" in news["calls"][0]["attention"]["why"]:
            news = await changed(shown)
        text = re.sub("escalation.failed", "", json.dumps([whole, news]))
        assert news["calls"][0]["attention"]["level"] in ("help", "ok", "watch")
    assert FEELINGS.search(text) is None, text


async def test_in_profile_off_the_screen_says_that_nothing_is_listened_to(start: Start) -> None:
    callmood = await start(profile="off")
    assert callmood.ready.directory.register("CA1", caller="+15550100042") is not None
    async with callmood.watch("?view=summary") as shown:
        [entry] = (await anext(shown))[1]["calls"]
    assert (entry["attention"]["level"], entry["attention"]["why"]) == ("off", "Nothing is listened to")
    assert FEELINGS.search(json.dumps(entry)) is None


async def test_what_was_done_says_why_in_words(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.send_status_update("in-progress")
        await assistant.start_turn("An answer that goes on and on.")
        for _ in range(4):
            await callmood.emotion(line.call_sid, "angry", 0.9)
        cut = await callmood.event(line.call_sid, "tts.cancelled")
        note = await callmood.event(line.call_sid, "context.updated")
        assert cut["why"].startswith("Rule angry-interrupt: angry 0.90 (0.85 asked for), held for ")
        assert "0.90" in note["why"]
        await callmood.post(f"/calls/{line.call_sid}/actions", '{"action":"transfer","to":"+15550100199"}')
        begun = await callmood.event(line.call_sid, "escalation.started")
        assert begun["why"] == "Somebody at the screen wanted it."
        kept = (await callmood.entry(line.call_sid))["timeline"]
        assert cut in kept, "and it is kept with the call"


async def test_the_callers_words_are_shown_now_and_kept_nowhere(start: Start) -> None:
    callmood = await start(keep_text=True)
    async with callmood.on_the_line() as line:
        async with callmood.watch(f"?call={line.call_sid}") as one, callmood.watch() as everything:
            await says(callmood, line.call_sid, "My number is 555 0100 123, as I said.")
            await callmood.emotion(line.call_sid, "happy", 0.9)
            for shown in (one, everything):
                said = await until(shown, "transcript")
                assert (said["role"], said["text"]) == ("caller", "My number is ***23, as I said.")
                assert (await until(shown, "audio.chunk"))["emotion"]["label"] == "happy"
        async with callmood.watch(f"?call={line.call_sid}") as later:
            await callmood.emotion(line.call_sid, "sad", 0.9)
            assert [event["event"] for _, event in await later.take(3)] == ["call.started", *["audio.chunk"] * 2]
        callmood.ready.directory.find(line.call_sid).withdraw_consent("key")
        async with callmood.watch() as everything:
            await says(callmood, line.call_sid, "I said no.")
            await callmood.post(f"/calls/{line.call_sid}/actions", '{"action":"wrong"}')
            assert (await anext(everything))[1]["event"] == "decision.wrong"
    assert "as I said" not in json.dumps(await callmood.ended(line.call_sid))


async def says(callmood: Callmood, call_sid: str, words: str) -> None:
    assistant = callmood.assistant(call_sid)
    body = {"type": "transcript", "role": "user", "transcriptType": "final", "transcript": words}
    body["call"] = {"id": assistant.facts.call_id, "phoneCallProviderId": call_sid}  # type: ignore[assignment]
    answer = await callmood.vapi_says({"message": body})
    assert answer.status_code == 200


async def until(shown: Any, name: str) -> Json:
    async for _, event in shown:
        if event["event"] == name:
            return dict(event)
    raise AssertionError(f"the events ended before {name}")


async def test_a_call_played_for_real_has_its_curve(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assert await line.stream.play(VOICE[: 8000 * 20])
        async with callmood.watch("?view=summary") as shown:
            [entry] = (await anext(shown))[1]["calls"]
    assert entry["anger"] is not None
    assert all(len(point) == 4 for point in entry["curve"])
