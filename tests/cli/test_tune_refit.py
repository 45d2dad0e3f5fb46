"""`callmood tune --refit`: a model of one's own, beside the packaged one and never in its place."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from agent.engines.local.model import SHIPPED, load, save
from agent.evaluation.refitting import refitted

if TYPE_CHECKING:
    from conftest import Run

VOICES = Path(__file__).parents[2] / "agent/demo/voices"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pieces of the bundled voices, as if of six speakers, and a model that takes them all for sad or frightened."""
    lines = ["file,label,speaker,corpus"]
    for name in ("emma", "adam"):
        audio, rate = soundfile.read(VOICES / f"{name}_calm_then_angry.wav")
        for at in range(3):
            for label, start in (("neutral", 1 + 3.5 * at), ("angry", 13.0 + 1.5 * at)):
                piece = audio[round(rate * start) : round(rate * (start + 3.5))]
                soundfile.write(tmp_path / f"{name}{at}{label}.wav", piece, rate)
                lines.append(f"{name}{at}{label}.wav,{label},{name}{at},mine")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    save(
        refitted(
            load(SHIPPED),
            {"neutral": 0.0, "sad": 4.0, "fearful": 4.0, **dict.fromkeys(("happy", "angry", "frustrated"), 0.0)},
        ),
        tmp_path / "bad.npz",
        {},
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config/callmood.toml").write_text('local_model = "bad.npz"\n')
    return tmp_path


def test_a_refitted_model_is_written_with_checksum_card_and_verdict_and_can_be_used(run: Run, folder: Path) -> None:
    shipped = SHIPPED.read_bytes()
    done = run("tune", ".", "--refit", "--out", "mine.npz", "--false-alarms", "20", "--workers", "1")
    assert (done.code, done.err) == (0, "")
    assert "on speakers left out" in done.out
    assert "95 %: " in done.out
    assert ("Do not use it" in done.out) != ('local_model = "mine.npz"' in done.out)
    made = load(folder / "mine.npz")
    assert made.checksum in done.out
    card = (folder / "mine_CARD.md").read_text()
    assert made.checksum in card
    assert load(folder / "bad.npz").checksum in card
    assert "| mine | angry | 6 |" in card
    sad = 2
    change = made.networks[0][-1][1] - load(folder / "bad.npz").networks[0][-1][1]
    assert np.argmin(change[:6]) in (sad, sad + 1), "what it said too readily"
    assert SHIPPED.read_bytes() == shipped
    (folder / "config/callmood.toml").write_text('local_model = "mine.npz"\n')
    used = run("doctor")
    assert f"mine.npz, is what it should be: {made.checksum}" in used.out
    assert run("analyze", str(VOICES / "emma_calm_then_angry.wav")).code == 0


def test_a_model_of_ones_own_that_is_damaged_is_said_and_how_to_mend_it(run: Run, folder: Path) -> None:
    with (folder / "bad.npz").open("ab") as model:
        model.write(b"x")
    done = run("doctor")
    assert done.code == 1
    assert "bad.npz is not usable" in done.out
    assert "config/callmood.toml" in done.out
    assert run("analyze", str(VOICES / "emma_calm_then_angry.wav")).code == 2


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--out", "packaged.npz"), "name another file"),
        (("--out", "bad.npz"), "name another file"),
        (("--out", "nowhere/mine.npz"), "--out"),
        (("--out", "mine.txt"), "--out"),
        (("--write",), "--write"),
    ],
)
def test_what_would_overwrite_or_confuse_is_a_usage_error(
    run_here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], named: str
) -> None:
    """The packaged model is played by a copy: where this fails, the real one must not be what is lost."""
    packaged = folder / "packaged.npz"
    packaged.write_bytes(SHIPPED.read_bytes())
    monkeypatch.setattr("agent.engines.local.model.SHIPPED", packaged)
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (packaged, folder / "bad.npz")}
    done = run_here("tune", ".", "--refit", *args)
    assert done.code == 2
    assert named in done.sentence
    assert before == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in before}


def test_two_speakers_are_too_few_and_nothing_is_written(run_here: Run, folder: Path) -> None:
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(manifest.read_text().splitlines()[:5]) + "\n")
    done = run_here("tune", ".", "--refit")
    assert done.code == 2
    assert "three speakers" in done.sentence
    assert not (folder / "refitted.npz").exists()
