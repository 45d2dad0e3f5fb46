"""FakeVapi over a real loopback socket: the contract, each fault, the assistant, and its webhooks."""

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trio

from agent.http import client, httpx
from agent.testing.fake_vapi import PRIVATE_KEY, FakeVapi
from agent.testing.faults import Fault
from agent.testing.http_server import HttpRequest, HttpResponse, HttpServer
from agent.testing.vapi_call import Hook
from agent.testing.vapi_contract import problems

NOTE = {"type": "add-message", "message": {"role": "system", "content": "calm"}, "triggerResponseEnabled": False}
SAY = {"type": "say", "content": "One moment.", "interruptAssistantEnabled": True}
NUMBER = {"type": "number", "number": "+15550100199", "message": "", "transferPlan": {"mode": "blind-transfer"}}
SIP = {"type": "sip", "sipUri": "sip:desk@example.com", "sipHeaders": {"X-Case": "42"}}


@asynccontextmanager
async def vapi_and_client(**options: Any) -> AsyncIterator[tuple[FakeVapi, httpx.AsyncClient]]:
    with trio.fail_after(20):
        async with FakeVapi.serve(**options) as vapi, client() as http:
            yield vapi, http


@asynccontextmanager
async def hook_server(status: int = 200) -> AsyncIterator[tuple[str, list[HttpRequest]]]:
    """Where webhooks go."""
    requests: list[HttpRequest] = []

    async def handle(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return HttpResponse(status, b"{}")

    server = HttpServer(handle)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server.url, requests
        nursery.cancel_scope.cancel()


def messages_of(requests: list[HttpRequest]) -> list[dict[str, Any]]:
    return [json.loads(request.body)["message"] for request in requests]


# The contract.

ACCEPTED = [
    NOTE,
    {"type": "add-message", "message": {"role": "user", "content": "x"}},
    SAY,
    {"type": "say", "content": "x", "interruptionsEnabled": True, "endCallAfterSpoken": False},
    {"type": "control", "control": "mute-assistant"},
    {"type": "control", "control": "say-first-message"},
    {"type": "end-call"},
    {"type": "transfer", "destination": NUMBER, "content": "Connecting you."},
    {"type": "transfer", "destination": SIP},
    {"type": "append-context", "kind": "thinking", "content": "x"},
    {"type": "send-transport-message", "message": {"transport": "twilio", "twiml": "<Response/>"}},
    {"type": "handoff", "destination": {"type": "assistant"}, "content": "x"},
]


@pytest.mark.parametrize("body", ACCEPTED, ids=lambda body: body["type"])
async def test_what_the_contract_allows_is_accepted_and_recorded(body: dict[str, Any]) -> None:
    async with vapi_and_client() as (vapi, http):
        before = trio.current_time()
        answer = await http.post(vapi.control_url("call-1"), json=body)
        assert (answer.status_code, answer.json()) == (200, {})
        [message] = vapi.messages
        assert (message.call_id, message.body) == ("call-1", body)
        assert before <= message.at <= trio.current_time()
        assert not vapi.refused


REFUSED = [
    [],
    "text",
    {},
    {"type": "update"},
    {"type": "add-message"},
    {"type": "add-message", "message": {"role": "system"}},
    {"type": "add-message", "message": {"role": "robot", "content": "x"}},
    {"type": "add-message", "message": {"role": "system", "content": "x", "name": "y"}},
    {**NOTE, "triggerResponseEnabled": "false"},
    {**NOTE, "assistant": {}},
    {"type": "say"},
    {"type": "say", "content": ""},
    {"type": "say", "content": "x", "interrupt": True},
    {"type": "control", "control": "stop-talking"},
    {"type": "end-call", "reason": "x"},
    {"type": "transfer"},
    {"type": "transfer", "destination": {"type": "number"}},
    {"type": "transfer", "destination": {"type": "assistant", "assistantName": "x"}},
    {"type": "transfer", "destination": {**NUMBER, "sipUri": "sip:x"}},
]


@pytest.mark.parametrize("body", REFUSED, ids=str)
async def test_what_it_does_not_allow_is_answered_400_with_the_reason(body: object) -> None:
    async with vapi_and_client() as (vapi, http):
        answer = await http.post(vapi.control_url("call-1"), json=body)
        assert answer.status_code == 400
        assert answer.json()["statusCode"] == 400
        assert answer.json()["message"]
        assert not vapi.messages
        assert [refused.status for refused in vapi.refused] == [400]


def test_the_recorded_examples_of_control_messages_are_accepted() -> None:
    for example in (Path(__file__).parents[1] / "recordings").glob("vapi_control_*.json"):
        assert problems(json.loads(example.read_text())) == [], example.name


async def test_an_unknown_property_is_named() -> None:
    assert problems({**NOTE, "status": "ended"}) == ["property status should not exist"]


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"User-Agent": ""}, b"{}", 403),
        ({"Content-Type": "text/plain"}, b"{}", 400),
        ({"Content-Type": "application/json"}, b"{nonsense", 400),
        ({"Content-Type": "application/json; charset=utf-8"}, json.dumps(NOTE).encode(), 200),
    ],
)
async def test_headers_are_checked(headers: dict[str, str], content: bytes, status: int) -> None:
    async with vapi_and_client() as (vapi, http):
        answer = await http.post(vapi.control_url("call-1"), content=content, headers=headers)
        assert answer.status_code == status
        if status == 403:
            assert answer.text == "error code: 1010"


