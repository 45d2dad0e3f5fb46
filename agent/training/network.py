"""A small network and how it is fitted: back-propagation by hand, since it is all matrices. One thread, one seed, one
result.

A recording may allow several classes (anger of unknown strength is `angry` or `frustrated`): then the network is asked
for either, and settles itself how much of each.

Where the recipe asks for it, every corpus has an intercept of its own while the network is fitted, so that the network
only learns what tells recordings of one corpus apart. Without, whatever marks a corpus in which nobody is angry, its
language above all, becomes a sign of calm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..engines.local.networks import log_softmax
from ..engines.local.spectrum import Floats

Layers = tuple[tuple[Floats, Floats], ...]
Ints = NDArray[np.intp]

_INTERCEPT_RATE: Final = 20.0
"""Intercepts learn so much faster than the network: what a corpus has for itself must be theirs before it is its."""
_INTERCEPT_DECAY: Final = 0.01


@dataclass(frozen=True, slots=True)
class Batch:
    """Recordings, n of them, each mixed with another: `share` (n, 1) says how much of it is the first."""

    inputs: Floats
    allowed: Floats
    """Classes the first may be, 1 or 0, shape (n, classes)."""
    rest: Floats
    """The same of the other."""
    share: Floats
    home: Ints
    """The corpus of the first, shape (n,)."""
    rest_home: Ints


@dataclass(frozen=True, slots=True)
class Intercepts:
    """Of each corpus, for each class."""

    free: Floats
    """1 where one is fitted, 0 where there is none: shape (corpora, classes)."""
    expected: Floats
    """How much each corpus counts in what an unknown one is taken to be like, summing to 1: shape (corpora,)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    hidden: tuple[int, ...]
    dropout: tuple[float, ...]
    """Of the inputs, then of each hidden layer."""
    steps: int = 2500
    batch: int = 256
    rate: float = 1.5e-3
    decay: float = 0.05
    intercepts: bool = False
    """Whether each corpus has intercepts of its own while this is fitted."""
    blind: tuple[int, ...] = ()
    """Inputs that it does not see."""


def fit(
    draw: Callable[[np.random.Generator, int], Batch], inputs: int, intercepts: Intercepts, recipe: Recipe, seed: int
) -> Layers:
    """Adam with decoupled decay and a cosine rate (Loshchilov & Hutter 2019)."""
    chance = np.random.default_rng(seed)
    free = intercepts.free * np.float32(recipe.intercepts)
    sizes = (inputs, *recipe.hidden, free.shape[1])
    weights = [(chance.normal(size=shape) * np.sqrt(2 / shape[0])).astype(np.float32) for shape in pairwise(sizes)]
    weights[-1] *= np.float32(0.3)
    blind = list(recipe.blind)
    weights[0][blind] = 0
    depth = len(weights)
    values = weights + [np.zeros(size, dtype=np.float32) for size in sizes[1:]] + [np.zeros_like(free)]
    decays = (*[recipe.decay] * depth, *[0.0] * depth, _INTERCEPT_DECAY)
    rates = (*[1.0] * (2 * depth), _INTERCEPT_RATE)
    means = [np.zeros_like(value) for value in values]
    squares = [np.zeros_like(value) for value in values]
    for step in range(recipe.steps):
        gradients = _gradients(values, draw(chance, recipe.batch), recipe, chance)
        gradients[-1] *= free
        gradients[0][blind] = 0
        rate = recipe.rate * min(1.0, (step + 1) / 200) * 0.5 * (1 + np.cos(np.pi * step / recipe.steps))
        for at, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
            means[at] += np.float32(0.1) * (gradient - means[at])
            squares[at] += np.float32(0.001) * (gradient * gradient - squares[at])
            mean = means[at] / (1 - 0.9 ** (step + 1))
            square = squares[at] / (1 - 0.999 ** (step + 1))
            change = mean / (np.sqrt(square) + 1e-8) + decays[at] * value
            np.subtract(value, (rate * rates[at] * change).astype(np.float32), out=value)
    values[-2] += intercepts.expected @ values[-1]
    return tuple(zip(values[:depth], values[depth:-1], strict=True))


def _gradients(values: list[Floats], batch: Batch, recipe: Recipe, chance: np.random.Generator) -> list[Floats]:
    share = batch.share
    depth = len(values) // 2
    weights, biases, intercepts = values[:depth], values[depth:-1], values[-1]
    inner: Floats = batch.inputs
    seen: list[Floats] = []
    kept: list[Floats] = []
    for layer in range(depth):
        mask = (chance.random(inner.shape, dtype=np.float32) >= recipe.dropout[layer]).astype(np.float32)
        mask /= np.float32(1 - recipe.dropout[layer])
        kept.append(mask)
        seen.append(inner * mask)
        inner = seen[-1] @ weights[layer] + biases[layer]
        if layer < depth - 1:
            inner = np.asarray(np.maximum(inner, np.float32(0)))
    shares = np.exp(log_softmax(inner + share * intercepts[batch.home] + (1 - share) * intercepts[batch.rest_home]))
    wanted = share * _settled(shares, batch.allowed) + (1 - share) * _settled(shares, batch.rest)
    error = (shares - wanted) / np.float32(len(share))
    of_intercepts = np.zeros_like(intercepts)
    np.add.at(of_intercepts, batch.home, share * error)
    np.add.at(of_intercepts, batch.rest_home, (1 - share) * error)
    of_weights, of_biases = [], []
    for layer in reversed(range(depth)):
        of_weights.append(seen[layer].T @ error)
        of_biases.append(error.sum(axis=0))
        if layer:
            error = (error @ weights[layer].T) * kept[layer] * (seen[layer] > 0)
    return [*of_weights[::-1], *of_biases[::-1], of_intercepts]


def _settled(shares: Floats, allowed: Floats) -> Floats:
    """What is allowed, in the proportions believed in."""
    likely = shares * allowed
    return np.asarray(likely / np.maximum(likely.sum(axis=1, keepdims=True), np.float32(1e-8)))
