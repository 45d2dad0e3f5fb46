"""callmood demo: a whole call, offline, without accounts.

Everything is real but the two vendors: the real server on a loopback port, a caller who signs and streams as Twilio
does, and a Vapi that obeys its control address. The user's `.env` and keys are not read.
"""

import os
import secrets
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import trio
    from rich.console import Console

    from ..calls.broadcast import Broadcast
    from ..service import Ready
    from ..testing import FakeCall

VOICE = "adam_calm_then_angry.wav"

WHAT_NEXT = """
The assistant was told, and cut off, by how the voice sounded: no word was understood for it.
Next: scripts/run demo FILE with a recording of your own, or scripts/run demo --keep to look around."""

Script = tuple[tuple[float, float, str], ...]
"""What the assistant says: begin and end in seconds of the caller's audio, and the words."""

BUNDLED: Script = (
    (11.0, 12.6, "Let me look that up for you."),
    (13.4, 20.0, "While you wait, let me tell you about our app, where you can follow every order yourself, and"),
)
"""In the bundled recording the caller's tone turns at 12.6 s. The assistant talks on, until it is cut off."""


@dataclass(frozen=True, slots=True)
class Show:
    """How the demo is shown."""

    as_json: bool
    keep: bool
    browser: bool
    speed: float


def demo(
    file: Annotated[Path | None, typer.Argument(help="A recording of your own instead of the bundled voice.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up after the call.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the live page.")] = False,
    speed: Annotated[float, typer.Option(min=0.1, max=10, help="Times real time.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Nothing but the timeline's lines.")] = False,
) -> None:
    """Watch a whole call: a voice turns from calm to angry, and the assistant is told and cut off."""
    import trio
    from trio.testing import MockClock

    from ..audiofile import bundled_voice, load_telephone
    from ..logs import WARNING, configure

    audio = bundled_voice(VOICE) if file is None else load_telephone(file)
    configure(WARNING)
    script = BUNDLED if file is None else talkative(len(audio) / 8000)
    show = Show(as_json, keep, not no_browser and not as_json, speed)
    # A faster clock speeds up everything alike, patience included, and nothing of ours has to know.
    clock = None if speed == 1 else MockClock(rate=speed)
    trio.run(partial(_demo, audio, script, show), clock=clock)


def talkative(seconds: float) -> Script:
    """An assistant for a recording we know nothing of: it says something every six seconds."""
    starts = range(3, max(4, int(seconds)), 6)
    return tuple((float(start), start + 3.5, "Let me explain how this works, step by step.") for start in starts)


async def _demo(audio: bytes, script: Script, show: Show) -> None:
    import trio
    from rich.console import Console

    from ..errors import CallmoodError
    from ..service import Ready, run_service
    from ..settings import Secret, Settings
    from ..testing import FakeVapi, Hook, Pace, TwilioCaller

    auth_token, vapi_secret = secrets.token_hex(16), secrets.token_hex(16)
    console = Console(stderr=show.as_json, quiet=show.as_json)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callmood-demo-"))
        vapi = await stack.enter_async_context(FakeVapi.serve())
        nursery = await stack.enter_async_context(trio.open_nursery())
        over = trio.Event()
        settings = Settings(
            port=0,
            data=folder,
            twilio_auth_token=Secret(auth_token),
            vapi_secret=Secret(vapi_secret),
            vapi_control_hosts=("127.0.0.1",),
        )
        ready: Ready = await nursery.start(partial(run_service, settings, stop=over))
        _introduce(console, ready, show)
        await nursery.start(_print_timeline, ready.directory.broadcast, console, show, over)
        caller = TwilioCaller(ready.url, auth_token=auth_token)
        placed = await caller.place()
        if placed.plan is None:
            raise CallmoodError(f"the demo's call was not answered with a stream: {placed.error}")
        assistant = vapi.call(caller.call_sid, hook=Hook(ready.url, vapi_secret))
        await assistant.send_status_update("in-progress")
        async with caller.stream(placed.plan, Pace()) as stream:
            nursery.start_soon(_speak, assistant, script)
            await stream.play(audio)
        await caller.complete(len(audio) / 8000)
        await assistant.end()
        if show.keep:
            console.print(_try_next(ready, auth_token), highlight=False, soft_wrap=True)
        await over.wait()
        if script is BUNDLED:
            console.print(WHAT_NEXT, highlight=False, soft_wrap=True)


def _introduce(console: "Console", ready: "Ready", show: Show) -> None:
    console.print(
        "A caller rings. The voice is synthetic, the call is real: signed webhook, WebSocket, 20 ms frames.",
        soft_wrap=True,
    )
    console.print(f"The supervisor's page: {ready.live_url}\n", highlight=False, soft_wrap=True)
    if show.browser and (sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY")):
        webbrowser.open(ready.live_url)


def _try_next(ready: "Ready", auth_token: str) -> str:
    return (
        f"\nStill up at {ready.live_url}\nCall it with a recording of your own, from another terminal:\n"
        f"  TWILIO_AUTH_TOKEN={auth_token} scripts/run call FILE --url {ready.url}\nCtrl-C ends it."
    )


async def _speak(assistant: "FakeCall", script: Script) -> None:
    """The assistant's turns, each at its time, unless it was cut off before its end."""
    import trio

    began = trio.current_time()
    for start, end, words in script:
        await trio.sleep_until(began + start)
        if assistant.ended:
            return
        await assistant.start_turn(words)
        turn = assistant.turns[-1]
        await trio.sleep_until(began + end)
        if turn.stopped_at is None and not assistant.ended:
            await assistant.stop_turn()


async def _print_timeline(
    broadcast: "Broadcast",
    console: "Console",
    show: Show,
    over: "trio.Event",
    task_status: "trio.TaskStatus[None]",
) -> None:
    """Print events as they happen; when the call has ended, end the demo, unless it shall stay up."""
    import msgspec

    from .printing import print_event

    with broadcast.watch() as events:
        task_status.started()
        async for shown in events:
            event: Mapping[str, Any] = msgspec.json.decode(shown.line)
            if show.as_json:
                print(shown.line.decode(), flush=True)
            else:
                print_event(console, event)
            if event["event"] == "call.ended" and not show.keep:
                over.set()
                return
