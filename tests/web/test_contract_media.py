"""The media socket: who may stream, whose stream counts, and how a stream can end."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
from wsproto.events import TextMessage

from agent.ingress import door, line
from agent.telephony.signature import SIGNATURE_HEADER, sign
from agent.telephony.twiml import StreamPlan
from agent.testing import Pace, TwilioCaller
from agent.testing.sockets import open_socket

if TYPE_CHECKING:
    from conftest import Callmood, Start

SECOND_OF_SILENCE = b"\xff" * 8_000


async def placed(callmood: Callmood, caller: TwilioCaller) -> StreamPlan:
    answer = await caller.place()
    assert answer.plan is not None, answer
    return answer.plan


def with_token(plan: StreamPlan, token: str | None) -> StreamPlan:
    kept = {name: value for name, value in plan.parameters.items() if name != "token"}
    return replace(plan, parameters=kept if token is None else {**kept, "token": token})


# Who may.


async def test_a_call_nobody_announced_is_closed_1008_session_not_found(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = StreamPlan(f"ws://{callmood.host}/audio-stream/{caller.call_sid}", {"token": "x"}, None, "Connect")
    assert await callmood.closing_of(caller, plan) == (1008, "Session not found")


async def test_a_call_that_has_ended_is_closed_1008_session_not_found(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    await caller.complete(1)
    await callmood.ended(caller.call_sid)
    assert await callmood.closing_of(caller, plan) == (1008, "Session not found")


@pytest.mark.parametrize("auth_token", [None, "not the auth token"])
async def test_a_missing_or_wrong_signature_is_closed_1008(callmood: Callmood, auth_token: str | None) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    code, reason = await callmood.closing_of(replace(caller, auth_token=auth_token), plan)
    assert code == 1008
    assert reason != "Session not found"


async def test_the_signature_is_checked_before_the_call_so_that_strangers_learn_nothing(callmood: Callmood) -> None:
    stranger = callmood.caller(auth_token=None)
    known = await placed(callmood, callmood.caller())
    unknown = StreamPlan(f"ws://{callmood.host}/audio-stream/CA1", {}, None, "Connect")
    answers = [await callmood.closing_of(stranger, plan) for plan in (known, unknown)]
    assert answers[0] == answers[1]


async def test_a_signature_for_https_instead_of_wss_is_refused(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    signature = sign(caller.auth_token or "", plan.url.replace("ws://", "https://", 1))
    path = "/audio-stream/" + caller.call_sid
    async with open_socket(callmood.url, path, host=callmood.host, headers=[(SIGNATURE_HEADER, signature)]) as socket:
        _ = [message async for message in socket.messages()]
        assert socket.closed is not None
        assert socket.closed.code == 1008


@pytest.mark.parametrize("origin", ["wss://calls.example.com", "wss://calls.example.com:443"])
@pytest.mark.parametrize(("signed_slash", "asked_slash"), [("", ""), ("/", ""), ("", "/"), ("/", "/")])
async def test_a_slash_at_the_end_may_be_signed_or_asked_for(
    start: Start, origin: str, signed_slash: str, asked_slash: str
) -> None:
    callmood = await start(webhook_url="https://calls.example.com")
    caller = callmood.caller(public_origin="https://calls.example.com")
    plan = await placed(callmood, caller)
    path = f"/audio-stream/{caller.call_sid}"
    signature = sign(caller.auth_token or "", origin + path + signed_slash)
    headers = [(SIGNATURE_HEADER.lower(), signature)]
    async with open_socket(callmood.url, path + asked_slash, host="calls.example.com", headers=headers) as socket:
        await socket.send(TextMessage(start_message(caller, plan.parameters["token"])))
        call = callmood.ready.directory.find(caller.call_sid)
        assert call is not None
        await callmood.until(lambda: call.stream_sid == "MZ1")


async def test_a_signature_for_a_slash_at_the_end_is_good_behind_a_plain_host(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    async with callmood.open(caller, replace(plan, url=plan.url + "/")) as line:
        await callmood.until(lambda: callmood.connected(line))


@pytest.mark.parametrize("token", [None, "", "wrong", "é", "\x00", "x" * 400])
async def test_a_missing_or_wrong_token_is_closed_1008_and_the_call_still_waits(
    callmood: Callmood, token: str | None
) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    code, reason = await callmood.closing_of(caller, with_token(plan, token))
    assert code == 1008
    assert reason != "Session not found"
    async with callmood.open(caller, plan) as line:
        await callmood.until(lambda: callmood.connected(line))


async def test_a_token_that_is_no_text_at_all_cannot_end_the_call(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    async with callmood.open(caller, plan, greet=False) as line:
        start_of_a_stream = start_message(caller, "TOKEN").replace('"TOKEN"', '"\\ud800"')
        await line.stream.send_raw(start_of_a_stream)
        await line.stream.send_raw("{}")
    async with callmood.open(caller, plan) as line:
        await callmood.until(lambda: callmood.connected(line))


async def test_a_token_is_good_for_one_socket(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        code, _ = await callmood.closing_of(line.caller, line.plan)
        assert code == 1008
        assert line.stream.closed is None
        assert (await callmood.entry(line.call_sid))["state"] == "live"


async def test_a_token_is_spent_even_when_its_first_socket_is_gone(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        newer = await placed(callmood, line.caller)
        async with callmood.open(line.caller, newer) as second:
            await callmood.until(lambda: callmood.connected(second))
            code, _ = await callmood.closing_of(line.caller, line.plan)
            assert code == 1008


async def test_the_token_of_another_call_is_refused(callmood: Callmood) -> None:
    one, other = callmood.caller(), callmood.caller()
    plan, foreign = await placed(callmood, one), await placed(callmood, other)
    code, _ = await callmood.closing_of(one, with_token(plan, foreign.parameters["token"]))
    assert code == 1008


async def test_a_start_that_names_another_call_than_the_path_is_refused(callmood: Callmood) -> None:
    one, other = callmood.caller(), callmood.caller()
    plan, foreign = await placed(callmood, one), await placed(callmood, other)
    code, _ = await callmood.closing_of(other, replace(plan, parameters=foreign.parameters))
    assert code == 1008
    assert len(callmood.ready.directory) == 2


async def test_a_socket_that_never_says_start_is_closed_1008(
    callmood: Callmood, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "START_S", 0.2)
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    code, _ = await callmood.closing_of(caller, plan, greet=False)
    assert code == 1008
    assert (await callmood.entry(caller.call_sid))["state"] == "live"


# Whose stream counts.


async def test_a_newer_token_wins_and_the_older_socket_is_closed_superseded(callmood: Callmood) -> None:
    async with callmood.on_the_line() as older:
        plan = await placed(callmood, older.caller)
        assert older.stream.closed is None
        async with callmood.open(older.caller, plan) as newer:
            closed = await older.stream.wait_closed()
            assert (closed.code, closed.reason) == (1008, "Superseded")
            await newer.stream.play(SECOND_OF_SILENCE)
            assert newer.stream.closed is None
            assert (await callmood.entry(newer.call_sid))["state"] == "live"


async def test_an_older_token_that_comes_late_does_not_take_over(callmood: Callmood) -> None:
    caller = callmood.caller()
    older, newer = await placed(callmood, caller), await placed(callmood, caller)
    async with callmood.open(caller, newer) as line:
        await callmood.until(lambda: callmood.connected(line))
        assert await callmood.closing_of(caller, older) == (1008, "Superseded")
        assert line.stream.closed is None


async def test_callbacks_of_an_older_stream_do_not_end_the_call(callmood: Callmood) -> None:
    async with callmood.on_the_line() as older:
        plan = await placed(callmood, older.caller)
        async with callmood.open(older.caller, plan) as newer:
            await older.stream.wait_closed()
            for event in ("stream-stopped", "stream-error"):
                assert (await callmood.stream_status(older, event)).is_success
            await newer.stream.play(SECOND_OF_SILENCE)
            assert newer.stream.closed is None
            assert (await callmood.entry(newer.call_sid))["state"] == "live"


async def test_an_older_stream_that_ends_before_the_announced_newer_one_begins_does_not_end_the_call(
    callmood: Callmood,
) -> None:
    """Twilio fetches TwiML anew (a redirect): it tears the old stream down before it opens the new one."""
    caller = callmood.caller()
    async with callmood.on_the_line(caller) as older:
        plan = await placed(callmood, caller)
        await older.stream.hang_up()
    async with callmood.open(caller, plan) as newer:
        await callmood.until(lambda: callmood.connected(newer) or newer.stream.closed is not None)
        assert newer.stream.closed is None


# How a stream can end.


async def test_stop_ends_the_call(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await line.stream.hang_up()
        assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"


@pytest.mark.parametrize("event", ["stream-stopped", "stream-error"])
async def test_the_callback_of_the_stream_ends_the_call_while_the_socket_looks_alive(
    callmood: Callmood, event: str
) -> None:
    async with callmood.on_the_line() as line:
        assert (await callmood.stream_status(line, event)).is_success
        assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"
        assert (await line.stream.wait_closed()).code == 1000


async def test_the_callback_that_a_stream_has_started_ends_nothing(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await callmood.stream_status(line, "stream-started")
        await line.stream.play(SECOND_OF_SILENCE)
        assert (await callmood.entry(line.call_sid))["state"] == "live"


async def test_the_callback_of_the_call_ends_it_while_the_socket_looks_alive(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await line.caller.complete(1)
        assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"
        await line.stream.wait_closed()


@pytest.mark.parametrize("status", ["ringing", "in-progress", "queued", "initiated", ""])
async def test_a_callback_of_a_call_that_goes_on_ends_nothing(callmood: Callmood, status: str) -> None:
    async with callmood.on_the_line() as line:
        await callmood.signed("/twilio/call-status", [("CallSid", line.call_sid), ("CallStatus", status)])
        await line.stream.play(SECOND_OF_SILENCE)
        assert (await callmood.entry(line.call_sid))["state"] == "live"


async def test_a_line_that_goes_quiet_ends_the_call(start: Start) -> None:
    callmood = await start(line_quiet_s=0.4)
    async with callmood.on_the_line() as line:
        await line.stream.play(SECOND_OF_SILENCE)
        line.stream.fall_silent()
        assert (await callmood.ended(line.call_sid))["outcome"] == "quiet"


async def test_a_line_that_never_sends_a_frame_ends_the_call(start: Start) -> None:
    callmood = await start(line_quiet_s=0.3)
    async with callmood.on_the_line() as line:
        assert (await callmood.ended(line.call_sid))["outcome"] == "quiet"


async def test_a_call_of_which_nothing_is_heard_any_more_expires(start: Start) -> None:
    callmood = await start(session_ttl_s=0.3, sweep_every_s=0.1)
    async with callmood.on_the_line() as line:
        assert (await callmood.ended(line.call_sid))["outcome"] == "expired"


async def test_a_call_with_a_talking_line_never_expires(start: Start) -> None:
    callmood = await start(session_ttl_s=0.6, sweep_every_s=0.1)
    async with callmood.on_the_line() as line:
        assert await line.stream.play(SECOND_OF_SILENCE * 24), (
            "at twenty times real time, twice as long as a call may be silent"
        )
        assert (await callmood.entry(line.call_sid))["state"] == "live"


async def test_a_reset_is_a_hang_up(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await line.stream.play(SECOND_OF_SILENCE)
        await line.stream.reset()
        assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"


async def test_closing_without_stop_is_a_hang_up(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await line.stream.hang_up(stop=False)
        assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"


# What may come over it.


async def test_a_message_beyond_64_kib_is_closed_1009_and_nobody_else_notices(callmood: Callmood) -> None:
    async with callmood.on_the_line() as good, callmood.on_the_line() as bad:
        await bad.stream.send_raw('{"event":"x","padding":"' + "x" * (64 * 1024) + '"}')
        assert (await bad.stream.wait_closed()).code == 1009
        await good.stream.play(SECOND_OF_SILENCE)
        assert good.stream.closed is None


async def test_a_message_just_below_64_kib_is_taken(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await line.stream.send_raw('{"event":"x","padding":"' + "x" * (63 * 1024) + '"}')
        assert await line.stream.play(SECOND_OF_SILENCE)
        assert line.stream.closed is None


BAD_MESSAGES: list[str | bytes] = [
    b"\x00\x01binary",
    "not json",
    "",
    "[]",
    "null",
    '{"event":"media"}',
    '{"event":"media","sequenceNumber":"x","media":{},"streamSid":"MZ"}',
    '{"event":7}',
    '{"event":"start","start":{}}',
    "[" * 30_000,
    '{"event":"\\ud800"}',
]


async def test_binary_and_unreadable_messages_are_skipped(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        for message in BAD_MESSAGES:
            await line.stream.send_raw(message)
        await line.stream.send_raw('{"event":"news of tomorrow","sequenceNumber":"9"}'.replace(" ", "-"))
        assert await line.stream.play(SECOND_OF_SILENCE)
        assert line.stream.closed is None


async def test_too_many_unreadable_messages_close_the_line(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        for _ in range(1000):
            if not await line.stream.send_raw("not json"):
                break
        assert (await line.stream.wait_closed()).code == 1008
        assert (await callmood.ended(line.call_sid))["state"] == "ended"


async def test_unreadable_messages_before_start_do_not_last_for_ever(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    async with callmood.open(caller, plan, greet=False) as line:
        for _ in range(1000):
            if not await line.stream.send_raw(b"binary"):
                break
        assert (await line.stream.wait_closed()).code == 1008


async def test_a_ping_comes_back_as_a_pong_with_its_payload(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    async with await callmood.raw() as stream:
        await stream.send_all(upgrade(caller, plan, callmood.host))
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        assert head.startswith(b"HTTP/1.1 101 ")
        await stream.send_all(masked_frame(0x9, b"still there?"))
        assert await stream.receive_some() == bytes([0x8A, 12]) + b"still there?"


def upgrade(caller: TwilioCaller, plan: StreamPlan, host: str, **extra: str) -> bytes:
    """The request that opens a media stream, by hand."""
    path = plan.url.partition(host)[2]
    headers = {
        "Host": host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        SIGNATURE_HEADER: sign(caller.auth_token or "", plan.url.replace("ws://", "wss://", 1)),
        **extra,
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """A short WebSocket frame from a client, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def start_message(caller: TwilioCaller, token: str) -> str:
    body = {
        "streamSid": "MZ1",
        "callSid": caller.call_sid,
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": body})


# Who is no Twilio at all.


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /audio-stream/CA1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /audio-stream/CA1 HTTP/1.0\r\n\r\n",
        b"GET /audio-stream/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET /audio-stream/CA1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /audio-stream/CA1 rubbish\r\n\r\n",
        b"GET /audio-stream/CA1 HTTP/1.1\r\n\x00\xff\r\n\r\n",
    ],
)
async def test_a_get_that_is_no_upgrade_is_answered_or_closed_and_does_not_hang(
    callmood: Callmood, request_: bytes
) -> None:
    with trio.fail_after(3):
        answer = await callmood.exchange(request_)
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert (await callmood.get("/healthz", {})).status_code == 200


