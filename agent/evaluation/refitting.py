"""A model's last step, fitted to somebody's own recordings: how readily it says each label, and nothing else.

To the averaged log-probabilities a number a label is added: six numbers, of which five count, for a few hundred
recordings cannot bear more. What is no label of ours (other emotions, noise) counts as neutral in what the engine says,
and shares its number, so that what it said before already tells what it would say after: fitting needs no other
hearing. Temperature and how much evidence is an alarm stay, because `gate` and `act_at` do their work.

The numbers are drawn to 0, as strongly as it takes: of several strengths the strongest is taken that does as well on
speakers left out as the best of them, within what chance can do (Breiman et al., CART, 1984: the rule of one standard
error). Labels count alike however many recordings each has, recordings alike however long they are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core.emotion import ANGER, LABELS, Gated
from ..engines.local.model import CLASSES, Model
from .listening import Hearing
from .manifest import Row
from .tuning import folds_of

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

STRENGTHS: Final = (math.inf, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Of the pull to 0, for each squared number against the mean logarithmic loss. Infinite: they stay 0."""
_STEPS: Final = 30
_LEAST: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Material:
    """What the engine said of n stretches of speech, and what is true of them."""

    said: Floats
    """Log-probabilities over LABELS, shape (n, 6)."""
    allowed: Flags
    """Which of LABELS it may be, likewise."""
    kind: NDArray[np.str_]
    """What counts alike: the label, or why there is none."""
    clip: NDArray[np.intp]
    voice: NDArray[np.str_]

    def of(self, which: Flags) -> "Material":
        """Some of the stretches."""
        return Material(self.said[which], self.allowed[which], self.kind[which], self.clip[which], self.voice[which])

    def weights(self) -> Floats:
        """Summing to 1: kinds alike, in a kind its recordings alike, in a recording its stretches alike."""
        _, kind = np.unique(self.kind, return_inverse=True)
        pairs, place, stretches = np.unique(
            np.stack((kind, self.clip), axis=1), axis=0, return_inverse=True, return_counts=True
        )
        clips = np.bincount(pairs[:, 0])
        weight = 1 / (stretches[place.ravel()] * clips[kind] * len(clips))
        return np.asarray(weight, dtype=np.float64)


def material(rows: Sequence[Row], hearings: Sequence[Hearing]) -> Material:
    """Every reading that was an opinion. Where a recording is angry from some moment on, it is not before."""
    said, allowed, kinds, clips, voices = [], [], [], [], []
    for at, (row, hearing) in enumerate(zip(rows, hearings, strict=True)):
        for reading in hearing.readings:
            if reading.abstained in (Gated.CALIBRATING, Gated.POOR_LINE):
                continue
            angry = row.angry and reading.end_ms >= (row.angry_from_ms or 0)
            said.append([reading.scores.get(label, 0.0) for label in LABELS])
            allowed.append(_allowed(row, angry))
            kinds.append("anger" if angry else "calm" if row.angry else row.label or "other")
            clips.append(at)
            voices.append(row.voice)
    return Material(
        np.log(np.maximum(np.array(said, dtype=np.float64).reshape(-1, len(LABELS)), _LEAST)),
        np.array(allowed, dtype=np.bool_).reshape(-1, len(LABELS)),
        np.array(kinds, dtype=np.str_),
        np.array(clips, dtype=np.intp),
        np.array(voices, dtype=np.str_),
    )


def _allowed(row: Row, angry: bool) -> list[bool]:
    if angry:
        return [label in ANGER for label in LABELS]
    if row.angry or not row.label:
        return [label not in ANGER for label in LABELS]
    return [label == (row.label if row.label in LABELS else "neutral") for label in LABELS]


def fitted(data: Material, strength: float) -> Floats:
    """A number for each of LABELS, summing to 0, shape (6,): Newton's steps on a bound of the loss."""
    bias = np.zeros(len(LABELS))
    if math.isinf(strength):
        return bias
    weight = data.weights()[:, np.newaxis]
    for _ in range(_STEPS):
        share = _softmax(data.said + bias)
        among = np.where(data.allowed, share, 0.0)
        target = among / np.maximum(among.sum(axis=1, keepdims=True), 1e-12)
        slope = (weight * (share - target)).sum(axis=0) + 2 * strength * bias
        bend = np.diag((weight * share).sum(axis=0) + 2 * strength) - (weight * share).T @ share
        bias = bias - np.linalg.solve(bend, slope)
    return np.asarray(bias - bias.mean())


def loss(data: Material, bias: Floats) -> float:
    """Mean logarithmic loss of what is true."""
    share = (_softmax(data.said + bias) * data.allowed).sum(axis=1)
    return float(-(data.weights() * np.log(np.maximum(share, 1e-12))).sum())


def chosen(data: Material) -> Floats:
    """The numbers these recordings bear, their strength chosen on speakers left out; zeros with too few speakers."""
    folds = folds_of(data.voice.tolist())
    if folds is None:
        return np.zeros(len(LABELS))
    parts = [(data.of(folds != fold), data.of(folds == fold)) for fold in np.unique(folds)]
    losses = np.array([[loss(rest, fitted(most, strength)) for most, rest in parts] for strength in STRENGTHS])
    best = int(losses.mean(axis=1).argmin())
    worse = losses - losses[best]
    errors = worse.std(axis=1, ddof=1) / math.sqrt(len(parts))
    return fitted(data, STRENGTHS[int(np.flatnonzero(worse.mean(axis=1) <= errors)[0])])


def refitted(model: Model, bias: Mapping[str, float]) -> Model:
    """The model with these numbers added to its averaged log-probabilities, times its temperature."""
    added = np.array([bias.get(name, bias["neutral"]) for name in CLASSES]) * model.temperature
    networks = tuple(
        (*layers[:-1], (layers[-1][0], (layers[-1][1] + added).astype(np.float32))) for layers in model.networks
    )  # each network's own scale drops out in the last softmax
    return replace(model, networks=networks)


def by_label(bias: Floats) -> dict[str, float]:
    return dict(zip(LABELS, bias.tolist(), strict=True))


def _softmax(logits: Floats) -> Floats:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
