"""Two workers that look like one service: whatever is asked of either is done by the one that has the call.

Both run in this process, each with a port of its own, so that a test says who accepts a connection. What holds for real
processes on one port is in `cli/test_workers.py`.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.ledger.sqlite import Shared, open_sqlite
from agent.settings import Secret, VapiSettings
from agent.testing.fake_llm import FakeLLM
from agent.workers.berth import Berth, weight
from agent.workers.crew import Crew

if TYPE_CHECKING:
    from conftest import Callmood, OwnPort, Start

KEY = "gateway-key-of-the-tests"
VAPI_SECRET = "vapi-secret-of-the-tests"
BEARER = {"Authorization": "Bearer token-of-the-tests"}
ACCEPTS = pytest.mark.parametrize("accepts", [0, 1], ids=["accepted here", "accepted elsewhere"])

Json = dict[str, Any]


def berth(folder: Path, slot: int, count: int = 2, **more: Any) -> Berth:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    known: Json = {"recovers": "", "restarts": 0, "host": "127.0.0.1", "port": 0, "config": "", "insecure": False}
    known |= {"run": "tests", "token": "", "folder": str(folder), "listeners": [listener.detach()]}
    return Berth(slot=slot, count=count, **{**known, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "s"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM.serve() as llm:
        yield llm


async def workers(start: Start, folder: Path, **changes: Any) -> list[Callmood]:
    return [await start(crew=Crew(berth(folder, slot)), **changes) for slot in (0, 1)]


def sid_of(slot: int, count: int = 2) -> str:
    """The id of a call that begins with this worker."""
    while True:
        sid = "CA" + os.urandom(16).hex()
        if max(range(count), key=lambda each: weight(sid, each)) == slot:
            return sid


@pytest.fixture
async def pair(start: Start, folder: Path, llm: FakeLLM) -> list[Callmood]:
    return await workers(start, folder, llm_base_url=llm.url, llm_api_key=Secret(llm.key), llm_key=Secret(KEY))


def holder(pair: list[Callmood], sid: str) -> int | None:
    """Which of them has the call."""
    [*found] = [slot for slot, each in enumerate(pair) if each.ready.directory.find(sid) is not None]
    assert len(found) < 2, "one call lives twice"
    return found[0] if found else None


async def call_of(pair: list[Callmood], slot: int, through: Callmood | None = None) -> Any:
    """A call that this worker has, placed through the other one."""
    through = through or pair[1 - slot]
    caller = through.caller(call_sid=sid_of(slot))
    placed = await caller.place()
    assert placed.plan is not None, placed
    assert holder(pair, caller.call_sid) == slot
    return caller, placed.plan


async def test_a_worker_that_is_started_again_is_not_taken_for_the_one_that_had_the_call(
    start: Start, folder: Path, account: Any
) -> None:
    """Its call has begun anew elsewhere: whoever still remembers the old place must not have it begin a third time."""
    settings = account.settings(attach="fork", port=0)
    three = [await start(crew=Crew(berth(folder, slot, 3)), **settings) for slot in range(3)]
    caller = three[0].caller()
    account.twilio.take(caller)
    call_id = os.urandom(16).hex()
    while sorted(range(3), key=lambda slot: weight(call_id, slot), reverse=True) != [1, 0, 2]:
        call_id = os.urandom(16).hex()

    async def says(worker: int, kind: str, **more: str) -> None:
        call = {"id": call_id, "phoneCallProviderId": caller.call_sid}
        await three[worker].vapi_says({"message": {"type": kind, "call": call, **more}})

    await says(0, "status-update", status="in-progress")
    assert holder(three, caller.call_sid) == 1
    await says(2, "speech-update", status="started", role="assistant")  # it remembers
    three[1].stop.set()
    await three[1].returned.wait()
    await says(0, "speech-update", status="stopped", role="assistant")
    assert three[0].ready.directory.find(caller.call_sid) is not None
    three[1] = await start(crew=Crew(berth(folder, 1, 3, recovers="own", restarts=1)), **settings)
    await says(2, "speech-update", status="started", role="assistant")
    assert holder(three, caller.call_sid) == 0


async def test_while_one_worker_alone_ends_the_service_is_ready_and_answers_everything(pair: list[Callmood]) -> None:
    pair[0].ready.directory.draining = True
    for path in ("/readyz", "/healthz", "/metrics", "/calls", "/live"):
        answers = [(await pair[0].get(path)).status_code for _ in range(3)]
        assert answers == [200] * 3, path
    pair[1].ready.directory.draining = True
    assert (await pair[0].get("/readyz")).status_code == 503
    assert (await pair[0].get("/calls")).status_code == 503


@ACCEPTS
async def test_a_callers_line_reaches_its_call_whichever_worker_accepts_it(pair: list[Callmood], accepts: int) -> None:
    caller, plan = await call_of(pair, 0)
    through = pair[accepts]
    caller.server = through.url
    async with pair[0].open(caller, plan) as line:
        await pair[0].until(lambda: pair[0].connected(line))
        await line.stream.play(b"\xff" * 1600)
        call = pair[0].ready.directory.find(caller.call_sid)
        assert call is not None
        await pair[0].until(lambda: call.mailbox.heard_at > 0)
    await pair[0].until(lambda: holder(pair, caller.call_sid) is None)
    assert (await through.entry(caller.call_sid))["outcome"] == "hangup"


@ACCEPTS
async def test_every_route_of_a_call_is_answered_as_if_there_were_one_worker(
    pair: list[Callmood], llm: FakeLLM, accepts: int
) -> None:
    caller, _ = await call_of(pair, 0)
    sid, through = caller.call_sid, pair[accepts]
    call = pair[0].ready.directory.find(sid)
    assert call is not None
    assert (await through.get(f"/calls/{sid}")).json()["state"] == "live"
    assert (await through.get(f"/debug/calls/{sid}")).json()["callSid"] == sid
    assert (await through.emotion(sid, "angry", 0.9))["status"] == "updated"
    ordered = await through.post(f"/calls/{sid}/actions", json.dumps({"action": "wrong"}))
    assert ordered.status_code == 202
    assert (await through.get(f"/live/{sid}")).status_code == 200
    assert (await through.event(sid, "audio.chunk"))["callSid"] == sid
    body = {"message": {"type": "status-update", "status": "in-progress", "call": known_by(sid)}}
    assert (await through.vapi_says(body)).json()["status"] == "ok"
    call.vapi_call_id = "vapi-1"
    only_vapis = {"message": {"type": "speech-update", "role": "assistant", "status": "started", "call": VAPIS}}
    assert (await through.vapi_says(only_vapis)).json()["status"] == "ok"
    assert call.assistant_speaking
    question = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello?"}], "call": VAPIS})
    asked = await through.post("/llm/chat/completions", question, {"Authorization": f"Bearer {KEY}"})
    assert asked.status_code == 200
    assert call.through_gateway
    live = await through.http.delete(f"{through.url}/calls/{sid}", headers=BEARER)
    assert live.status_code == 409
    form = [("CallSid", sid), ("CallStatus", "completed")]
    assert (await through.signed("/twilio/call-status", form)).status_code == 204
    await through.until(lambda: holder(pair, sid) is None)
    gone = await through.http.delete(f"{through.url}/calls/{sid}", headers=BEARER)
    assert gone.status_code == 204
    assert (await pair[1].get(f"/calls/{sid}")).status_code == 404


VAPIS = {"id": "vapi-1"}


def known_by(sid: str) -> Json:
    return {"id": "vapi-1", "phoneCallProviderId": sid}


@ACCEPTS
@pytest.mark.parametrize("kilobytes", [1, 200, 3000])
async def test_a_message_of_any_length_reaches_the_call_it_is_about(
    pair: list[Callmood], accepts: int, kilobytes: int
) -> None:
    caller, _ = await call_of(pair, 0)
    padding = "x" * (kilobytes * 1024)
    message = {"type": "speech-update", "role": "assistant", "status": "started", "padding": padding}
    body = json.dumps({"message": {**message, "call": known_by(caller.call_sid)}}).encode()
    assert (await pair[accepts].vapi_says(body)).json() == {"status": "ok"}
    call = pair[0].ready.directory.find(caller.call_sid)
    assert call is not None
    assert call.assistant_speaking


@pytest.mark.parametrize("size", [200, 150_000])
async def test_a_message_in_chunks_reaches_it_too_and_who_asks_first_is_told_to_go_on(
    pair: list[Callmood], size: int
) -> None:
    caller, _ = await call_of(pair, 0)
    message = {"type": "speech-update", "role": "assistant", "status": "started", "padding": "x" * size}
    body = json.dumps({"message": {**message, "call": known_by(caller.call_sid)}}).encode()
    head = (
        f"POST /webhook/vapi HTTP/1.1\r\nHost: {pair[1].host}\r\nX-Vapi-Secret: {VAPI_SECRET}\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n\r\n"
    )
    async with await pair[1].raw() as stream:
        await stream.send_all(head.encode())
        assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 100")
        for start in range(0, len(body), 10_000):
            piece = body[start : start + 10_000]
            await stream.send_all(b"%x\r\n%b\r\n" % (len(piece), piece))
        await stream.send_all(b"0\r\n\r\n")
        assert b'{"status":"ok"}' in await said(stream, b'"ok"}')


@pytest.mark.parametrize("auth", ["secret", "hmac"])
async def test_a_body_that_takes_its_time_reaches_its_call_however_vapi_proves_itself(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch, auth: str
) -> None:
    monkeypatch.setattr("agent.workers.placing.UNPROVEN_S", 0.05)
    pair = await workers(start, folder, vapi=VapiSettings(auth=auth))
    caller, _ = await call_of(pair, 0)
    body = json.dumps({"callSid": caller.call_sid, "emotion": {"label": "angry", "score": 0.9}}).encode()
    head = (
        f"POST /webhook/emotion HTTP/1.1\r\nHost: {pair[1].host}\r\nAuthorization: {BEARER['Authorization']}\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    )
    assert b'"updated"' in await pair[1].exchange(head.encode(), body[:10], body[10:], pause_s=0.2)


async def said(stream: trio.SocketStream, ending: bytes) -> bytes:
    data = b""
    while ending not in data:
        piece = await stream.receive_some()
        assert piece, data
        data += piece
    return data


async def test_the_list_has_the_calls_of_both_and_goes_on_behind_any_of_them(pair: list[Callmood]) -> None:
    sids = []
    for slot in (0, 1, 0, 1):
        caller, _ = await call_of(pair, slot)
        sids.insert(0, caller.call_sid)
        await trio.sleep(0.005)
    for each in pair:
        listed = (await each.get("/calls?state=live")).json()["calls"]
        assert [entry["callSid"] for entry in listed] == sids
        behind = (await each.get(f"/calls?before={sids[1]}&limit=1")).json()["calls"]
        assert [entry["callSid"] for entry in behind] == sids[2:3]
    await pair[0].signed("/twilio/call-status", [("CallSid", sids[0]), ("CallStatus", "completed")])
    await pair[1].until(lambda: holder(pair, sids[0]) is None)
    for each in pair:
        [newest, *_] = (await each.get("/calls")).json()["calls"]
        assert (newest["callSid"], newest["state"]) == (sids[0], "ended")


@ACCEPTS
async def test_the_events_of_all_calls_are_shown_and_resumed_whoever_accepts(
    pair: list[Callmood], accepts: int
) -> None:
    async with pair[accepts].watch() as events:
        placed = [(await call_of(pair, slot))[0].call_sid for slot in (0, 1, 1)]
        seen = await events.take(3)
        assert [event["callSid"] for _, event in seen] == placed
    await call_of(pair, 1)
    async with pair[1 - accepts].watch(last=seen[0][0]) as events:
        again = await events.take(3)
    assert again[:2] == seen[1:]
    assert again[2][1]["event"] == "call.started"


async def test_who_begins_to_watch_is_shown_nothing_that_was_before(
    pair: list[Callmood], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.workers.watching.LINGER_S", 1.0)
    monkeypatch.setattr("agent.workers.watching.LOOK_EVERY_S", 0.05)
    there = pair[1].ready.directory.broadcast
    async with pair[0].watch():
        pass
    await pair[0].until(lambda: not there._watchers)
    for ordinal in range(1, 300):
        there.show("CA1", ordinal, b'{"callSid":"CA1","event":"audio.chunk"}')
    async with pair[0].watch() as events:
        caller, _ = await call_of(pair, 1)
        [(_, event)] = await events.take(1)
    assert event["callSid"] == caller.call_sid


async def test_the_end_of_a_call_whose_worker_was_killed_is_shown_once(
    start: Start, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.calls.recovery.BACK_S", 2.0)
    sid = sid_of(1)
    async with open_sqlite(tmp_path / "data", shared=Shared("tests-1", "", sweeps=False)) as killed:
        killed.begin(sid, caller="")
        killed.append(sid, json.dumps({"t": 40, "callSid": sid, "event": "call.started"}).encode())
        await killed.flush()
    first = await start(crew=Crew(berth(folder, 0)))
    async with first.watch() as events:
        again = await start(crew=Crew(berth(folder, 1, recovers="own", restarts=1)))
        async with again.watch(f"?call={sid}") as of_it:
            assert [event["event"] for _, event in await of_it.take(2)] == ["call.started", "call.ended"]
            [(number, ended)] = await events.take(1)
            assert (ended["callSid"], ended["event"], ended["outcome"]) == (sid, "call.ended", "crashed")
            with trio.move_on_after(0.2) as nothing_more:
                await anext(of_it)
            assert nothing_more.cancelled_caught
        next_one, _ = await call_of([first, again], 1)
        assert (await events.take(1))[0][1]["callSid"] == next_one.call_sid
    async with first.watch(last=f"{number.partition('-')[0]}-0") as events:
        assert (await events.take(1))[0] == (number, ended)


@ACCEPTS
async def test_the_screen_shows_the_calls_of_both(pair: list[Callmood], accepts: int) -> None:
    first, _ = await call_of(pair, 1)
    async with pair[accepts].watch("?view=summary") as messages:
        _, message = await anext(messages)
        assert message["full"]
        assert [entry["callSid"] for entry in message["calls"]] == [first.call_sid]
        others = {(await call_of(pair, slot))[0].call_sid for slot in (0, 1)}
        shown: set[str] = set()
        while not others <= shown:
            _, message = await anext(messages)
            shown |= {entry["callSid"] for entry in message["calls"] if entry["state"] == "live"}
        while message["live"] != 3:
            _, message = await anext(messages)
        await pair[0].signed("/twilio/call-status", [("CallSid", first.call_sid), ("CallStatus", "completed")])
        while first.call_sid not in {entry["callSid"] for entry in message["calls"] if entry["state"] == "ended"}:
            _, message = await anext(messages)


async def test_the_numbers_of_both_stand_on_one_page(pair: list[Callmood]) -> None:
    await call_of(pair, 1)
    page = (await pair[0].get("/metrics", {})).text
    assert 'callmood_calls_live{worker="0"} 0.0' in page
    assert 'callmood_calls_live{worker="1"} 1.0' in page
    assert 'callmood_events_total{worker="1",event="call.started"} 1.0' in page
    assert page.count("# TYPE callmood_calls_live gauge") == 1
    assert 'callmood_worker_up{worker="1"} 1' in page


async def test_a_webhook_that_comes_to_both_at_once_makes_one_call(pair: list[Callmood]) -> None:
    sids = [sid_of(slot) for slot in (0, 1) * 4]
    async with trio.open_nursery() as nursery:
        for sid in sids:
            for each in pair:
                nursery.start_soon(each.caller(call_sid=sid).place)
    assert [holder(pair, sid) for sid in sids] == [0, 1] * 4


async def test_who_is_full_is_passed_over_and_ready_means_that_somebody_has_room(start: Start, folder: Path) -> None:
    pair = await workers(start, folder, max_calls=1)
    await call_of(pair, 0)
    assert (await pair[0].get("/readyz", {})).status_code == 200
    second = pair[0].caller(call_sid=sid_of(0))
    assert (await second.place()).plan is not None
    assert holder(pair, second.call_sid) == 1
    for each in pair:
        assert (await each.get("/readyz", {})).status_code == 503
        assert (await each.emotion(second.call_sid, "angry", 0.9))["status"] == "updated"
        assert (await each.caller(call_sid=sid_of(1)).place()).plan is None


async def test_a_worker_that_is_away_takes_no_call_and_is_left_out(start: Start, folder: Path) -> None:
    alone = await start(crew=Crew(berth(folder, 0)))
    caller = alone.caller(call_sid=sid_of(1))
    assert (await caller.place()).plan is not None
    assert alone.ready.directory.find(caller.call_sid) is not None
    assert 'callmood_worker_up{worker="1"} 0' in (await alone.get("/metrics", {})).text
    assert len((await alone.get("/calls")).json()["calls"]) == 1
    back = await start(crew=Crew(berth(folder, 1)))
    assert (await back.emotion(caller.call_sid, "angry", 0.9))["status"] == "updated"


async def test_a_sibling_that_answers_nothing_keeps_no_caller_waiting(start: Start, folder: Path) -> None:
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(str(folder / "1.sock"))
    mute.listen(64)
    alone = await start(crew=Crew(berth(folder, 0)))
    with mute, trio.fail_after(5):
        caller = alone.caller(call_sid=sid_of(1))
        assert (await caller.place()).plan is not None
        assert (await alone.get("/calls")).status_code == 200


async def test_a_call_that_begins_at_vapi_begins_once_whoever_hears_of_it(
    start: Start, account: OwnPort, folder: Path
) -> None:
    pair = await workers(start, folder, **account.settings(attach="fork", port=0))
    for number in range(8):
        caller = pair[0].caller()
        account.twilio.take(caller)
        call = {"id": f"vapi-{number}", "phoneCallProviderId": caller.call_sid}
        async with trio.open_nursery() as nursery:
            for each in pair:
                for _ in range(2):
                    body = {"message": {"type": "status-update", "status": "in-progress", "call": call}}
                    nursery.start_soon(each.vapi_says, body)
        assert holder(pair, caller.call_sid) is not None
        for each in pair:
            assert (await each.get(f"/calls/{caller.call_sid}")).json()["state"] == "live"
        await pair[1].vapi_says({"message": {"type": "status-update", "status": "ended", "call": call}})
        await pair[0].until(lambda caller=caller: holder(pair, caller.call_sid) is None)  # type: ignore[misc]
        await pair[0].vapi_says({"message": {"type": "speech-update", "status": "started", "call": call}})
        assert holder(pair, caller.call_sid) is None, "a late message begins a call anew"


async def test_what_comes_late_of_a_call_at_vapi_begins_none_elsewhere_while_its_worker_is_full(
    start: Start, account: OwnPort, folder: Path
) -> None:
    pair = await workers(start, folder, **account.settings(attach="fork", port=0, max_calls=1))

    async def says(status: str, call: Json, through: int = 1) -> None:
        await pair[through].vapi_says({"message": {"type": "status-update", "status": status, "call": call}})

    over, live = ({"id": sid_of(0), "phoneCallProviderId": pair[0].caller().call_sid} for _ in range(2))
    await says("in-progress", over)
    await says("ended", over)
    await pair[0].until(lambda: not len(pair[0].ready.directory))
    await says("in-progress", live)
    assert holder(pair, live["phoneCallProviderId"]) == 0
    for through in (0, 1):
        await says("in-progress", over, through)
    assert holder(pair, over["phoneCallProviderId"]) is None


@pytest.mark.parametrize("secret", ["wrong", ""])
async def test_who_proves_nothing_is_refused_before_anything_is_read(pair: list[Callmood], secret: str) -> None:
    head = f"POST /webhook/vapi HTTP/1.1\r\nHost: {pair[0].host}\r\nX-Vapi-Secret: {secret}\r\nContent-Length: 9000000"
    answer = await pair[0].exchange(f"{head}\r\nConnection: close\r\n\r\n".encode(), b"x" * 1000)
    assert answer.startswith(b"HTTP/1.1 401")


async def test_nobody_outside_can_speak_as_a_worker(pair: list[Callmood], folder: Path) -> None:
    for said_so in (b"\x00\x00\x00\x05hello", b"\xff" * 100, b""):
        assert not (await pair[0].exchange(said_so + b"\r\n\r\n")).startswith(b"HTTP/1.1 2")
    caller, _ = await call_of(pair, 1)
    marked = {**BEARER, "X-Worker": "0", "X-Forwarded-Worker": "0", "Forwarded": "for=0.sock"}
    assert (await pair[0].get(f"/calls/{caller.call_sid}", marked)).json()["state"] == "live"


async def test_nonsense_between_workers_ends_a_conversation_and_nothing_else(
    pair: list[Callmood], folder: Path
) -> None:
    for said_so in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xc1\xc1", b"\x00\x00"):
        async with await trio.open_unix_socket(str(folder / "1.sock")) as stream:
            await stream.send_all(said_so)
            await stream.send_eof()
            assert await stream.receive_some() == b""
    await call_of(pair, 1)


@ACCEPTS
async def test_bodies_that_come_slowly_keep_no_caller_away_nor_a_callers_line(
    pair: list[Callmood], accepts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, plan = await call_of(pair, 0)
    monkeypatch.setattr("agent.workers.placing.PLACING", 4)
    monkeypatch.setattr("agent.workers.placing.RESERVED", 1)
    through = pair[accepts]
    head = b"POST /voice/incoming HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: " + b"a" * 28
    chunks = b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    caller.server = through.url
    async with trio.open_nursery() as slow:
        for _ in range(4):
            stream = await through.raw()
            slow.start_soon(held, stream)
            await stream.send_all(head + chunks + b"8\r\nCallSid=\r\n")
        while not (await through.exchange(head + chunks + b"0\r\n\r\n")).startswith(b"HTTP/1.1 503"):
            pass
        whole = await through.exchange(head + b"\r\nContent-Length: 9\r\n\r\nCallSid=C")
        assert whole.startswith(b"HTTP/1.1 403"), "it is looked at, and its signature is wrong"
        async with pair[0].open(caller, plan) as line:
            await pair[0].until(lambda: pair[0].connected(line))
        slow.cancel_scope.cancel()


async def held(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()