async def test_the_private_key_is_refused_and_counted() -> None:
    async with vapi_and_client() as (vapi, http):
        answer = await http.post(
            vapi.control_url("call-1"), json=NOTE, headers={"Authorization": f"Bearer {PRIVATE_KEY}"}
        )
        assert (answer.status_code, vapi.private_key_leaks, len(vapi.messages)) == (401, 1, 0)


async def test_a_public_key_is_asked_for_where_it_is_set() -> None:
    async with vapi_and_client(public_key="public") as (vapi, http):
        url = vapi.control_url("call-1")
        assert (await http.post(url, json=NOTE)).status_code == 401
        answer = await http.post(url, json=NOTE, headers={"Authorization": "Bearer public"})
        assert answer.status_code == 200


async def test_unknown_calls_paths_and_methods_are_404() -> None:
    async with vapi_and_client() as (vapi, http):
        url = vapi.control_url("call-1")
        for address in (f"{vapi.url}/other/control", f"{vapi.url}/call-1", f"{vapi.url}/", f"{url}/more"):
            assert (await http.post(address, json=NOTE)).status_code == 404
        assert (await http.get(url)).status_code == 404


async def test_after_the_call_its_address_is_gone() -> None:
    async with vapi_and_client() as (vapi, http):
        call = vapi.call("CA1")
        assert (await http.post(call.facts.control_url, json={"type": "end-call"})).status_code == 200
        assert call.ended
        assert (await http.post(call.facts.control_url, json=NOTE)).status_code == 404


async def test_waiting_finds_past_and_future_messages() -> None:
    async with vapi_and_client() as (vapi, http), trio.open_nursery() as nursery:
        url = vapi.control_url("call-1")
        nursery.start_soon(lambda: http.post(url, json=SAY))
        found = await vapi.wait_for(lambda message: message.body["type"] == "say")
        assert found is await vapi.wait_for(lambda message: message.call_id == "call-1")


# Faults.


async def test_a_stall_answers_nothing_until_the_client_gives_up_and_then_lets_it_go() -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = Fault("stall")
        with trio.move_on_after(0.1) as patience:
            await http.post(vapi.control_url("call-1"), json=NOTE)
        assert patience.cancelled_caught
        vapi.fault = None
        assert (await http.post(vapi.control_url("call-1"), json=NOTE)).status_code == 200
        assert len(vapi.messages) == 1


async def test_a_delay_answers_late_and_still_accepts() -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = Fault("delay", seconds=0.1)
        began = trio.current_time()
        assert (await http.post(vapi.control_url("call-1"), json=NOTE)).status_code == 200
        assert trio.current_time() - began >= 0.1


@pytest.mark.parametrize("status", [401, 404, 429, 500, 502])
async def test_a_status_is_answered_with_vapis_error_shape(status: int) -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = Fault("status", status=status)
        answer = await http.post(vapi.control_url("call-1"), json=NOTE)
        assert answer.status_code == answer.json()["statusCode"] == status
        assert "retry-after" not in answer.headers
        assert not vapi.messages


