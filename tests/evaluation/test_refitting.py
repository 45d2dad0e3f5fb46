"""A model's last step for somebody's own recordings, and whether it is better."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made import hearing, readings, row

from agent.core.emotion import LABELS, Gated
from agent.engines.local.model import FEATURES, SHIPPED, labelled, load
from agent.evaluation.comparing import Comparison, Difference, compared
from agent.evaluation.refit_card import refit_card
from agent.evaluation.refitting import Material, by_label, chosen, fitted, loss, material, refitted
from agent.evaluation.tuning import Alarms, Peaks, Point
from agent.settings import Settings

NOW = Point(0.7, 0.85)
TOO_SAD = np.array([0.0, 0.0, 2.0, 0.0, 0.0, 0.0])


def world(bias: np.ndarray, speakers: int = 12, each: int = 10, seed: int = 0) -> Material:
    """Stretches whose labels are as likely as is said, once `bias` is added to what is said."""
    rng = np.random.default_rng(seed)
    count = speakers * each
    truth = np.tile(np.arange(len(LABELS)), count)[:count]
    logits = rng.normal(0, 1, (count, len(LABELS)))
    logits[np.arange(count), truth] += 2.0
    said = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)) - bias
    said -= np.log(np.exp(said).sum(axis=1, keepdims=True))
    voices = np.array([f"s{at % speakers}" for at in range(count)])
    return Material(said, np.eye(len(LABELS), dtype=bool)[truth], np.array(LABELS)[truth], np.arange(count), voices)


def test_what_a_model_says_too_readily_it_says_less_readily_afterwards():
    data = world(-TOO_SAD)
    bias = fitted(data, 0.01)
    assert bias.argmin() == LABELS.index("sad")
    assert bias.sum() == pytest.approx(0)
    assert loss(data, bias) < loss(data, np.zeros(6)) - 0.1


def test_the_stronger_the_pull_the_smaller_the_change_and_the_strongest_is_none():
    data = world(-TOO_SAD)
    sizes = [float(np.abs(fitted(data, strength)).sum()) for strength in (0.01, 0.1, 1.0, math.inf)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0


def test_a_model_that_suits_the_recordings_is_left_as_it_is():
    changed = [bool(chosen(world(np.zeros(6), speakers=24, seed=seed)).any()) for seed in range(12)]
    assert sum(changed) <= 3, "one standard error is no proof, and says yes by chance now and then"


def test_a_model_that_does_not_is_changed_and_does_better_on_others():
    bias = chosen(world(-TOO_SAD))
    elsewhere = world(-TOO_SAD, seed=9)
    assert loss(elsewhere, bias) < loss(elsewhere, np.zeros(6))


def test_too_few_speakers_change_nothing():
    assert not chosen(world(-TOO_SAD, speakers=2)).any()


def test_labels_count_alike_and_recordings_however_long_they_are():
    rows = [row("angry", speaker="a"), row("neutral", speaker="b"), row("neutral", speaker="c")]
    heard = [hearing(readings(*[("angry", 0.9)] * count)) for count in (1, 2, 30)]
    weights = material(rows, heard).weights()
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == pytest.approx(1 / 2)
    assert weights[1:3].sum() == pytest.approx(weights[3:].sum()) == pytest.approx(1 / 4)


def test_only_opinions_are_learnt_from_and_what_came_before_the_turn_was_no_anger():
    turning = row("angry", angry_from_ms=1700)
    data = material([turning], [hearing(readings(Gated.CALIBRATING, ("angry", 0.9), ("angry", 0.9)), 3000)])
    assert data.kind.tolist() == ["anger", "anger"]
    later = material([replace(turning, angry_from_ms=1800)], [hearing(readings(*[("angry", 0.9)] * 3))])
    assert later.kind.tolist() == ["calm", "calm", "anger"]
    assert [sorted(np.array(LABELS)[allowed]) for allowed in later.allowed[1:]] == [
        ["fearful", "happy", "neutral", "sad"],
        ["angry", "frustrated"],
    ]


def test_the_refitted_model_says_exactly_what_was_fitted():
    """What is no label of ours counts as neutral, and shares its number."""
    model = load(SHIPPED)
    bias = np.array([0.3, -0.2, -0.8, 0.1, 0.5, 0.1])
    features = np.random.default_rng(1).normal(0, 1, (40, len(FEATURES))).astype(np.float32) * model.spread
    asked = (features + model.centre, np.zeros_like(features), np.zeros(40, np.float32))
    before = np.log(labelled(model.judge(*asked))) + bias
    expected = np.exp(before) / np.exp(before).sum(axis=1, keepdims=True)
    after = labelled(refitted(model, by_label(bias)).judge(*asked))
    np.testing.assert_allclose(after, expected, atol=1e-4)


def heard_by(angry: float, calm: float, speakers: int) -> tuple[list, list]:
    """Of each speaker an angry and a calm recording, in which anger is believed about so much."""
    rng = np.random.default_rng(0)
    rows, heard = [], []
    for at in range(speakers):
        for label, score in (("angry", angry), ("neutral", calm)):
            rows.append(row(label, speaker=f"s{at}"))
            believed = float(np.clip(score + rng.normal(0, 0.1), 0.01, 0.99))
            heard.append(hearing(readings(*[("angry", believed)] * 8)))
    return rows, heard


def comparison(before: tuple[float, float], after: tuple[float, float], speakers: int = 30) -> Comparison:
    rows, first = heard_by(*before, speakers)
    _, second = heard_by(*after, speakers)
    settings = Settings()
    peaks = (Peaks(rows, first, settings), Peaks(rows, second, settings))
    found = compared(rows, (first, second), peaks, 0.1, NOW)
    assert found is not None
    return found


def test_what_ranks_anger_far_better_is_surely_better_and_what_is_the_same_is_not():
    better = comparison((0.6, 0.5), (0.9, 0.3))
    assert better.sure
    assert better.auc.change > 0.1
    assert better.recall.change > 0
    same = comparison((0.7, 0.5), (0.7, 0.5))
    assert not same.sure
    assert same.speakers_needed is None
    assert not comparison((0.9, 0.3), (0.6, 0.5)).sure


def test_what_ranks_better_but_finds_less_or_alarms_more_is_not_surely_better():
    up, down, level = Difference(0.7, 0.8, (0.05, 0.15)), Difference(0.8, 0.7, (-0.15, 0.02)), None
    same = Difference(0.5, 0.5, (-0.1, 0.1))
    outcomes = (Alarms(5, 3, 5, 0), Alarms(5, 3, 5, 0))
    assert Comparison(up, same, same, outcomes, 9).sure
    assert not Comparison(up, down, same, outcomes, 9).sure
    assert not Comparison(up, same, up, outcomes, 9).sure
    assert not Comparison(replace(up, interval=level), same, same, outcomes, 9).sure


def test_how_many_speakers_it_would_take_grows_with_the_square_of_what_is_missing():
    outcomes = (Alarms(5, 3, 5, 0), Alarms(5, 3, 5, 0))
    same = Difference(0.5, 0.5, (-0.1, 0.1))
    unsure = Comparison(Difference(0.7, 0.75, (-0.05, 0.15)), same, same, outcomes, 10)
    assert unsure.speakers_needed == 40


def test_the_card_says_what_it_is_made_of_and_names_nobody():
    rows = [row("angry", "private-call-17.wav", speaker="Mrs Smith"), row("", "b.wav", speaker="Mr Jones")]
    card = refit_card("mine.npz", "abc", "def", {"neutral": 0.5}, rows, ["AUC better"], NOW)
    assert all(part in card for part in ("abc", "def", "| c | angry | 1 |", "| c | other | 1 |", "2 speakers", "+0.50"))
    assert not any(name in card for name in ("Smith", "Jones", "private"))
