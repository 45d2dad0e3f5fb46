"""The page of results: everything on it comes from what was heard, and it claims nothing that was not held out."""

from collections.abc import Callable
from functools import cache
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from made import angry_engine, voice, write

from agent.core.emotion import Emotion
from agent.evaluation.aims import Aim, aims
from agent.evaluation.drawing import Axis, Curve, chart
from agent.evaluation.folds import Fold
from agent.evaluation.manifest import Row
from agent.evaluation.page import markdown, page, pictures, steps
from agent.evaluation.study import Plan, study
from agent.settings import Settings
from agent.testing import ScriptedEngine


def calm_engine() -> ScriptedEngine:
    return ScriptedEngine({0: Emotion("neutral", 0.9)})


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Six speakers of two corpora, each calm in four clips and angry in two; a dog, and one channel of calls."""
    folder = tmp_path_factory.mktemp("study")
    found = []
    for speaker in range(6):
        for at, label in enumerate(("neutral",) * 4 + ("angry",) * 2 + ("happy",)):
            path = write(folder / f"{speaker}-{at}.wav", voice(2.6, 110 + 15 * speaker, at))
            corpus = "one" if speaker < 3 else "two"
            found.append(Row(path.name, path, label, f"s{speaker}", corpus, "f", "en"))
    path = write(folder / "dog.wav", np.random.default_rng(1).normal(0, 0.1, 8000))
    found.append(Row("dog.wav", path, "noise", "", "dogs", others={"emotion": "dog"}))
    found += [Row(f"call{at}", found[at].path, "", "agent", "calls") for at in range(2)]
    return found


@pytest.fixture(scope="module")
def numbers(rows: list[Row]) -> Callable[..., tuple[dict[str, Any], list[Fold]]]:
    @cache
    def made(trained: bool) -> tuple[dict[str, Any], list[Fold]]:
        asked: list[Fold] = []

        def trainer(fold: Fold) -> Callable[[], ScriptedEngine]:
            asked.append(fold)
            return calm_engine if fold.name == "without-one" else angry_engine

        plan = Plan(trainer if trained else None, Settings(), hours=0.05, conditions=("telephone", "quiet"), workers=1)
        return study(rows, plan), asked

    return made


def test_every_fold_is_heard_by_the_model_trained_without_it(numbers):
    found, asked = numbers(trained=True)
    assert len([fold for fold in asked if fold.split == "speaker"]) == 5
    assert {fold.name for fold in asked if fold.split == "corpus"} == {"without-one", "without-two"}
    one, two = found["corpus"]["corpus"]["one"], found["corpus"]["corpus"]["two"]
    assert one["auc"][0] == 0.5, "its model never says anger"
    assert two["clips"] == 21
    assert found["speaker"]["all"]["clips"] == 42, "actors only: noise and calls are told of elsewhere"


def test_the_numbers_survive_json_and_the_page_holds_no_nan(numbers):
    found, _ = numbers(trained=True)
    again = msgspec.json.decode(msgspec.json.encode(found))
    text = page(again, "make it", "A model.")
    assert text == page(found, "make it", "A model.")
    for part in ("nan", "None", "inf "):
        assert part not in text
    for heading in ("Speakers it never met", "Corpora it never met", "operating point", "Conversations", "Aims"):
        assert heading in text
    assert "| dogs | dog | 1 |" in text
    assert "| calls | agent | 2 |" in text


def test_nothing_is_called_new_where_nothing_was_held_out(numbers):
    found, asked = numbers(trained=False)
    text = page(found, "make it", "As it is.")
    assert not asked
    assert "never met" not in text
    assert "new speakers" not in text
    assert "new corpora" not in text


def test_the_yardstick_stands_below_the_figures_of_its_split(numbers):
    found, _ = numbers(trained=True)
    line = {
        "clips": 21,
        "uar_forced": 0.4,
        "auc": 0.777,
        "auc_calm": 0.8,
        "auc_happy": None,
        "recall_at_4": 0.3,
        "recall_at_1": 0.1,
    }
    text = page({**found, "baseline": {"speaker": {"one": line}, "corpus": {}}}, "make it", "A model.")
    at = text.splitlines().index(next(row for row in text.splitlines() if row.startswith("| corpus: one")))
    assert "0.777" in text.splitlines()[at + 1]
    assert text.count("0.777") == 1
    speakers = {**found["speaker"]["corpus"]["one"], "speakers": 5, "uar_forced": [0.55, None, None]}
    many = {**found, "speaker": {**found["speaker"], "corpus": {"one": speakers}}}
    [lead] = [aim for aim in aims({**many, "baseline": {"speaker": {"one": line}}}) if "UAR" in aim.what]
    assert lead.reached == pytest.approx(0.15)


def test_pictures_are_drawings_that_can_be_read_alone(numbers):
    found, _ = numbers(trained=True)
    drawn = pictures(found)
    assert set(drawn) == {"roc.svg", "reliability.svg", "delay.svg"}
    for picture in drawn.values():
        root = ElementTree.fromstring(picture)
        assert root.tag.endswith("svg")
        assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_a_point_lies_where_its_figures_say():
    root = ElementTree.fromstring(chart("A & B", Axis("x"), Axis("y"), [Curve("one", [(0, 0), (1, 1), (5, 0.5)])]))
    [line] = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert line.attrib["points"] == "56.0,352.0 612.0,56.0 612.0,204.0", "beyond the end is drawn at it"


def test_the_share_of_calls_acted_on_rises_with_each():
    assert steps([500, 1500, 9000], 4) == [(0.0, 0.0), (0.5, 0.0), (0.5, 0.25), (1.5, 0.25), (1.5, 0.5), (6.0, 0.5)]


def test_an_aim_that_could_not_be_measured_is_neither_met_nor_missed():
    assert Aim("a", 0.9, None).met is None
    assert Aim("a", 0.9, 0.9).met is True
    assert Aim("a", 0.1, 0.11, at_least=False).met is False


def test_aims_are_read_off_the_numbers(numbers):
    found, _ = numbers(trained=True)
    reached = {aim.what: aim.reached for aim in aims(found)}
    assert reached["new corpora: AUC against the rest, on average"] == pytest.approx(
        (found["corpus"]["corpus"]["one"]["auc"][0] + found["corpus"]["corpus"]["two"]["auc"][0]) / 2, abs=1e-3
    )
    assert reached["noise: clips that alarm"] == 0


def test_a_table_keeps_its_columns_whatever_is_in_them():
    assert markdown(("a", "b"), [("x|y", 1)]) == "| a | b |\n|---|---|\n| x/y | 1 |"
