"""Attach mode `listen`: no Twilio; we dial the address at which Vapi lets a call be listened to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.audiofile import bundled_voice
from agent.settings import ListenSettings, Secret
from agent.testing import PRIVATE_KEY, Fault

if TYPE_CHECKING:
    from conftest import Callmood, Json, Start

VOICE = bundled_voice()[:80_000]
SILENCE = bytes([0xFF]) * len(VOICE)
SID = "CA" + "5" * 32


async def listen(start: Start, **changes: Any) -> Callmood:
    return await start(**{"attach": "listen", "twilio_auth_token": Secret(""), **changes})


@pytest.fixture
async def callmood(start: Start, monkeypatch: pytest.MonkeyPatch) -> Callmood:
    monkeypatch.setattr("agent.ingress.listen.FIRST_BACKOFF_S", 0.02)
    monkeypatch.setattr("agent.ingress.listen.DIAL_S", 0.5)
    return await listen(start)


def chunks(entry: Json) -> list[Json]:
    return [event for event in entry["timeline"] if event["event"] == "audio.chunk"]


async def heard(callmood: Callmood, call_sid: str) -> list[Json]:
    """What was inferred of a call so far, once there is something."""
    await callmood.event(call_sid, "audio.chunk")
    return chunks(await callmood.entry(call_sid))


async def test_a_call_is_heard_from_vapis_first_message_to_its_last(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE, speed=20)
    await heard(callmood, SID)
    entry = await callmood.entry(SID)
    assert (entry["attach"], entry["vapiCallId"], entry["caller"]) == ("listen", assistant.facts.call_id, "***01")
    await assistant.end()
    ended = await callmood.ended(SID)
    assert ended["outcome"] == "hangup"
    await callmood.until(lambda: assistant.listen.listening == 0)
    assert not assistant.listen.said


async def test_the_assistants_own_voice_is_never_analysed(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.play(SILENCE, VOICE, speed=20)
    await trio.sleep(0.3)
    assert not chunks(await callmood.entry(SID))


@pytest.mark.parametrize("sid", [SID, ""])
async def test_a_call_goes_by_twilios_id_where_it_has_one_and_by_vapis_where_not(callmood: Callmood, sid: str) -> None:
    assistant = callmood.assistant(sid)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    known = sid or assistant.facts.call_id
    assert callmood.ready.directory.find(known) is not None
    await assistant.start_turn("hello")
    assert (await callmood.event(known, "tts.started"))["callSid"] == known
    await assistant.end()
    assert (await callmood.ended(known))["outcome"] == "hangup"


async def test_any_message_of_a_call_under_way_begins_it_once(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)

    async def say() -> None:
        await assistant.send_speech_update("assistant", "started")
        await assistant.send("conversation-update", messages=[], messagesOpenAIFormatted=[])

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(say)
    await assistant.listen.wait_listened()
    await trio.sleep(0.1)
    assert len(callmood.ready.directory) == assistant.listen.opened == 1


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("assistant-request", {}),
        ("status-update", {"status": "queued"}),
        ("status-update", {"status": "ringing"}),
        ("status-update", {"status": "ended"}),
        ("end-of-call-report", {"endedReason": "customer-ended-call"}),
        ("call.deleted", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("status", ""),
)
async def test_other_messages_begin_nothing(callmood: Callmood, type_: str, fields: dict[str, str]) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send(type_, **fields)
    await trio.sleep(0.05)
    assert len(callmood.ready.directory) == assistant.listen.opened == 0


async def test_no_call_is_born_of_messages_that_come_after_its_end(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("ended")
    await assistant.send_status_update("in-progress")
    await assistant.send_speech_update("assistant", "started")
    await trio.sleep(0.05)
    assert len(callmood.ready.directory) == assistant.listen.opened == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/x",
        "ws://localhost:{port}/x",
        "ws://127.0.0.1.vapi.ai:{port}/x",
        "wss://vapi.ai.example.com/x",
        "wss://user@phone.vapi.ai/x",
        "wss://phone.vapi.ai:8443/x",
        "ws://phone.vapi.ai/x",
        "ws://[::1]:{port}/x",
        "ws://169.254.169.254/latest",
        "wss://127.0.0.1:{port}\\@phone.vapi.ai/x",
        "file:///etc/passwd",
        "//127.0.0.1:{port}/x",
        "",
    ],
)
async def test_an_address_that_is_not_vapis_is_never_dialled(start: Start, url: str) -> None:
    callmood = await listen(start, vapi_control_hosts=())
    reached: list[str] = []

    async def accept(stream: trio.SocketStream) -> None:
        reached.append("somebody")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, accept, [listener])
        address = url.format(port=listener.socket.getsockname()[1])
        call = {"id": "vapi-1", "phoneCallProviderId": SID, "monitor": {"listenUrl": address}}
        answer = await callmood.vapi_says({"message": {"type": "status-update", "status": "in-progress", "call": call}})
        assert answer.status_code == 200
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert not reached
    assert len(callmood.ready.directory) == 0


async def test_a_forged_message_has_nothing_dialled(callmood: Callmood) -> None:
    forged = callmood.assistant(SID, secret="a-guess")
    answer = await forged.send_status_update("in-progress")
    assert answer is not None
    assert answer.status_code == 401
    await trio.sleep(0.05)
    assert len(callmood.ready.directory) == forged.listen.opened == 0


async def test_a_redirect_is_not_followed(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    callmood.vapi.fault = Fault("status", status=302, path="/transport")
    await assistant.send_status_update("in-progress")
    degraded = await callmood.event(SID, "analyzer.degraded")
    assert "302" in degraded["reason"]
    assert assistant.listen.opened == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=401, path="/transport"),
        Fault("status", status=404, path="/transport"),
        Fault("status", status=500, path="/transport"),
        Fault("reset", path="/transport"),
        Fault("garbage", path="/transport"),
        Fault("refuse", path="/transport"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
async def test_a_call_that_cannot_be_heard_goes_on_unread(
    start: Start, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr("agent.ingress.listen.FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr("agent.ingress.listen.DIAL_S", 0.1)
    callmood = await listen(start, connect_within_s=1.5, line_quiet_s=0.1)
    assistant = callmood.assistant(SID)
    callmood.vapi.fault = fault
    await assistant.send_status_update("in-progress")
    degraded = await callmood.event(SID, "analyzer.degraded")
    assert degraded["reason"].startswith("no audio: Vapi's socket ")
    assert "127.0.0.1" not in degraded["reason"]
    callmood.vapi.fault = None
    await trio.sleep(0.3)
    assert (await callmood.emotion(SID, "frustrated", 0.8))["status"] == "updated"
    await assistant.end()
    assert (await callmood.ended(SID))["outcome"] == "hangup"


async def test_a_socket_that_never_answers_costs_a_bounded_time(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    callmood.vapi.fault = Fault("stall", path="/transport", times=1)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()


async def test_a_socket_that_breaks_is_dialled_again_and_the_missing_sound_is_a_gap(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE[:40_000], speed=20)
    await heard(callmood, SID)
    before = len(chunks(await callmood.entry(SID)))
    await assistant.listen.reset()
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE[40_000:], speed=20)
    gap = await callmood.event(SID, "audio.gap")
    assert gap["cause"] == "lost"
    assert gap["ms"] > 0
    assert assistant.listen.opened == 2
    call = callmood.ready.directory.find(SID)
    assert call is not None
    await callmood.until(lambda: call.timeline.counts["audio.chunk"] > before)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_socket_that_does_not_come_back_ends_the_call(callmood: Callmood, how: str) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE[:8_000], speed=20)
    callmood.vapi.fault = Fault("status", status=503, path="/transport")
    await (assistant.listen.close() if how == "close" else assistant.listen.reset())
    assert (await callmood.ended(SID))["outcome"] == "hangup"
    await assistant.send_speech_update("assistant", "started")
    assert callmood.ready.directory.find(SID) is None


async def test_a_socket_that_is_only_half_open_is_found_out(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.ingress.listen.PONG_S", 0.1)
    monkeypatch.setattr("agent.ingress.listen.FIRST_BACKOFF_S", 0.02)
    monkeypatch.setattr("agent.assistants.vapi_dial.CLOSE_S", 0.1)
    callmood = await listen(start, heartbeat_s=0.1)
    assistant = callmood.assistant(SID)
    assistant.listen.deaf = True
    await assistant.send_status_update("in-progress")
    await callmood.until(lambda: assistant.listen.opened == 1)
    assistant.listen.deaf = False
    await callmood.until(lambda: assistant.listen.opened == 2)
    await assistant.listen.play(VOICE, speed=20)
    await heard(callmood, SID)


async def test_what_cannot_be_read_is_skipped_and_too_much_of_it_is_no_audio(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    for text in ("garbage", '{"sampleRate":0}', "[]", '{"type":"hello"}'):
        await assistant.listen.send(text)
    await assistant.listen.play(VOICE[:40_000], speed=20)
    await heard(callmood, SID)
    assert assistant.listen.opened == 1
    for _ in range(50):
        await assistant.listen.send("garbage")
    assert (await callmood.ended(SID))["outcome"] == "hangup"
    assert assistant.listen.opened == 1


async def test_frames_that_are_none_break_the_socket_and_not_the_call(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.send_raw(b"\xff" * 100)
    await callmood.until(lambda: assistant.listen.opened == 2)
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE, speed=20)
    await heard(callmood, SID)


async def test_a_message_that_is_too_large_breaks_the_socket_and_not_the_call(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.send(bytes(2 << 20))
    await callmood.until(lambda: assistant.listen.opened == 2)
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE, speed=20)
    await heard(callmood, SID)


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
async def test_what_the_socket_says_of_itself_is_obeyed(callmood: Callmood, rate: int) -> None:
    assistant = callmood.assistant(SID)
    assistant.listen.sample_rate, assistant.listen.announces = rate, True
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE, speed=20)
    first = (await heard(callmood, SID))[0]
    assert 0 <= first["startMs"] < first["endMs"] <= 10_500


async def test_two_channels_of_one_sound_stop_the_reading_and_not_the_call(start: Start) -> None:
    callmood = await listen(start, line_quiet_s=0.2)
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE, VOICE, speed=20)
    degraded = await callmood.event(SID, "analyzer.degraded")
    assert "same sound" in degraded["reason"]
    assert "[listen]" in degraded["reason"]
    await trio.sleep(0.5)
    assert (await callmood.emotion(SID, "frustrated", 0.8))["status"] == "updated"
    assert all(chunk["endMs"] <= 8_000 for chunk in chunks(await callmood.entry(SID)))
    await assistant.end()
    assert (await callmood.ended(SID))["outcome"] == "hangup"


async def test_a_mixture_is_analysed_where_the_user_says_so(start: Start) -> None:
    callmood = await listen(start, listen=ListenSettings(channels=1))
    assistant = callmood.assistant(SID)
    assistant.listen.channels = 1
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    await assistant.listen.play(VOICE, speed=20)
    await heard(callmood, SID)


async def test_a_full_and_a_draining_service_leave_the_call_to_vapi(start: Start) -> None:
    callmood = await listen(start, max_calls=1, drain_s=2.0)
    one = callmood.assistant(SID)
    await one.send_status_update("in-progress")
    await one.listen.wait_listened()
    two = callmood.assistant("CA" + "6" * 32)
    answer = await two.send_status_update("in-progress")
    assert answer is not None
    assert answer.status_code == 200
    callmood.stop.set()
    await callmood.until(lambda: callmood.ready.directory.draining)
    three = callmood.assistant("CA" + "7" * 32)
    await three.send_status_update("in-progress")
    assert two.listen.opened == three.listen.opened == 0
    await one.end()
    await callmood.returned.wait()


async def test_nothing_signed_by_twilio_is_believed_where_nothing_of_twilio_is_set(callmood: Callmood) -> None:
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    for token in (None, "", "twilio-auth-token-of-the-tests"):
        caller = callmood.caller(auth_token=token, call_sid=SID)
        assert (await caller.place()).status == 403
        answer = await caller.complete(1.0)
        assert answer is not None
        assert answer.status_code == 403
    assert callmood.ready.directory.find(SID) is not None


async def test_the_public_key_goes_to_the_socket_and_the_private_one_never(start: Start) -> None:
    callmood = await listen(start, vapi_public_key=Secret("public-key"), vapi_api_key=Secret(PRIVATE_KEY))
    callmood.vapi._public_key = "public-key"
    assistant = callmood.assistant(SID)
    await assistant.send_status_update("in-progress")
    await assistant.listen.wait_listened()
    assert callmood.vapi.private_key_leaks == 0
