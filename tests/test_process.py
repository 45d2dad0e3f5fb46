"""This process as a server."""

import gc
from collections.abc import Iterator

import pytest

from agent.process import settle


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_loaded_when_serving_begins_is_not_looked_through_again() -> None:
    kept = [[number] for number in range(1000)]
    gc.collect()
    settle()
    assert gc.get_freeze_count() > len(kept)


def test_what_a_round_of_many_calls_makes_and_lets_go_is_not_looked_through_at_all() -> None:
    settle()
    looks = [generation["collections"] for generation in gc.get_stats()]
    for _ in range(50):
        made = [[number] for number in range(5000)]
        del made
    assert [generation["collections"] for generation in gc.get_stats()] == looks


def test_what_holds_each_other_is_found_as_more_comes() -> None:
    settle()
    before = sum(generation["collected"] for generation in gc.get_stats())
    kept = []
    for _ in range(50):
        one: list[object] = []
        one.append(one)
        del one
        kept.append([[number] for number in range(1000)])
    assert sum(generation["collected"] for generation in gc.get_stats()) - before >= 40
