"""`callmood tune`: from one's own recordings to two lines of settings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Run

VOICES = Path(__file__).parents[2] / "agent/demo/voices"
HEAD = "file,label,speaker,corpus,angry_from_ms"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings whose anger the present settings would miss: they ask for more than any voice can give."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/manifest.csv").write_text(
        f"{HEAD}\n"
        f"{VOICES}/emma_calm_then_angry.wav,angry,emma,made,13000\n"
        f"{VOICES}/adam_calm_then_angry.wav,angry,adam,made,12600\n"
        f"{VOICES}/emma_angry_words_calm_voice.wav,neutral,emma,made,\n"
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config/callmood.toml").write_text("act_at = 0.999   # nobody is that sure\nmin_samples = 3\n")
    return tmp_path


def settings(folder: Path) -> dict[str, object]:
    return tomllib.loads((folder / "config/callmood.toml").read_text())


def test_better_thresholds_are_printed_with_before_and_after_and_nothing_is_written(run: Run, folder: Path) -> None:
    before = (folder / "config/callmood.toml").read_text()
    done = run("tune", "mine")
    assert (done.code, done.err) == (0, "")
    assert "0 of 2" in done.out, "now"
    assert "2 of 2" in done.out, "tuned"
    assert "95 % certainty" in done.out
    assert "act_at = 0." in done.out
    assert (folder / "config/callmood.toml").read_text() == before


def test_write_sets_them_and_a_second_time_leaves_them_alone(run: Run, folder: Path) -> None:
    done = run("tune", "mine/manifest.csv", "--write")
    assert done.code == 0, done.err
    written = settings(folder)
    assert 0.5 <= float(str(written["act_at"])) < 0.999
    assert written["min_samples"] == 3
    assert "# nobody is that sure" in (folder / "config/callmood.toml").read_text()
    again = run("tune", "mine", "--write")
    assert again.code == 0, again.err
    assert "Leave the settings as they are" in again.out
    assert settings(folder) == written


def test_write_makes_the_file_where_there_is_none_and_says_where_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent.cli.tune import written
    from agent.errors import CallmoodError
    from agent.evaluation.tuning import Point

    path = tmp_path / "config/callmood.toml"
    written(path, Point(0.6, 0.8))
    assert str(path) in capsys.readouterr().out
    assert settings(tmp_path) == {"gate": 0.6, "act_at": 0.8}
    with pytest.raises(CallmoodError, match="by hand"):
        written(path / "under" / "a-file.toml", Point(0.6, 0.8))


def test_a_bad_recording_is_said_and_the_others_are_tuned_on(run: Run, folder: Path) -> None:
    manifest = folder / "mine/manifest.csv"
    manifest.write_text(manifest.read_text() + "nowhere.wav,neutral,x,made,\n")
    done = run("tune", "mine")
    assert done.code == 1
    assert "nowhere.wav" in done.sentence
    assert "2 of 2" in done.out


def test_only_anger_and_nothing_to_read_are_said(run: Run, folder: Path) -> None:
    manifest = folder / "mine/manifest.csv"
    manifest.write_text(f"{HEAD}\nx.wav,angry,x,made,\n")
    done = run("tune", "mine")
    assert done.code == 2
    assert "add calm ones" in done.sentence
    manifest.write_text(f"{HEAD}\nx.wav,neutral,x,made,\n")
    done = run("tune", "mine")
    assert done.code == 1
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("nowhere",), "nowhere"),
        (("mine", "--false-alarms", "0"), "--false-alarms"),
        (("mine", "--condition", "moon"), "moon"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(run: Run, folder: Path, args: tuple[str, ...], named: str) -> None:
    done = run("tune", *args)
    assert done.code == 2
    assert named in done.sentence
