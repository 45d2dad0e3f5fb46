"""Vapi's control address: where we post, what we post, and what the answers mean."""

import json
from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agent.assistants.vapi import BadControlUrl, VapiControl, checked_control_url
from agent.core.context import ContextUpdate
from agent.core.emotion import Emotion, Mood, Trend
from agent.errors import AssistantRefused, AssistantUnavailable, CallGone
from agent.http import client, httpx
from agent.testing.vapi_contract import problems

ADDRESS = "https://phone-call-websocket.aws-us-west-2-backend-production1.vapi.ai/7420f27a/control"
KEY = "public-key-5f2e"
Handler = Callable[[httpx.Request], httpx.Response]

# --- Which addresses we post to ---


@pytest.mark.parametrize(
    "url",
    [
        ADDRESS,
        "https://api.vapi.ai/x/control",
        "https://a.b-c.d1.vapi.ai/x",
        "https://api.vapi.ai:443/x",
        "HTTPS://API.VAPI.AI/x",
        "https://api.vapi.ai/x?y=z",
        "https://api.vapi.ai",
    ],
)
def test_an_address_of_vapis_over_https_is_posted_to(url: str) -> None:
    assert httpx.URL(checked_control_url(url)).host.endswith(".vapi.ai")


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "control",
        "/x/control",
        "//api.vapi.ai/x",
        "http://api.vapi.ai/x",
        "ws://api.vapi.ai/x",
        "wss://api.vapi.ai/x",
        "ftp://api.vapi.ai/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "<https://api.vapi.ai/x>",
        " https://api.vapi.ai/x",
        "https://vapi.ai/x",
        "https://evilvapi.ai/x",
        "https://vapi.ai.evil.com/x",
        "https://api.vapi.ai.evil.com/x",
        "https://api-vapi.ai/x",
        "https://api.vapi.aix/x",
        "https://api.vapi.a/x",
        "https://.vapi.ai/x",
        "https://-.vapi.ai/x",
        "https://a..vapi.ai/x",
        "https://api.vapi.ai./x",
        "https://api.vapi.ai:8443/x",
        "https://api.vapi.ai:80/x",
        "https://api.vapi.ai:99999/x",
        "https://user@api.vapi.ai/x",
        "https://user:word@api.vapi.ai/x",
        "https://api.vapi.ai@evil.com/x",
        "https://api.vapi.ai:443@evil.com/x",
        "https://evil.com#.vapi.ai/x",
        "https://evil.com?.vapi.ai/x",
        "https://evil.com/.vapi.ai/x",
        "https://evil.com\\.vapi.ai/x",
        "https://api.vapi.ai\\@evil.com/x",
        "https://evil.com%2f.vapi.ai/x",
        "https://evil.com%00.vapi.ai/x",
        "https://evil.com\x00.vapi.ai/x",
        "https://evil.com\t.vapi.ai/x",
        "https://evil.com\n.vapi.ai/x",
        "https://api.vapi.ai\r\nX-Evil: 1/x",
        "https://evil_com.vapi.ai/x",
        "https://\u0430pi.v\u0430pi.ai/x",
        "https://xn--vpi-7cd.ai/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://2130706433/x",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/x",
    ],
)
def test_any_other_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BadControlUrl) as refusal:
        checked_control_url(url)
    assert "evil" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("http://127.0.0.1:9000/x", "127.0.0.1:9000"),
        ("http://127.0.0.1:9000/x", "127.0.0.1"),
        ("https://proxy.example.com/x", "proxy.example.com"),
        ("https://PROXY.example.com:8443/x", "proxy.example.com"),
        ("https://proxy.example.com/x", "proxy.example.com:443"),
        ("http://proxy.example.com/x", "proxy.example.com:80"),
        ("http://[::1]:9000/x", "[::1]:9000"),
    ],
)
def test_a_host_the_operator_named_is_posted_to_even_without_tls(url: str, extra: str) -> None:
    assert checked_control_url(url, [extra])


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("http://127.0.0.1:9001/x", "127.0.0.1:9000"),
        ("http://127.0.0.1/x", "127.0.0.1:9000"),
        ("https://sub.proxy.example.com/x", "proxy.example.com"),
        ("https://proxy.example.com.evil.com/x", "proxy.example.com"),
        ("https://user@proxy.example.com/x", "proxy.example.com"),
        ("ws://proxy.example.com/x", "proxy.example.com"),
        ("http://api.vapi.ai/x", "proxy.example.com"),
    ],
)
def test_a_named_host_is_that_host_alone(url: str, extra: str) -> None:
    with pytest.raises(BadControlUrl):
        checked_control_url(url, [extra])


@given(st.one_of(st.text(), st.builds("https://{}.vapi.ai/{}".format, st.text(), st.text())))
def test_whatever_the_text_it_is_refused_or_goes_to_vapi(text: str) -> None:
    try:
        url = httpx.URL(checked_control_url(text))
    except BadControlUrl:
        return
    assert (url.scheme, url.port, url.userinfo) == ("https", None, b"")
    assert url.raw_host.endswith(b".vapi.ai")


# --- What we post, and what the answers mean ---


class Scene:
    """One call's control over a scripted network."""

    def __init__(self, handler: Handler, *, public_key: str = "", url: str = ADDRESS) -> None:
        self.requests: list[httpx.Request] = []
        self._handler = handler
        self.client = client(transport=httpx.MockTransport(self._answer))
        self.control = VapiControl(self.client, public_key=public_key)
        self.control.attach("CA1", url)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._handler(request)

    async def tell(self) -> None:
        async with self.client, self.control.open("CA1") as session:
            await session.tell(UPDATE)

    async def cut_off(self) -> None:
        async with self.client, self.control.open("CA1") as session:
            await session.cut_off("I'm sorry.")


