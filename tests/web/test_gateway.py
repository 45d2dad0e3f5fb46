"""POST /llm/chat/completions: the caller's state in every request, and the upstream's answer byte for byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.core.emotion import Emotion, Mood, Trend
from agent.errors import ConfigError
from agent.settings import Secret, Settings
from agent.settings_checks import check_built
from agent.testing.fake_llm import FakeLLM, Script, error_body, plain, streamed

if TYPE_CHECKING:
    from conftest import Callmood, Line, Start

    from agent.calls.call import Call

KEY = "gateway-key-of-the-tests"
MB = 1024 * 1024
SYSTEM = {"role": "system", "content": "Be brief."}
ASKS = {"role": "user", "content": "Where is my parcel?"}

Json = dict[str, Any]


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM.serve() as llm:
        yield llm


@pytest.fixture
async def callmood(start: Start, llm: FakeLLM) -> Callmood:
    return await start(**behind(llm))


def behind(llm: FakeLLM, **changes: Any) -> Json:
    return {"llm_base_url": llm.url, "llm_api_key": Secret(llm.key), "llm_key": Secret(KEY), **changes}


def body(call: object = None, **more: object) -> Json:
    known = {} if call is None else {"call": call}
    return {"model": "gpt-4o", "stream": True, "messages": [SYSTEM, ASKS], **known, **more}


async def ask(callmood: Callmood, asked: object, headers: Mapping[str, str] | None = None) -> Any:
    content = asked if isinstance(asked, bytes) else json.dumps(asked)
    known = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    return await callmood.post("/llm/chat/completions", content, known if headers is None else headers)


def of(line: Line) -> Json:
    return {"id": "v1", "phoneCallProviderId": line.call_sid}


async def feel(callmood: Callmood, line: Line, label: str, score: float = 0.8, times: int = 3) -> None:
    for _ in range(times):
        await callmood.emotion(line.call_sid, label, score)


# --- the answer ---


async def test_a_streamed_answer_comes_through_byte_for_byte(callmood: Callmood, llm: FakeLLM) -> None:
    answer = await ask(callmood, body())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"] == "r1"
    assert answer.content == b"".join(streamed(llm.script)) == bytes(llm.asked[0].sent)


async def test_a_plain_answer_too(callmood: Callmood, llm: FakeLLM) -> None:
    answer = await ask(callmood, body(stream=False))
    assert answer.content == plain(llm.script)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls_come_through_unharmed(callmood: Callmood, llm: FakeLLM, stream: bool) -> None:
    llm.script = Script(tool=("find_parcel", json.dumps({"number": "1Z 999", "note": 'a "quoted"\n word'})))
    answer = await ask(callmood, body(stream=stream))
    assert answer.content == (b"".join(streamed(llm.script)) if stream else plain(llm.script))


async def test_each_piece_is_there_as_soon_as_the_upstream_has_said_it(callmood: Callmood, llm: FakeLLM) -> None:
    llm.script = Script(words=("a", "b", "c"), breaks="stall", breaks_after=3)
    expected = list(streamed(llm.script))
    async with await speaking_http(callmood, body()) as stream:
        got = b""
        while expected[2] not in got:
            got += await stream.receive_some()
        assert expected[3] not in got


async def speaking_http(callmood: Callmood, asked: Json) -> trio.SocketStream:
    """A connection on which this has just been asked."""
    content = json.dumps(asked).encode()
    head = f"POST /llm/chat/completions HTTP/1.1\r\nHost: {callmood.host}\r\nAuthorization: Bearer {KEY}\r\n"
    stream = await callmood.raw()
    await stream.send_all(head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return stream


# --- the caller's state ---


async def test_the_request_carries_the_callers_present_state_in_one_message(callmood: Callmood, llm: FakeLLM) -> None:
    async with callmood.on_the_line() as line:
        await feel(callmood, line, "frustrated")
        assert (await ask(callmood, body(of(line)))).status_code == 200
        [asked] = llm.asked
        assert [message["role"] for message in asked.body["messages"]] == ["system", "system", "user"]
        [note] = asked.notes
        assert "frustrated" in note
        updated = await callmood.event(line.call_sid, "context.updated")
    assert updated["via"] == "llm"
    assert updated["dominantEmotion"] == "frustrated"
    assert updated["bargeInDetected"] is False
    assert updated["latencyMs"] >= 0


@pytest.mark.parametrize("place", ["id", "phoneCallProviderId", "transport", "variables"])
async def test_the_call_is_found_by_each_of_its_ids(callmood: Callmood, llm: FakeLLM, place: str) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.send_status_update("in-progress")
        await feel(callmood, line, "frustrated")
        call = {
            "id": {"id": assistant.facts.call_id},
            "phoneCallProviderId": {"phoneCallProviderId": line.call_sid},
            "transport": {"id": "another", "transport": {"callSid": line.call_sid}},
            "variables": {"assistantOverrides": {"variableValues": {"x-callsid": line.call_sid}}},
        }[place]
        await ask(callmood, body(call))
        assert llm.asked[0].notes


async def test_every_request_carries_the_state_of_its_moment_and_news_is_recorded_once(
    start: Start, llm: FakeLLM
) -> None:
    callmood = await start(**behind(llm, window_s=0.5))
    async with callmood.on_the_line() as line:
        await feel(callmood, line, "frustrated")
        for _ in range(3):
            await ask(callmood, body(of(line)))
        while not llm.asked[-1].notes or "happy" not in llm.asked[-1].notes[0]:
            await feel(callmood, line, "happy")
            await ask(callmood, body(of(line)))
    timeline = (await callmood.ended(line.call_sid))["timeline"]
    told = [event["dominantEmotion"] for event in timeline if event["event"] == "context.updated"]
    assert told == ["frustrated", "happy"]
    assert all("frustrated" in asked.notes[0] for asked in list(llm.asked)[:3])


@pytest.mark.parametrize("readings", [(), (("neutral", 0.9),), (("angry", 0.5),)])
async def test_where_there_is_nothing_to_say_nothing_is_added(
    callmood: Callmood, llm: FakeLLM, readings: tuple[tuple[str, float], ...]
) -> None:
    async with callmood.on_the_line() as line:
        for label, score in readings:
            await feel(callmood, line, label, score, times=5)
        await ask(callmood, body(of(line)))
    assert llm.asked[0].body["messages"] == [SYSTEM, ASKS]
    timeline = (await callmood.ended(line.call_sid))["timeline"]
    assert "context.updated" not in [event["event"] for event in timeline]


def believe_late(callmood: Callmood, line: Line) -> Call:
    """A belief that comes when nothing should be believed any more."""
    call = callmood.ready.directory.find(line.call_sid)
    assert call is not None
    call.present.believe(Mood(Emotion("angry", 0.9), Trend.RISING, 3, trio.current_time(), {"angry": 2.0}))
    return call


@pytest.mark.parametrize("why", ["withdrawn", "handed over"])
async def test_where_nobody_listens_any_more_nothing_is_added(callmood: Callmood, llm: FakeLLM, why: str) -> None:
    async with callmood.on_the_line() as line:
        await feel(callmood, line, "angry")
        call = believe_late(callmood, line)
        if why == "withdrawn":
            call.withdraw_consent("tool")
        else:
            call.transfer_confirmed()
        believe_late(callmood, line)
        await ask(callmood, body(of(line)))
    assert llm.asked[0].body["messages"] == [SYSTEM, ASKS]


async def test_consent_that_is_withdrawn_while_we_wait_is_heeded(callmood: Callmood, llm: FakeLLM) -> None:
    async with callmood.on_the_line() as line:
        call = believe_late(callmood, line)

        async def withdraws() -> None:
            call.withdraw_consent("tool")

        call.present.reading_made = withdraws  # type: ignore[method-assign]
        await ask(callmood, body(of(line)))
    assert llm.asked[0].body["messages"] == [SYSTEM, ASKS]


async def test_a_profile_without_emotions_adds_nothing(start: Start, llm: FakeLLM) -> None:
    callmood = await start(**behind(llm, profile="physical-only"))
    async with callmood.on_the_line() as line:
        believe_late(callmood, line)
        assert (await ask(callmood, body(of(line)))).status_code == 200
    assert llm.asked[0].body["messages"] == [SYSTEM, ASKS]


@pytest.mark.parametrize("call", [None, {"id": "nobody"}, {"phoneCallProviderId": "CA0"}, 7, [], {"id": {"a": 1}}])
async def test_an_unknown_call_passes_unchanged(callmood: Callmood, llm: FakeLLM, call: object) -> None:
    asked = {"model": "gpt-4o", "messages": [SYSTEM, ASKS], "temperature": 0.25, "stream": False}
    assert (await ask(callmood, {**asked, "call": call})).content == plain(llm.script)
    assert llm.asked[0].body == asked


async def test_what_says_who_is_calling_stays_here(callmood: Callmood, llm: FakeLLM) -> None:
    about = {name: {"number": "+15550100001"} for name in ("phoneNumber", "customer", "metadata")}
    async with callmood.on_the_line() as line:
        assert (await ask(callmood, body(of(line), **about))).status_code == 200
    assert set(llm.asked[0].body) == {"model", "messages", "stream"}
    assert b"5550100001" not in llm.asked[0].raw
    headers = json.dumps(dict(llm.asked[0].headers))
    assert KEY not in headers


async def test_the_settings_may_name_another_model(start: Start, llm: FakeLLM) -> None:
    callmood = await start(**behind(llm, llm_model="llama-3"))
    await ask(callmood, body())
    assert llm.asked[0].body["model"] == "llama-3"


async def test_concurrent_calls_each_get_their_own_state(callmood: Callmood, llm: FakeLLM) -> None:
    llm.script = Script(pause_s=0.02)
    async with callmood.on_the_line() as one, callmood.on_the_line() as other, callmood.on_the_line() as third:
        await feel(callmood, one, "frustrated")
        await feel(callmood, other, "happy")
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                for line in (one, other, third):
                    nursery.start_soon(ask, callmood, body(of(line), user=line.call_sid))
    told = {line.call_sid: set[str]() for line in (one, other, third)}
    for asked in llm.asked:
        told[asked.body["user"]] |= {word for note in asked.notes for word in ("frustrated", "happy") if word in note}
    assert told == {one.call_sid: {"frustrated"}, other.call_sid: {"happy"}, third.call_sid: set()}
    assert len(llm.asked) == 15


async def test_a_call_asked_through_the_gateway_gets_no_notes_beside_it(callmood: Callmood, llm: FakeLLM) -> None:
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        await ask(callmood, body(of(line)))
        await feel(callmood, line, "frustrated", times=6)
        await ask(callmood, body(of(line)))
        assert (await callmood.event(line.call_sid, "context.updated"))["via"] == "llm"
    await callmood.ended(line.call_sid)
    assert not callmood.told("add-message")
    assert "frustrated" in llm.asked[-1].notes[0]


async def test_the_reading_that_is_under_way_is_waited_for(callmood: Callmood, llm: FakeLLM) -> None:
    async with callmood.on_the_line() as line:
        call = callmood.ready.directory.find(line.call_sid)
        assert call is not None
        made, asked = call.present.reading_made, trio.Event()

        async def waits() -> None:
            asked.set()
            await made()

        call.present.reading_made = waits  # type: ignore[method-assign]
        call.present.reading_begins()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, callmood, body(of(line)))
            await asked.wait()
            call.present.believe(Mood(Emotion("angry", 0.9), Trend.RISING, 3, trio.current_time(), {"angry": 2.0}))
            call.present.reading_ends()
    assert "angry" in llm.asked[0].notes[0]


async def test_a_reading_that_never_comes_keeps_nobody(callmood: Callmood, llm: FakeLLM) -> None:
    async with callmood.on_the_line() as line:
        await feel(callmood, line, "frustrated")
        call = callmood.ready.directory.find(line.call_sid)
        assert call is not None
        call.present.reading_begins()
        with trio.fail_after(10):
            await ask(callmood, body(of(line)))
    assert "frustrated" in llm.asked[0].notes[0]


async def test_the_model_hears_of_a_live_call_while_the_service_drains(start: Start, llm: FakeLLM) -> None:
    callmood = await start(**behind(llm, drain_s=5.0))
    async with callmood.on_the_line() as line:
        callmood.stop.set()
        await callmood.until(lambda: callmood.ready.directory.draining)
        assert (await ask(callmood, body(of(line)))).status_code == 200


# --- who may ---


@pytest.mark.parametrize("offered", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, "Bearer token-of-the-tests"])
async def test_without_the_key_the_answer_is_401_in_openais_shape(
    callmood: Callmood, llm: FakeLLM, offered: str
) -> None:
    answer = await ask(callmood, body(), {"Authorization": offered} if offered else {})
    assert answer.status_code == 401
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not llm.asked


@pytest.mark.parametrize("offered", ["", "Bearer", "Bearer None"])
async def test_where_no_key_is_configured_nobody_may_not_even_insecure(
    start: Start, llm: FakeLLM, offered: str
) -> None:
    callmood = await start(insecure=True, **behind(llm, llm_key=Secret(), twilio_auth_token=Secret()))
    assert (await ask(callmood, body(), {"Authorization": offered} if offered else {})).status_code == 401
    assert not llm.asked


def test_a_gateway_without_a_model_behind_it_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="LLM_BASE_URL is not set"):
        check_built(Settings(llm_key=Secret(KEY)))


# --- bad input ---


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
async def test_what_is_no_json_object_is_400_in_openais_shape(callmood: Callmood, llm: FakeLLM, raw: bytes) -> None:
    answer = await ask(callmood, raw)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert not llm.asked


async def test_a_conversation_of_nearly_ten_megabytes_goes_through(callmood: Callmood, llm: FakeLLM) -> None:
    async with callmood.on_the_line() as line:
        await feel(callmood, line, "frustrated")
        long = {"role": "user", "content": "x" * (10 * MB - 4000)}
        answer = await ask(callmood, body(of(line), messages=[SYSTEM, long, ASKS]))
        assert answer.status_code == 200
    assert [message["role"] for message in llm.asked[0].body["messages"]] == ["system", "user", "system", "user"]


async def test_a_larger_one_is_413_in_openais_shape(callmood: Callmood, llm: FakeLLM) -> None:
    answer = await ask(callmood, b"x" * (11 * MB))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
    assert not llm.asked


async def test_an_upstream_that_refuses_the_body_is_heard(callmood: Callmood, llm: FakeLLM) -> None:
    answer = await ask(callmood, body(wrong=1))
    assert answer.status_code == 400
    assert answer.content == error_body("Unrecognized request argument supplied: wrong", 400)
