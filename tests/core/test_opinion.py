"""How a second engine's answer moves our own belief."""

from __future__ import annotations

import pytest

from agent.core.emotion import LABELS, Emotion, EmotionReading, Gated, Source
from agent.core.opinion import LASTS_S, Band, Opinions


def reading(label: str, score: float, source: Source = "local", **scores: float) -> EmotionReading:
    rest = (1.0 - score) / 5
    full = {name: rest for name in LABELS} | {label: score} | scores
    return EmotionReading(Emotion(label, score), source, 0, 1500, 0.0, scores=full)


def test_without_an_answer_nothing_is_moved() -> None:
    ours = reading("angry", 0.6)
    assert Opinions().moved(ours, 1.0) is ours


@pytest.mark.parametrize(("theirs", "higher"), [(0.9, True), (0.1, False)])
def test_an_answer_moves_our_belief_its_own_way(theirs: float, higher: bool) -> None:
    opinions = Opinions()
    opinions.take(reading("angry" if higher else "neutral", 0.9, "hume", angry=theirs, frustrated=0.0), 10.0)
    moved = opinions.moved(reading("angry", 0.6, neutral=0.38), 10.1)
    assert (moved.anger > 0.6) is higher
    assert moved.emotion.label == ("angry" if higher else "neutral")
    assert moved.source == "local"


def test_no_single_answer_decides() -> None:
    opinions = Opinions()
    opinions.take(reading("angry", 1.0, "hume"), 0.0)
    assert opinions.moved(reading("neutral", 0.95), 0.0).emotion.label == "neutral"
    assert opinions.moved(reading("angry", 0.5), 0.0).anger < 0.9


def test_an_answer_wears_off() -> None:
    opinions = Opinions()
    opinions.take(reading("angry", 0.95, "hume"), 0.0)
    ours = reading("angry", 0.6)
    said = [opinions.moved(ours, at).anger for at in (0.0, LASTS_S / 2, LASTS_S)]
    assert said == sorted(said, reverse=True)
    assert said[-1] == pytest.approx(0.6)


def test_another_engine_is_asked_only_where_ours_is_in_doubt() -> None:
    band = Band(0.4, 0.85)
    assert [band.holds(reading("angry", score)) for score in (0.3, 0.4, 0.6, 0.85, 0.9)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    calibrating = EmotionReading(Emotion("angry", 0.6), "local", 0, 1, 0.0, abstained=Gated.CALIBRATING)
    assert not band.holds(calibrating)
