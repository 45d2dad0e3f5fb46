"""Two models on the same recordings, each heard by a model that did not know its speaker: which is better, and how sure
that is. What is compared is drawn by speaker, in pairs, so that what is hard about a speaker is hard for both."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.emotion import ANGER, Gated
from .listening import Hearing
from .manifest import Row
from .metrics import auc
from .speakers import Interval, interval
from .tuning import Alarms, Peaks, Point

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Figure = Callable[[int, Floats], float]
"""Of one of the two models, with weights of the recordings."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both, and with 95 % of the second less the first."""

    before: float
    after: float
    interval: Interval | None
    """None: too few speakers to tell."""

    @property
    def change(self) -> float:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """With thresholds that suit each, chosen without the speakers they are tried on."""

    auc: Difference
    """Anger ranked above everything else."""
    recall: Difference
    """Share of the angry recordings acted on."""
    false: Difference
    """Share of the others that alarm."""
    outcomes: tuple[Alarms, Alarms]
    speakers: int

    @property
    def sure(self) -> bool:
        """The second ranks anger better beyond what chance can do, finds no less of it, and does not surely alarm more
        often."""
        ranks, alarms = self.auc.interval, self.false.interval
        return ranks is not None and alarms is not None and ranks[0] > 0 and self.recall.change >= 0 >= alarms[0]

    @property
    def speakers_needed(self) -> int | None:
        """How many like these it would take to be sure of the ranking, if the difference stays; None where there is
        none to be sure of. The width of an interval falls with the root of their number."""
        if self.auc.interval is None or not self.auc.change > 0:
            return None
        reach = self.auc.change - self.auc.interval[0]
        return math.ceil(self.speakers * (reach / self.auc.change) ** 2)


def compared(
    rows: Sequence[Row],
    hearings: tuple[Sequence[Hearing], Sequence[Hearing]],
    peaks: tuple[Peaks, Peaks],
    most_false: float,
    now: Point,
) -> Comparison | None:
    """The two models' hearings of the same recordings, and their peaks; None with fewer than three speakers."""
    alarms = [each.left_out_alarms(most_false, now) for each in peaks]
    rights, wrongs = [each[0] for each in alarms if each], [each[1] for each in alarms if each]
    if len(rights) < len(peaks):
        return None
    voices, angry, calm = peaks[0].voices, peaks[0].angry, peaks[0].calm
    scores = [np.array([anger(row, one) for row, one in zip(rows, heard, strict=True)]) for heard in hearings]

    def difference(figure: Figure) -> Difference:
        ones = np.ones(len(rows))
        bounds = interval(lambda weights: figure(1, weights) - figure(0, weights), voices)
        return Difference(figure(0, ones), figure(1, ones), bounds)

    outcomes = [
        Alarms(int(angry.sum()), int(right.sum()), int(calm.sum()), int(wrong.sum()))
        for right, wrong in zip(rights, wrongs, strict=True)
    ]
    return Comparison(
        difference(lambda at, weights: auc(scores[at], angry, weights)),
        difference(lambda at, weights: share(rights[at], angry, weights)),
        difference(lambda at, weights: share(wrongs[at], calm, weights)),
        (outcomes[0], outcomes[1]),
        len(set(voices)),
    )


def share(alarmed: Flags, of: Flags, weights: Floats) -> float:
    total = float(weights[of].sum())
    return float(weights[of & alarmed].sum()) / total if total else math.nan


def anger(row: Row, hearing: Hearing) -> float:
    """Mean probability of anger over what was said, by speech: of an angry recording, once it had turned."""
    turn_ms = (row.angry_from_ms or 0) if row.angry else 0
    said = [
        (sum(one.scores.get(label, 0.0) for label in ANGER), max(1, one.speech_ms or 1))
        for one in hearing.readings
        if one.end_ms >= turn_ms and one.abstained not in (Gated.CALIBRATING, Gated.POOR_LINE)
    ]
    return sum(score * ms for score, ms in said) / sum(ms for _, ms in said) if said else 0.0
