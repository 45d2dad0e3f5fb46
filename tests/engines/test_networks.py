"""Networks asked together say what each says alone, to the last bit."""

from itertools import pairwise

import numpy as np
import pytest

from agent.core.matrix import times
from agent.core.pitch import KEPT, powers
from agent.engines.local.networks import Layers, log_softmax, mean_log_shares, stacked
from agent.engines.local.voice import over


def network(seed: int, *sizes: int) -> Layers:
    made = np.random.default_rng(seed)
    return tuple(
        (made.normal(0, 0.3, (inputs, outputs)).astype(np.float32), made.normal(0, 1, outputs).astype(np.float32))
        for inputs, outputs in pairwise(sizes)
    )


def alone(layers: Layers, inputs: np.ndarray) -> np.ndarray:
    for weights, biases in layers[:-1]:
        inputs = np.maximum(times(inputs, weights, 4) + biases, 0)
    return log_softmax(times(inputs, layers[-1][0], 4) + layers[-1][1])


@pytest.mark.parametrize("count", [1, 4, 7, 48])
@pytest.mark.parametrize("sizes", [[(409, 64, 32, 8)] * 3, [(30, 16, 8), (30, 16, 8), (30, 8)]])
def test_networks_say_together_what_they_say_alone_whatever_their_shapes(sizes, count):
    networks = [network(seed, *each) for seed, each in enumerate(sizes)]
    inputs = np.random.default_rng(9).normal(0, 1, (count, sizes[0][0])).astype(np.float32)
    expected = sum((alone(each, inputs) for each in networks), np.zeros((count, 8), np.float32)) / np.float32(3)
    assert np.array_equal(mean_log_shares(stacked(networks), inputs), expected)


@pytest.mark.parametrize("length", [1, 2, 9, 13, 20])
def test_the_most_of_so_many_in_a_row_is_that_of_the_whole_row(length):
    values = np.random.default_rng(3).normal(0, 1, (4, 22)).astype(np.float32)
    rows = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)
    assert np.array_equal(over(np.maximum, values, length), rows.max(axis=2))
    assert np.array_equal(over(np.minimum, values, length), rows.min(axis=2))


def test_power_does_not_depend_on_how_many_blocks_are_transformed():
    sounds = np.random.default_rng(4).normal(0, 0.1, (50, KEPT + 1600)).astype(np.float32)
    together = powers(sounds).reshape(50, 20, -1)
    assert all(np.array_equal(powers(sound[np.newaxis]), power) for sound, power in zip(sounds, together, strict=True))
