"""Who works on one call: the actors that are objects, each with its collaborators. What they do, `tree.py` says."""

from collections.abc import Callable
from dataclasses import dataclass

from ..actors.analyzer import Analyzer, Ear, Ears
from ..actors.decoder import Decoder
from ..actors.escalator import Escalator
from ..actors.gathering import Gathering
from ..actors.line_check import LineCheck
from ..actors.overload import Load, Share
from ..actors.publisher import Publisher
from ..actors.second_opinion import SecondOpinion
from ..core.opinion import Band
from ..core.physical import Meter
from ..ports import Assistant, Engine
from ..settings import Settings
from .call import Call
from .policy import Policy


@dataclass(frozen=True, slots=True)
class Staff:
    """One call's."""

    decoder: Decoder
    analyzer: Analyzer
    publisher: Publisher
    escalator: Escalator
    second: SecondOpinion | None
    """Where our own engine's doubts are asked about."""
    meter: Meter | None
    """Where nobody's feelings are judged, and voices are measured only."""
    forgets: tuple[Callable[[], None], ...]
    """Throw away what is held of the caller's voice."""


def staffed(
    call: Call,
    engine: Engine,
    assistant: Assistant,
    policy: Policy,
    settings: Settings,
    second_engine: Engine | None,
    gathering: Gathering | None,
    load: Load | None,
) -> Staff:
    """As these settings and this call want them."""
    line_check = LineCheck(engine.name, call.timeline)
    second = second_opinion(call, second_engine, settings, line_check)
    ear = Ear() if second is None else Ears(second.ear)
    meter = Meter(settings.window_s) if settings.profile == "physical-only" else None
    decoder = Decoder(
        meter or ear,
        call.timeline,
        listening=call.consent.may_listen,
        line_check=line_check,
        gathering=gathering,
        share=Share(load or Load(), engine.name, call.timeline),
    )
    analyzer = Analyzer(
        engine,
        call.call_sid,
        ear,
        call.timeline,
        patience_s=settings.analyzer_patience_s,
        under_way=call.present,
        tempered=line_check.tempered,
    )
    publisher = Publisher(
        assistant,
        call.call_sid,
        call.timeline,
        patience_s=settings.publisher_patience_s,
        heard_ms=call.heard_ms,
        may_tell=lambda: call.listening and not call.handed_over,
        told_otherwise=lambda: call.through_gateway,
        while_listening=call.consent.while_listening,
    )
    escalator = Escalator(
        policy.transfers,
        call.call_sid,
        call,
        destination=settings.transfer_to,
        patience_s=settings.transfer_patience_s,
        allowance=policy.allowance,
        over_budget=policy.over_budget,
        confirm=policy.confirm if second is None else second.confirm,
        confirm_within_s=settings.confirm_within_s,
    )
    return Staff(decoder, analyzer, publisher, escalator, second, meter, (decoder.forget, (meter or ear).forget))


def second_opinion(
    call: Call, engine: Engine | None, settings: Settings, line_check: LineCheck
) -> SecondOpinion | None:
    """Who is asked where our own engine is in doubt."""
    if engine is None or settings.profile != "acoustic":
        return None
    band = Band(settings.hybrid_low, settings.hybrid_high)
    return SecondOpinion(
        engine,
        call.call_sid,
        call.timeline,
        band,
        patience_s=settings.analyzer_patience_s,
        tempered=line_check.tempered,
    )
