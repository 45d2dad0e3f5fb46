"""`callmood eval`: from a manifest to figures and results, and what is said when something is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from conftest import Done, Run

VOICES = Path(__file__).parents[2] / "agent/demo/voices"
HEAD = "file,label,speaker,corpus,angry_from_ms"
LABELS = {"neutral", "happy", "sad", "fearful", "angry", "frustrated"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The bundled voices, silence at another rate, and nothing a person would call a recording."""
    soundfile.write(tmp_path / "silence.flac", np.zeros((44_100, 2)), 44_100)
    path = tmp_path / "mine.csv"
    path.write_text(
        f"{HEAD}\n"
        f"{VOICES}/emma_calm_then_angry.wav,angry,emma,made,13000\n"
        f"{VOICES}/adam_calm_then_angry.wav,angry,adam,made,12600\n"
        f"{VOICES}/emma_angry_words_calm_voice.wav,neutral,emma,made,\n"
        "silence.flac,noise,,nothing,\n"
    )
    return path


def is_one_sentence(done: Done, code: int, *names: str) -> None:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    for name in names:
        assert name in done.sentence


def test_every_file_has_its_result_and_all_of_them_a_summary(run: Run, manifest: Path, tmp_path: Path) -> None:
    done = run("eval", manifest.name, "--json", "out.json")
    assert (done.code, done.err) == (0, "")
    document = json.loads((tmp_path / "out.json").read_text())
    assert [len(document["files"]), document["unreadable"]] == [4, []]
    for result in document["files"]:
        assert set(result) == {"file", "label", "scores", "label_out", "score_out", "gated", "first_alarm_ms"}
    emma, adam, calm, silence = document["files"]
    for angry, turn_ms in ((emma, 13_000), (adam, 12_600)):
        assert set(angry["scores"]) == LABELS
        assert sum(angry["scores"].values()) == pytest.approx(1.0, abs=1e-3)
        assert angry["gated"] is None
        assert angry["first_alarm_ms"] is None or angry["first_alarm_ms"] > turn_ms
    assert adam["first_alarm_ms"] is not None
    assert calm["first_alarm_ms"] is None
    assert (silence["gated"], silence["scores"], silence["first_alarm_ms"]) == ("too_short", {}, None)
    summary = document["summary"]
    assert summary["condition"] == "telephone"
    assert summary["false_alarms_per_hour"] == 0.0
    assert summary["alarm_recall"] >= 0.5
    assert summary["auc"] >= 0.5
    assert summary["confusion_matrix"]["neutral"]["neutral"] == 1
    assert 0 < summary["cpu_ms_per_s"] < 1000
    for figure in ("uar", "recall_at_1", "recall_at_4", "ece", "intervals"):
        assert figure in summary
    for shown in ("AUC", "false alarms an hour", "labelled", "corpus", "made"):
        assert shown in done.out


def test_several_conditions_are_kept_apart_and_the_first_is_the_result(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    done = run("eval", manifest.name, "--condition", "quiet", "--condition", "wide", "--json", "out.json")
    assert done.code == 0, done.err
    document = json.loads((tmp_path / "out.json").read_text())
    assert list(document["conditions"]) == ["quiet", "wide"]
    assert document["files"] == document["conditions"]["quiet"]["files"]
    assert document["files"] != document["conditions"]["wide"]["files"]


def test_every_nth_row_is_taken(run: Run, manifest: Path, tmp_path: Path) -> None:
    assert run("eval", manifest.name, "--every", "3", "--json", "out.json").code == 0
    files = json.loads((tmp_path / "out.json").read_text())["files"]
    assert [Path(result["file"]).name for result in files] == ["emma_calm_then_angry.wav", "silence.flac"]


def test_one_bad_file_costs_its_own_result_and_is_said(run: Run, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear sirs,")
    manifest.write_text(manifest.read_text() + "letter.wav,sad,x,made,\nnowhere.wav,sad,x,made,\n")
    done = run("eval", manifest.name, "--json", "out.json")
    assert done.code == 1
    assert "Traceback" not in done.err
    letter, nowhere, count = done.err.splitlines()
    assert "letter.wav" in letter
    assert "nowhere.wav" in nowhere
    assert "2 of 6" in count
    document = json.loads((tmp_path / "out.json").read_text())
    assert len(document["files"]) == 4
    assert [lost["file"] for lost in document["unreadable"]] == ["letter.wav", "nowhere.wav"]


def test_no_result_at_all_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"{HEAD}\nnowhere.wav,sad,x,made,\n")
    is_one_sentence(run("eval", "m.csv"), 1, "m.csv", "nowhere.wav")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{HEAD}\na.wav,furious,x,y,\n", ("line 2", "column label", "furious")),
        (f"{HEAD}\n", ("no rows",)),
        ("", ("line 1", "column file")),
    ],
)
def test_a_manifest_that_is_wrong_is_a_usage_error(run: Run, tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    (tmp_path / "m.csv").write_text(text)
    is_one_sentence(run("eval", "m.csv"), 2, "m.csv", *named)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("mine.csv", "--condition", "moon"), "moon"),
        (("mine.csv", "--condition", "kitchen20"), "kitchen"),
        (("mine.csv", "--engine", "hume"), "hume"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(run: Run, manifest: Path, args: tuple[str, ...], named: str) -> None:
    is_one_sentence(run("eval", *args), 2, named)


@pytest.mark.parametrize("out", ["missing/out.json", "."])
def test_a_place_that_cannot_be_written_is_said_before_the_work(
    run: Run, manifest: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.eval.hear", None)
    is_one_sentence(run("eval", manifest.name, "--json", out), 2, out, "name another file")
