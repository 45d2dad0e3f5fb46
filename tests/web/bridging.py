"""A service in bridge mode between a fake Twilio and a fake Vapi, for the tests of `test_bridge*.py`."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.calls.call import Call
from agent.settings import Secret
from agent.telephony.twiml import StreamPlan
from agent.testing import (
    PRIVATE_KEY,
    CallerStream,
    FakeCall,
    FakeTwilio,
    FakeVapi,
    Hook,
    LiveCall,
    Pace,
    Transport,
    TwilioCaller,
)

if TYPE_CHECKING:
    from conftest import Callmood, Start

AUTH_TOKEN = "twilio-auth-token-of-the-tests"
VAPI_SECRET = "vapi-secret-of-the-tests"
HUMAN = "+15550100199"


def noise(seconds: float, seed: int = 5) -> bytes:
    """Mu-law in which every byte counts."""
    return random.Random(seed).randbytes(round(8000 * seconds) // 160 * 160)


@dataclass
class Bridged:
    """A caller who speaks with the fake Vapi through us."""

    caller: TwilioCaller
    plan: StreamPlan
    stream: CallerStream
    vapi: FakeCall
    twilio: LiveCall
    call: Call

    @property
    def transport(self) -> Transport:
        return self.vapi.transport

    @property
    def call_sid(self) -> str:
        return self.caller.call_sid


@dataclass
class Office:
    """The service and its two neighbours."""

    callmood: Callmood
    twilio: FakeTwilio

    @property
    def vapi(self) -> FakeVapi:
        return self.callmood.vapi

    def caller(self) -> tuple[TwilioCaller, LiveCall]:
        caller = self.callmood.caller()
        return caller, self.twilio.take(caller)

    @asynccontextmanager
    async def call(self, speed: float = 20) -> AsyncIterator[Bridged]:
        """One call, both of its sockets open; the caller hangs up at the end of the block."""
        caller, twilio = self.caller()
        placed = await caller.place()
        assert placed.plan is not None, placed
        call = self.callmood.ready.directory.find(caller.call_sid)
        assert call is not None
        await self.callmood.until(lambda: call.vapi_call_id is not None)
        vapi = next(made for made in self.vapi.created if made.facts.call_id == call.vapi_call_id)
        vapi.hook = Hook(self.callmood.url, VAPI_SECRET)
        async with caller.stream(placed.plan, Pace(speed=speed)) as stream:
            await vapi.transport.connected.wait()
            yield Bridged(caller, placed.plan, stream, vapi, twilio, call)

    async def events(self, call_sid: str, name: str) -> list[dict[str, Any]]:
        entry = await self.callmood.entry(call_sid)
        return [event for event in entry["timeline"] if event["event"] == name]


@asynccontextmanager
async def open_office(start: Start, **more: object) -> AsyncIterator[Office]:
    async with FakeTwilio.serve(auth_token=AUTH_TOKEN) as twilio:
        first = await start()
        settings: dict[str, Any] = {
            "attach": "bridge",
            "vapi_api_key": Secret(PRIVATE_KEY),
            "vapi_assistant_id": "assistant-1",
            "vapi_base_url": first.vapi.url,
            "twilio_account_sid": twilio.account_sid,
            "twilio_base_url": twilio.url,
            "transfer_to": HUMAN,
            "line_quiet_s": 60.0,
            **more,
        }
        yield Office(await start(**settings), twilio)
