"""What one call's memory is made of, as the settings want it: the same for a live call, a recording, and a replay."""

from functools import partial

import trio

from .. import __version__
from ..actors.recording import Recorder
from ..core.steps import Setup
from ..ports import Engine, Ledger
from ..settings import Settings
from .call import Call
from .stepcode import encode


def setup(settings: Settings) -> Setup:
    """As often as readings must come for there to be a mood, as fresh must the last one be for a rule to act on it."""
    engine = settings.for_engine(settings.engine)
    window_s, min_samples = engine.window_s or settings.window_s, engine.min_samples or settings.min_samples
    return Setup(
        gate=settings.gate,
        min_duration_ms=round(1000 * settings.min_duration_s),
        ignored_labels=tuple(settings.ignored_labels),
        window_s=window_s,
        min_samples=min_samples,
        trend_window_s=settings.trend_window_s,
        buffer_cap=settings.buffer_cap,
        buffer_keep=settings.buffer_keep,
        update_every_s=settings.update_every_s,
        fresh_s=window_s / min_samples,
        interrupts=settings.interrupts_per_call,
        notes=settings.notes_per_call,
        act_at=settings.act_at,
    )


def recorder(call: Call, ledger: Ledger, engine: Engine, setup: Setup) -> Recorder | None:
    """What keeps this call's steps; None where the profile judges nobody's feelings, and nothing is decided."""
    if call.profile != "acoustic":
        return None
    call_sid = call.call_sid
    recorder = Recorder(lambda step: ledger.keep(call_sid, encode(step)), partial(ledger.know, call_sid, "rules"))
    recorder.began(
        call.timeline.began_at,
        made_by=__version__,
        engine=engine.name,
        model=model_of(engine),
        setup=setup,
    )
    call.consent.on_stop(lambda: recorder.forgotten(call.handed_over, trio.current_time()))
    return recorder


def model_of(engine: Engine) -> str:
    """The checksum of an engine's model on this machine; else whom we ask."""
    return getattr(getattr(engine, "model", None), "checksum", "") or engine.name