async def test_too_many_requests_may_say_when_to_come_back() -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = Fault("status", status=429, retry_after=2)
        assert (await http.post(vapi.control_url("call-1"), json=NOTE)).headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault("reset"), httpx.ReadError), (Fault("garbage"), httpx.RemoteProtocolError)]
)
async def test_a_reset_and_garbage_break_the_connection(fault: Fault, error: type[Exception]) -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = fault
        with pytest.raises(error):
            await http.post(vapi.control_url("call-1"), json=NOTE)


async def test_a_refusal_closes_the_port_and_every_warm_connection_until_it_is_over() -> None:
    async with vapi_and_client() as (vapi, http):
        url = vapi.control_url("call-1")
        assert (await http.post(url, json=NOTE)).status_code == 200
        vapi.fault = Fault("refuse")
        await trio.sleep(0.02)
        for _ in range(3):
            with pytest.raises(httpx.TransportError):
                await http.post(url, json=NOTE)
        vapi.fault = None
        await trio.sleep(0.02)
        assert (await http.post(url, json=NOTE)).status_code == 200


async def test_a_refusal_may_end_at_a_time() -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = Fault("refuse", until=trio.current_time() + 0.1)
        await trio.sleep(0.2)
        assert vapi.fault is None
        assert (await http.post(vapi.control_url("call-1"), json=NOTE)).status_code == 200


async def test_a_counted_fault_is_over_after_its_count() -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = Fault("status", status=503, times=2)
        statuses = [(await http.post(vapi.control_url("call-1"), json=NOTE)).status_code for _ in range(4)]
        assert statuses == [503, 503, 200, 200]


async def test_a_fault_can_be_kept_to_one_path() -> None:
    async with vapi_and_client() as (vapi, http):
        vapi.fault = Fault("status", path="call-2")
        assert (await http.post(vapi.control_url("call-1"), json=NOTE)).status_code == 200
        assert (await http.post(vapi.control_url("call-2"), json=NOTE)).status_code == 500


async def test_a_fault_it_does_not_know_is_refused() -> None:
    async with vapi_and_client() as (vapi, _):
        with pytest.raises(ValueError, match="cannot fail by 'gone'"):
            vapi.fault = Fault("gone")


async def test_a_body_without_end_is_cut_off() -> None:
    async with vapi_and_client() as (vapi, http):
        with pytest.raises(httpx.TransportError):
            await http.post(vapi.control_url("call-1"), content=bytes(3 << 20))
        assert (await http.post(vapi.control_url("call-1"), json=NOTE)).status_code == 200


# The assistant.


async def test_a_say_that_interrupts_cuts_the_turn_and_records_what_was_heard() -> None:
    async with vapi_and_client() as (vapi, http):
        call = vapi.call("CA1")
        await call.start_turn("A very long sentence.")
        await trio.sleep(0.1)
        await http.post(call.facts.control_url, json=SAY)
        cut, said = call.turns
        assert cut.cut
        assert cut.heard_ms is not None
        assert 100 <= cut.heard_ms < 2_000
        assert (said.source, said.text, said.heard_ms) == ("force-say", "One moment.", None)
        assert call.speaking


async def test_a_say_that_does_not_interrupt_waits_its_turn() -> None:
    async with vapi_and_client() as (vapi, http):
        call = vapi.call("CA1")
        await call.start_turn("Hello.")
        await http.post(call.facts.control_url, json={"type": "say", "content": "Next."})
        assert [turn.text for turn in call.turns] == ["Hello."]
        await call.stop_turn()
        assert [turn.text for turn in call.turns] == ["Hello.", "Next."]
        assert not call.turns[0].cut


async def test_what_it_is_told_to_say_ends_by_itself() -> None:
    async with vapi_and_client() as (vapi, http):
        call = vapi.call("CA1")
        await http.post(call.facts.control_url, json={"type": "say", "content": "Yes"})
        await trio.sleep(0.3)
        assert not call.speaking
        assert call.turns[0].heard_ms == pytest.approx(180, abs=100)


