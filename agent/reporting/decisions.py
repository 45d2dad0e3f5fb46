"""The steps that were recorded of a call -> why it was decided so. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..calls.stepcode import decode
from ..core.rulebook import Rule, parse
from ..core.rules import Decision
from ..core.steps import Asked, Began, Made
from ..errors import ConfigError
from .facts import Bar, Kind, RuleFired, Why


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the steps of a call tell. Without them: nothing."""

    bar: Bar | None = None
    model: str = ""
    whys: tuple[Why, ...] = ()


def recorded(steps: Iterable[bytes], text: Callable[[str], str | None]) -> Recorded:
    """`steps`: of one call, in order; `text`: a rules file that was kept, by its hash. What cannot be read, because it
    was written by another version, is passed over."""
    began: Began | None = None
    rules: dict[str, Rule] = {}
    whys: list[Why] = []
    for data in steps:
        try:
            step = decode(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(step, Began):
            began = step
        elif isinstance(step, Asked) and began is not None:
            if step.rules is not None:
                rules = _rules(text(step.rules), began.setup.act_at)
            if step.made is not None and (why := _made(step.made, 1000 * (step.at - began.at), rules)).does:
                whys.append(why)
    if began is None:
        return Recorded()
    bar = Bar(began.setup.gate, began.setup.act_at, of_the_call=True)
    return Recorded(bar, " ".join(part for part in (began.engine, began.model[:16]) if part), tuple(whys))


def of_recording(decision: Decision, t_ms: int, rules: Iterable[Rule]) -> Why:
    """The same for a decision that was only tried out."""
    update, named = decision.update, {rule.name: rule for rule in rules}
    does: set[Kind] = {"note"} if update is not None and update.note else set()
    if decision.transfer is not None:
        does.add("transfer")
    mood = decision.mood
    fired = tuple(_fired(each.rule, each.did, each.held_s, named) for each in decision.fired)
    note = update.note if update is not None else ""
    return Why(
        t_ms, frozenset(does), fired, mood.emotion.label, mood.emotion.score, mood.trend.value, mood.quality, note
    )


def _made(made: Made, t_ms: float, rules: dict[str, Rule]) -> Why:
    does: set[Kind] = {"note"} if made.note else set()
    if made.say is not None:
        does.add("interrupt")
    if made.transfer is not None:
        does.add("transfer")
    fired = tuple(_fired(each.rule, each.did, each.held_s, rules) for each in made.fired)
    mood = made.mood
    return Why(round(t_ms), frozenset(does), fired, mood.label, mood.score, mood.trend, mood.quality, made.note or "")


_KINDS: Mapping[str, Kind] = {"context": "note", "interrupt": "interrupt", "transfer": "transfer"}


def _fired(name: str, did: Iterable[str], held_s: float, rules: Mapping[str, Rule]) -> RuleFired:
    rule, kinds = rules.get(name), (action.partition(":")[0] for action in did)
    asked = (None, None) if rule is None else (rule.at_least, rule.for_s)
    return RuleFired(name, frozenset(_KINDS[kind] for kind in kinds if kind in _KINDS), held_s, *asked)


def _rules(text: str | None, act_at: float) -> dict[str, Rule]:
    try:
        return {rule.name: rule for rule in parse(text, act_at=act_at, file="rules.toml").rules} if text else {}
    except ConfigError:
        return {}
