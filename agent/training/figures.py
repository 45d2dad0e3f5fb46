"""What held-out speakers showed: the figures of the model card. All through the telephone, nobody's own model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.emotion import ANGER
from ..engines.local.model import Model
from ..engines.local.networks import log_softmax
from ..engines.local.spectrum import Floats
from .corpora import Clip
from .extraction import Heard
from .fitting import ACT_AT, HeldOut, calibration_error, peak

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one corpus, in one circumstance. Shares of recordings, 0 to 1; NaN where there are none."""

    corpus: str
    circumstance: str
    recordings: int
    auc: float
    """Anger against everything else."""
    auc_calm: float
    """Anger against neutral and sad."""
    auc_happy: float
    recall_at_4: float
    recall_at_1: float
    acted_strong: float
    """Strong anger (or anger of unknown strength) that would be acted on."""
    acted_mild: float
    false_alarms: float
    false_neutral: float


def figures(
    clips: Sequence[Clip], heard: Heard, held: HeldOut, model: Model, often: NDArray[np.float64]
) -> tuple[list[Figures], float]:
    """Of every corpus in four circumstances; and the expected calibration error of anger."""
    found, errors = [], []
    for settled, logits in ((False, held.alone), (True, held.after_calm)):
        answers = log_softmax(logits / np.float32(model.temperature))
        errors.append(calibration_error(answers, clips, heard, often))
        for line, chosen in (("plain", heard.copy == 0), ("varied telephones, noise", heard.copy > 0)):
            at = np.flatnonzero(chosen)
            peaks, clip_at = peak(answers[at], heard, at, model.evidence, settled=settled)
            for corpus in sorted({clip.corpus for clip in clips}):
                found.append(
                    _of(corpus, f"{'after calm speech' if settled else 'alone'}, {line}", clips, peaks, clip_at)
                )
    return found, max(errors)


def _of(
    corpus: str, circumstance: str, clips: Sequence[Clip], peaks: NDArray[np.float64], clip_at: NDArray[np.int32]
) -> Figures:
    labels = np.array([clip.label if clip.corpus == corpus else "elsewhere" for clip in clips])[clip_at]
    mild = np.array([clip.intensity == "normal" for clip in clips])[clip_at]
    here = labels != "elsewhere"
    anger = np.isin(labels, sorted(ANGER))
    rest = here & ~anger
    acted = peaks >= math.log(ACT_AT / (1 - ACT_AT)) - 1e-9

    def share(of: Flags) -> float:
        return float(acted[of].mean()) if of.any() else math.nan

    return Figures(
        corpus,
        circumstance,
        int(here.sum()),
        area(peaks[anger], peaks[rest]),
        area(peaks[anger], peaks[np.isin(labels, ("neutral", "sad"))]),
        area(peaks[anger], peaks[labels == "happy"]),
        recall(peaks[anger], peaks[rest], 0.04),
        recall(peaks[anger], peaks[rest], 0.01),
        share(anger & ~mild),
        share(anger & mild),
        share(rest),
        share(labels == "neutral"),
    )


def area(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Under the ROC curve: how often a positive scores higher than a negative, ties half (Hanley & McNeil 1982)."""
    if not len(positives) or not len(negatives):
        return math.nan
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left") + np.searchsorted(ordered, positives, side="right")
    return float(below.sum() / (2 * len(positives) * len(negatives)))


def recall(positives: NDArray[np.float64], negatives: NDArray[np.float64], false_alarms: float) -> float:
    """Share of positives above what only so many negatives reach."""
    if not len(positives) or not len(negatives):
        return math.nan
    return float(np.mean(positives > np.quantile(negatives, 1 - false_alarms)))


__all__ = ["Figures", "Floats", "area", "figures", "recall"]
