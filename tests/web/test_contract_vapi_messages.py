"""POST /webhook/vapi: what each server message does to its call, and what Vapi is answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.settings import VapiSettings
from agent.testing.vapi_contract import auth_headers
from agent.web.vapi_answers import ANSWERS, NOT_OURS
from agent.web.vapi_effects import EFFECTS

if TYPE_CHECKING:
    from conftest import Callmood, Line, Start

    from agent.calls.call import Call

MB = 1024 * 1024
FINAL = 'transcript[transcriptType="final"]'

Json = dict[str, Any]


def message(type_: str, line: Line | str | None = None, **fields: object) -> Json:
    sid = line if isinstance(line, str) or line is None else line.call_sid
    call = {"id": "v1", **({} if sid is None else {"phoneCallProviderId": sid})}
    return {"message": {"type": type_, "call": call, **fields}}


def live(callmood: Callmood, line: Line) -> Call:
    call = callmood.ready.directory.find(line.call_sid)
    assert call is not None
    return call


def speech(line: Line, status: str, turn: int | None = None) -> Json:
    return message("speech-update", line, role="assistant", status=status, turn=turn)


async def events(callmood: Callmood, line: Line, prefix: str) -> list[Json]:
    timeline = (await callmood.entry(line.call_sid))["timeline"]
    return [event for event in timeline if event["event"].startswith(prefix)]


async def names(callmood: Callmood, line: Line, prefix: str) -> list[str]:
    return [event["event"] for event in await events(callmood, line, prefix)]


# --- who is believed ---


async def posted(callmood: Callmood, auth: Any, secret: str, body: Json, *, at: datetime | None = None) -> int:
    raw = json.dumps(body).encode()
    headers = auth_headers(auth, secret, raw, at or datetime.now(UTC))
    return int((await callmood.post("/webhook/vapi", raw, headers)).status_code)


@pytest.mark.parametrize("auth", ["bearer", "hmac"])
async def test_a_message_that_proves_itself_as_is_set_is_believed_and_no_other(start: Start, auth: str) -> None:
    callmood = await start(vapi=VapiSettings(auth=auth))
    secret = callmood.settings.vapi_secret.reveal()
    async with callmood.on_the_line() as line:
        for other in ({"secret", "bearer", "hmac"} - {auth}) | {auth}:
            wrong = "wrong" if other == auth else secret
            assert await posted(callmood, other, wrong, speech(line, "started")) == 401
        assert not await events(callmood, line, "tts.")
        assert await posted(callmood, auth, secret, speech(line, "started")) == 200
        assert await events(callmood, line, "tts.started")


async def test_a_forged_message_has_no_effect_at_all(start: Start) -> None:
    callmood = await start(vapi=VapiSettings(auth="hmac"))
    async with callmood.on_the_line() as line:
        control_url = callmood.vapi.call(line.call_sid).facts.control_url
        forged = message("tool-calls", line, toolCallList=[{"id": "t", "name": "stop_analysis"}])
        forged["message"]["call"]["monitor"] = {"controlUrl": control_url, "listenUrl": control_url}
        for body in (forged, speech(line, "started"), message("status-update", line, status="ended")):
            assert await posted(callmood, "hmac", "guessed", body) == 401
        call = live(callmood, line)
        assert not call.assistant_attached
        assert call.listening
        assert not call.assistant_speaking
        assert call.vapi_call_id is None
    assert not callmood.vapi.messages
    assert not callmood.vapi.refused


async def test_an_overheard_message_cannot_be_sent_again_later(start: Start) -> None:
    callmood = await start(vapi=VapiSettings(auth="hmac"))
    secret, then = callmood.settings.vapi_secret.reveal(), datetime.now(UTC) - timedelta(minutes=6)
    async with callmood.on_the_line() as line:
        assert await posted(callmood, "hmac", secret, speech(line, "started"), at=then) == 401
        assert not await events(callmood, line, "tts.")


@pytest.mark.parametrize("size", [300_000, 9 * MB])
async def test_large_messages_are_signed_like_small_ones(start: Start, size: int) -> None:
    callmood = await start(vapi=VapiSettings(auth="hmac"))
    secret = callmood.settings.vapi_secret.reveal()
    async with callmood.on_the_line() as line:
        body = speech(line, "started")
        body["message"]["artifact"] = {"transcript": "x" * size}
        assert await posted(callmood, "hmac", "wrong", body) == 401
        assert not await events(callmood, line, "tts.")
        assert await posted(callmood, "hmac", secret, body) == 200
        assert await events(callmood, line, "tts.started")


# --- what the assistant says ---


async def test_the_text_of_a_turn_shows_live_and_stays_off_the_disk(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line, callmood.watch(f"?call={line.call_sid}") as shown:
        await callmood.vapi_says(message("assistant.speechStarted", line, text="Good morning.", turn=0))
        await callmood.vapi_says(speech(line, "started"))
        assert live(callmood, line).turn_text == "Good morning."
        await callmood.vapi_says(message("assistant.speechStarted", line, text="Good morning to you.", turn=0))
        await callmood.vapi_says(speech(line, "stopped"))
        seen: list[Json] = []
        while len(seen) < 2:
            _, event = await anext(shown)
            seen += [event] if event["event"].startswith("tts.") else []
        assert [event["text"] for event in seen] == ["Good morning.", "Good morning to you."]
        assert all("text" not in event for event in await events(callmood, line, "tts."))


async def test_the_text_is_kept_where_that_is_set(start: Start) -> None:
    callmood = await start(keep_text=True)
    async with callmood.on_the_line() as line:
        await callmood.vapi_says(speech(line, "started"))
        for piece in ("Good", "morning."):
            await callmood.vapi_says(message(FINAL, line, role="assistant", transcriptType="final", transcript=piece))
        await callmood.vapi_says(
            message("transcript", line, role="assistant", transcriptType="partial", transcript="A")
        )
        await callmood.vapi_says(message(FINAL, line, role="user", transcriptType="final", transcript="My name is Ann"))
        await callmood.vapi_says(speech(line, "stopped"))
        assert [event.get("text") for event in await events(callmood, line, "tts.")] == [None, "Good morning."]
    assert "Ann" not in json.dumps(await callmood.ended(line.call_sid))


async def test_a_caller_who_interrupts_ends_the_turn(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        for body in (speech(line, "started"), message("user-interrupted", line), speech(line, "stopped")):
            await callmood.vapi_says(body)
        assert await names(callmood, line, "tts.") == ["tts.started", "tts.stopped"]


async def test_the_late_end_of_an_older_turn_does_not_silence_the_present_one(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        for body in (speech(line, "started", 1), speech(line, "started", 3), speech(line, "stopped", 1)):
            await callmood.vapi_says(body)
        assert live(callmood, line).assistant_speaking
        assert await names(callmood, line, "tts.") == ["tts.started", "tts.stopped", "tts.started"]
        await callmood.vapi_says(speech(line, "stopped", 3))
        assert not live(callmood, line).assistant_speaking


async def test_turns_that_are_counted_anew_are_turns_all_the_same(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        for body in (speech(line, "started", 9), speech(line, "stopped", 9), speech(line, "started", 0)):
            await callmood.vapi_says(body)
        assert live(callmood, line).assistant_speaking
        await callmood.vapi_says(speech(line, "stopped", 0))
        assert not live(callmood, line).assistant_speaking


# --- the end ---


@pytest.mark.parametrize("body", [{"type_": "status-update", "status": "ended"}, {"type_": "end-of-call-report"}])
@pytest.mark.parametrize(
    ("reason", "outcome"), [("customer-ended-call", "hangup"), ("exceeded-max-duration", "limit"), ("new", "hangup")]
)
async def test_where_vapi_has_the_call_its_end_is_the_calls(
    start: Start, body: Json, reason: str, outcome: str
) -> None:
    callmood = await start(attach="listen")
    assert callmood.ready.directory.register("CA77", caller="+15550100001") is not None
    await callmood.vapi_says(message(**body, line="CA77", endedReason=reason))
    assert (await callmood.ended("CA77"))["outcome"] == outcome


async def test_where_twilio_has_the_call_vapis_end_only_ends_the_telling(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.send_status_update("in-progress")
        await assistant.start_turn("I talk on.")
        await assistant.send_status_update("ended", endedReason="silence-timed-out")
        await assistant.send_status_update("in-progress")  # these two are late
        await assistant.send_speech_update("assistant", "started")
        call = live(callmood, line)
        assert call.outcome is None
        assert not call.assistant_speaking
        for _ in range(5):
            await callmood.emotion(line.call_sid, "angry", 0.95)
        assert (await callmood.event(line.call_sid, "context.failed"))["willRetry"] is False
    await callmood.ended(line.call_sid)
    assert not callmood.vapi.messages
    assert not callmood.vapi.refused


async def test_another_call_at_vapi_may_follow_one_that_ended(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        first, second = callmood.assistant(line.call_sid), callmood.assistant(line.call_sid)
        await first.send_status_update("in-progress")
        await first.send_status_update("ended")
        await second.send_status_update("in-progress")
        await second.send_speech_update("assistant", "started")
        assert live(callmood, line).assistant_speaking
        assert live(callmood, line).vapi_call_id == second.facts.call_id


async def test_messages_of_a_call_that_is_no_more_are_taken_and_change_nothing(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        pass
    await callmood.ended(line.call_sid)
    for type_ in [*EFFECTS, *ANSWERS]:
        assert (await callmood.vapi_says(message(type_, line, status="ended"))).status_code == 200
    assert callmood.ready.directory.find(line.call_sid) is None


# --- handed over ---


@pytest.mark.parametrize(
    "body",
    [
        {"type_": "status-update", "status": "forwarding"},
        {"type_": "transfer-update", "destination": {"type": "number", "number": "+15550100100"}},
        {"type_": "end-of-call-report", "endedReason": "assistant-forwarded-call"},
    ],
)
async def test_a_caller_who_speaks_with_a_human_is_not_analysed(callmood: Callmood, body: Json) -> None:
    async with callmood.on_the_line() as line:
        for _ in range(2):
            await callmood.vapi_says(message(**body, line=line))
        assert await names(callmood, line, "escalation.") == ["escalation.done"]
        assert not live(callmood, line).listening
    assert "5550100100" not in json.dumps(await callmood.ended(line.call_sid))


async def test_a_handover_to_another_assistant_is_none(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        handoff = {"type": "assistant", "assistantName": "billing"}
        await callmood.vapi_says(message("transfer-update", line, destination=handoff, toAssistant={"name": "billing"}))
        assert not await events(callmood, line, "escalation.")
        assert live(callmood, line).listening


@pytest.mark.parametrize(
    "reason",
    ["call.forwarding.operator-busy", "call.forwarding.no-answer", "call.in-progress.error-transfer-failed"],
)
async def test_a_transfer_that_nobody_took_is_said_to_have_failed(callmood: Callmood, reason: str) -> None:
    async with callmood.on_the_line() as line:
        for type_ in ("status-update", "end-of-call-report"):
            await callmood.vapi_says(message(type_, line, status="ended", endedReason=reason))
        [failed] = await events(callmood, line, "escalation.")
        assert failed["event"] == "escalation.failed"
        assert failed["reason"] == reason


# --- what Vapi asks ---


async def test_the_tool_stop_analysis_stops_it(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        listed = [
            {"id": "t1", "type": "function", "function": {"name": "stop_analysis", "arguments": "{}"}},
            {"id": "t2", "name": "book_table", "parameters": {"at": "8"}},
        ]
        for _ in range(2):
            answer = await callmood.vapi_says(message("tool-calls", line, toolCallList=listed))
            assert answer.status_code == 200
            done, other = answer.json()["results"]
            assert (done["toolCallId"], done["name"]) == ("t1", "stop_analysis")
            assert done["result"]
            assert "\n" not in done["result"]
            assert other == {"toolCallId": "t2", "name": "book_table", "error": NOT_OURS}
        [withdrawn] = await events(callmood, line, "consent.withdrawn")
        assert withdrawn["how"] == "tool"
        assert not live(callmood, line).listening


async def test_a_tool_call_of_an_unknown_call_is_answered_all_the_same(callmood: Callmood) -> None:
    listed = [{"id": "t1", "name": "stop_analysis"}]
    answer = await callmood.vapi_says(message("tool-calls", "CA0", toolCallList=listed))
    assert [result["toolCallId"] for result in answer.json()["results"]] == ["t1"]


async def test_vapi_is_told_who_takes_a_call(start: Start) -> None:
    callmood = await start(vapi_assistant_id="a-17")
    assert (await callmood.vapi_says(message("assistant-request"))).json() == {"assistantId": "a-17"}


async def test_without_an_assistant_the_caller_is_told_so(callmood: Callmood) -> None:
    assert set((await callmood.vapi_says(message("assistant-request"))).json()) == {"error"}


@pytest.mark.parametrize(
    ("to", "destination"),
    [
        ("+15550100100", {"type": "number", "number": "+15550100100"}),
        ("sip:desk@example.com", {"type": "sip", "sipUri": "sip:desk@example.com"}),
    ],
)
async def test_vapi_is_told_where_a_call_goes(start: Start, to: str, destination: Json) -> None:
    callmood = await start(transfer_to=to)
    answer = await callmood.vapi_says(message("transfer-destination-request"))
    assert answer.json() == {"destination": destination}


async def test_without_a_human_there_is_no_destination(callmood: Callmood) -> None:
    assert set((await callmood.vapi_says(message("transfer-destination-request"))).json()) == {"error"}


# --- all of them ---


async def counted(callmood: Callmood, handled: str) -> float:
    page = (await callmood.get("/metrics")).text
    line = next(
        (row for row in page.splitlines() if row.startswith(f'callmood_vapi_messages_total{{handled="{handled}"}}')),
        "0",
    )
    return float(line.split()[-1])


@pytest.mark.parametrize("type_", [*EFFECTS, *ANSWERS])
async def test_every_message_that_we_use_is_counted_as_handled_however_little_it_says(
    callmood: Callmood, type_: str
) -> None:
    async with callmood.on_the_line() as line:
        for fields in ({}, {"status": "x", "role": 7, "turn": [], "text": {}, "destination": 1, "toolCallList": "f"}):
            assert (await callmood.vapi_says(message(type_, line, **fields))).status_code == 200
        assert await counted(callmood, "yes") == 2


@pytest.mark.parametrize("type_", ["model-output", "voice-input", "phone-call-control", "news-of-tomorrow", "x" * 5000])
async def test_an_unknown_type_is_200_and_counted_and_keeps_the_call_alive(callmood: Callmood, type_: str) -> None:
    async with callmood.on_the_line() as line:
        answer = await callmood.vapi_says(message(type_, line))
        assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
        assert await counted(callmood, "no") == 1


# --- the assistants to import ---

CONTRACT = frozenset(
    {
        *("assistant.started", "assistant.speechStarted", "conversation-update", "end-of-call-report", "function-call"),
        *("hang", "language-changed", "language-change-detected", "model-output", "phone-call-control"),
        *("speech-update", "status-update", "transcript", FINAL, "tool-calls", "transfer-destination-request"),
        *("handoff-destination-request", "transfer-update", "user-interrupted", "voice-input", "chat.created"),
        *("chat.deleted", "session.created", "session.updated", "session.deleted", "call.deleted"),
        *("call.delete.failed", "call.artifact.upload"),
    }
)
"""`assistant.serverMessages` of Vapi's published schema (https://docs.vapi.ai/api-reference/assistants/create)."""

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("file", ["vapi-assistant.json", "vapi-assistant-gateway.json"])
def test_the_assistants_to_import_ask_for_exactly_what_we_use(file: str) -> None:
    assistant = json.loads((CONFIG / file).read_text("utf-8"))
    asked = assistant["serverMessages"]
    assert len(asked) == len(set(asked))
    assert set(asked) <= CONTRACT
    # The unfiltered transcripts would say everything twice, and who takes a call is asked without being listed.
    assert set(asked) == {*EFFECTS, *ANSWERS} - {"transcript", "assistant-request"}
    assert assistant["monitorPlan"]["controlEnabled"]
    assert [tool["function"]["name"] for tool in assistant["model"]["tools"]] == ["stop_analysis"]
    assert assistant["server"]["url"].endswith("/webhook/vapi")


def test_the_gateways_assistant_sends_its_requests_to_us_and_says_which_call_they_are_for() -> None:
    model = json.loads((CONFIG / "vapi-assistant-gateway.json").read_text("utf-8"))["model"]
    assert model["provider"] == "custom-llm"
    assert model["url"].endswith("/llm")
    assert model["metadataSendMode"] == "variable"
