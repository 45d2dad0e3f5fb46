"""The steps of one call, read back: all there, or what is wrong with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from .steps import VERSION, Began, Ended, Step


@dataclass(frozen=True, slots=True)
class Record:
    """What there is of one call."""

    began: Began | None
    """None: there is nothing to go by."""
    steps: Sequence[Step] = ()
    """What followed, in order."""
    flaw: str | None = None
    """Why it is not all there: the end of a sentence that begins with the call."""


def of_steps(found: Iterable[Step | None]) -> Record:
    """The record in these steps; None: one that could not be read. Never raises: what is wrong with it is its flaw."""
    steps: list[Step] = []
    flaw = None
    for step in found:
        if step is None or not isfinite(step.at):  # outside time
            flaw = flaw or f"has a step that cannot be read after {len(steps)} others"
            continue
        due = steps[-1].n + 1 if steps else 0
        if step.n != due:
            flaw = flaw or (f"has lost its steps {due} to {step.n - 1}" if step.n > due else "has a step out of order")
        steps.append(step)
    if not steps:
        return Record(None, (), flaw or "has no steps")
    began = steps[0]
    if not isinstance(began, Began):
        return Record(None, (), "has lost its first steps")
    if began.version != VERSION:
        return Record(None, (), f"was recorded in a form (version {began.version}) that this Callmood does not know")
    if not isinstance(steps[-1], Ended):
        flaw = flaw or "stops before the call's end"
    return Record(began, steps[1:], flaw)
