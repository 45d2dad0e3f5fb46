"""A call in words: moments, figures, and one sentence for each kind of event. Nothing here names an emotion by itself:
where none was judged, none is said."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

Event = Mapping[str, Any]
Tone = Literal["", "alarm", "warn"]

OUTCOMES = {
    "hangup": "hung up",
    "quiet": "the line went quiet",
    "expired": "nothing more was heard of it",
    "crashed": "crashed: a fault of Callmood",
    "drained": "ended by a shutdown",
    "limit": "reached its limit",
}
REFUSED = {
    "low_confidence": "not sure enough to count",
    "ignored_label": "of a kind that is ignored",
    "too_short": "too little speech to count",
    "no_notice": "not read: the caller had not been told yet",
    "stopped": "not read: the analysis had been stopped",
}
VENDORS = ("hume", "oruk")

_NUMBER = re.compile(r"(?<![\w*])\+?\d[\d ()./-]{5,}\d(?!\w)")
"""What may be a telephone number in a text that somebody else has written."""


def clock(ms: float) -> str:
    """A moment of the call: 1:02.5, or 1:00:02.5."""
    tenths = max(0, round(ms / 100))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def seconds(value: float) -> str:
    return f"{value:.1f} s"


def two(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f}"


def many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def number(value: object) -> float | None:
    """A figure out of an event; None where it is none."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def plain(value: object) -> str:
    """A text out of an event, its telephone numbers cut to the last two digits."""
    return _NUMBER.sub(lambda found: f"***{found[0][-2:]}", "" if value is None else str(value))


def _because(event: Event) -> str:
    return f": {plain(event['reason'])}" if event.get("reason") else ""


def _started(event: Event) -> str:
    return f"the call began ({plain(event.get('attach'))})" if event.get("attach") else "the call began"


def _ended(event: Event) -> str:
    outcome = str(event.get("outcome", ""))
    return f"the call ended: {OUTCOMES.get(outcome, plain(outcome))}"


def _cut(event: Event) -> str:
    heard = number(event.get("heardMs"))
    by = " by an operator" if event.get("reason") == "operator" else ""
    unheard = f", unheard: “{plain(event['unheardText'])}”" if event.get("unheardText") else ""
    return f"the assistant was cut off{by}{'' if heard is None else f' after {seconds(heard / 1000)}'}{unheard}"


def _told(event: Event) -> str:
    if "dominantEmotion" not in event:
        return "the assistant was told something"
    what = f"{plain(event['dominantEmotion'])} {two(number(event.get('score')))}, {plain(event.get('trend'))}"
    return f"the assistant was told: {what}"


def _escalation(done: str) -> Callable[[Event], str]:
    def words(event: Event) -> str:
        to = f" to {plain(event['destination'])}" if event.get("destination") else ""
        return f"{plain(event.get('action') or 'transfer')}{to} {done}{_because(event)}"

    return words


def _how(what: str) -> Callable[[Event], str]:
    return lambda event: f"{what} ({plain(event['how'])})" if event.get("how") else what


def _gap(event: Event) -> str:
    return f"{seconds((number(event.get('ms')) or 0.0) / 1000)} of audio {plain(event.get('cause') or 'missing')}"


def _failed(event: Event) -> str:
    return f"the assistant could not be told{_because(event)}{'; tried again' if event.get('willRetry') else ''}"


def _wrong(event: Event) -> str:
    decided = number(event.get("decidedT"))
    which = "the latest decision" if decided is None else f"the decision of {clock(decided)}"
    return f"somebody at the screen says that {which} was wrong"


_WORDS: Mapping[str, tuple[Tone, Callable[[Event], str]]] = {
    "audio.gap": ("warn", _gap),
    "call.started": ("", _started),
    "call.ended": ("", _ended),
    "tts.started": ("", lambda e: f"the assistant: “{plain(e['text'])}”" if e.get("text") else "the assistant speaks"),
    "tts.stopped": ("", lambda _: "the assistant stops"),
    "tts.cancelled": ("alarm", _cut),
    "context.updated": ("alarm", _told),
    "context.failed": ("warn", _failed),
    "analyzer.degraded": ("warn", lambda e: f"the analysis is impaired{_because(e)}"),
    "analyzer.recovered": ("", lambda _: "the analysis works again"),
    "escalation.started": ("alarm", _escalation("begins")),
    "escalation.done": ("alarm", _escalation("done")),
    "escalation.failed": ("warn", _escalation("failed")),
    "notice.played": ("", _how("the caller was told of the analysis")),
    "consent.withdrawn": ("warn", _how("the caller withdrew consent: the analysis stopped")),
    "decision.wrong": ("warn", _wrong),
}


def told(event: Event) -> tuple[Tone, str]:
    """An event as a sentence, and how loudly it is to be said. An event of a name we do not know has none."""
    tone, words = _WORDS.get(str(event.get("event")), ("", lambda _: ""))
    return tone, words(event)
