"""The rows of the fault table, by what breaks; each carries what the table of failures in the design promises of it."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

import structlog
import trio

from agent.core.emotion import EmotionReading
from agent.core.frames import BLOCK_MS
from agent.http import httpx
from agent.testing import Fault

from .table import QUIET_S, RING_S, TALK_S, Answer, Scene, What

AT_THE_NOTE = ("publishing", "hanging up")
LATER_THAN_RINGING = ("first second", "mid-reading", "publishing", "hanging up", "draining")
AFTER_ALL = ("hanging up",)
EVER = ("ringing", *LATER_THAN_RINGING)


# --- engine ---


def engine(fault: Fault, name: str = "", **promised: Any) -> What:
    def breaks(scene: Scene) -> None:
        scene.stage.engine.fault = fault

    promised = {"says": "analyzer.degraded", "tells": AT_THE_NOTE, **promised}
    return What(f"engine {name or fault.kind}", breaks, **promised)


ENGINE = [
    engine(Fault("stall")),
    engine(Fault("delay", 0.4), "slow within our patience", says="", tells=EVER),
    engine(Fault("delay", 30), "slow beyond our patience"),
    engine(Fault("unavailable")),
    engine(Fault("refused")),
    engine(Fault("crash")),
    engine(Fault("refuse_open"), silent=LATER_THAN_RINGING, tells=LATER_THAN_RINGING),
]


# --- the assistant's platform ---


def assistant(fault: Fault, name: str = "", **promised: Any) -> What:
    def breaks(scene: Scene) -> None:
        scene.stage.assistant.fault = fault

    return What(f"assistant {name or fault.kind}", breaks, **{"says": "context.failed", "tells": (), **promised})


ASSISTANT = [
    assistant(Fault("stall"), silent=("hanging up",)),
    assistant(Fault("delay", 1.0), "slow within our patience", says="", tells=EVER),
    assistant(Fault("delay", 30), "slow beyond our patience", silent=("hanging up",)),
    assistant(Fault("unavailable")),
    assistant(Fault("refused")),
    assistant(Fault("gone")),
    assistant(Fault("crash")),
    assistant(Fault("refuse_open"), silent=LATER_THAN_RINGING, tells=LATER_THAN_RINGING),
]


def control(name: str, answer: Answer, **promised: Any) -> What:
    def breaks(scene: Scene) -> None:
        scene.control.fault = answer

    promised = {"says": "context.failed", "tells": (), "when": ("ringing", "publishing", "hanging up"), **promised}
    return What(f"control address {name}", breaks, over_http=True, **promised)


def answers(status: int, **headers: str) -> Answer:
    async def answer() -> httpx.Response:
        return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def fails(error: type[httpx.HTTPError]) -> Answer:
    async def answer() -> httpx.Response:
        raise error("scripted")

    return answer


async def never() -> httpx.Response:
    await trio.sleep_forever()
    raise AssertionError("unreachable")


CONTROL = [
    control("works", answers(201), says="", tells=("ringing", "publishing", "hanging up")),
    control("stalls", never, silent=("hanging up",)),
    control("500", answers(500)),
    control("429", answers(429)),
    control("429 with Retry-After", answers(429, retry_after="3")),
    control("400", answers(400)),
    control("404, the call is gone", answers(404)),
    control("resets", fails(httpx.ReadError)),
    control("is garbage", fails(httpx.RemoteProtocolError)),
    control("refuses the connection", fails(httpx.ConnectError)),
]


# --- ledger ---


def ledger(fault: Fault, name: str) -> What:
    def breaks(scene: Scene) -> None:
        scene.ledger.fault = fault

    return What(f"ledger {name}", breaks)


LEDGER = [
    ledger(Fault("delay", 0.7), "slow"),
    ledger(Fault("unavailable"), "full"),
    ledger(Fault("stall"), "stalls for ever"),
]


# --- line ---


def weather(**changes: float) -> Callable[[Scene], None]:
    def breaks(scene: Scene) -> None:
        for name, value in changes.items():
            setattr(scene.weather, name, value)

    return breaks


def half_open(scene: Scene) -> None:
    scene.weather.loss = 100
    waiting_s = max(0.0, RING_S - scene.call.timeline.elapsed_ms / 1000)
    scene.over(waiting_s + QUIET_S - BLOCK_MS / 1000)  # the last block came up to so long ago


def second_socket(scene: Scene) -> None:
    scene.nursery.start_soon(scene.talk, scene.call.issue_token(), TALK_S, trio.CancelScope())


LINE = [
    What("line breaks off without a stop", lambda scene: scene.socket.cancel(), tells=("publishing", "hanging up")),
    What("line goes silent", half_open, outcome="quiet", hold=True, tells=("publishing", "hanging up")),
    What("line never comes", lambda scene: None, outcome="expired", comes=False, when=("ringing",), tells=()),
    What("line has a second socket", second_socket),
    What("line comes in bursts", weather(jitter_ms=250)),
    What("line loses a tenth", weather(loss=10), says="audio.gap", silent=AFTER_ALL),
    What("line floods", weather(speed=20), tells=tuple(when for when in EVER if when != "first second")),
]


# --- our own bugs ---


def bug(actor: str, target: str, applies: Callable[..., bool] = lambda *args: True, **promised: Any) -> What:
    """A function that this actor uses raises, in the first call's tasks."""

    def breaks(scene: Scene) -> None:
        original = resolve_name(target)

        def buggy(*args: Any, **kwargs: Any) -> Any:
            if structlog.contextvars.get_contextvars().get("call") == "CA1" and applies(*args):
                scene.over()
                raise RuntimeError("a bug of ours")
            return original(*args, **kwargs)

        scene.patch.setattr(target, buggy)

    return What(f"a bug in the {actor}", breaks, **{"outcome": "crashed", "tells": (), **promised})


def a_reading(reading: EmotionReading, *_: object) -> bool:
    return reading.source != "fallback"


def a_note(timeline: object, event: str) -> bool:
    return event == "context.updated"


BUGS = [
    bug("receiver", "agent.actors.receiver.goes_quiet", when=("ringing",)),  # frames go past it, and do not wake it
    bug("decoder", "agent.core.assembly.Assembler.push"),
    bug("analyzer", "agent.actors.analyzer.Heard", a_reading),
    bug("aggregator", "agent.core.rules.Rules.decide"),
    bug("publisher", "agent.calls.timeline.CallTimeline.record", a_note),
    bug("heartbeat", "agent.actors.heartbeat.checkpoint"),
    bug("last save", "agent.calls.directory.checkpoint", outcome="hangup", tells=EVER, when=AFTER_ALL),
    bug("last word", "agent.calls.directory.summary_of", tells=EVER, when=AFTER_ALL),
]

NOTHING = What("nothing", lambda scene: None)
EVERYTHING = [NOTHING, *ENGINE, *ASSISTANT, *CONTROL, *LEDGER, *LINE, *BUGS]
