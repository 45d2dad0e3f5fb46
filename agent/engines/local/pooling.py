"""From the blocks of a stretch of speech to the features of a voice.

The numbers are those vocal effort and arousal show themselves in (Banse & Scherer 1996; Eyben et al., GeMAPS, 2016), as
far as a telephone lets them through: shape of the spectrum and its movement, pitch, loudness. They are few on purpose:
what is finer tells recordings of one studio from those of another better than moods (`TRIED.md`). The level of the
recording is in none of them but `loudness`, which counts little by itself, and mostly against the caller's own.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .spectrum import Floats
from .summary import CHANGES, COUNT, SPEECH, VALUES, VOICED

BLOCKS: Final = 20
"""A stretch reaches back four seconds at most."""
ENOUGH_ROWS: Final = 75
"""A stretch ends, going back, when it holds a second and a half of speech."""
LEAST_ROWS: Final = 20
LEAST_VOICED_ROWS: Final = 8
"""Less than 400 ms of speech, or 160 ms of voice in it, say nothing about it."""
_V: Final = len(VALUES)
_LEVEL, _PITCH, _UPPER = VALUES.index("level"), VALUES.index("pitch"), VALUES.index("upper")
_TRACKED: Final = (_LEVEL, _PITCH, _UPPER)

FEATURES: Final = (
    *(f"voiced.{value}" for value in VALUES if value != "level"),
    "loudness",
    *(f"voiced.sd.{value}" for value in VALUES),
    *(f"speech.{value}" for value in VALUES if value not in ("level", "pitch")),
    *(f"speech.sd.{value}" for value in VALUES if value != "pitch"),
    *(f"voiced.{change}" for change in CHANGES),
    *(f"speech.{change}" for change in CHANGES if change != "glide"),
    *("voiced_share", "onsets", "peaks", "pitch_with_level", "upper_with_level"),
    *(f"slow.{VALUES[value]}" for value in _TRACKED),
    *(f"slope.{VALUES[value]}" for value in _TRACKED),
    *("loudest", "highest", "lowest"),
)
LOUDNESS: Final = FEATURES.index("loudness")

_BLOCK_AT: Final = np.arange(BLOCKS, dtype=np.float32)
_LEAST_VARIANCE: Final = np.float32(0.01)
_SOFTEST: Final = np.float32(-100)
"""dB, where there is no voice at all."""
_FARTHEST: Final = np.float32(50)
"""Semitones, likewise."""
_FAR: Final = np.float32(30)
"""What is farther from the mean is no farther than this."""


def stretch(blocks: Floats) -> Floats:
    """Which of the blocks, shape (n, BLOCKS, SIZE), oldest first, belong to the newest stretch: 0 or 1, (n, BLOCKS)."""
    return newest(blocks[:, :, COUNT["speech"]])


def newest(speech: Floats) -> Floats:
    """The same from the blocks' rows of speech alone, shape (n, BLOCKS)."""
    newer = np.cumsum(speech[:, ::-1], axis=1)[:, ::-1] - speech
    return np.asarray(newer < ENOUGH_ROWS, dtype=np.float32)


def enough(speech_rows: Floats, voiced_rows: Floats) -> NDArray[np.bool_]:
    """Whether stretches with so many rows of speech, and of voice in it, can be judged."""
    return (speech_rows >= LEAST_ROWS) & (voiced_rows >= LEAST_VOICED_ROWS)


def pool(blocks: Floats, belongs: Floats) -> Floats:
    """The features of n stretches, shape (n, len(FEATURES)): of those of the blocks, as above, that belong to them."""
    sums = np.matmul(belongs[:, np.newaxis], blocks)[:, 0]
    voiced = np.maximum(sums[:, COUNT["voiced"]], 1)[:, np.newaxis]
    speech = np.maximum(sums[:, COUNT["speech"]], 1)[:, np.newaxis]
    of_voice, of_speech = sums[:, VOICED] / voiced, sums[:, SPEECH] / speech
    voice_sd, speech_sd = _spread(of_voice), _spread(of_speech)
    level, pitch, upper = (of_voice[:, at : at + 1] for at in _TRACKED)

    def counted(name: str) -> Floats:
        return np.asarray(sums[:, COUNT[name]][:, np.newaxis])

    with_level = voice_sd[:, _LEVEL : _LEVEL + 1]
    return np.concatenate(
        (
            of_voice[:, :_LEVEL],
            level,
            voice_sd,
            of_speech[:, :_PITCH],
            speech_sd[:, :_PITCH],
            speech_sd[:, _LEVEL : _LEVEL + 1],
            of_voice[:, 2 * _V :],
            of_speech[:, 2 * _V : -1],
            voiced / speech,
            counted("onsets") / speech,
            counted("peaks") / speech,
            (counted("pitch_level") / voiced - pitch * level) / (voice_sd[:, _PITCH : _PITCH + 1] * with_level),
            (counted("upper_level") / voiced - upper * level) / (voice_sd[:, _UPPER : _UPPER + 1] * with_level),
            *_slow(blocks, belongs, level, pitch),
        ),
        axis=1,
    )


def _spread(means: Floats) -> Floats:
    values, squares = means[:, :_V], means[:, _V : 2 * _V]
    return np.asarray(np.sqrt(np.maximum(squares - values * values, _LEAST_VARIANCE)))


def _slow(blocks: Floats, belongs: Floats, level: Floats, pitch: Floats) -> tuple[Floats, Floats, Floats]:
    """How blocks with a voice differ from each other: spread and slope of three values, and the extremes."""
    count = blocks[:, :, COUNT["voiced"]]
    has = (count >= 2) & (belongs > 0)
    weight = has.astype(np.float32)
    how_many = np.maximum(np.add.reduce(weight, axis=1), 1)[:, np.newaxis]
    means = blocks[:, :, _TRACKED] / np.maximum(count, 1)[:, :, np.newaxis]
    centre = np.add.reduce(means * weight[:, :, np.newaxis], axis=1) / how_many
    away = (means - centre[:, np.newaxis]) * weight[:, :, np.newaxis]
    spread = np.sqrt(np.add.reduce(np.square(away), axis=1) / how_many + np.float32(1e-6))
    when = (_BLOCK_AT - np.add.reduce(_BLOCK_AT * weight, axis=1, keepdims=True) / how_many) * weight
    slope = np.add.reduce(away * when[:, :, np.newaxis], axis=1) / (
        np.add.reduce(np.square(when), axis=1)[:, np.newaxis] + 1
    )

    extremes = np.empty((len(blocks), 3), dtype=np.float32)
    loudest, highest, lowest = (blocks[:, :, COUNT[name]] for name in ("loudest", "highest", "lowest"))
    np.subtract(np.maximum.reduce(np.where(has, loudest, _SOFTEST), axis=1), level[:, 0], out=extremes[:, 0])
    np.subtract(np.maximum.reduce(np.where(has, highest, -_FARTHEST), axis=1), pitch[:, 0], out=extremes[:, 1])
    np.subtract(np.minimum.reduce(np.where(has, lowest, _FARTHEST), axis=1), pitch[:, 0], out=extremes[:, 2])
    return spread, slope, np.minimum(np.maximum(extremes, -_FAR), _FAR)
