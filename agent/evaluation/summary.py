"""The figures of many clips, with intervals by speaker.

Who counts for what:

* confusion matrix, UAR, calibration: clips with one of our labels. A clip without an opinion is a miss of its own kind
  (column `gated`), and has no confidence to be calibrated. Where no clip is labelled frustrated, frustrated counts as
  angry for UAR: a corpus that does not tell the two apart does not ask us to; the matrix keeps them apart. Beside those
  that have to say something of every clip, ours may have to as well: then its leading label counts, opinion or not.
* ranking (AUC, recall at a rate of false alarms): angry and frustrated against all other voices, clips without a label
  included, `noise` not: it is easy, and would flatter.
* false alarms: everything that is not angry, noise included, for as long as it is not.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.emotion import LABELS
from . import metrics
from .clips import Clip
from .manifest import NOISE
from .speakers import DRAWS, Interval, interval

GATED = len(LABELS)
_ANGRY, _FRUSTRATED = LABELS.index("angry"), LABELS.index("frustrated")
Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and where it lies with 95 % certainty, if that can be said."""

    value: float
    bounds: Interval | None = None
    of: int = 0
    """Clips it is about."""


class Table:
    """Clips as arrays, once, for all figures."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.clips = clips
        self.speakers = [clip.row.voice for clip in clips]
        self.angry = np.array([clip.row.angry for clip in clips], dtype=bool)
        self.noise = np.array([clip.row.label == NOISE for clip in clips], dtype=bool)
        self.anger = np.array([clip.anger for clip in clips])
        self.belief = np.array([clip.belief for clip in clips])
        self.alarmed = np.array([bool(clip.alarms_ms) for clip in clips], dtype=bool)
        self.labelled = np.array([clip.row.label in LABELS for clip in clips], dtype=bool)
        self.opinion = np.array([clip.opinion for clip in clips], dtype=bool)
        self.truth = np.array([_index(clip.row.label) for clip in clips], dtype=np.intp)
        self.leads = np.array([_index(clip.label_out) if clip.scores else GATED for clip in clips], dtype=np.intp)
        self.said = np.where(self.opinion, self.leads, GATED)
        self.score = np.array([clip.score_out for clip in clips])

    def about(self, which: NDArray[np.bool_], figure: Callable[[Weights], float], *, draws: int = DRAWS) -> Figure:
        """A figure of some of the clips; `figure` takes the weights of all, zero for the others."""
        chosen = which.astype(np.float64)
        value = figure(chosen)
        speakers = [speaker for speaker, there in zip(self.speakers, which, strict=True) if there]
        bounds = None
        if draws and not math.isnan(value):
            places = np.flatnonzero(which)

            def redrawn(weights: Weights) -> float:
                everywhere = np.zeros(len(which))
                everywhere[places] = weights
                return figure(everywhere)

            bounds = interval(redrawn, speakers, draws=draws)
        return Figure(value, bounds, int(which.sum()))

    @property
    def voices(self) -> NDArray[np.bool_]:
        return ~self.noise

    def against(self, label: str) -> NDArray[np.bool_]:
        """Anger and one other label."""
        other: NDArray[np.bool_] = self.truth == LABELS.index(label)
        return self.angry | other

    def auc(self, which: NDArray[np.bool_], draws: int = DRAWS) -> Figure:
        there = np.flatnonzero(which)
        scores, angry = self.anger[there], self.angry[there]
        return self.about(which, lambda w: metrics.auc(scores, angry, w[there]), draws=draws)

    def recall(self, which: NDArray[np.bool_], rate: float, draws: int = DRAWS) -> Figure:
        there = np.flatnonzero(which)
        scores, angry = self.anger[there], self.angry[there]
        return self.about(which, lambda w: metrics.recall_at(scores, angry, rate, w[there]), draws=draws)

    def confusion(self, weights: Weights | None = None, *, forced: bool = False) -> NDArray[np.float64]:
        """Rows: LABELS; columns: LABELS and gated. `forced`: of a clip without an opinion, what leads it counts."""
        weights = np.ones(len(self.clips)) if weights is None else weights
        kinds = len(LABELS) + 1
        there, said = self.labelled, self.leads if forced else self.said
        return metrics.confusion(self.truth[there], said[there], kinds, weights[there])[: len(LABELS)]

    def uar(self, which: NDArray[np.bool_], draws: int = DRAWS, *, forced: bool = False) -> Figure:
        told_apart = bool((self.truth == _FRUSTRATED).any())

        def figure(weights: Weights) -> float:
            matrix = self.confusion(weights, forced=forced)
            if not told_apart:
                matrix[:, _ANGRY] += matrix[:, _FRUSTRATED]
                matrix[:, _FRUSTRATED] = 0
            return metrics.uar(matrix)

        return self.about(which & self.labelled, figure, draws=draws)

    def correct(self) -> NDArray[np.bool_]:
        """Whether the leading label is the clip's; angry and frustrated are one, as their score is."""
        right: NDArray[np.bool_] = (self.said == self.truth) | (np.isin(self.said, (_ANGRY, _FRUSTRATED)) & self.angry)
        return right

    def ece(self, which: NDArray[np.bool_], draws: int = DRAWS) -> Figure:
        which = which & self.labelled & self.opinion
        correct = self.correct()
        return self.about(which, lambda w: metrics.ece(self.score, correct, w), draws=draws)

    def alarm_rate(self, which: NDArray[np.bool_], draws: int = DRAWS) -> Figure:
        """Share of clips that raise an alarm."""

        def figure(weights: Weights) -> float:
            total = weights.sum()
            return float(weights[self.alarmed].sum() / total) if total > 0 else math.nan

        return self.about(which, figure, draws=draws)


