"""What was done about a caller, and why: the events of a timeline, joined with the decisions that led to them. Pure.

A timeline says what happened; which rule wanted it, and for how long it had held, is in the record of decisions, where
one was kept. Without it the readings themselves still say for how long such anger had been heard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.because import MODEL_ASKED, OPERATOR
from .evidence import TOGETHER_MS, Evidence, decided, take_why
from .facts import Bar, Deed, Kind, Sample, Why
from .recovery import recovery
from .words import Event, clock, number, plain, seconds, told, two

VIA = {"control": ", over the control address", "llm": ", in the prompt of its next answer"}


def deeds(events: Sequence[Event], whys: Sequence[Why], samples: Sequence[Sample], bar: Bar) -> list[Deed]:
    """Everything that was done or tried in a call, numbered, in order."""
    evidence, left = Evidence(samples, bar), list(whys)
    found: list[Deed] = []
    transferring = False
    for at, event in enumerate(events):
        name = str(event["event"])
        if name == "decision.wrong":
            _mark_wrong(found, number(event.get("decidedT")))
        kind = kind_of(event)
        told_by_its_beginning = transferring and name in ("escalation.done", "escalation.failed")
        if kind is not None and not told_by_its_beginning:
            found.append(replace(_deed(kind, events, at, left, evidence), number=len(found) + 1))
        if kind == "transfer":
            transferring = name == "escalation.started"
    return found


def promised(whys: Sequence[Why]) -> list[Deed]:
    """What would have been done in a call that sounded like this recording."""
    found: list[Deed] = []
    for why in whys:
        for kind in sorted(why.does):
            reason, figures = decided(why, kind)
            what = _WOULD[kind] + (
                f": {plain(why.label)} {two(why.score)}, {plain(why.trend)}" if kind == "note" else ""
            )
            note = why.note if kind == "note" else ""
            found.append(Deed(len(found) + 1, why.t_ms, kind, what, reason, figures, "", note=note))
    return found


_WOULD: Mapping[Kind, str] = {
    "note": "The assistant would have been told",
    "interrupt": "The assistant would have been cut off",
    "transfer": "The caller would have been passed on to a human",
}


def kind_of(event: Event) -> Kind | None:
    """Which kind of deed an event tells of; None: of none."""
    match str(event.get("event")):
        case "context.updated":
            return "note"
        case "context.failed":
            return "interrupt" if str(event.get("reason", "")).startswith("interruption") else "note"
        case "tts.cancelled":
            return "interrupt"
        case "escalation.started" | "escalation.done" | "escalation.failed":
            return "transfer"
    return None


def by_operator(event: Event) -> bool:
    """Whether somebody at the screen wanted it, and no rule."""
    return "operator" in (event.get("rule"), event.get("reason"))


def _deed(kind: Kind, events: Sequence[Event], at: int, whys: list[Why], evidence: Evidence) -> Deed:
    """What one event says was done, with the reason."""
    event, t_ms = events[at], int(events[at]["t"])
    result, failed = _result(event, kind, events[at + 1 :])
    by_gateway = event.get("via") == "llm"
    why = None if by_gateway else take_why(whys, kind, t_ms, keep=bool(event.get("willRetry")))
    if by_gateway:
        reason, figures = MODEL_ASKED, evidence.observed(event, kind, ())[1]
    elif by_operator(event):
        reason, figures = OPERATOR, None
    elif why is not None:
        reason, figures = decided(why, kind)
    else:
        reason, figures = evidence.observed(event, kind, events[max(0, at - 8) : at + 8])
    details = figures or ()
    if (latency := number(event.get("latencyMs"))) is not None:
        details = (*details, ("latency", f"{latency:.0f} ms"))
    words = told(event)[1]
    return Deed(
        0,
        t_ms,
        kind,
        words[:1].upper() + words[1:],
        reason,
        details,
        result,
        failed,
        note=why.note if why is not None and kind == "note" else "",
        recovery=recovery(evidence.samples, t_ms, evidence.bar.gate) if evidence.samples and not failed else None,
    )


def _result(event: Event, kind: Kind, later: Sequence[Event]) -> tuple[str, bool]:
    """What came of it, and whether it came to nothing."""
    match str(event["event"]):
        case "context.failed":
            again = next((each for each in later if each["event"] == "context.updated"), None)
            if kind == "note" and event.get("willRetry") and again is not None:
                return f"failed, tried again, and accepted at {clock(again['t'])}", True
            return "failed", True
        case "escalation.failed":
            return "failed", True
        case "escalation.started":
            return _passed_on(int(event["t"]), later)
        case "escalation.done":
            return "done", False
    return f"accepted{VIA.get(str(event.get('via', '')), '')}", False


def _passed_on(t_ms: int, later: Sequence[Event]) -> tuple[str, bool]:
    """How a transfer that had begun went on."""
    end = next((each for each in later if kind_of(each) == "transfer"), None)
    if end is None or end["event"] == "escalation.started":
        return "not known: nothing more was said of it", False
    took = seconds((int(end["t"]) - t_ms) / 1000)
    if end["event"] == "escalation.done":
        return f"done, {took} later", False
    return f"failed, {took} later" + (f": {plain(end['reason'])}" if end.get("reason") else ""), True


def _mark_wrong(found: list[Deed], decided_ms: float | None) -> None:
    """Somebody says that one of these was wrong: the latest by then."""
    for at in reversed(range(len(found))):
        if decided_ms is None or found[at].t_ms <= decided_ms + TOGETHER_MS:
            found[at] = replace(found[at], wrong=True)
            return


def counted(found: Sequence[Deed]) -> Mapping[Kind, int]:
    """How many of each came about."""
    kinds: tuple[Kind, ...] = ("note", "interrupt", "transfer")
    return {kind: sum(each.kind == kind and not each.failed for each in found) for kind in kinds}
