"""TwilioCaller against a small server of its own: a webhook on h11, media on trio-websocket."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qsl

import pytest
import trio
import trio.testing
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
    wrap_server_stream,
)

from agent.http import client
from agent.telephony.signature import sign
from agent.telephony.twilio import LineEnded, LineStarted, MediaStream
from agent.telephony.twilio_said import clear as clear_message
from agent.telephony.twilio_said import mark as mark_message
from agent.telephony.twilio_said import media as media_message
from agent.telephony.twiml import StreamPlan
from agent.testing.http_server import HttpRequest, HttpResponse, HttpServer, Misbehaviour
from agent.testing.pace import Pace
from agent.testing.sockets import HandshakeRefused
from agent.testing.twilio_caller import Ending, TwilioCaller
from agent.testing.twilio_stream import CallerStream

TOKEN = "token-of-the-tests"
SECOND = b"\x55" * 8_000
FAST = Pace(speed=100)
Script = Callable[[WebSocketConnection], Awaitable[None]]


@dataclass
class Server:
    """What the media server saw."""

    url: str = ""
    messages: list[str] = field(default_factory=list)
    upgrades: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    script: Script | None = None

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(message) for message in self.messages]

    async def serve(self, request: WebSocketRequest) -> None:
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        self.upgrades.append((request.path, headers))
        socket = await request.accept()
        try:
            if self.script is not None:
                await self.script(socket)
            while True:
                self.messages.append(str(await socket.get_message()))
        except ConnectionClosed as closed:
            self.closes.append(int(closed.reason.code) if closed.reason else 0)


@asynccontextmanager
async def media_server(script: Script | None = None) -> AsyncIterator[Server]:
    server = Server(script=script)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(serve_websocket, server.serve, "127.0.0.1", 0, ssl_context=None))
            server.url = f"http://127.0.0.1:{running.port}"
            yield server
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def webhook_server(
    answer: HttpResponse | Misbehaviour | Callable[[HttpRequest], HttpResponse],
) -> AsyncIterator[tuple[str, list[HttpRequest]]]:
    requests: list[HttpRequest] = []

    async def handle(request: HttpRequest) -> HttpResponse | Misbehaviour:
        requests.append(request)
        return answer(request) if callable(answer) else answer

    server = HttpServer(handle)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield server.url, requests
            nursery.cancel_scope.cancel()


def plan_for(url: str, verb: str = "Connect", status_callback: str | None = None) -> StreamPlan:
    return StreamPlan(url, {"callSid": "CA1", "token": "t"}, status_callback, verb)  # type: ignore[arg-type]


def caller_for(server: Server, **more: object) -> TwilioCaller:
    return TwilioCaller(server.url, auth_token=TOKEN, **more)  # type: ignore[arg-type]


# The webhook.


async def test_the_webhook_is_signed_over_every_field_of_its_form() -> None:
    async with webhook_server(HttpResponse(200, b"<Response><Hangup/></Response>")) as (url, requests):
        placed = await TwilioCaller(url, auth_token=TOKEN, from_="+1 555").place()
        [request] = requests
        form = parse_qsl(request.body.decode(), keep_blank_values=True)
        assert request.path == "/voice/incoming"
        assert request.header("x-twilio-signature") == sign(TOKEN, f"{url}/voice/incoming", form)
        assert {"CallSid", "AccountSid", "From", "To", "CallStatus", "Direction", "ApiVersion", "Caller", "Called"} <= {
            name for name, _ in form
        }
        assert dict(form)["CallStatus"] == "ringing"
        assert dict(form)["From"] == "+1 555"
        assert "" in dict(form).values(), "Twilio sends blank fields too"
        assert placed.plan is None
        assert placed.error is None


async def test_the_public_origin_is_what_is_signed_and_asked_for() -> None:
    async with webhook_server(HttpResponse(200, b"<Response/>")) as (url, requests):
        await TwilioCaller(url, public_origin="https://calls.example.com:8443/", auth_token=TOKEN).place()
        form = parse_qsl(requests[0].body.decode(), keep_blank_values=True)
        assert requests[0].header("host") == "calls.example.com"
        expected = sign(TOKEN, "https://calls.example.com/voice/incoming", form)
        assert requests[0].header("x-twilio-signature") == expected


async def test_without_a_token_nothing_is_signed() -> None:
    async with webhook_server(HttpResponse(200, b"<Response/>")) as (url, requests):
        await TwilioCaller(url).place()
        assert requests[0].header("x-twilio-signature") is None


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (HttpResponse(403, b"{}"), 403),
        (HttpResponse(503, b"<Response/>"), 503),
        (HttpResponse(200, b"<html"), 200),
        (Misbehaviour.RESET, None),
        (Misbehaviour.GARBAGE, None),
    ],
)
async def test_a_bad_answer_to_the_webhook_is_an_outcome_with_a_reason(
    answer: HttpResponse | Misbehaviour, status: int | None
) -> None:
    async with webhook_server(answer) as (url, _):
        result = await TwilioCaller(url).call(SECOND, FAST)
        assert (result.status, result.stream) == (status, None)
        assert result.error
        assert not result.ok


async def test_twilio_waits_fifteen_seconds_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.testing.twilio_requests.WEBHOOK_PATIENCE_S", 0.05)
    async with webhook_server(Misbehaviour.STALL) as (url, _):
        assert (await TwilioCaller(url).place()).status is None


async def test_a_server_that_is_not_there_is_an_outcome() -> None:
    async with media_server() as server:
        url = server.url
    with trio.fail_after(10):
        assert "did not answer" in str((await TwilioCaller(url).call(SECOND)).error)


async def test_a_twiml_without_a_stream_sends_the_caller_to_the_fallback() -> None:
    twiml = b"<Response><Dial>+15550100199</Dial></Response>"
    async with webhook_server(HttpResponse(200, twiml)) as (url, requests):
        result = await TwilioCaller(url, auth_token=TOKEN).call(SECOND, FAST)
        assert result.stream is None
        assert result.closed is None
        assert result.twiml == twiml.decode()
        form = parse_qsl(requests[-1].body.decode(), keep_blank_values=True)
        assert dict(form)["CallStatus"] == "completed"
        assert requests[-1].header("x-twilio-signature") == sign(TOKEN, f"{url}/twilio/call-status", form)


async def test_a_stream_of_the_assistants_platform_is_not_opened_here() -> None:
    twiml = b'<Response><Connect><Stream url="wss://phone.example.vapi.ai/transport"/></Connect></Response>'
    async with webhook_server(HttpResponse(200, twiml)) as (url, _):
        assert (await TwilioCaller(url).place()).plan is None


async def test_a_stream_under_an_unknown_public_name_is_known_by_the_calls_id() -> None:
    caller = TwilioCaller("http://127.0.0.1:1")
    twiml = f'<Response><Start><Stream url="wss://x.example/audio-stream/{caller.call_sid}"/></Start></Response>'
    async with webhook_server(HttpResponse(200, twiml.encode())) as (url, _):
        caller.server = url
        plan = (await caller.place()).plan
        assert plan is not None
        assert plan.verb == "Start"


# The stream.


async def test_the_upgrade_is_signed_for_the_url_in_the_twiml_and_goes_to_the_server() -> None:
    async with media_server() as server:
        plan = plan_for("wss://calls.example.com/audio-stream/CA1")
        async with caller_for(server).stream(plan) as stream:
            await stream.play(b"")
        [(path, headers)] = server.upgrades
        assert path == "/audio-stream/CA1"
        assert headers["x-twilio-signature"] == sign(TOKEN, "wss://calls.example.com/audio-stream/CA1")
        assert headers["user-agent"].startswith("Twilio.TmeWs/")
        assert "sec-websocket-extensions" not in headers


async def test_a_relative_stream_url_means_wss_at_the_public_origin() -> None:
    async with media_server() as server:
        caller = caller_for(server, public_origin="https://calls.example.com")
        async with caller.stream(plan_for("/audio-stream/CA1")):
            pass
        assert server.upgrades[0][1]["x-twilio-signature"] == sign(TOKEN, "wss://calls.example.com/audio-stream/CA1")


async def test_the_messages_come_in_order_and_the_codec_reads_every_one() -> None:
    async with media_server() as server:
        caller = caller_for(server)
        async with caller.stream(plan_for("/audio-stream/x"), FAST) as stream:
            assert await stream.play(SECOND)
        events = [event["event"] for event in server.events]
        assert events == ["connected", "start", *["media"] * 50, "stop"]
        numbers = [int(str(event["sequenceNumber"])) for event in server.events[1:]]
        assert numbers == list(range(1, 53))
        codec = MediaStream()
        facts = [codec.feed(message, 0.0) for message in server.messages]
        started = facts[1]
        assert isinstance(started, LineStarted)
        assert (started.call_sid, started.token, started.tracks) == (caller.call_sid, "t", ("inbound",))
        assert isinstance(facts[-1], LineEnded)
        assert server.closes == [1000]


async def test_the_first_media_message_is_word_for_word_twilios() -> None:
    async with media_server() as server:
        async with caller_for(server).stream(plan_for("/x"), FAST) as stream:
            await stream.play(SECOND)
        assert server.events[2] == {
            "event": "media",
            "sequenceNumber": "2",
            "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": "VVVV" * 53 + "VQ=="},
            "streamSid": stream.stream_sid,
        }


async def test_lost_messages_use_up_their_number_and_their_time() -> None:
    async with media_server() as server:
        async with caller_for(server).stream(plan_for("/x"), Pace(speed=100, loss=30)) as stream:
            await stream.play(SECOND * 2)
        media = [event for event in server.events if event["event"] == "media"]
        assert stream.frames_sent == len(media)
        assert stream.frames_sent + stream.frames_lost == 100
        assert 10 < stream.frames_lost < 60
        for event in media:
            body = event["media"]
            assert isinstance(body, dict)
            assert int(body["timestamp"]) == 20 * (int(str(event["sequenceNumber"])) - 2)
        assert server.events[-1]["sequenceNumber"] == "102"


async def test_every_frame_is_sent_at_its_place_in_the_schedule_or_late_but_never_early() -> None:
    async with media_server() as server, caller_for(server).stream(plan_for("/x"), Pace(speed=10)) as stream:
        await stream.play(SECOND)
        assert stream.started_at is not None
        for frame in range(50):
            due = stream.started_at + (frame + 1) * 0.02 / 10
            lag = stream.sent_at((frame + 1) * 20) - due
            assert -1e-6 <= lag <= stream.max_lag_s + 1e-6


async def test_a_late_frame_does_not_delay_the_ones_after_it() -> None:
    async with media_server() as server, caller_for(server).stream(plan_for("/x")) as stream:
        await stream.play(SECOND[:1_600])
        await trio.sleep(0.3)  # the caller itself is held up
        started = trio.current_time()
        await stream.play(SECOND[:1_600])
        assert stream.started_at is not None
        assert stream.sent_at(400) - stream.started_at >= 0.4 - 1e-6
        assert stream.sent_at(220) - started < 0.1, "the missed frames go out at once"


async def test_a_pause_leaves_a_hole_in_the_media_clock_and_none_in_the_numbers() -> None:
    async with media_server() as server:
        async with caller_for(server).stream(plan_for("/x"), FAST) as stream:
            await stream.play(SECOND[:160])
            await stream.pause(3_000)
            await stream.play(SECOND[:160])
        first, second = [event for event in server.events if event["event"] == "media"]
        assert (first["sequenceNumber"], second["sequenceNumber"]) == ("2", "3")
        assert second["media"]["timestamp"] == "3020"  # type: ignore[index]


# Endings.


async def test_hanging_up_without_stop_only_closes() -> None:
    async with media_server() as server:
        async with caller_for(server).stream(plan_for("/x"), FAST) as stream:
            await stream.hang_up(stop=False)
        assert [event["event"] for event in server.events] == ["connected", "start"]
        assert server.closes == [1000]


async def test_a_reset_ends_the_socket_without_a_word() -> None:
    async with media_server() as server:
        async with caller_for(server).stream(plan_for("/x"), FAST) as stream:
            await stream.reset()
            assert not await stream.play(SECOND)
        await trio.sleep(0.05)
        assert server.closes == [1006]


async def test_a_caller_fallen_silent_answers_nothing_and_stays_connected() -> None:
    ponged = trio.Event()

    async def ping(socket: WebSocketConnection) -> None:
        await socket.get_message()
        await socket.get_message()
        with trio.move_on_after(0.3):
            await socket.ping(b"there?")
            ponged.set()

    async with media_server(ping) as server:
        async with caller_for(server).stream(plan_for("/x"), FAST) as stream:
            stream.fall_silent()
            await trio.sleep(0.4)
            assert server.closes == []
            assert not await stream.send_raw("{}")
        assert not ponged.is_set()


async def test_pings_are_answered() -> None:
    ponged = trio.Event()

    async def ping(socket: WebSocketConnection) -> None:
        await socket.get_message()
        await socket.get_message()
        await socket.ping(b"there?")
        ponged.set()

    async with media_server(ping) as server, caller_for(server).stream(plan_for("/x")):
        await ponged.wait()


async def test_a_close_by_the_server_ends_the_call_with_its_code_and_reason() -> None:
    async def refuse(socket: WebSocketConnection) -> None:
        await socket.aclose(1008, "Session not found")

    async with media_server(refuse) as server, caller_for(server).stream(plan_for("/x"), Pace()) as stream:
        assert not await stream.play(SECOND * 60)
        closed = await stream.wait_closed()
        assert (closed.code, closed.reason, closed.by) == (1008, "Session not found", "server")


async def test_a_refused_upgrade_is_raised_plainly_with_its_status() -> None:
    async with webhook_server(HttpResponse(403, b"{}")) as (url, requests):
        with pytest.raises(HandshakeRefused) as caught:
            async with TwilioCaller(url).stream(plan_for("wss://calls.example.com/x")):
                pass
        assert caught.value.status == 403
        assert requests[0].header("host") == "calls.example.com"


@pytest.mark.parametrize("misbehaviour", list(Misbehaviour))
async def test_a_handshake_that_goes_wrong_is_refused_too(
    misbehaviour: Misbehaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.testing.sockets.HANDSHAKE_PATIENCE_S", 0.1)
    async with webhook_server(misbehaviour) as (url, _):
        with pytest.raises(HandshakeRefused):
            async with TwilioCaller(url).stream(plan_for("/x")):
                pass


async def test_any_text_can_be_sent_and_a_start_repeated() -> None:
    async with media_server() as server:
        async with caller_for(server).stream(plan_for("/x"), greet=False) as stream:
            await stream.send_raw("[]")
            await stream.send_start()
            await stream.send_start()
            await stream.press("1")
        assert server.messages[0] == "[]"
        assert [event["event"] for event in server.events[1:]] == ["start", "start", "dtmf", "stop"]
        assert [event["sequenceNumber"] for event in server.events[1:]] == ["1", "2", "3", "4"]


# What the server says.


async def test_marks_come_back_after_a_clear_and_not_before() -> None:
    returned: list[str] = []
    done = trio.Event()

    async def barge_in(socket: WebSocketConnection) -> None:
        await socket.get_message()
        sid = json.loads(str(await socket.get_message()))["streamSid"]
        await socket.send_message(media_message(sid, SECOND * 60))
        await socket.send_message(mark_message(sid, "end"))
        with trio.move_on_after(0.2):
            returned.append(str(await socket.get_message()))
        await socket.send_message(clear_message(sid))
        returned.append(str(await socket.get_message()))
        done.set()

    async with media_server(barge_in) as server, caller_for(server).stream(plan_for("/x")) as stream:
        await done.wait()
    mark = {"event": "mark", "sequenceNumber": "2", "mark": {"name": "end"}, "streamSid": stream.stream_sid}
    assert [json.loads(message) for message in returned] == [mark]
    assert [received.event for received in stream.received] == ["media", "mark", "clear"]
    assert {received.error for received in stream.received} == {None}


async def received_of(verb: str, *said: str | bytes) -> CallerStream:
    async def say(socket: WebSocketConnection) -> None:
        await socket.get_message()
        sid = json.loads(str(await socket.get_message()))["streamSid"]
        for message in said:
            await socket.send_message(message.replace("SID", sid) if isinstance(message, str) else message)

    async with media_server(say) as server, caller_for(server).stream(plan_for("/x", verb)) as stream:
        await stream.wait_for(lambda _: len(stream.received) == len(said))
    return stream


async def test_what_twilio_would_object_to_is_recorded_with_its_error_number() -> None:
    stream = await received_of(
        "Connect",
        '{"event":"clear","streamSid":"SID"}',
        '{"event":"clear","streamSid":"MZother"}',
        '{"event":"clear","streamSid":"SID","why":"extra"}',
        '{"event":"media","streamSid":"SID","media":{"paylod":"AA=="}}',
        "not json",
        b"binary",
    )
    assert [received.error for received in stream.received] == [None, 31951, 31951, 31951, 31951, 31950]


async def test_anything_sent_on_a_fork_is_an_error() -> None:
    stream = await received_of("Start", '{"event":"clear","streamSid":"SID"}')
    assert [received.error for received in stream.received] == [31924]


async def test_a_flood_from_the_server_is_kept_within_bounds() -> None:
    stream = await received_of("Connect", *['{"event":"clear","streamSid":"SID"}'] * 1_000)
    assert len(stream.received) == 1_000


# The whole call.


class Replay(trio.abc.Stream):
    """A stream of which the beginning has been read already."""

    def __init__(self, stream: trio.SocketStream, first: bytes) -> None:
        self._stream = stream
        self._first = first

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        first, self._first = self._first, b""
        return first or bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes) -> None:  # type: ignore[override]
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def whole_server(
    verb: str = "Connect", *, patience_s: float = 60
) -> AsyncIterator[tuple[str, Server, list[HttpRequest]]]:
    """One port for webhooks and media, as the real one has."""
    media, requests = Server(), []

    async def handle(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        sid = dict(parse_qsl(request.body.decode()))["CallSid"]
        twiml = (
            f'<Response><{verb}><Stream url="wss://{request.header("host")}/audio-stream/{sid}" statusCallback='
            f'"https://calls.example.com/twilio/stream-status"><Parameter name="token" value="t"/></Stream></{verb}>'
            "</Response>"
        )
        return HttpResponse(200, twiml.encode())

    http = HttpServer(handle)

    async def serve(nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        first = b""
        while b"\r\n\r\n" not in first:
            if not (data := await stream.receive_some()):
                return
            first += data
        if b"upgrade: websocket" in first.lower():
            await media.serve(await wrap_server_stream(nursery, Replay(stream, first)))
        else:
            async with stream:
                await http._converse(Replay(stream, first))  # type: ignore[arg-type]

    with trio.fail_after(patience_s):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, partial(serve, nursery), 0, host="127.0.0.1"))
            yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}", media, requests
            nursery.cancel_scope.cancel()


async def test_a_whole_call_from_the_webhook_to_the_last_callback() -> None:
    async with whole_server() as (url, media, requests):
        caller = TwilioCaller(url, auth_token=TOKEN)
        result = await caller.call(SECOND, FAST)
        assert result.ok
        assert (result.status, result.frames_sent, result.frames_lost, result.error) == (200, 50, 0, None)
        assert result.closed is not None
        assert (result.closed.code, result.closed.by) == (1000, "caller")
        assert result.log.sent_at(1_000) > result.log.sent_at(20)
        path, headers = media.upgrades[0]
        assert path == f"/audio-stream/{caller.call_sid}"
        assert headers["x-twilio-signature"] == sign(TOKEN, url.replace("http:", "wss:") + path)
        forms = [dict(parse_qsl(request.body.decode(), keep_blank_values=True)) for request in requests]
        assert [request.path for request in requests] == [
            "/voice/incoming",
            "/twilio/stream-status",
            "/twilio/stream-status",
            "/twilio/call-status",
        ]
        assert [form["StreamEvent"] for form in forms[1:3]] == ["stream-started", "stream-stopped"]
        assert forms[1]["StreamSid"] == forms[1]["StreamName"] == media.events[1]["streamSid"]
        assert forms[3]["CallStatus"] == "completed"
        for request, form in zip(requests, forms, strict=True):
            origin = url if request.path in ("/voice/incoming", "/twilio/call-status") else "https://calls.example.com"
            assert request.header("x-twilio-signature") == sign(TOKEN, origin + request.path, form.items())


@pytest.mark.parametrize(
    ("ending", "last", "code"), [("stop", "stop", 1000), ("close", "media", 1000), ("reset", "media", 1006)]
)
async def test_a_call_ends_in_the_way_it_is_told_to(ending: Ending, last: str, code: int) -> None:
    async with whole_server("Start") as (url, media, _):
        result = await TwilioCaller(url).call(SECOND[:800], FAST, ending=ending, callbacks=False)
        await trio.sleep(0.02)
        assert result.frames_sent == 5
        assert media.events[-1]["event"] == last
        assert media.closes == [code]


async def test_many_callers_share_a_client_and_one_clock_drives_them_all() -> None:
    async with whole_server() as (url, media, _), client() as http, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(TwilioCaller(url, auth_token=TOKEN, http=http).call, SECOND, FAST)
    assert len(media.upgrades) == 20
    assert sum(event["event"] == "media" for event in media.events) == 1_000


def test_a_fast_clock_plays_ten_seconds_in_one() -> None:
    async def main() -> int:
        async with whole_server(patience_s=600) as (url, _, _), client() as http:
            result = await TwilioCaller(url, http=http).call(SECOND * 10)
        assert result.log.sent_at(10_000) - result.log.sent_at(20) >= 9
        return result.frames_sent

    assert trio.run(main, clock=trio.testing.MockClock(rate=10)) == 500