def _index(label: str) -> int:
    return LABELS.index(label) if label in LABELS else -1


@dataclass(frozen=True, slots=True)
class Hourly:
    """How often something happens that should not."""

    count: int
    hours: float

    @property
    def rate(self) -> float:
        return self.count / self.hours if self.hours > 0 else math.nan

    @property
    def bounds(self) -> Interval | None:
        """Exact, as if alarms came independently of each other."""
        if not self.hours > 0:
            return None
        low, high = metrics.poisson_interval(self.count)
        return low / self.hours, high / self.hours


def false_alarms(clips: Sequence[Clip], fired: Callable[[Clip], tuple[int, ...]]) -> Hourly:
    """`fired`: which of a clip's alarms."""
    return Hourly(sum(clip.false(fired(clip)) for clip in clips), sum(clip.calm_ms for clip in clips) / 3_600_000)


def summarised(clips: Sequence[Clip], *, draws: int = DRAWS) -> dict[str, Any]:
    """Section 8's summary, and what belongs beside it. A figure that cannot be had is null; `intervals` are 95 %."""
    if not clips:
        return {"clips": 0}
    table = Table(clips)
    voices, angry = table.voices, table.angry
    everything = np.ones(len(clips), dtype=bool)
    figures = {
        "uar": table.uar(everything, draws),
        "auc": table.auc(voices, draws),
        "auc_angry_happy": table.auc(table.against("happy"), draws),
        "recall_at_1": table.recall(voices, 0.01, draws),
        "recall_at_4": table.recall(voices, 0.04, draws),
        "ece": table.ece(everything, draws),
        "alarm_recall": table.alarm_rate(angry, draws),
        "alarm_rate_not_angry": table.alarm_rate(~angry, draws),
    }
    alarms = false_alarms(clips, lambda clip: clip.alarms_ms)
    escalated = false_alarms(clips, lambda clip: clip.escalations_ms)
    seconds = sum(clip.duration_ms for clip in clips) / 1000
    return {
        "clips": len(clips),
        "speakers": len({clip.row.speaker for clip in clips if clip.row.speaker}),
        "hours": round(seconds / 3600, 4),
        "without_opinion": int((~table.opinion).sum()),
        "confusion_matrix": matrix(table),
        **{name: plain(figure.value) for name, figure in figures.items()},
        "false_alarms": alarms.count,
        "false_alarm_hours": round(alarms.hours, 4),
        "false_alarms_per_hour": plain(alarms.rate),
        "false_escalations": escalated.count,
        "false_escalations_per_hour": plain(escalated.rate),
        "first_alarm_ms": delays(clips),
        "cpu_ms_per_s": plain(1000 * sum(clip.cpu_s for clip in clips) / seconds) if seconds else None,
        "intervals": {name: [plain(b) for b in figure.bounds] for name, figure in figures.items() if figure.bounds}
        | {
            name: [plain(b) for b in hourly.bounds]
            for name, hourly in (("false_alarms_per_hour", alarms), ("false_escalations_per_hour", escalated))
            if hourly.bounds
        },
    }


def matrix(table: Table) -> dict[str, dict[str, int]]:
    """What was labelled so, by what was said; labels that do not occur are left out."""
    counts = table.confusion().astype(int)
    return {
        label: dict(zip((*LABELS, "gated"), row.tolist(), strict=True))
        for label, row in zip(LABELS, counts, strict=True)
        if row.any()
    }


def delays(clips: Sequence[Clip]) -> dict[str, float | int] | None:
    """From the beginning of the anger to the first alarm, over the angry clips that raised one; milliseconds."""
    found = [
        first - (clip.row.angry_from_ms or 0)
        for clip in clips
        if (first := clip.first_true(clip.alarms_ms)) is not None
    ]
    if not found:
        return None
    median, late = np.quantile(found, [0.5, 0.95])
    return {"alarms": len(found), "median": float(median), "p95": float(late)}


def plain(value: float, digits: int = 4) -> float | None:
    """For JSON, which has no NaN."""
    return round(float(value), digits) if math.isfinite(value) else None


GROUPS: Mapping[str, Callable[[Clip], str]] = {
    "corpus": lambda clip: clip.row.corpus,
    "language": lambda clip: clip.row.language,
    "sex": lambda clip: clip.row.sex,
}


def grouped(clips: Sequence[Clip], by: str) -> dict[str, list[Clip]]:
    """Clips by one of their columns, in the order they come; those without it are left out."""
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        if name := GROUPS[by](clip):
            groups.setdefault(name, []).append(clip)
    return groups
