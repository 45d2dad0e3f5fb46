"""A few small networks, and the mean of what they say. Those of one shape are multiplied together, since numpy takes
longer to be asked than to answer."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np

from .spectrum import Floats

Layers = tuple[tuple[Floats, Floats], ...]
"""Of one network: weights (inputs, outputs) and biases (outputs,)."""
Stack = tuple[tuple[Floats, Floats], ...]
"""Of n networks: weights (n, 1, inputs, outputs) and biases (n, 1, 1, outputs)."""

_SLAB: Final = 4
"""Rows in one matrix product, so that none depends on how many others there are; see `agent.core.matrix`."""


def stacked(networks: Sequence[Layers]) -> tuple[Stack, ...]:
    """The networks in their order, those that are alike together."""
    alike = groupby(networks, lambda layers: [weights.shape for weights, _ in layers])
    return tuple(_stack(tuple(some)) for _, some in alike)


def mean_log_shares(stacks: Sequence[Stack], inputs: Floats) -> Floats:
    """From inputs (n, inputs) the mean over the networks of the logarithms of their shares: (n, outputs)."""
    count, width = inputs.shape
    padded = np.zeros((-(-count // _SLAB), _SLAB, width), dtype=np.float32)
    padded.reshape(-1, width)[:count] = inputs
    outputs = stacks[0][-1][0].shape[-1]
    total = np.zeros((count, outputs), dtype=np.float32)
    for *before, (weights, biases) in stacks:
        inner: Floats = padded[np.newaxis]
        for inner_weights, inner_biases in before:
            inner = np.matmul(inner, inner_weights)
            inner += inner_biases
            np.maximum(inner, 0, out=inner)
        said = np.matmul(inner, weights)
        said += biases
        for each in log_softmax(said.reshape(len(weights), -1, outputs)):
            total += each[:count]
    return np.asarray(total / np.float32(sum(len(stack[-1][0]) for stack in stacks)))


def log_softmax(logits: Floats) -> Floats:
    """Logarithms of the shares in the last dimension."""
    lower = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    return np.asarray(lower - np.log(np.add.reduce(np.exp(lower), axis=-1, keepdims=True)))


def _stack(networks: Sequence[Layers]) -> Stack:
    return tuple(
        (
            np.stack([weights for weights, _ in layer])[:, np.newaxis],
            np.stack([biases for _, biases in layer])[:, np.newaxis, np.newaxis],
        )
        for layer in zip(*networks, strict=True)
    )
