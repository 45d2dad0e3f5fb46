"""The figures, each as a function of arrays. Every clip has a weight, so that a bootstrap over speakers is one of these
functions called with the number of times each speaker was drawn.

A detector that says one value for everything has an AUC of 0.5 and a recall of 0 at any rate of false alarms below 1:
ties are never broken in our favour.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Weights = NDArray[np.float64] | None

BINS = 10


def auc(scores: Floats, positive: Flags, weights: Weights = None) -> float:
    """The chance that a positive outranks a negative, ties counting half: the area under the ROC curve (Hanley &
    McNeil, Radiology 143, 1982). NaN without both kinds."""
    weight = _weights(scores, weights)
    values, place = np.unique(scores, return_inverse=True)
    hits = np.bincount(place, weight * positive, len(values))
    misses = np.bincount(place, weight * ~positive, len(values))
    if not (hits.sum() > 0 and misses.sum() > 0):
        return math.nan
    below = np.cumsum(misses) - misses
    return float((hits * (below + misses / 2)).sum() / (hits.sum() * misses.sum()))


def recall_at(scores: Floats, positive: Flags, false_alarms: float, weights: Weights = None) -> float:
    """The share of positives at or above the lowest threshold that at most this share of negatives reach. NaN without
    both kinds."""
    threshold = threshold_at(scores, positive, false_alarms, weights)
    weight = _weights(scores, weights) * positive
    if math.isnan(threshold) or not weight.sum() > 0:
        return math.nan
    return float(weight[scores >= threshold].sum() / weight.sum())


def threshold_at(scores: Floats, positive: Flags, false_alarms: float, weights: Weights = None) -> float:
    """That threshold; infinite where even the highest score is reached by too many negatives, NaN without negatives."""
    weight = _weights(scores, weights)
    values, place = np.unique(scores, return_inverse=True)
    misses = np.bincount(place, weight * ~positive, len(values))
    if not misses.sum() > 0:
        return math.nan
    reached = np.cumsum(misses[::-1])[::-1] / misses.sum()
    allowed = np.flatnonzero(reached <= false_alarms + 1e-12)
    return float(values[allowed[0]]) if len(allowed) else math.inf


def confusion(truth: NDArray[np.intp], said: NDArray[np.intp], kinds: int, weights: Weights = None) -> Floats:
    """Shape (kinds, kinds): weight of the clips of each true kind (rows) by what was said (columns)."""
    table = np.zeros((kinds, kinds))
    np.add.at(table, (truth, said), np.ones(len(truth)) if weights is None else weights)
    return table


def uar(table: Floats, kinds: int | None = None) -> float:
    """Unweighted average recall: the mean over the kinds that occur of the share recognised (Schuller et al., "The
    INTERSPEECH 2009 emotion challenge"). `kinds`: only the first so many rows. NaN without clips."""
    rows = table[:kinds]
    total = rows.sum(axis=1)
    there = total > 0
    if not there.any():
        return math.nan
    return float((np.diagonal(table)[: len(rows)][there] / total[there]).mean())


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability curve."""

    confidence: float
    """Mean of what was claimed."""
    accuracy: float
    """Share that was right."""
    weight: float


def reliability(confidence: Floats, correct: Flags, weights: Weights = None, bins: int = BINS) -> list[Bin]:
    """Claims against what came of them, in equally wide bins of what was claimed; empty bins are left out."""
    weight = _weights(confidence, weights)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total = np.bincount(place, weight, bins)
    claimed = np.bincount(place, weight * confidence, bins)
    right = np.bincount(place, weight * correct, bins)
    sums = zip(claimed.tolist(), right.tolist(), total.tolist(), strict=True)
    return [Bin(c / n, r / n, n) for c, r, n in sums if n > 0]


def ece(confidence: Floats, correct: Flags, weights: Weights = None, bins: int = BINS) -> float:
    """Expected calibration error: mean distance between claim and truth over the bins, by their weight (Naeini et al.,
    AAAI 2015; Guo et al., ICML 2017). NaN without clips."""
    curve = reliability(confidence, correct, weights, bins)
    total = sum(b.weight for b in curve)
    return sum(b.weight * abs(b.accuracy - b.confidence) for b in curve) / total if total > 0 else math.nan


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided bounds of the mean of a count (Garwood, Biometrika 28, 1936)."""
    tail = (1 - confidence) / 2
    low = _root(lambda mean: 1 - _poisson_cdf(count - 1, mean) - tail, 0.0, float(count)) if count else 0.0
    return low, poisson_upper(count, 1 - tail)


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """The mean that a count as low as this makes implausible; 3.0 for none at 95 %."""
    return _root(lambda mean: (1 - confidence) - _poisson_cdf(count, mean), 0.0, 10.0 + 3 * count)


def binomial_upper(count: int, of: int, confidence: float = 0.95) -> float:
    """The share that so few of so many make implausible (Clopper & Pearson, Biometrika 26, 1934)."""
    if count >= of:
        return 1.0
    return _root(lambda p: (1 - confidence) - _binomial_cdf(count, of, p), 0.0, 1.0)


def binomial_lower(count: int, of: int, confidence: float = 0.95) -> float:
    """The share that so many of so many make implausibly low; 0 where there are none."""
    return 1 - binomial_upper(of - count, of, confidence) if of else 0.0


def needed_to_show(rate: float, seen: float = 0.0, confidence: float = 0.95, most: int = 1_000_000) -> int:
    """How many independent trials it takes to be this sure that a share is below `rate`, if `seen` of them go wrong.

    `most` where it takes more than that, or never comes true because `seen` is no smaller than `rate`.
    """
    if seen >= rate:
        return most

    def shows(trials: int) -> bool:
        """The upper bound of the share is no higher than `rate`, which is asked without looking for that bound."""
        return _binomial_cdf(math.ceil(seen * trials - 1e-9), trials, rate) <= 1 - confidence

    low, high = 1, 1
    while high < most and not shows(high):
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if shows(middle):
            high = middle
        else:
            low = middle + 1
    return min(most, high)


def _weights(like: Floats, weights: Weights) -> Floats:
    return np.ones(len(like)) if weights is None else weights


def _poisson_cdf(count: int, mean: float) -> float:
    if mean <= 0:
        return 1.0 if count >= 0 else 0.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


def _binomial_cdf(count: int, of: int, p: float) -> float:
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 else 0.0
    places = np.arange(count + 1, dtype=np.float64)
    ways = np.array([math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1) for k in range(count + 1)])
    return float(np.exp(ways + places * math.log(p) + (of - places) * math.log1p(-p)).sum())


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses zero."""
    for _ in range(80):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