async def test_a_head_of_a_line_that_is_too_large_is_cut_off(callmood: Callmood) -> None:
    with trio.fail_after(3):
        answer = await callmood.exchange(b"GET /audio-stream/CA1 HTTP/1.1\r\nX: " + b"x" * 20_000)
    assert not answer or answer.startswith(b"HTTP/1.1 4")


async def test_a_head_of_a_line_that_trickles_in_is_given_up(
    callmood: Callmood, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "HEAD_S", 0.3)
    with trio.fail_after(5):
        async with await callmood.raw() as stream, trio.open_nursery() as nursery:
            nursery.start_soon(trickle, stream, b"GET /audio-stream/CA1 HTTP/1.1\r\nX: " + b"x" * 1000)
            assert not (await everything(stream)).startswith(b"HTTP/1.1 1")
            nursery.cancel_scope.cancel()


async def everything(stream: trio.SocketStream) -> bytes:
    """What comes until the end, however the end comes."""
    data = b""
    with suppress(trio.BrokenResourceError):
        async for piece in stream:
            data += piece
    return data


async def trickle(stream: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):
        for place in range(len(data)):
            await stream.send_all(data[place : place + 1])
            await trio.sleep(0.02)


async def test_the_head_of_an_upgrade_may_come_in_pieces(callmood: Callmood) -> None:
    caller = callmood.caller()
    plan = await placed(callmood, caller)
    request = upgrade(caller, plan, callmood.host)
    async with await callmood.raw() as stream:
        for cut in (request[:3], request[3:20], request[20:-1], request[-1:]):
            await stream.send_all(cut)
            await trio.sleep(0.05)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")


