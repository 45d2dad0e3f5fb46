"""Which moods earn a word to the assistant, which an interruption, and which a human. Pure: the caller says what time
it is.

A note goes out when the state changes, not with every reading, because notes stack up in a model's history. It is held
back by spacing (`update_every_s`) and by hysteresis (the new label must clearly lead the announced one); when spacing
delayed it, it is decided anew on the mood of that later moment, and may have become unnecessary.

Beside that the user's rules hold. A rule's time counts while one of its emotions dominates with its score; trend and
quality are looked at when the time is over, and what was heard last must not be old by then: time alone makes nobody
angrier. A rule that can do nothing now, because the assistant is silent, say, waits
with its cool-down unspent. An interruption held back by spacing is decided anew like a note; a transfer is never held
back, and there is only one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .context import ContextUpdate
from .emotion import ANGER, Mood
from .holding import Holding
from .rulebook import RuleBook

LEAD = 1.1
"""A new label must be supported by this many times the announced label's support before it is announced."""

AWAIT_READING_S = 0.25
"""What time alone makes due is decided by the first reading after that. Only when none comes for this long, the clock
decides: on what was heard last, and so older than need be."""

BETWEEN_INTERRUPTIONS_S = 15.0
"""At least, whatever the rules: the assistant's own apology is never the next thing cut off."""

_ADVICE = {
    "angry": "Acknowledge it in one short sentence, apologise once, then help.",
    "frustrated": "Acknowledge it in one short sentence, then get to the point.",
    "sad": "Be gentle and unhurried.",
    "fearful": "Be calm and reassuring, and say what happens next.",
    "happy": "Match the good mood briefly, then carry on.",
    "neutral": "Carry on as usual.",
}


def note_for(mood: Mood) -> str:
    """The text for the model: compact, and saying itself that it replaces what was said before."""
    advice = _ADVICE.get(mood.emotion.label, "Take it into account.")
    return (
        f"Caller state: {mood.emotion.label} ({mood.emotion.score:.2f}, {mood.trend}). {advice} "
        "Replaces earlier caller-state notes."
    )


@dataclass(frozen=True, slots=True)
class Budgets:
    """What one call may cost at the most, whatever the rules say."""

    interrupts: int = 6
    notes: int = 200


@dataclass(frozen=True, slots=True)
class Fired:
    """One rule's part in a decision."""

    rule: str
    held_s: float
    """How long its condition had held."""
    did: tuple[str, ...]
    """What came of its actions, as the rules file names them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One accepted application of the rules, with its evidence."""

    mood: Mood
    fired: tuple[Fired, ...] = ()
    """Empty: the built-in note alone, because the state has changed."""
    update: ContextUpdate | None = None
    transfer: str | None = None
    """The name of the rule that wants a human."""
    unheard: bool = False
    """There was something to tell, and nobody to be told. It does not count as made."""
    over_budget: tuple[str, ...] = ()
    """Budgets that were found spent; each is named once a call."""


