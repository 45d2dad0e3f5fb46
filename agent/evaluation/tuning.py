"""Which gate and `act_at` suit somebody's own recordings, how much better they are, and how sure that is.

The readings are made once; every pair of thresholds is tried on them. A recording that is not angry must raise no
alarm, an angry one should; of the pairs within the wanted share of false alarms the one that finds most anger is
chosen, and among equals the one nearest to what is set now. What was chosen on recordings looks better on them than on
any others, so it is also chosen on all speakers but some, measured on these, and so for all in turn.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..settings import Settings
from .acting import moments
from .listening import Hearing
from .manifest import Row
from .metrics import binomial_upper, needed_to_show

GATES = tuple(round(0.5 + 0.05 * step, 2) for step in range(9))
ACTS = tuple(round(0.5 + 0.01 * step, 2) for step in range(50))
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A pair of thresholds, as `config/callmood.toml` names them."""

    gate: float
    act_at: float


@dataclass(frozen=True, slots=True)
class Alarms:
    """What a pair of thresholds does to some recordings."""

    angry: int
    found: int
    """Angry recordings that raise an alarm, after the turn where there is one."""
    other: int
    false: int
    """Other recordings that raise one, or angry ones before their turn."""

    @property
    def recall(self) -> float:
        return self.found / self.angry if self.angry else 0.0

    @property
    def false_share(self) -> float:
        return self.false / self.other if self.other else 0.0


def folds_of(voices: Sequence[str]) -> NDArray[np.intp] | None:
    """To which part each recording belongs, a speaker to one only; None with fewer than three speakers."""
    names = sorted(set(voices))
    if len(names) < 3:
        return None
    fold_of = {name: at % FOLDS for at, name in enumerate(np.random.default_rng(0).permutation(names))}
    return np.array([fold_of[voice] for voice in voices], dtype=np.intp)


class Peaks:
    """For every recording and gate, the strongest mood of anger where it would be right and where it would be wrong."""

    def __init__(self, rows: Sequence[Row], hearings: Sequence[Hearing], settings: Settings) -> None:
        self.voices = [row.voice for row in rows]
        self.angry = np.array([row.angry for row in rows], dtype=bool)
        # An angry recording with a calm beginning is a chance of a false alarm as well.
        self.calm = np.array([not row.angry or bool(row.angry_from_ms) for row in rows], dtype=bool)
        self.gates = sorted({*GATES, settings.gate})
        shape = (len(self.gates), len(rows))
        self.right, self.wrong = np.zeros(shape), np.zeros(shape)
        for at, gate in enumerate(self.gates):
            gated = replace(settings, gate=gate)
            for place, (row, hearing) in enumerate(zip(rows, hearings, strict=True)):
                turn_ms = (row.angry_from_ms or 0) if row.angry else hearing.duration_ms + 1_000_000
                for moment in moments(hearing.readings, gated):
                    side = self.right if moment.at_ms >= turn_ms else self.wrong
                    side[at, place] = max(side[at, place], moment.anger)

    def outcome(self, point: Point, which: NDArray[np.bool_] | None = None) -> Alarms:
        which = np.ones(len(self.angry), dtype=bool) if which is None else which
        at = self.gates.index(point.gate)
        angry, calm = self.angry & which, self.calm & which
        return Alarms(
            angry=int(angry.sum()),
            found=int((self.right[at, angry] >= point.act_at).sum()),
            other=int(calm.sum()),
            false=int((self.wrong[at, calm] >= point.act_at).sum()),
        )

    def best(self, most_false: float, now: Point, which: NDArray[np.bool_] | None = None) -> Point | None:
        """The pair to set; None where none keeps to the wanted share of false alarms."""

        def worth(point: Point) -> tuple[int, float, float]:
            got = self.outcome(point, which)
            return got.found, -got.false_share, -abs(point.act_at - now.act_at) - abs(point.gate - now.gate)

        allowed = [
            point
            for point in [now, *(Point(gate, act) for gate in self.gates for act in ACTS if act >= gate)]
            if self.outcome(point, which).false_share <= most_false
        ]
        return max(allowed, key=worth, default=None)

    def left_out(self, most_false: float, now: Point) -> Alarms | None:
        """Thresholds chosen without a speaker, tried on that speaker; None with fewer than three speakers. Where no
        pair will do for the others, the present one stays."""
        alarms = self.left_out_alarms(most_false, now)
        if alarms is None:
            return None
        right, wrong = alarms
        return Alarms(int(self.angry.sum()), int(right.sum()), int(self.calm.sum()), int(wrong.sum()))

    def left_out_alarms(self, most_false: float, now: Point) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """The same recording by recording: where an alarm was right, and where one was false."""
        folds = folds_of(self.voices)
        if folds is None:
            return None
        right, wrong = np.zeros((2, len(self.angry)), dtype=bool)
        for fold in np.unique(folds):
            here, point = folds == fold, self.best(most_false, now, folds != fold) or now
            at = self.gates.index(point.gate)
            right |= here & self.angry & (self.right[at] >= point.act_at)
            wrong |= here & self.calm & (self.wrong[at] >= point.act_at)
        return right, wrong


def certainty(outcome: Alarms, most_false: float) -> str:
    """How sure the share of false alarms is, and what it would take to be sure; recordings taken as independent."""
    upper = binomial_upper(outcome.false, outcome.other)
    known = (
        f"{outcome.false} of {outcome.other} recordings without anger alarmed: with 95 % certainty at most "
        f"{100 * upper:.1f} %."
    )
    if upper <= most_false:
        return f"{known} That is enough to be sure of {100 * most_false:g} %."
    seen = min(outcome.false_share, most_false / 2)
    needed = needed_to_show(most_false, seen)
    return (
        f"{known} To be sure of {100 * most_false:g} % it takes about {needed} such recordings, "
        f"if {100 * seen:.1f} % of them alarm."
    )


def with_point(text: str, point: Point) -> str:
    """A settings file with these two values, its comments kept; a key that is not there goes to the top."""
    for key, value in (("act_at", point.act_at), ("gate", point.gate)):
        line = re.compile(rf"^(\s*{key}\s*=\s*)[^\s#]+", re.MULTILINE)
        table = re.search(r"^\s*\[", text, re.MULTILINE)
        top = text[: table.start()] if table else text
        if line.search(top):
            text = line.sub(rf"\g<1>{value:g}", top, count=1) + text[len(top) :]
        else:
            text = f"{key} = {value:g}\n{text}"
    return text
