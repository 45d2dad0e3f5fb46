"""readings -> updates and transfers, through MoodTracker and Rules. Our engine's readings, those from outside and what
an operator orders share one inbox.

While no assistant can be told, nothing counts as announced: the first reading after one has been attached speaks of the
caller's mood then, not of an old one. An operator's order needs no mood, and otherwise takes the same ways.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, Protocol

import structlog
import trio

from ..core.context import ContextUpdate
from ..core.emotion import EmotionReading, Gated, Mood
from ..core.rulebook import SORRY, RuleBook
from ..core.rules import Decision, Rules
from ..core.tracking import MoodTracker
from ..ports import Timeline
from .channels import Inbox, Outbox
from .escalator import TransferOrder

log = structlog.get_logger()

NOBODY_TO_TELL = "no assistant is attached yet: Vapi has not sent this call's control address"


class Incoming:
    """What comes in: a reading, or an order."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a reading."""

    refused: Gated | None
    mood: Mood
    buffer_size: int


@dataclass(frozen=True, slots=True)
class Heard(Incoming):
    """A reading on its way in."""

    reading: EmotionReading
    answer: Callable[[Verdict], None] | None = None
    """Told at once what became of it, where somebody waits to know."""


@dataclass(frozen=True, slots=True)
class Order(Incoming):
    """What an operator wants done. A transfer has been claimed by then."""

    action: Literal["interrupt", "context", "transfer"]
    text: str = field(default="", repr=False)
    """For the model, in the operator's own words; or the destination of a transfer, empty for the one that is set."""


Consider = Callable[[EmotionReading, float], EmotionReading]
"""A second engine's part in a reading, at this time."""


class CallState(Protocol):
    """What the aggregator shares with the rest of its call."""

    @property
    def assistant_attached(self) -> bool:
        """There is somebody to tell."""

    @property
    def assistant_speaking(self) -> bool: ...

    @property
    def handed_over(self) -> bool:
        """The caller speaks with a human: there is nothing more to decide."""

    @property
    def may_transfer(self) -> bool:
        """No rule has asked for a human yet."""

    def claim_transfer(self, rule: str) -> bool:
        """Ask for a human in a rule's name. False: somebody else has."""

    def believe(self, verdict: Verdict) -> None:
        """Take note of the newest belief."""


async def aggregate(
    readings: Inbox[Incoming],
    updates: Outbox[ContextUpdate],
    transfers: Outbox[TransferOrder],
    *,
    tracker: MoodTracker,
    rules: Rules,
    call: CallState,
    timeline: Timeline,
    listening: Callable[[], bool] = lambda: True,
    book: Callable[[], RuleBook] | None = None,
    over_budget: Callable[[str], None] = lambda _: None,
    consider: Consider | None = None,
) -> None:
    """Fold readings in until they end; offer an update, or a transfer, whenever the mood has earned one.

    From the moment that nobody may listen (`listening`), whatever still arrives is thrown away, and nothing is decided.
    `book` gives the rules in force now; `over_budget` hears of each budget that this call has spent, once. `consider`
    sees every reading before it counts, and says as what.
    """
    deeds = Deeds(updates, transfers, call, timeline, over_budget)
    with updates, transfers:
        while True:
            deciding = listening() and not call.handed_over
            with trio.CancelScope(deadline=rules.recheck_at if deciding else inf):
                try:
                    incoming = await readings.receive()
                except trio.EndOfChannel:
                    return
                if isinstance(incoming, Order):
                    deeds.obey(incoming, tracker, rules)
                elif isinstance(incoming, Heard):
                    if consider is not None:
                        incoming = replace(incoming, reading=consider(incoming.reading, trio.current_time()))
                    (fold if listening() else throw_away)(incoming, tracker, call, timeline)
                del incoming  # or the last reading would stay here as long as no other comes
            if not listening() or call.handed_over:
                continue
            if book is not None:
                rules.book = book()
            now = trio.current_time()
            decision = rules.decide(
                tracker.mood(now),
                now,
                assistant_speaking=call.assistant_speaking,
                attached=call.assistant_attached,
                may_transfer=call.may_transfer,
            )
            if decision is not None:
                deeds.carry_out(decision)
            del decision


class Deeds:
    """What comes of a decision or an order: something on its way to the assistant, or to a human."""

    def __init__(
        self,
        updates: Outbox[ContextUpdate],
        transfers: Outbox[TransferOrder],
        call: CallState,
        timeline: Timeline,
        over_budget: Callable[[str], None],
    ) -> None:
        self._updates, self._transfers, self._call = updates, transfers, call
        self._timeline, self._over_budget = timeline, over_budget
        self._said_unattached = False

    def carry_out(self, decision: Decision) -> None:
        for fired in decision.fired:
            log.info("rules.fired", rule=fired.rule, held_s=round(fired.held_s, 2), did=fired.did)
        for budget in decision.over_budget:
            self._over_budget(budget)
        if decision.unheard:
            self._nobody()
        if decision.update is not None:
            self._updates.offer(decision.update)
        if decision.transfer is not None and self._call.claim_transfer(decision.transfer):
            self._transfers.offer(TransferOrder(decision=decision))

    def obey(self, order: Order, tracker: MoodTracker, rules: Rules) -> None:
        if order.action == "transfer":
            self._transfers.offer(TransferOrder(order.text))
            return
        if not self._call.assistant_attached:
            self._nobody()
        now = trio.current_time()
        mood = replace(tracker.mood(now), heard_at=now)  # its age is counted from the order, not from a reading
        if order.action == "context":
            self._updates.offer(ContextUpdate(mood, "", words=(order.text,)))
        elif self._call.assistant_attached:
            rules.interrupted(now)
            self._updates.offer(ContextUpdate(mood, "", say=SORRY, reason="operator"))

    def _nobody(self) -> None:
        if not self._said_unattached:
            self._said_unattached = True
            self._timeline.record("context.failed", reason=NOBODY_TO_TELL, willRetry=True)


def throw_away(heard: Heard, tracker: MoodTracker, call: CallState, timeline: Timeline) -> None:
    """A reading that came too late: nobody may listen any more."""
    if heard.answer is not None:
        heard.answer(Verdict(Gated.STOPPED, tracker.mood(trio.current_time()), tracker.buffer_size))


def fold(heard: Heard, tracker: MoodTracker, call: CallState, timeline: Timeline) -> None:
    """Take one reading in, record it, and tell whoever waits for the verdict."""
    now = trio.current_time()
    refused = tracker.take(heard.reading, now)
    verdict = Verdict(refused, tracker.mood(now), tracker.buffer_size)
    call.believe(verdict)
    timeline.record("audio.chunk", **described(heard.reading, refused))
    if heard.answer is not None:
        heard.answer(verdict)


def described(reading: EmotionReading, refused: Gated | None) -> dict[str, object]:
    """A reading as the fields of an `audio.chunk` event."""
    fields: dict[str, object] = {
        "emotion": {"label": reading.emotion.label, "score": round(reading.emotion.score, 3)},
        "scores": {label: round(p, 4) for label, p in reading.scores.items()},
        "startMs": reading.start_ms,
        "endMs": reading.end_ms,
        "quality": None if reading.quality is None else round(reading.quality, 2),
        "source": reading.source,
    }
    if reading.own is not None:
        fields["own"] = {"label": reading.own.label, "score": round(reading.own.score, 3)}
    if refused is not None:
        fields["gated"] = refused.value
    if reading.timestamp is not None:
        fields["timestamp"] = reading.timestamp
    return fields
