"""Why something was done: from the record of the decision, or, where none was kept, as far as the readings tell."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from .facts import Bar, Kind, RuleFired, Sample, Why
from .words import Event, number, plain, seconds, two

JOINED_MS = 10_000
"""From a decision to the event it led to, at the most: a platform may be slow, and a transfer waits for a second
opinion."""
TOGETHER_MS = 500
"""A note and an interruption this close are of one decision."""

Figures = tuple[tuple[str, str], ...]
"""Name and value, in words."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the readings, in time order, say of a moment."""

    samples: Sequence[Sample]
    bar: Bar

    def before(self, t_ms: int) -> Iterator[Sample]:
        """The readings that say something, from this moment back."""
        place = bisect_right(self.samples, t_ms, key=lambda each: each.t_ms)
        return (self.samples[at] for at in reversed(range(place)) if self.samples[at].says)

    def last(self, t_ms: int) -> Sample | None:
        """The newest of them."""
        return next(self.before(t_ms), None)

    def held_s(self, t_ms: int) -> float | None:
        """For how long anger at `act_at` or more had been read without a break; None: it was not."""
        held = takewhile(lambda each: each.anger >= self.bar.act_at, self.before(t_ms))
        since = min((each.t_ms for each in held), default=None)
        return None if since is None else (t_ms - since) / 1000

    def observed(self, event: Event, kind: Kind, near: Sequence[Event]) -> tuple[str, Figures]:
        """The reason as far as the timeline tells it; `near`: the events around this one."""
        t_ms = int(event["t"])
        companion = next((each for each in near if _beside(each, t_ms)), event) if kind == "interrupt" else event
        last, held_s, score = self.last(t_ms), self.held_s(t_ms), number(companion.get("score"))
        if score is None and last is not None:
            score = last.anger
        figures = []
        if score is not None:
            figures.append(("score", f"{two(score)}, {two(self.bar.act_at)} to act"))
        if held_s is not None:
            figures.append((f"at {two(self.bar.act_at)} or more for", seconds(held_s)))
        if companion.get("trend"):
            figures.append(("trend", plain(companion["trend"])))
        if last is not None and last.quality is not None:
            figures.append(("quality of the line", two(last.quality)))
        return (f"Rule {plain(event['rule'])} wanted it." if event.get("rule") else ""), tuple(figures)


def _beside(event: Event, t_ms: int) -> bool:
    """It is the note that went out with an interruption of that moment."""
    with_it = event["event"] == "context.updated" and bool(event.get("bargeInDetected"))
    return with_it and abs(int(event["t"]) - t_ms) <= TOGETHER_MS


def take_why(whys: list[Why], kind: Kind, t_ms: int, *, keep: bool) -> Why | None:
    """The newest decision by then that wanted such a thing and has not led to it yet. It is spent, unless there will be
    another try (`keep`), and older ones were overtaken."""
    wanted = [at for at, why in enumerate(whys) if kind in why.does and t_ms - JOINED_MS <= why.t_ms <= t_ms]
    if not wanted:
        return None
    why = whys[wanted[-1]]
    if not keep:
        for at in wanted:
            whys[at] = replace(whys[at], does=whys[at].does - {kind})
    return why


def decided(why: Why, kind: Kind) -> tuple[str, Figures]:
    """The reason for one part of a decision and its figures, from the record of it."""
    rules = [rule for rule in why.rules if kind in rule.did]
    figures: list[tuple[str, str]] = []
    for rule in rules:
        figures += [("rule", rule.name)] if len(rules) > 1 else []
        figures += _of_rule(rule, why.score)
    if not rules:
        figures.append(("score", two(why.score)))
    figures += [("trend", plain(why.trend)), ("quality of the line", two(why.quality))]
    if rules:
        return f"Rule {' and '.join(plain(rule.name) for rule in rules)} wanted it.", tuple(figures)
    if any("interrupt" in rule.did for rule in why.rules):
        return "It was decided together with the interruption.", tuple(figures)
    return f"What was believed of the caller had become {plain(why.label)}.", tuple(figures)


def _of_rule(rule: RuleFired, score: float) -> Iterator[tuple[str, str]]:
    yield "held for", seconds(rule.held_s) + ("" if rule.for_s is None else f", {seconds(rule.for_s)} asked for")
    yield "score", two(score) + ("" if rule.at_least is None else f", {two(rule.at_least)} asked for")
