"""POST /webhook/vapi and the control address: who is believed, what is posted where, and what the assistant hears."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.settings import Secret
from agent.testing import Fault
from agent.testing.http_server import HttpRequest, HttpResponse, HttpServer

if TYPE_CHECKING:
    from conftest import Callmood, Line, Start

    from agent.testing import FakeCall

MB = 1024 * 1024


def message(type_: str = "status-update", **fields: object) -> dict[str, object]:
    return {"message": {"type": type_, **fields}}


# Who is believed.


@pytest.mark.parametrize("secret", ["", "wrong", "é", "Bearer vapi-secret-of-the-tests"])
async def test_a_wrong_secret_is_401(callmood: Callmood, secret: str) -> None:
    headers: Any = {"X-Vapi-Secret": secret.encode()}
    answer = await callmood.post("/webhook/vapi", json.dumps(message()), headers)
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"code", "message"}


async def test_no_secret_at_all_is_401_even_with_our_own_token(callmood: Callmood) -> None:
    assert (await callmood.post("/webhook/vapi", json.dumps(message()))).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"X-Vapi-Secret": ""}, {"X-Vapi-Secret": "anything"}])
async def test_where_no_secret_is_configured_nobody_is_believed_not_even_insecure(
    start: Start, headers: dict[str, str]
) -> None:
    callmood = await start(insecure=True, vapi_secret=Secret(), twilio_auth_token=Secret())
    answer = await callmood.post("/webhook/vapi", json.dumps(message()), headers)
    assert answer.status_code == 401


# What is taken.


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'{"message":null}',
        b'{"message":{}}',
        b'{"message":{"type":7}}',
        b'{"message":{"type":"speech-update","call":[]}}',
        b'{"message":{"type":"speech-update","call":{"monitor":7,"transport":"x","id":{}}}}',
        b'{"message":{"type":"\xff\xff"}}',
        b'{"message":{"type":"\\ud800"}}',
        b'{"message":{"type":"x","call":{"id":"\\ud800"}}}',
        b"\xff\xfe",
        b"[" * 50_000,
        json.dumps(message("news-of-tomorrow", status="started", role="assistant")).encode(),
        json.dumps(message('transcript[transcriptType="final"]', transcript="hello")).encode(),
        json.dumps(message("status-update", call={"phoneCallProviderId": "CA1"})).encode(),
    ],
)
async def test_once_authenticated_the_answer_is_200_and_json_whatever_it_says(callmood: Callmood, body: bytes) -> None:
    answer = await callmood.vapi_says(body)
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json(), dict)


async def test_a_body_of_ten_megabytes_is_taken(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        padding = "x" * (10 * MB - 1000)
        call = {"id": "v1", "phoneCallProviderId": line.call_sid}
        answer = await callmood.vapi_says(
            message("speech-update", role="assistant", status="started", padding=padding, call=call)
        )
        assert answer.status_code == 200
        assert await callmood.event(line.call_sid, "tts.started")


async def test_a_body_of_more_is_413_and_the_caller_reads_that_answer(callmood: Callmood) -> None:
    answer = await callmood.vapi_says(b"x" * (11 * MB))
    assert answer.status_code == 413
    assert set(answer.json()["error"]) == {"code", "message"}


async def test_a_large_body_without_the_secret_is_401_and_the_caller_reads_that_answer(callmood: Callmood) -> None:
    answer = await callmood.vapi_says(b"x" * (8 * MB), secret="wrong")
    assert answer.status_code == 401


async def test_a_body_in_chunks_that_grows_too_large_is_413(callmood: Callmood) -> None:
    async def pieces():
        for _ in range(11):
            yield b"x" * MB

    answer = await callmood.http.post(
        callmood.url + "/webhook/vapi",
        content=pieces(),
        headers={"X-Vapi-Secret": callmood.settings.vapi_secret.reveal()},
    )
    assert answer.status_code == 413


# Speech of the assistant.


async def test_the_assistants_speech_shows_in_the_timeline_once_per_change(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        for status in ("started", "started", "stopped", "stopped"):
            await assistant.send_speech_update("assistant", status)
        await assistant.send_speech_update("user", "started")
        timeline = (await callmood.entry(line.call_sid))["timeline"]
        assert [event["event"] for event in timeline if event["event"].startswith("tts.")] == [
            "tts.started",
            "tts.stopped",
        ]


async def test_a_call_is_found_by_its_vapi_id_once_that_is_known(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.send_status_update("in-progress")
        call_id = assistant.facts.call_id
        await callmood.vapi_says(message("speech-update", role="assistant", status="started", call={"id": call_id}))
        assert await callmood.event(line.call_sid, "tts.started")
        assert (await callmood.entry(line.call_sid))["vapiCallId"] == call_id


async def test_the_call_is_found_by_the_newer_place_of_its_twilio_id_too(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        call = {"id": "v1", "transport": {"provider": "twilio", "callSid": line.call_sid}}
        await callmood.vapi_says(message("speech-update", role="assistant", status="started", call=call))
        assert await callmood.event(line.call_sid, "tts.started")


# Notes.


async def feel(callmood: Callmood, line: Line, label: str, score: float = 0.8, times: int = 3) -> None:
    for _ in range(times):
        await callmood.emotion(line.call_sid, label, score)


async def attached(callmood: Callmood, line: Line) -> FakeCall:
    assistant = callmood.assistant(line.call_sid)
    await assistant.send_status_update("in-progress")
    return assistant


async def test_a_change_of_mood_is_told_once_and_silently(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        await feel(callmood, line, "frustrated", times=8)
        updated = await callmood.event(line.call_sid, "context.updated")
        assert updated["dominantEmotion"] == "frustrated"
        assert updated["via"] == "control"
        assert updated["bargeInDetected"] is False
        assert updated["latencyMs"] >= 0
        await feel(callmood, line, "frustrated", times=8)
    timeline = (await callmood.ended(line.call_sid))["timeline"]
    assert [event["event"] for event in timeline].count("context.updated") == 1
    [note] = callmood.told("add-message")
    assert note["triggerResponseEnabled"] is False
    assert note["message"]["role"] == "system"
    assert "frustrated" in note["message"]["content"]
    assert not callmood.told("say")
    assert not callmood.vapi.refused


async def test_each_change_of_mood_is_one_note(start: Start) -> None:
    callmood = await start(window_s=0.5, update_every_s=0.1)
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        for place, label in enumerate(("frustrated", "happy", "frustrated"), 1):
            while len(callmood.told("add-message")) < place:
                await callmood.emotion(line.call_sid, label, 0.8)
                await trio.sleep(0.02)
            await feel(callmood, line, label)
    notes = [note["message"]["content"] for note in callmood.told("add-message")]
    assert [next(label for label in ("frustrated", "happy") if label in note) for note in notes] == [
        "frustrated",
        "happy",
        "frustrated",
    ]


async def test_nothing_is_told_while_the_mood_is_not_known(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        await feel(callmood, line, "angry", times=2)
        await feel(callmood, line, "angry", score=0.5, times=5)
        await feel(callmood, line, "confused", times=5)
    await callmood.ended(line.call_sid)
    assert not callmood.vapi.messages


async def test_without_an_assistant_the_timeline_says_that_nobody_was_told(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await feel(callmood, line, "frustrated", times=3)
        failed = await callmood.event(line.call_sid, "context.failed")
        assert failed["willRetry"] is True
        await attached(callmood, line)
        await feel(callmood, line, "frustrated", times=1)
        assert (await callmood.event(line.call_sid, "context.updated"))["dominantEmotion"] == "frustrated"


async def test_vapi_out_of_order_costs_the_call_nothing_and_the_note_arrives_later(callmood: Callmood) -> None:
    callmood.vapi.fault = Fault("status", status=503, times=2)
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        await feel(callmood, line, "frustrated")
        assert (await callmood.event(line.call_sid, "context.failed"))["willRetry"] is True
        assert await callmood.event(line.call_sid, "context.updated")
    assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"
    assert len(callmood.told("add-message")) == 1


# Interruptions.


async def test_an_angry_caller_is_not_talked_over(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = await attached(callmood, line)
        await assistant.start_turn("Let me tell you about our app, and about our other app, and about our shop.")
        await feel(callmood, line, "angry", score=0.9, times=6)
        cancelled = await callmood.event(line.call_sid, "tts.cancelled")
        assert cancelled["reason"] == "emotion_escalation"
        assert cancelled["heardMs"] >= 0
        updated = await callmood.event(line.call_sid, "context.updated")
        assert updated["bargeInDetected"] is True
        assert updated["dominantEmotion"] == "angry"
        await feel(callmood, line, "angry", score=0.9, times=6)
    await callmood.ended(line.call_sid)
    [sentence] = callmood.told("say")
    assert sentence["interruptAssistantEnabled"] is True
    assert sentence["content"]
    assert len(callmood.told("add-message")) == 1
    assert assistant.turns[0].cut
    assert not callmood.vapi.refused


@pytest.mark.parametrize("label", ["angry", "frustrated"])
async def test_a_score_equal_to_act_at_is_enough(callmood: Callmood, label: str) -> None:
    async with callmood.on_the_line() as line:
        await (await attached(callmood, line)).start_turn("I talk on.")
        await feel(callmood, line, label, score=0.85)
        with trio.fail_after(4):
            assert await callmood.event(line.call_sid, "tts.cancelled")


@pytest.mark.parametrize(("label", "score"), [("angry", 0.84), ("sad", 0.99), ("happy", 0.99)])
async def test_anything_less_is_a_note_and_no_interruption(callmood: Callmood, label: str, score: float) -> None:
    async with callmood.on_the_line() as line:
        await (await attached(callmood, line)).start_turn("I talk on.")
        await feel(callmood, line, label, score=score, times=5)
        assert (await callmood.event(line.call_sid, "context.updated"))["bargeInDetected"] is False
    await callmood.ended(line.call_sid)
    assert not callmood.told("say")


async def test_a_silent_assistant_is_not_interrupted(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = await attached(callmood, line)
        await assistant.start_turn("I have said")
        await assistant.stop_turn()
        await feel(callmood, line, "angry", score=0.95, times=5)
        assert (await callmood.event(line.call_sid, "context.updated"))["bargeInDetected"] is False
    await callmood.ended(line.call_sid)
    assert not callmood.told("say")


async def test_two_calls_are_told_their_own_moods(callmood: Callmood) -> None:
    async with callmood.on_the_line() as one, callmood.on_the_line() as other:
        first, second = await attached(callmood, one), await attached(callmood, other)
        await feel(callmood, one, "frustrated")
        await feel(callmood, other, "happy")
        for line in (one, other):
            await callmood.event(line.call_sid, "context.updated")
        told = {message.call_id: message.body["message"]["content"] for message in callmood.vapi.messages}
        assert "frustrated" in told[first.facts.call_id]
        assert "happy" in told[second.facts.call_id]


# Where nothing is posted.


@pytest.fixture
async def stranger(nursery: trio.Nursery):
    """A listener that must never hear of us, and what it heard."""
    hits: list[str] = []

    async def answer(request: HttpRequest) -> HttpResponse:
        hits.append(request.target)
        return HttpResponse(200, b"{}")

    server = HttpServer(answer)
    await nursery.start(server.run)
    return server, hits


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/control",
        "https://127.0.0.1:{port}/control",
        "http://localhost:{port}/control",
        "http://api.vapi.ai@127.0.0.1:{port}/control",
        "http://127.0.0.1:{port}/api.vapi.ai/control",
        "http://127.0.0.1:{port}#.vapi.ai",
        "http://127.0.0.1:{port}\\.vapi.ai/",
        "//127.0.0.1:{port}/control",
        "http://2130706433:{port}/control",
        "http://[::ffff:127.0.0.1]:{port}/control",
        "http://api.vapi.ai:{port}/control",
        "https://evilvapi.ai/control",
        "https://vapi.ai.evil.example/control",
        "file:///etc/passwd",
        "ftp://api.vapi.ai/",
        "",
        "not an address",
    ],
)
async def test_a_control_address_elsewhere_is_never_posted_to(start: Start, stranger: Any, address: str) -> None:
    server, hits = stranger
    callmood = await start(vapi_control_hosts=())
    async with callmood.on_the_line() as line:
        monitor = {"controlUrl": address.format(port=server.port)}
        call = {"id": "v1", "phoneCallProviderId": line.call_sid, "monitor": monitor}
        for body in (message(call=call), message("speech-update", role="assistant", status="started", call=call)):
            assert (await callmood.vapi_says(body)).status_code == 200
        await feel(callmood, line, "angry", score=0.95, times=5)
        assert await callmood.event(line.call_sid, "context.failed")
    await callmood.ended(line.call_sid)
    assert not hits


async def test_a_bad_control_address_does_not_take_the_place_of_a_good_one(callmood: Callmood, stranger: Any) -> None:
    server, hits = stranger
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        monitor = {"controlUrl": f"http://localhost:{server.port}/control"}
        await callmood.vapi_says(message(call={"phoneCallProviderId": line.call_sid, "monitor": monitor}))
        await feel(callmood, line, "frustrated")
        assert await callmood.event(line.call_sid, "context.updated")
    assert not hits
    assert len(callmood.told("add-message")) == 1


async def test_a_redirect_from_the_control_address_is_not_followed(callmood: Callmood, stranger: Any) -> None:
    _, hits = stranger
    callmood.vapi.fault = Fault("status", status=307)
    async with callmood.on_the_line() as line:
        await attached(callmood, line)
        await feel(callmood, line, "frustrated")
        assert await callmood.event(line.call_sid, "context.failed")
    assert not hits


async def test_the_control_address_shows_nowhere(
    callmood: Callmood, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    callmood.vapi.fault = Fault("garbage", times=1)
    async with callmood.on_the_line() as line:
        assistant = await attached(callmood, line)
        await assistant.start_turn("I talk on.")
        await feel(callmood, line, "angry", score=0.95, times=5)
        await callmood.event(line.call_sid, "context.failed")
        pages = [
            (await callmood.get(path)).text
            for path in ("/calls", f"/calls/{line.call_sid}", "/live", f"/live/{line.call_sid}", "/metrics", "/readyz")
        ]
    pages.append(json.dumps(await callmood.ended(line.call_sid)))
    captured = capfd.readouterr()
    secret = assistant.facts.control_url.removeprefix("http://")
    for text in (*pages, captured.out, captured.err, caplog.text):
        assert secret not in text
        assert "/control" not in text
        assert callmood.settings.vapi_secret.reveal() not in text
        assert callmood.settings.token.reveal() not in text