class Rules:
    """One call's memory of what was decided. `book` may be another from one decision to the next: cool-downs stay with
    the names."""

    def __init__(
        self,
        book: RuleBook,
        *,
        update_every_s: float = 0.5,
        fresh_s: float = math.inf,
        budgets: Budgets | None = None,
    ) -> None:
        """`fresh_s`: how long ago the newest reading may have been heard for a rule to act on it."""
        self.book = book
        self._update_every_s, self._fresh_s = update_every_s, fresh_s
        self._budgets = budgets or Budgets()
        self._holdings: dict[str, Holding] = {}
        self._announced = "neutral"
        self._updated_at = self._interrupted_at = -math.inf
        self._interrupts = self._notes = 0
        self._named_spent: set[str] = set()
        self.recheck_at = math.inf
        """When to ask again without a new reading, because time alone makes something due. Always later than the
        decision that set it."""

    def decide(
        self,
        mood: Mood,
        now: float,
        *,
        assistant_speaking: bool,
        attached: bool = True,
        may_transfer: bool = True,
    ) -> Decision | None:
        """What this mood earns now, if anything. It counts as made: do it. `attached`: there is somebody to tell."""
        due = self._due(mood, now)
        if not due and not self._is_news(mood):  # mostly
            self.recheck_at = self._next_due(now)
            return None
        spent: set[str] = set()
        transfer = next((each for each in due if each.rule.transfer), None) if may_transfer else None
        wants_interrupt = assistant_speaking and now - self._interrupted_at >= BETWEEN_INTERRUPTIONS_S
        interrupt = next((each for each in due if each.rule.interrupt), None) if wants_interrupt else None
        if interrupt is not None and attached and self._interrupts >= self._budgets.interrupts:
            interrupt = None
            spent.add("interrupts_per_call")
        context = next((each for each in due if each.rule.context), None)
        telling = interrupt is not None or context is not None or self._is_news(mood)
        self.recheck_at = self._next_due(now)
        held_back = telling and attached and transfer is None and now < self._updated_at + self._update_every_s
        if held_back:
            self.recheck_at = min(self.recheck_at, self._updated_at + self._update_every_s + AWAIT_READING_S)
        update = self._update(mood, now, interrupt, context, spent) if telling and attached and not held_back else None
        if update is None and transfer is None:
            return self._nothing(mood, spent, unheard=telling and not attached)
        chosen = {"interrupt": interrupt, "context": context, "transfer": transfer}
        fired = self._fire(due, now, update, chosen)
        return Decision(
            mood,
            fired,
            update,
            transfer.rule.name if transfer else None,
            unheard=telling and not attached,
            over_budget=self._newly(spent),
        )

    def interrupted(self, now: float) -> None:
        """An operator had the assistant cut off: what it says now is not to be cut off by a rule."""
        self._interrupted_at = now

    # --- which rules are due ---

    def _due(self, mood: Mood, now: float) -> list[Holding]:
        due = []
        for rule in self.book.rules:
            memory = self._holdings.get(rule.name)
            if memory is None:
                memory = self._holdings[rule.name] = Holding(rule)
            elif memory.rule is not rule and memory.rule != rule:  # it was edited: its time begins anew
                self._holdings[rule.name] = memory = Holding(rule, fired_at=memory.fired_at)
            memory.observe(mood, now)
            if memory.due_at <= now and memory.suits(mood) and now - mood.heard_at <= self._fresh_s:
                due.append(memory)
        if len(self._holdings) > 4 * len(self.book.rules) + 64:  # a file that is edited all day long
            names = {rule.name for rule in self.book.rules}
            self._holdings = {name: kept for name, kept in self._holdings.items() if name in names}
        return due

    def _next_due(self, now: float) -> float:
        dues = [self._holdings[rule.name].due_at for rule in self.book.rules]
        return min([at for at in dues if at > now], default=math.inf) + AWAIT_READING_S

    # --- what comes of it ---

    def _update(
        self, mood: Mood, now: float, interrupt: Holding | None, context: Holding | None, spent: set[str]
    ) -> ContextUpdate | None:
        """The word to the assistant, counted as said; None where the budget leaves nothing of it."""
        note = context.rule.context.fill(mood) if context and context.rule.context else note_for(mood)
        if self._notes >= self._budgets.notes:
            note = ""
            spent.add("notes_per_call")
        if not note and interrupt is None:
            return None
        if note:
            self._notes += 1
            self._announced = mood.emotion.label
        self._updated_at = now
        if interrupt is not None:
            self._interrupts += 1
            self._interrupted_at = now
        return ContextUpdate(mood, note, say=interrupt.rule.say if interrupt else None)

    def _fire(
        self,
        due: list[Holding],
        now: float,
        update: ContextUpdate | None,
        chosen: Mapping[str, Holding | None],
    ) -> tuple[Fired, ...]:
        """The rules that did something. Where another was first to do what a rule wanted, its cool-down begins too."""
        happened = {
            "interrupt": update is not None and update.barge_in,
            "context": update is not None and bool(update.note),
            "transfer": True,
        }
        fired = []
        for memory in due:
            kinds = [
                (kind, action)
                for action in memory.rule.actions
                if happened[kind := action.partition(":")[0]] and chosen[kind] is not None
            ]
            if kinds:
                memory.fired_at = now
                did = tuple(action for kind, action in kinds if chosen[kind] is memory or kind == "interrupt")
                held_s = 0.0 if memory.since is None else now - memory.since
                fired += [Fired(memory.rule.name, held_s, did)] if did else []
        return tuple(fired)

    def _nothing(self, mood: Mood, spent: set[str], *, unheard: bool) -> Decision | None:
        newly = self._newly(spent)
        return Decision(mood, unheard=unheard, over_budget=newly) if unheard or newly else None

    def _newly(self, spent: set[str]) -> tuple[str, ...]:
        newly = spent - self._named_spent
        self._named_spent |= newly
        return tuple(sorted(newly))

    def _is_news(self, mood: Mood) -> bool:
        label = mood.emotion.label
        if label not in mood.support or label == self._announced:
            return False
        if label in ANGER and self._announced not in ANGER:
            return True  # anger is told as soon as it dominates; only going back takes a clear lead
        return mood.support[label] >= LEAD * mood.support.get(self._announced, 0.0)
