"""readings -> updates and transfers, through MoodTracker and Rules. Our engine's readings, those from outside and what
an operator orders share one inbox.

While no assistant can be told, nothing counts as announced: the first reading after one has been attached speaks of the
caller's mood then, not of an old one. An operator's order needs no mood, and otherwise takes the same ways.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf

import trio

from ..core.context import ContextUpdate
from ..core.emotion import EmotionReading, Gated, Mood
from ..core.rulebook import RuleBook
from ..core.rules import Decision, Rules
from ..core.tracking import MoodTracker
from ..ports import Timeline
from .channels import Inbox, Outbox
from .deeds import Deeds
from .escalator import TransferOrder
from .incoming import CallState, Heard, Incoming, Order, Verdict
from .recording import Recorder

Consider = Callable[[EmotionReading, float], EmotionReading]
"""A second engine's part in a reading, at this time."""


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
    decided: Callable[[Decision], None] = lambda _: None,
    recorder: Recorder | None = None,
) -> None:
    """Fold readings in until they end; offer an update, or a transfer, whenever the mood has earned one.

    From the moment that nobody may listen (`listening`), whatever still arrives is thrown away, and nothing is decided.
    `book` gives the rules in force now; `over_budget` hears of each budget that this call has spent, once. `consider`
    sees every reading before it counts, and says as what. `decided` hears of every decision, and `recorder` of
    all that decisions come from.
    """
    deeds = Deeds(updates, transfers, call, timeline, over_budget, recorder)
    with updates, transfers:
        while True:
            mood: Mood | None = None
            deciding = listening() and not call.handed_over
            try:
                incoming = await next_until(rules.recheck_at if deciding else inf, readings)
            except trio.EndOfChannel:
                return
            if isinstance(incoming, Order):
                deeds.obey(incoming, tracker, rules)
            elif isinstance(incoming, Heard):
                now = trio.current_time()
                incoming = considered(incoming, consider, now)
                if listening():
                    mood = fold(incoming, now, tracker, call, timeline, recorder)
                else:
                    throw_away(incoming, tracker)
            del incoming  # or the last reading would stay here as long as no other comes
            if not listening() or call.handed_over:
                if recorder is not None and call.handed_over:
                    recorder.handed_over(trio.current_time())
                continue
            if book is not None:
                rules.book = book()
            if mood is None:  # time alone made something due, or an order did
                now = trio.current_time()
                mood = tracker.mood(now)
            decision = rules.decide(
                mood,
                now,
                assistant_speaking=call.assistant_speaking,
                attached=call.assistant_attached,
                may_transfer=call.may_transfer,
            )
            if recorder is not None:
                recorder.asked(call, rules.book, decision, now)
            if decision is not None:
                deeds.carry_out(decision, now, rules.book.rules)
                decided(decision)
            del decision, mood


async def next_until(due: float, readings: Inbox[Incoming]) -> Incoming | None:
    """What comes in next; None: it has become this late. Mostly nothing is due, and there is no deadline to keep."""
    if due == inf:
        return await readings.receive()
    with trio.move_on_at(due):
        return await readings.receive()
    return None


def considered(heard: Heard, consider: Consider | None, now: float) -> Heard:
    """What comes in, as it counts."""
    return heard if consider is None else replace(heard, reading=consider(heard.reading, now))


def throw_away(heard: Heard, tracker: MoodTracker) -> None:
    """A reading that came too late: nobody may listen any more."""
    if heard.answer is not None:
        heard.answer(Verdict(Gated.STOPPED, tracker.mood(trio.current_time()), tracker.buffer_size))


def fold(
    heard: Heard,
    now: float,
    tracker: MoodTracker,
    call: CallState,
    timeline: Timeline,
    recorder: Recorder | None = None,
) -> Mood:
    """Take one reading in, record it, and tell whoever waits for the verdict. The mood that it leaves."""
    refused = tracker.take(heard.reading, now)
    if recorder is not None:
        recorder.took(heard.reading, now)
    verdict = Verdict(refused, tracker.mood(now), tracker.buffer_size)
    call.believe(verdict)
    timeline.record("audio.chunk", **described(heard.reading, refused))
    if heard.answer is not None:
        heard.answer(verdict)
    return verdict.mood


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
