"""Telephone copies of recordings: each recording is heard over several telephones, in several rooms.

All clips of one speaker in one copy share a telephone, so that a calm voice can be compared with an angry one over the
same line. What is drawn depends on the names alone: the same manifest, the same copies.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core.audio import SAMPLE_RATE
from ..evaluation.phone import HANDSETS, Condition, babble, speech_level_db, telephone
from .corpora import Clip

Sound = NDArray[np.float32]

_NOISE_S: Final = 10
_CALM_CLIPS: Final = 12
_LOUDEST_DB: Final = -8.0


def generator(*names: object) -> np.random.Generator:
    """Numbers that depend on these names only."""
    return np.random.default_rng(zlib.crc32(repr(names).encode()))


@dataclass(frozen=True, slots=True)
class Room:
    """What may be heard beside a speaker."""

    crowds: Sequence[Sound]
    places: Sequence[Sound]
    """Kitchens, and other recordings of no one."""
    music: Sequence[Sound]


def room(clips: Sequence[Clip], seed: int) -> Room:
    """Sounds from the clips themselves: babble from calm voices, and noise. The second half of a long noise recording
    is left to those who check."""
    calm = [clip for clip in clips if clip.label == "neutral" and clip.who == clip.name]
    calm = calm or [clip for clip in clips if clip.label == "neutral"]
    chance = generator("crowds", seed)
    crowds = []
    for _ in range(10):
        chosen = [calm[at] for at in chance.integers(0, len(calm), int(chance.integers(4, 9)))]
        crowds.append(babble([clip.samples() for clip in chosen], _NOISE_S, chance))
    noise = [clip for clip in clips if clip.label == "noise"]
    places = [clip.samples() for clip in noise if clip.emotion == "kitchen"]
    music = [clip.samples() for clip in noise if clip.emotion == "music"]
    return Room(crowds, [place[: len(place) // 2] for place in places], music[::2])


def usual_level_db(clips: Sequence[Clip]) -> float:
    """Level of a speaker's calm clips."""
    calm = [clip for clip in clips if clip.calm] or list(clips)
    return float(np.median([speech_level_db(clip.samples()) for clip in calm[:_CALM_CLIPS]]))


def copy(clip: Clip, number: int, usual_db: float, around: Room, seed: int) -> NDArray[np.int16]:
    """The clip as copy `number` of its speaker's telephone carries it."""
    line, own = generator("line", seed, number, clip.who), generator("clip", seed, number, clip.name)
    speed = 1.0 if line.random() < 0.4 else float(line.uniform(0.88, 1.13))
    tilt_db = float(line.normal(0, 1.5))
    wanted_db = float(line.uniform(-36, -16))
    liveliness = float(line.choice((0.0, 0.5, 1.0), p=(0.25, 0.25, 0.5)))  # what an automatic gain leaves of loudness
    handset = int(line.integers(-3, len(HANDSETS)))
    codec = str(line.choice(("mulaw", "alaw", "none"), p=(0.75, 0.2, 0.05)))
    band, snr_db = bool(line.random() < 0.8), float(line.uniform(8, 35))
    loss = 0.0 if line.random() < 0.75 else float(line.uniform(0.5, 6))
    sound = tilted(faster(clip.samples(), speed), tilt_db)
    level_db = wanted_db + liveliness * (speech_level_db(sound) - usual_db) + float(own.normal(0, 1.5))
    condition = Condition(
        codec=codec,
        band=band,
        handset=None if handset < 0 else handset,
        level_db=min(level_db, _LOUDEST_DB),
        noise=_beside(around, line),
        snr_db=snr_db,
        loss_percent=loss,
    )
    return telephone(sound, condition, own)


def _beside(around: Room, line: np.random.Generator) -> Sound | None:
    kind = line.random()
    if kind < 0.25 and around.crowds:
        return around.crowds[int(line.integers(len(around.crowds)))]
    if kind < 0.4 and around.places:
        return around.places[int(line.integers(len(around.places)))]
    if kind < 0.5 and around.music:
        return around.music[int(line.integers(len(around.music)))]
    return hiss(line) if kind < 0.75 else None


def hiss(chance: np.random.Generator) -> Sound:
    """Noise between white and pink."""
    count = _NOISE_S * SAMPLE_RATE
    spectrum = np.fft.rfft(chance.normal(size=count))
    slope = np.maximum(np.arange(len(spectrum)), 20) ** float(chance.uniform(0, 1))
    return np.asarray(np.fft.irfft(spectrum / slope, count) * 10, dtype=np.float32)


def faster(samples: Sound, speed: float) -> Sound:
    """Played faster: another voice, higher and with a shorter throat."""
    if speed == 1.0:
        return samples
    at = np.arange(int(len(samples) / speed)) * speed
    return np.asarray(np.interp(at, np.arange(len(samples)), samples).astype(np.float32))


def tilted(samples: Sound, db_per_octave: float) -> Sound:
    """Brighter or duller, as rooms and microphones make it."""
    padded = -(-(len(samples) + 256) // 4096) * 4096
    hz = np.fft.rfftfreq(padded, 1 / SAMPLE_RATE)
    gain = 10 ** (db_per_octave * np.log2(np.maximum(hz, 200) / 1000) / 20)
    return np.asarray(np.fft.irfft(np.fft.rfft(samples, padded) * gain, padded)[: len(samples)], dtype=np.float32)
