"""The recordings a model is made from: a folder with a `manifest.csv` and what it names.

Columns: `file,label,speaker,corpus`, and where known `emotion,intensity,sex,language`. A label may be empty: somebody
speaks, and it is not anger (other emotions) or nobody knows (`unlabelled_call`); `noise` is nobody speaking.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..core.audio import SAMPLE_RATE
from ..core.emotion import LABELS
from ..errors import ConfigError

CLASSES: Final = (*LABELS, "other", "noise")
"""What the model tells apart: our labels, other emotions, and sounds that are nobody."""
FOR_TESTING_ONLY: Final = frozenset({"tess"})
"""Corpora whose licence allows no derivatives."""
_MANY: Final = frozenset({"pico_wake", "pico_commands"})
"""Corpora that do not say who speaks."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording."""

    path: Path
    name: str
    """Its path in the folder: the same on every machine."""
    label: str
    speaker: str
    corpus: str
    emotion: str = ""
    intensity: str = ""

    @property
    def who(self) -> str:
        """What shares a telephone with other clips, and a calm voice to compare with."""
        return self.name if self.label == "noise" or self.corpus in _MANY or not self.speaker else self.speaker

    @property
    def calm(self) -> bool:
        return self.label == "neutral" or self.emotion == "unlabelled_call"

    def classes(self) -> NDArray[np.float32]:
        """Which of CLASSES this may be, 1 or 0. Where intensity is known, mild anger is frustration."""
        allowed = np.zeros(len(CLASSES), dtype=np.float32)
        names: tuple[str, ...] = (self.label,)
        if self.label == "angry":
            names = {"strong": ("angry",), "normal": ("frustrated",)}.get(self.intensity, ("angry", "frustrated"))
        elif self.emotion == "unlabelled_call":
            names = ("neutral", "happy", "other")
        elif not self.label:
            names = ("other",)
        allowed[[CLASSES.index(name) for name in names]] = 1
        return allowed

    def samples(self) -> NDArray[np.float32]:
        """Shape (n,), 8 kHz, full scale 1.0."""
        sound, rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        mono = sound.mean(axis=1)
        if rate != SAMPLE_RATE:
            import soxr  # type: ignore[import-untyped]  # noqa: PLC0415

            mono = soxr.resample(mono, rate, SAMPLE_RATE)
        return np.asarray(mono, dtype=np.float32)


def clips(folder: Path) -> list[Clip]:
    """What the folder's manifest names. Raises ConfigError."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise ConfigError(f"There is no {manifest}: name the folder that holds the recordings and their manifest.csv.")
    found = []
    with manifest.open(newline="", encoding="utf-8") as lines:
        for at, row in enumerate(csv.DictReader(lines), start=2):
            try:
                clip = _clip(folder, row)
            except (KeyError, TypeError):
                raise ConfigError(f"{manifest}, line {at}: it needs file, label, speaker and corpus.") from None
            if clip.label not in (*LABELS, "noise", ""):
                raise ConfigError(f"{manifest}, line {at}: label must be one of {', '.join(LABELS)}, noise, or empty.")
            if not clip.path.is_file():
                raise ConfigError(f"{manifest}, line {at}: there is no {clip.path}.")
            found.append(clip)
    if not any(clip.label in ("angry", "frustrated") for clip in found):
        raise ConfigError(f"{manifest} names no angry recording: a model cannot learn what it never hears.")
    if not any(clip.label == "neutral" for clip in found):
        raise ConfigError(f"{manifest} names no neutral recording: a model cannot learn what is ordinary.")
    return found


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    return Clip(
        folder / row["file"],
        row["file"],
        row["label"].strip(),
        row["speaker"],
        row["corpus"],
        row.get("emotion") or "",
        row.get("intensity") or "",
    )