UPDATE = ContextUpdate(Mood(Emotion("angry", 0.9), Trend.RISING, 5, 0.0), "Caller state: angry.")


def answering(status: int, **kwargs: object) -> Handler:
    return lambda request: httpx.Response(status, **kwargs)  # type: ignore[arg-type]


async def test_a_note_is_silent_context_in_the_contracts_shape() -> None:
    scene = Scene(answering(200))
    await scene.tell()
    (request,) = scene.requests
    body = json.loads(request.content)
    assert (request.method, str(request.url), request.headers["content-type"]) == ("POST", ADDRESS, "application/json")
    assert problems(body) == []
    assert body == {
        "type": "add-message",
        "message": {"role": "system", "content": "Caller state: angry."},
        "triggerResponseEnabled": False,
    }


async def test_an_interruption_replaces_the_present_speech_and_may_itself_be_interrupted() -> None:
    scene = Scene(answering(200))
    await scene.cut_off()
    body = json.loads(scene.requests[0].content)
    assert problems(body) == []
    assert (body["type"], body["content"]) == ("say", "I'm sorry.")
    assert (body["interruptAssistantEnabled"], body["interruptionsEnabled"], body["endCallAfterSpoken"]) == (
        True,
        True,
        False,
    )


async def test_every_request_says_who_we_are_and_carries_the_public_key_only_where_there_is_one() -> None:
    plain, keyed = Scene(answering(200)), Scene(answering(200), public_key=KEY)
    await plain.tell()
    await keyed.tell()
    assert plain.requests[0].headers["user-agent"].startswith("callmood/")
    assert "authorization" not in plain.requests[0].headers
    assert keyed.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_success_is_acceptance_whatever_its_body(status: int) -> None:
    await Scene(answering(status, text="not json")).tell()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, AssistantRefused),
        (401, AssistantRefused),
        (403, AssistantRefused),
        (404, CallGone),
        (409, AssistantRefused),
        (410, CallGone),
        (413, AssistantRefused),
        (422, AssistantRefused),
        (429, AssistantUnavailable),
        (500, AssistantUnavailable),
        (502, AssistantUnavailable),
        (503, AssistantUnavailable),
        (504, AssistantUnavailable),
    ],
)
async def test_each_status_is_one_of_our_errors_and_the_body_is_not_repeated(
    status: int, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        await Scene(answering(status, json={"message": ["what the caller said"]})).tell()
    assert str(caught.value) == f"Vapi answered {status}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("2", 2.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("60", 60.0),
        ("3600", 60.0),
        ("999999999", None),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("nan", None),
        ("٣", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_a_bounded_number_of_seconds_or_nothing(
    status: int, header: str | None, seconds: float | None
) -> None:
    headers = {} if header is None else {"Retry-After": header.encode()}
    with pytest.raises(AssistantUnavailable) as caught:
        await Scene(answering(status, headers=headers)).tell()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.ConnectTimeout]
)
async def test_a_network_that_fails_is_an_outage_and_its_text_shows_no_address(fault: type[httpx.HTTPError]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise fault(f"cannot reach {request.url}")

    with pytest.raises(AssistantUnavailable) as caught:
        await Scene(fail).tell()
    assert "vapi.ai" not in str(caught.value)


async def test_a_call_without_an_address_yet_can_be_tried_again() -> None:
    scene = Scene(answering(200))
    async with scene.client, scene.control.open("CA2") as session:
        with pytest.raises(AssistantUnavailable):
            await session.tell(UPDATE)
        scene.control.attach("CA2", ADDRESS)
        await session.tell(UPDATE)
    assert len(scene.requests) == 1


async def test_a_newer_address_takes_the_place_of_an_older_one_and_a_bad_one_does_not() -> None:
    scene = Scene(answering(200))
    newer = ADDRESS.replace("7420f27a", "newer")
    scene.control.attach("CA1", newer)
    with pytest.raises(BadControlUrl):
        scene.control.attach("CA1", "https://evil.com/control")
    await scene.tell()
    assert str(scene.requests[0].url) == newer


async def test_an_address_is_forgotten_when_its_call_has_ended() -> None:
    scene = Scene(answering(200))
    async with scene.client:
        async with scene.control.open("CA1"):
            pass
        async with scene.control.open("CA1") as session:
            with pytest.raises(AssistantUnavailable):
                await session.tell(UPDATE)


async def test_a_redirect_is_never_followed() -> None:
    scene = Scene(answering(307, headers={"Location": "https://evil.com/control"}))
    with pytest.raises((AssistantRefused, AssistantUnavailable)):
        await scene.tell()
    assert len(scene.requests) == 1


async def test_an_impatient_caller_can_give_up_at_any_time(autojump_clock: trio.testing.MockClock) -> None:
    async def stall(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    control = VapiControl(client(transport=httpx.MockTransport(stall)))
    control.attach("CA1", ADDRESS)
    with trio.move_on_after(2) as patience:
        async with control.open("CA1") as session:
            await session.tell(UPDATE)
    assert patience.cancelled_caught
    assert trio.current_time() == 2


def test_nothing_that_is_printed_shows_a_key_or_an_address() -> None:
    scene = Scene(answering(200), public_key=KEY)
    shown = repr(scene.control) + repr(scene.control.open("CA1")) + repr(scene.client)
    assert KEY not in shown
    assert "7420f27a" not in shown
