"""Twilio's REST API for live calls: what is asked for, and what each answer means. Real sockets, a strict fake."""

from collections.abc import AsyncIterator

import pytest
import trio

from agent.errors import CallGone, CarrierRefused, CarrierUnavailable
from agent.http import client
from agent.telephony.twilio_rest import TwilioRest
from agent.testing import FakeTwilio, Fault, LiveCall, TwilioCaller

TOKEN = "auth-token-of-the-tests"
HANGUP = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>'
STREAM = {
    "url": "wss://calls.example.com/audio-stream/CA1",
    "name": "callmood-1",
    "parameters": {"callSid": "CA1", "token": "t&=<1>"},
    "status_callback": "https://calls.example.com/twilio/stream-status",
}


class Account:
    def __init__(self, twilio: FakeTwilio, rest: TwilioRest, call: LiveCall) -> None:
        self.twilio, self.rest, self.call = twilio, rest, call
        self.call_sid = call.caller.call_sid


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    with trio.fail_after(10):
        async with FakeTwilio.serve(auth_token=TOKEN) as twilio, client() as http:
            twilio.tls_only = True
            rest = TwilioRest(http, account_sid=twilio.account_sid, auth_token=TOKEN, base_url=twilio.url)
            yield Account(twilio, rest, twilio.take(TwilioCaller()))


async def test_a_stream_is_started_with_its_parameters_and_has_an_id(account: Account) -> None:
    sid = await account.rest.start_stream(account.call_sid, **STREAM)
    assert sid.startswith("MZ")
    plan = await account.call.next_stream()
    assert (plan.url, plan.verb, plan.parameters) == (STREAM["url"], "Start", STREAM["parameters"])
    assert plan.status_callback == STREAM["status_callback"]
    path, form = account.twilio.requests[-1]
    assert path == f"/2010-04-01/Accounts/{account.twilio.account_sid}/Calls/{account.call_sid}/Streams.json"
    assert (form["Track"], form["StatusCallbackMethod"]) == ("inbound_track", "POST")


async def test_a_call_goes_on_with_other_twiml_and_is_hung_up(account: Account) -> None:
    dial = HANGUP.replace("<Hangup/>", "<Dial>+15550100100</Dial>")
    await account.rest.update_call(account.call_sid, dial)
    assert account.call.executing == dial
    await account.rest.complete(account.call_sid)
    assert account.call.over


async def test_a_call_that_is_over_is_gone(account: Account) -> None:
    await account.rest.complete(account.call_sid)
    for attempt in (
        lambda: account.rest.complete(account.call_sid),
        lambda: account.rest.update_call(account.call_sid, HANGUP),
        lambda: account.rest.start_stream(account.call_sid, **STREAM),
    ):
        with pytest.raises(CallGone):
            await attempt()


async def test_a_call_twilio_does_not_know_is_gone(account: Account) -> None:
    with pytest.raises(CallGone, match="404"):
        await account.rest.complete("CA" + "0" * 32)


@pytest.mark.parametrize(
    "call_sid",
    ["", "CA1", "../Accounts/x", "CA" + "0" * 31 + "/", "CA" + "0" * 32 + "\n", "CA" + "\uff10" * 32, "%2e%2e"],
)
async def test_what_is_no_call_of_twilios_never_becomes_part_of_a_path(account: Account, call_sid: str) -> None:
    with pytest.raises(CarrierRefused):
        await account.rest.complete(call_sid)
    assert not account.twilio.requests


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault("status", status=401), CarrierRefused, "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
        (Fault("status", status=403), CarrierRefused, "403"),
        (Fault("status", status=400), CarrierRefused, "400"),
        (Fault("status", status=404), CallGone, "404"),
        (Fault("status", status=429, retry_after=2), CarrierUnavailable, "429"),
        (Fault("status", status=503), CarrierUnavailable, "503"),
        (Fault("status", status=302), CarrierRefused, "302"),
        (Fault("reset"), CarrierUnavailable, "reached"),
        (Fault("garbage"), CarrierUnavailable, "reached"),
        (Fault("refuse"), CarrierUnavailable, "reached"),
    ],
    ids=lambda value: f"{value.kind}{value.status}" if isinstance(value, Fault) else "",
)
async def test_each_failure_says_whether_to_try_again(
    account: Account, fault: Fault, kind: type[Exception], says: str
) -> None:
    account.twilio.fault = fault
    with pytest.raises(kind, match=says) as raised:
        await account.rest.complete(account.call_sid)
    assert getattr(raised.value, "retry_after", None) == fault.retry_after
    assert TOKEN not in str(raised.value)


async def test_wrong_credentials_are_refused_and_never_shown(account: Account) -> None:
    async with client() as http:
        secret = "wrong-and-secret"
        rest = TwilioRest(http, account_sid=account.twilio.account_sid, auth_token=secret, base_url=account.twilio.url)
        with pytest.raises(CarrierRefused) as raised:
            await rest.complete(account.call_sid)
        assert secret not in str(raised.value) + repr(raised.value) + repr(rest)


async def test_a_twilio_that_stalls_is_the_callers_to_give_up_on(account: Account) -> None:
    account.twilio.fault = Fault("stall")
    with trio.move_on_after(0.05) as patience:
        await account.rest.complete(account.call_sid)
    assert patience.cancelled_caught


async def test_an_answer_without_a_stream_is_an_outage(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeTwilio, "_stream", lambda *_: {"sid": "../x"})
    with pytest.raises(CarrierUnavailable, match="no stream"):
        await account.rest.start_stream(account.call_sid, **STREAM)
