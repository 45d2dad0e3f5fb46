"""Real (acted) voices, which may not be part of this repository: they lie beside the checkout, or the tests skip."""

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from listening import alarms, chunks, readings, recording

DATA = Path(__file__).parents[2].parent / "shared/data"

pytestmark = pytest.mark.skipif(
    not (DATA / "manifest.csv").is_file(),
    reason=f"There are no recordings in {DATA}: real voices are not tested. Put RAVDESS there with a manifest.csv.",
)


@cache
def ravdess() -> dict[str, dict[str, list[Path]]]:
    """Speaker -> kind -> files."""
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    with (DATA / "manifest.csv").open(newline="") as manifest:
        for row in csv.DictReader(manifest):
            if row["corpus"] == "ravdess":
                kind = row["label"] if row["label"] == "neutral" else f"{row['intensity']} {row['label']}"
                found[row["speaker"]][kind].append(DATA / row["file"])
    return found


def stitched(files: list[Path]) -> np.ndarray:
    return np.concatenate([recording(file) for file in files])


@cache
def calls() -> dict[str, tuple[bool, bool]]:
    """Speaker -> whether calm speech alarmed, whether strong anger after it did."""
    heard = {}
    for speaker, kinds in ravdess().items():
        calm = stitched(kinds["neutral"])
        found = alarms(readings(chunks(np.concatenate((calm, stitched(kinds["strong angry"]))))))
        turn_ms = len(calm) // 8
        heard[speaker] = (any(a.at_ms <= turn_ms for a in found), any(a.at_ms > turn_ms for a in found))
    return heard


def test_most_speakers_raise_no_alarm_while_calm():
    alarmed = [speaker for speaker, (calm, _) in calls().items() if calm]
    assert len(alarmed) <= len(calls()) // 9


def test_strong_anger_after_calm_is_heard_for_most_speakers():
    unheard = [speaker for speaker, (_, angry) in calls().items() if not angry]
    assert len(unheard) <= len(calls()) // 9
