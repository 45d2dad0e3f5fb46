"""The gateway when the model stalls, refuses, breaks off or is not there, and when whoever asked has gone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.settings import Secret
from agent.testing import Fault
from agent.testing.fake_llm import FakeLLM, Script, error_body, streamed
from agent.testing.http_server import HttpRequest, HttpResponse, HttpServer

if TYPE_CHECKING:
    from conftest import Callmood, Start

KEY = "gateway-key-of-the-tests"
BODY = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM.serve() as llm:
        yield llm


def behind(llm: FakeLLM, **changes: Any) -> dict[str, Any]:
    return {"llm_base_url": llm.url, "llm_api_key": Secret(llm.key), "llm_key": Secret(KEY), **changes}


@pytest.fixture
async def callmood(start: Start, llm: FakeLLM) -> Callmood:
    return await start(**behind(llm))


@pytest.fixture
async def hasty(start: Start, llm: FakeLLM) -> Callmood:
    """A service that waits for no model."""
    return await start(**behind(llm, llm_patience_s=0.3, llm_idle_s=0.3))


async def ask(callmood: Callmood, **more: object) -> Any:
    headers = {"Authorization": f"Bearer {KEY}"}
    return await callmood.post("/llm/chat/completions", json.dumps({**BODY, **more}), headers)


def request(callmood: Callmood) -> bytes:
    content = json.dumps(BODY).encode()
    head = f"POST /llm/chat/completions HTTP/1.1\r\nHost: {callmood.host}\r\nAuthorization: Bearer {KEY}\r\n"
    return head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content


def assert_openais(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["type"] == "api_error"


# --- no answer, or not in time ---


async def test_a_model_that_stalls_is_504_and_is_let_go_of(hasty: Callmood, llm: FakeLLM) -> None:
    llm.fault = Fault("stall")
    assert_openais(await ask(hasty), 504)
    await llm.until_left(llm.asked[0])


async def test_a_model_that_is_only_slow_is_waited_for(hasty: Callmood, llm: FakeLLM) -> None:
    llm.script = Script(think_s=0.15, pause_s=0.1)
    assert (await ask(hasty)).content == b"".join(streamed(llm.script))


@pytest.mark.parametrize("kind", ["reset", "garbage"])
async def test_a_model_that_breaks_the_connection_is_502(callmood: Callmood, llm: FakeLLM, kind: Any) -> None:
    llm.fault = Fault(kind)
    assert_openais(await ask(callmood), 502)


async def test_a_model_that_is_not_there_is_502(start: Start, llm: FakeLLM) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    assert_openais(await ask(await start(**behind(llm, llm_base_url=f"http://127.0.0.1:{port}/v1"))), 502)


async def test_a_connection_that_was_lost_just_now_is_made_anew(callmood: Callmood, llm: FakeLLM) -> None:
    llm.fault = Fault("reset", times=1)
    assert (await ask(callmood)).content == b"".join(streamed(llm.script))
    assert len(llm.asked) == 2


# --- refusals ---


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
async def test_an_error_of_the_upstream_keeps_its_status_and_its_words(
    callmood: Callmood, llm: FakeLLM, status: int
) -> None:
    llm.fault = Fault("status", status=status, retry_after=7)
    answer = await ask(callmood)
    assert answer.status_code == status
    assert answer.content == error_body("The server had an error.", status)
    assert answer.headers["retry-after"] == "7"


async def test_a_state_that_the_model_never_heard_of_shows_in_the_timeline(callmood: Callmood, llm: FakeLLM) -> None:
    async with callmood.on_the_line() as line:
        for _ in range(3):
            await callmood.emotion(line.call_sid, "frustrated", 0.8)
        for fault in (Fault("status", status=429), Fault("garbage")):
            llm.fault = fault
            await ask(callmood, call={"phoneCallProviderId": line.call_sid})
        llm.fault = None
        await ask(callmood, call={"phoneCallProviderId": line.call_sid})
    timeline = (await callmood.ended(line.call_sid))["timeline"]
    told = [event for event in timeline if event["event"].startswith("context.")]
    told = [event for event in told if not event.get("reason", "").startswith("no assistant")]
    assert [event["event"] for event in told] == ["context.failed", "context.failed", "context.updated"]
    assert "429" in told[0]["reason"]


async def test_a_redirect_is_not_followed(start: Start, llm: FakeLLM, nursery: trio.Nursery) -> None:
    async def elsewhere(request: HttpRequest) -> HttpResponse:
        return HttpResponse(307, b"", (("Location", llm.url + "/chat/completions"),))

    server = HttpServer(elsewhere)
    await nursery.start(server.run)
    callmood = await start(**behind(llm, llm_base_url=server.url))
    assert (await ask(callmood)).status_code == 307
    assert not llm.asked


# --- in the middle of an answer ---


@pytest.mark.parametrize("how", ["reset", "stall"])
async def test_an_answer_that_breaks_off_does_not_look_complete(hasty: Callmood, llm: FakeLLM, how: Any) -> None:
    llm.script = Script(breaks=how, breaks_after=2)
    answer = await hasty.exchange(request(hasty))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    for piece in list(streamed(llm.script))[:2]:
        assert piece in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert (await hasty.get("/healthz")).status_code == 200


async def test_who_hangs_up_in_the_middle_is_not_answered_any_further(callmood: Callmood, llm: FakeLLM) -> None:
    llm.script = Script(words=("word",) * 1000, pause_s=0.05)
    async with await callmood.raw() as stream:
        await stream.send_all(request(callmood))
        while b"word" not in await stream.receive_some():
            pass
    await llm.until_left(llm.asked[0])
    assert len(llm.asked[0].sent) < 100_000


async def test_who_hangs_up_while_the_model_thinks_is_not_waited_for(callmood: Callmood, llm: FakeLLM) -> None:
    llm.script = Script(think_s=1000)
    async with await callmood.raw() as stream:
        await stream.send_all(request(callmood))
        await llm.until_asked()
    await llm.until_left(llm.asked[0])


async def test_who_does_not_read_does_not_hold_up_others(callmood: Callmood, llm: FakeLLM) -> None:
    llm.script = Script(words=("x" * 60_000,) * 400)
    async with await callmood.raw() as stream:
        await stream.send_all(request(callmood))
        await llm.until_asked()
        await trio.sleep(0.3)
        assert len(llm.asked[0].sent) < 20_000_000  # the upstream is held back, and nothing is piled up here
        llm.script = Script()
        assert (await ask(callmood)).status_code == 200
    await llm.until_left(llm.asked[0])


async def test_no_connection_is_lost_to_those_who_hang_up(start: Start, llm: FakeLLM) -> None:
    callmood = await start(**behind(llm, max_calls=2))  # so many connections to the model, and no more
    llm.script = Script(words=("word",) * 1000, pause_s=0.02)
    for count in range(1, 7):
        async with await callmood.raw() as stream:
            await stream.send_all(request(callmood))
            await llm.until_asked(count)
            if count % 2:
                await stream.receive_some()
        await llm.until_left(llm.asked[-1])
    llm.script = Script()
    assert (await ask(callmood)).content == b"".join(streamed(llm.script))


async def test_no_key_shows_in_a_log(callmood: Callmood, llm: FakeLLM, capfd: pytest.CaptureFixture[str]) -> None:
    llm.fault = Fault("garbage")
    await ask(callmood)
    llm.fault = Fault("status", status=401)
    await ask(callmood)
    await callmood.post("/llm/chat/completions", json.dumps(BODY), {"Authorization": "Bearer wrong-key"})
    captured = capfd.readouterr()
    for secret in (KEY, llm.key, "wrong-key", "Hello?", llm.url):
        assert secret not in captured.out + captured.err