def speech_of(requests: list[HttpRequest]) -> list[tuple[str, str, int]]:
    return [
        (message["role"], message["status"], message["turn"])
        for message in messages_of(requests)
        if message["type"] == "speech-update"
    ]


async def test_an_interruption_is_reported_as_vapi_reports_it() -> None:
    async with vapi_and_client() as (vapi, http), hook_server() as (url, requests):
        call = vapi.call("CA1", hook=Hook(url, "secret"))
        await call.start_turn("A very long sentence.")
        await http.post(call.facts.control_url, json={**SAY, "content": "Hm"})
        await trio.sleep(0.3)
        assert speech_of(requests) == [
            ("assistant", "started", 0),
            ("assistant", "stopped", 0),
            ("assistant", "started", 1),
            ("assistant", "stopped", 1),
        ]


# Webhooks.


async def test_a_status_update_has_the_shape_of_the_contract() -> None:
    async with vapi_and_client() as (vapi, _), hook_server() as (url, requests):
        call = await vapi.send_status_update(url, "s3cret", "CA1", "in-progress")
        [request] = requests
        [message] = messages_of(requests)
        assert request.path == "/webhook/vapi"
        assert request.header("x-vapi-secret") == "s3cret"
        assert request.header("content-type") == "application/json"
        assert message["type"] == "status-update"
        assert message["status"] == message["call"]["status"] == "in-progress"
        assert UUID(message["call"]["id"])
        assert message["call"]["phoneCallProviderId"] == message["call"]["transport"]["callSid"] == "CA1"
        assert message["call"]["monitor"]["controlUrl"] == call.facts.control_url
        assert message["call"]["monitor"]["listenUrl"].endswith(f"/{call.facts.call_id}/transport")
        assert await vapi.send_status_update(url, "s3cret", "CA1", "ringing") is call


async def test_other_messages_are_sent_as_they_are() -> None:
    async with vapi_and_client() as (vapi, _), hook_server() as (url, requests):
        call = vapi.call("CA1", hook=Hook(f"{url}/elsewhere", "secret", auth="bearer"))
        answer = await call.send("user-interrupted", turnId="turn-3")
        assert answer is not None
        assert answer.status_code == 200
        await call.end("customer-ended-call")
        interrupted, ended = messages_of(requests)
        assert (interrupted["type"], interrupted["turnId"]) == ("user-interrupted", "turn-3")
        assert (ended["status"], ended["endedReason"]) == ("ended", "customer-ended-call")
        assert requests[0].path == "/elsewhere"
        assert requests[0].header("authorization") == "Bearer secret"


async def test_a_webhook_can_be_signed() -> None:
    async with vapi_and_client() as (vapi, _), hook_server() as (url, requests):
        await vapi.call("CA1", hook=Hook(url, "secret", auth="hmac")).send("hang")
        timestamp = requests[0].header("x-timestamp") or ""
        expected = hmac.new(b"secret", timestamp.encode() + b"." + requests[0].body, sha256).hexdigest()
        assert requests[0].header("x-signature") == expected


async def test_a_transfer_is_reported_and_ends_the_call() -> None:
    async with vapi_and_client() as (vapi, http), hook_server() as (url, requests):
        call = vapi.call("CA1", hook=Hook(url, "secret"))
        await http.post(call.facts.control_url, json={"type": "transfer", "destination": NUMBER})
        while len(requests) < 2:  # noqa: ASYNC110
            await trio.sleep(0.01)
        forwarding, ended = messages_of(requests)
        assert (forwarding["status"], forwarding["destination"]) == ("forwarding", NUMBER)
        assert (ended["status"], ended["endedReason"]) == ("ended", "assistant-forwarded-call")


async def test_a_webhook_that_is_refused_or_not_answered_is_counted() -> None:
    async with vapi_and_client() as (vapi, _), hook_server(500) as (url, _):
        call = vapi.call("CA1", hook=Hook(url, "secret"))
        await call.send("hang")
        call.hook = Hook("http://127.0.0.1:1", "secret")
        assert await call.send("hang") is None
        assert call.undelivered == 2


async def test_a_call_without_a_hook_tells_nobody() -> None:
    async with vapi_and_client() as (vapi, _):
        call = vapi.call("CA1")
        assert await call.send_status_update("in-progress") is None
        assert call.undelivered == 0
