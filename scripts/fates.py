#!/usr/bin/env python3
"""Simulated callers of different fates on a real server, so that the supervisor's screen has something to show.

    scripts/wall                            a dozen callers for two minutes; prints the address of /live
    scripts/wall --calls 30 --seconds 300

Every caller is a signed webhook and a WebSocket, as from Twilio, and most speak with the bundled voices, which the
local engine hears. Where a voice cannot play the part, readings from outside do (`POST /webhook/emotion`). The
assistants are simulated too: they speak in turns, can be cut off, and their platform is told. Whoever is passed on to a
human is asked for at a simulated Twilio. Each call ends, and another caller of the same fate comes. It ends by itself.
"""

import argparse
import json
import random
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import trio

from agent.audiofile import VOICES, bundled_voice
from agent.core import mulaw
from agent.http import client, httpx
from agent.logs import WARNING, configure
from agent.service import Ready, run_service
from agent.settings import Secret, Settings
from agent.testing import FakeCall, FakeTwilio, FakeVapi, Hook, TwilioCaller

SECOND = 8000
"""Bytes of mu-law."""
TURNS_AT_S = 12.0
"""Before that the first two of the bundled voices are calm."""
LINES = (
    "Thank you for calling. Let me look that up for you.",
    "I can see your order here. It left our warehouse on Monday.",
    "While you wait, let me tell you about our app, where you can follow every order yourself, and",
)
BETWEEN_CALLS_S = 4.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=13, help="at once, 1 to 100")
    parser.add_argument("--seconds", type=float, default=120.0, help="at most an hour")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    args = parser.parse_args()
    if not (1 <= args.calls <= 100 and 0 < args.seconds <= 3600):
        parser.error("--calls must lie between 1 and 100, --seconds between 0 and 3600")
    return args


# --- what the callers say ---


def calm(audio: bytes, seconds: float = 40.0) -> bytes:
    """The calm part, again and again."""
    part = audio[: int(TURNS_AT_S * SECOND)]
    return (part * int(seconds / TURNS_AT_S + 1))[: int(seconds * SECOND)]


def noisy(audio: bytes, chance: random.Random) -> bytes:
    """The same on a line that is nearly as loud as the voice."""
    noise = np.random.default_rng(chance.randrange(2**32)).normal(0, 1000, len(audio))
    return mulaw.encode(np.clip(mulaw.decode(audio) + noise, -32768, 32767).astype(np.int16))


