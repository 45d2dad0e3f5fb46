"""`callmood analyze` of what is no proper recording: said in a sentence, and never an emotion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import soundfile

from agent.audiofile import load_linear, load_telephone

if TYPE_CHECKING:
    from conftest import Run

ANGRY = Path(__file__).parents[2] / "agent/demo/voices/adam_calm_then_angry.wav"
SECONDS = np.arange(40_000) / 8000
DEAD = {
    "silence": np.zeros(40_000),
    "an offset": np.full(40_000, 0.6),
    "clipping": np.clip(40 * np.sin(2 * np.pi * 170 * SECONDS), -1, 1),
    "no numbers": np.where(np.arange(40_000) % 3, np.nan, np.inf),
    "a line that dies": np.where(SECONDS < 2, np.random.default_rng(2).normal(0, 0.2, 40_000), 0.0),
}


def lines(out: str) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in out.splitlines()]


@pytest.mark.parametrize("disguise", ["linear.ul", "header.wav"])
def test_a_misread_recording_is_said_to_be_one_and_read_as_a_poor_line(
    run_here: Run, tmp_path: Path, disguise: str
) -> None:
    """An angry voice, so that there would be something to get wrong."""
    path = tmp_path / disguise
    if disguise == "linear.ul":
        path.write_bytes(load_linear(ANGRY).astype("<i2").tobytes())
    else:
        soundfile.write(path, np.frombuffer(load_telephone(ANGRY)[: 8000 * 20], "<i2"), 8000, subtype="PCM_16")
    done = run_here("analyze", str(path), "--json")
    assert done.code == 0
    assert f"{disguise} is misread: it is " in done.sentence
    *readings, summary = lines(done.out)
    assert {reading["gated"] for reading in readings} <= {"poor_line"}
    assert (summary["peakAnger"], summary["accepted"], summary["notes"]) == (0.0, 0, 0)


@pytest.mark.parametrize("name", DEAD)
def test_a_dead_recording_is_neither_an_error_nor_an_alarm(run_here: Run, tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "dead.wav", DEAD[name], 8000, subtype="FLOAT")
    done = run_here("analyze", "dead.wav", "--json")
    assert (done.code, done.err) == (0, "")
    assert lines(done.out)[-1]["peakAnger"] == 0.0
