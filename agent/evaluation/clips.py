"""What is said about one recording as a whole.

`scores` is the mean of what its windows say, each by itself and by how much speech it holds; `label_out` the label that
leads it, where anger's share is that of angry and frustrated together, and `score_out` that share. So a clip's scores
are calibrated where the windows are, and rank clips by the sound alone; what a call would have done is another matter,
and stands in `first_alarm_ms`: when the shipped rules would first have cut the assistant off, on accumulated belief.

A clip is gated when not one of its readings passed the gate: `low_confidence` where there was an opinion, and
`calibrating`, `poor_line` or `too_short` (no speech at all included) where there was none. Its scores are then those of
the readings nobody would have acted on, for whoever wants to rank it; without speech there are none.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.emotion import ANGER, LABELS, EmotionReading, Gated
from ..settings import Settings
from .acting import act
from .listening import Hearing
from .manifest import Row

NO_OPINION = (Gated.CALIBRATING, Gated.POOR_LINE, Gated.TOO_SHORT)
_ANGRY, _FRUSTRATED = LABELS.index("angry"), LABELS.index("frustrated")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording, judged."""

    row: Row
    scores: tuple[float, ...]
    """Over LABELS, summing to 1; empty without speech."""
    label_out: str
    score_out: float
    gated: str | None
    alarms_ms: tuple[int, ...]
    """When the assistant would have been cut off."""
    escalations_ms: tuple[int, ...]
    """When the caller would have been passed to a human."""
    duration_ms: int
    cpu_s: float
    belief: float
    """The most that was ever believed of anger, by any reading that was an opinion."""

    @property
    def opinion(self) -> bool:
        """Some reading was one, whether the gate let it pass or not."""
        return self.gated not in NO_OPINION

    @property
    def anger(self) -> float:
        """What ranks clips by anger; 0 without speech."""
        return self.scores[_ANGRY] + self.scores[_FRUSTRATED] if self.scores else 0.0

    @property
    def calm_ms(self) -> int:
        """How much of it is audio in which an alarm would be false."""
        return (self.row.angry_from_ms or 0) if self.row.angry else self.duration_ms

    def false(self, fired_ms: tuple[int, ...]) -> int:
        """How many of these are false."""
        return sum(at < self.calm_ms or not self.row.angry for at in fired_ms)

    def first_true(self, fired_ms: tuple[int, ...]) -> int | None:
        """The first that is not."""
        return next((at for at in fired_ms if self.row.angry and at >= self.calm_ms), None)

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.row.name,
            "label": self.row.label,
            "scores": {label: round(p, 4) for label, p in zip(LABELS, self.scores, strict=False)},
            "label_out": self.label_out,
            "score_out": round(self.score_out, 4),
            "gated": self.gated,
            "first_alarm_ms": self.alarms_ms[0] if self.alarms_ms else None,
        }


def judge(row: Row, hearing: Hearing, settings: Settings) -> Clip:
    """The clip that these readings make, at these settings' gate and `act_at`."""
    acted = act(hearing.readings, settings)
    refusals = [moment.refused for moment in acted.moments]
    opinions = [
        reading for reading, refused in zip(hearing.readings, refusals, strict=True) if refused not in NO_OPINION
    ]
    scores = _mean_scores(opinions or hearing.readings)
    label, score = leading(scores)
    return Clip(
        row=row,
        scores=scores,
        label_out=label,
        score_out=score,
        gated=_gated(refusals),
        alarms_ms=acted.interrupted_ms,
        escalations_ms=acted.escalated_ms,
        duration_ms=hearing.duration_ms,
        cpu_s=hearing.cpu_s,
        belief=max((reading.anger for reading in opinions), default=0.0),
    )


def leading(scores: tuple[float, ...]) -> tuple[str, float]:
    """The label that leads, and by what share; neutral and 0 where there are no scores."""
    if not scores:
        return "neutral", 0.0
    anger = scores[_ANGRY] + scores[_FRUSTRATED]
    label, share = max(
        ((label, p) for label, p in zip(LABELS, scores, strict=True) if label not in ANGER), key=lambda pair: pair[1]
    )
    if anger >= share:
        return ("angry" if scores[_ANGRY] >= scores[_FRUSTRATED] else "frustrated"), anger
    return label, share


def _mean_scores(readings: Sequence[EmotionReading]) -> tuple[float, ...]:
    if not readings:
        return ()
    table = np.array([[reading.scores.get(label, 0.0) for label in LABELS] for reading in readings])
    weights = np.array([max(1, reading.speech_ms or 1) for reading in readings])
    return tuple(float(p) for p in weights @ table / weights.sum())


def _gated(refusals: list[Gated | None]) -> str | None:
    """None where a reading counted; else the reason that most of the readings with an opinion share, or of all."""
    if not refusals:
        return Gated.TOO_SHORT.value
    if None in refusals:
        return None
    with_opinion = [refused for refused in refusals if refused not in NO_OPINION]
    [(reason, _)] = Counter(refused for refused in with_opinion or refusals if refused).most_common(1)
    return reason.value