def misread(audio: bytes) -> bytes:
    """The same from a carrier that sends linear samples where mu-law was promised: nobody can hear anything in it."""
    return (mulaw.decode(audio) // 256 + 128).astype(np.uint8).tobytes()


def silence(seconds: float = 45.0) -> bytes:
    return bytes([mulaw.SILENCE]) * int(seconds * SECOND)


@dataclass
class Stage:
    """Everything a caller needs."""

    ready: Ready
    keys: dict[str, str]
    http: httpx.AsyncClient
    vapi: FakeVapi
    twilio: FakeTwilio
    voices: tuple[bytes, bytes, bytes]

    async def read(self, call_sid: str, label: str, score: float) -> None:
        """A reading from outside."""
        body = json.dumps({"callSid": call_sid, "emotion": {"label": label, "score": round(min(1.0, score), 3)}})
        await self._post("/webhook/emotion", body)

    async def act(self, call_sid: str, action: str) -> None:
        await self._post(f"/calls/{call_sid}/actions", json.dumps({"action": action}))

    async def _post(self, path: str, body: str) -> None:
        headers = {"Authorization": f"Bearer {self.ready.token}"}
        await self.http.post(self.ready.url + path, content=body, headers=headers)


# --- how it goes for them ---

Beside = Callable[[Stage, str], Awaitable[None]]
"""What goes on beside the sound, for one call."""


async def nothing(stage: Stage, call_sid: str) -> None: ...


async def read_as(label: str, first: float, step: float, stage: Stage, call_sid: str) -> None:
    """Readings whose score goes from here, a step each."""
    for number in range(60):
        await stage.read(call_sid, label, first + step * number + random.uniform(-0.03, 0.03))
        await trio.sleep(0.7)


async def withdraws(stage: Stage, call_sid: str) -> None:
    await trio.sleep(8)
    await stage.act(call_sid, "stop_analysis")


async def is_taken_over(stage: Stage, call_sid: str) -> None:
    await trio.sleep(10)
    await stage.act(call_sid, "transfer")


@dataclass(frozen=True)
class Fate:
    """How a call goes: what is heard, what happens beside it, and whether its assistant is there."""

    name: str
    sound: Callable[[Stage, random.Random], bytes]
    beside: Beside = nothing
    assisted: bool = True


FATES = (
    Fate("calm", lambda stage, _: calm(stage.voices[0])),
    Fate("turns angry, and is passed on to a human", lambda stage, _: calm(stage.voices[1], 12) + stage.voices[1]),
    Fate("rising", lambda *_: silence(), partial(read_as, "frustrated", 0.55, 0.006)),
    Fate("stays angry", lambda *_: silence(), partial(read_as, "angry", 0.9, 0.0)),
    Fate("angry words in a calm voice", lambda stage, _: stage.voices[2] * 2),
    Fate("a noisy line", lambda stage, chance: noisy(stage.voices[0], chance)),
    Fate("a line that cannot be read", lambda stage, _: misread(calm(stage.voices[0]))),
    Fate("says nothing yet", lambda *_: silence(30)),
    Fate("withdraws consent", lambda stage, _: calm(stage.voices[1]), withdraws),
    Fate("an operator takes over", lambda stage, _: calm(stage.voices[0]), is_taken_over),
    Fate("turns angry, and no assistant can be told", lambda stage, _: stage.voices[0], assisted=False),
    Fate("happy", lambda *_: silence(), partial(read_as, "happy", 0.85, 0.0)),
    Fate("calms down", lambda *_: silence(), partial(read_as, "angry", 0.95, -0.006)),
)


async def live(stage: Stage, fate: Fate, number: int) -> None:
    """Callers of one fate, one after the other, until cancelled."""
    chance = random.Random(number)
    while True:
        caller = TwilioCaller(
            stage.ready.url,
            auth_token=stage.keys["twilio"],
            from_=f"+1555010{chance.randrange(10_000):04d}",
            account_sid=stage.twilio.account_sid,
            http=stage.http,
        )
        stage.twilio.take(caller)
        placed = await caller.place()
        if placed.plan is None:
            raise SystemExit(f"a call was not answered with a stream: {placed.error or 'the server is full'}")
        async with trio.open_nursery() as nursery, caller.stream(placed.plan) as stream:
            nursery.start_soon(fate.beside, stage, caller.call_sid)
            if fate.assisted:
                assistant = stage.vapi.call(caller.call_sid, hook=Hook(stage.ready.url, stage.keys["vapi"]))
                nursery.start_soon(speak, assistant, chance)
            await stream.play(fate.sound(stage, chance))
            nursery.cancel_scope.cancel()
        await caller.complete(1)
        await trio.sleep(BETWEEN_CALLS_S)


async def speak(assistant: FakeCall, chance: random.Random) -> None:
    """The assistant's turns, until cancelled; one that is cut off is over."""
    await assistant.send_status_update("in-progress")
    while not assistant.ended:
        await trio.sleep(chance.uniform(3, 7))
        await assistant.start_turn(chance.choice(LINES))
        turn = assistant.turns[-1]
        await trio.sleep(chance.uniform(3, 6))
        if turn.stopped_at is None and not assistant.ended:
            await assistant.stop_turn()


async def main(args: argparse.Namespace) -> None:
    keys = {"twilio": secrets.token_hex(16), "vapi": secrets.token_hex(16)}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callmood-wall-"))
        vapi = await stack.enter_async_context(FakeVapi.serve())
        twilio = await stack.enter_async_context(FakeTwilio.serve(auth_token=keys["twilio"]))
        http = await stack.enter_async_context(client())
        nursery = await stack.enter_async_context(trio.open_nursery())
        settings = Settings(
            port=args.port,
            data=folder,
            twilio_auth_token=Secret(keys["twilio"]),
            twilio_account_sid=twilio.account_sid,
            twilio_base_url=twilio.url,
            vapi_secret=Secret(keys["vapi"]),
            vapi_control_hosts=("127.0.0.1",),
            transfer_to="+15550100199",
            line_quiet_s=60.0,
            drain_s=1.0,
        )
        stop = trio.Event()
        ready: Ready = await nursery.start(partial(run_service, settings, stop=stop))
        first, second, third = (bundled_voice(name) for name in VOICES)
        stage = Stage(ready, keys, http, vapi, twilio, (first, second, third))
        print(f"{args.calls} callers for {args.seconds:.0f} s. The supervisor's screen: {ready.live_url}", flush=True)
        with trio.move_on_after(args.seconds):
            async with trio.open_nursery() as callers:
                for number in range(args.calls):
                    callers.start_soon(live, stage, FATES[number % len(FATES)], number)
                    await trio.sleep(0.3)
        stop.set()
    print("The callers have gone, and the server with them.")


if __name__ == "__main__":
    configure(WARNING)
    chosen = arguments()
    try:
        trio.run(main, chosen)
    except KeyboardInterrupt:
        sys.exit(1)
