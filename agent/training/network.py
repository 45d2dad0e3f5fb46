"""A small network and how it is fitted: back-propagation by hand, since it is all matrices. One thread, one seed, one
result.

A recording may allow several classes (anger of unknown strength is `angry` or `frustrated`): then the network is asked
for either, and settles itself how much of each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..engines.local.model import log_softmax
from ..engines.local.spectrum import Floats

Layers = tuple[tuple[Floats, Floats], ...]
Batch = tuple[Floats, Floats, Floats, Floats]
"""Inputs; classes allowed; share of them in the mixture (n, 1); classes allowed in the rest of it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    hidden: tuple[int, ...]
    dropout: tuple[float, ...]
    """Of the inputs, then of each hidden layer."""
    steps: int = 2500
    batch: int = 256
    rate: float = 1.5e-3
    decay: float = 0.05


def fit(
    draw: Callable[[np.random.Generator, int], Batch], inputs: int, outputs: int, recipe: Recipe, seed: int
) -> Layers:
    """Adam with decoupled decay and a cosine rate (Loshchilov & Hutter 2019)."""
    chance = np.random.default_rng(seed)
    sizes = (inputs, *recipe.hidden, outputs)
    weights = [(chance.normal(size=shape) * np.sqrt(2 / shape[0])).astype(np.float32) for shape in pairwise(sizes)]
    weights[-1] *= np.float32(0.3)
    values = weights + [np.zeros(size, dtype=np.float32) for size in sizes[1:]]
    means = [np.zeros_like(value) for value in values]
    squares = [np.zeros_like(value) for value in values]
    for step in range(recipe.steps):
        gradients = _gradients(values, draw(chance, recipe.batch), recipe, chance)
        rate = recipe.rate * min(1.0, (step + 1) / 200) * 0.5 * (1 + np.cos(np.pi * step / recipe.steps))
        for at, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
            means[at] += np.float32(0.1) * (gradient - means[at])
            squares[at] += np.float32(0.001) * (gradient * gradient - squares[at])
            mean = means[at] / (1 - 0.9 ** (step + 1))
            square = squares[at] / (1 - 0.999 ** (step + 1))
            decay = recipe.decay * value if at < len(weights) else 0.0
            np.subtract(value, (rate * (mean / (np.sqrt(square) + 1e-8) + decay)).astype(np.float32), out=value)
    return tuple(zip(values[: len(weights)], values[len(weights) :], strict=True))


def _gradients(values: list[Floats], batch: Batch, recipe: Recipe, chance: np.random.Generator) -> list[Floats]:
    inputs, allowed, share, rest = batch
    depth = len(values) // 2
    weights, biases = values[:depth], values[depth:]
    inner: Floats = inputs
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
    shares = np.exp(log_softmax(inner))
    wanted = share * _settled(shares, allowed) + (1 - share) * _settled(shares, rest)
    error = (shares - wanted) / np.float32(len(inputs))
    of_weights, of_biases = [], []
    for layer in reversed(range(depth)):
        of_weights.append(seen[layer].T @ error)
        of_biases.append(error.sum(axis=0))
        if layer:
            error = (error @ weights[layer].T) * kept[layer] * (seen[layer] > 0)
    return of_weights[::-1] + of_biases[::-1]


def _settled(shares: Floats, allowed: Floats) -> Floats:
    """What is allowed, in the proportions believed in."""
    likely = shares * allowed
    return np.asarray(likely / np.maximum(likely.sum(axis=1, keepdims=True), np.float32(1e-8)))
