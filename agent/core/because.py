"""Why something was decided, in plain words, for whoever looks on. Pure."""

from collections.abc import Sequence

from .rulebook import Rule
from .rules import Decision

OPERATOR = "Somebody at the screen wanted it."
MODEL_ASKED = "The model was about to answer."


def because(decision: Decision, rules: Sequence[Rule]) -> str:
    """Why this was decided: the rule, its score and its time beside those that were asked for, the trend, the line."""
    mood, named = decision.mood, {rule.name: rule for rule in rules}
    said = [
        f"rule {fired.rule}{_asked(named.get(fired.rule), mood.emotion.label, mood.emotion.score, fired.held_s)}"
        for fired in decision.fired
    ] or [f"what is believed of the caller has become {mood.emotion.label} ({mood.emotion.score:.2f})"]
    said.append(mood.trend.value)
    if mood.quality is not None:
        said.append(f"quality of the line {mood.quality:.2f}")
    text = "; ".join(said)
    return text[:1].upper() + text[1:] + "."


def _asked(rule: Rule | None, label: str, score: float, held_s: float) -> str:
    if rule is None:
        return f": {label} {score:.2f}, held for {held_s:.1f} s"
    poorest = f", on a line of {rule.unless_quality_below:.2f} or better" if rule.unless_quality_below else ""
    trend = f", {rule.trend.value}" if rule.trend is not None else ""
    return (
        f": {label} {score:.2f} ({rule.at_least:.2f} asked for), held for {held_s:.1f} s "
        f"({rule.for_s:.1f} s asked for{trend}{poorest})"
    )