async def test_many_half_open_lines_do_not_keep_others_out(callmood: Callmood) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(100):
            stream = await stack.enter_async_context(await callmood.raw())
            await stream.send_all(b"GET /audio-stream/CA1 HTTP/1.1\r\n")
        async with callmood.on_the_line() as line:
            assert await line.stream.play(SECOND_OF_SILENCE)


async def test_thirty_calls_at_once_each_end_with_their_own_outcome(callmood: Callmood) -> None:
    sids: list[str] = []

    async def one() -> None:
        async with callmood.on_the_line() as line:
            sids.append(line.call_sid)
            await line.stream.play(SECOND_OF_SILENCE[:1600])

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(one)
    for sid in sids:
        assert (await callmood.ended(sid))["outcome"] == "hangup"
    assert len(callmood.ready.directory) == 0


async def test_a_whole_call_with_all_its_callbacks_as_twilio_makes_it(callmood: Callmood) -> None:
    result = await callmood.caller().call(SECOND_OF_SILENCE, Pace(speed=20))
    assert result.ok, result
    assert (result.frames_sent, result.frames_lost) == (50, 0)
    assert not [received for received in result.received if received.error]
    assert (await callmood.ended(result.call_sid))["outcome"] == "hangup"


async def test_a_webhook_that_comes_while_its_call_wraps_up_is_answered_with_twiml(start: Start) -> None:
    """A call that has just hung up may still hold its slot: its caller is served or sent on, and not turned away."""
    callmood = await start(wrap_up_s=1.0)
    async with callmood.on_the_line() as line:
        pass
    again = await line.caller.place()
    assert again.status == 200
    assert again.error is None
