"""How a recording sounds after a telephone has carried it.

Handset and network shape the spectrum, somebody speaks closer to the microphone or further from it, others speak or
cook beside them, the codec keeps eight bits of every sample, and now and then the network loses some frames. All of it
is decided by a `Condition` and a generator: the same two, the same sound.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core import mulaw
from ..core.audio import SAMPLE_RATE, SAMPLES_PER_MS

Sound = NDArray[np.float32]
"""Samples, shape (n,), 8 kHz, full scale 1.0."""

_FRAME: Final = 20 * SAMPLES_PER_MS
_BURST_FRAMES: Final = 3.0
"""Mean length of a burst of loss: networks lose several frames at once."""
_SPOKEN_DB: Final = 25.0
"""Frames this far below the loudest are pauses."""
_BAND_HZ: Final = (300.0, 3400.0)
_EDGE_HZ: Final = 60.0
"""Half the width of the slopes at the band's edges."""
_BABBLE_DB: Final = -26.0

_AT_HZ: Final = (0, 150, 300, 500, 800, 1200, 1800, 2400, 3000, 3400, 4000)
HANDSETS: Final = (  # dB at these frequencies
    (-30, -14, -6, -3, -1, 0, 2, 4, 3, 0, -20),  # a desk telephone: rises towards its upper end
    (-30, -20, -10, -5, -2, 0, 1, 2, 0, -4, -25),  # a thin handset
    (-6, 0, 2, 2, 1, 0, -1, -2, -4, -7, -12),  # a headset close to the mouth
    (-12, -4, 0, 0, 0, 0, 0, -1, -2, -4, -10),  # a mobile telephone
    (-20, -10, -3, 2, 3, 0, -4, -2, -5, -9, -18),  # hands free: boxy
    (-25, -12, -4, -2, 0, 3, 5, 2, -4, -10, -25),  # an old carbon microphone
    (-10, -6, -3, -1, 0, 0, 1, 3, 5, 6, 0),  # a bright electret
    (-15, -8, -2, 1, 0, -2, -3, -6, -10, -14, -25),  # a muffled one
)


@dataclass(frozen=True, slots=True)
class Condition:
    """How a recording travels through the telephone."""

    codec: str = "mulaw"
    """`mulaw`, `alaw` (ITU-T G.711) or `none`."""
    band: bool = True
    """The network lets 300 to 3400 Hz through."""
    handset: int | None = None
    """Index into `HANDSETS`; None is flat."""
    level_db: float | None = None
    """Level of the speech, dB below full scale; None leaves it as recorded."""
    noise: NDArray[np.float32] | None = None
    """What else the microphone hears: repeated, or cut, to the recording's length."""
    snr_db: float = 20.0
    """Speech above that noise, both as they arrive (without pauses)."""
    loss_percent: float = 0.0
    """Share of 20 ms frames that never arrive; our decoder hears silence instead."""


def telephone(samples: NDArray[np.float32], condition: Condition, rng: np.random.Generator) -> NDArray[np.int16]:
    """The recording (shape (n,), 8 kHz, full scale 1.0) as our decoder would give it: 8 kHz, mono, 16 bits.

    Samples that are not numbers become silence. Raises ValueError for a codec or handset that does not exist.
    """
    clean = _carried(np.nan_to_num(np.asarray(samples, dtype=np.float32), posinf=1.0, neginf=-1.0), condition)
    if condition.level_db is not None:
        clean = clean * np.float32(10 ** ((condition.level_db - speech_level_db(clean)) / 20))
    if condition.noise is not None and condition.noise.size and clean.size:
        beside = _carried(_of_length(condition.noise, len(clean), rng), condition)
        gain_db = speech_level_db(clean) - condition.snr_db - _mean_db(beside)
        clean = clean + beside * np.float32(10 ** (gain_db / 20))
    linear = np.clip(np.rint(clean * 32768), -32768, 32767).astype(np.int16)
    return _with_loss(_coded(linear, condition.codec), condition.loss_percent, rng)


def babble(voices: Sequence[NDArray[np.float32]], seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Several people talking at once: each voice repeated from a random place, all equally loud."""
    if not voices:
        raise ValueError("babble needs at least one voice")
    length = round(seconds * SAMPLE_RATE)
    mixed = np.zeros(length, dtype=np.float32)
    for voice in voices:
        gain = 10 ** ((_BABBLE_DB - speech_level_db(voice)) / 20) / math.sqrt(len(voices))
        mixed += _of_length(voice, length, rng) * np.float32(gain)
    return mixed


def speech_level_db(samples: NDArray[np.float32]) -> float:
    """Mean level of what is not a pause, dB below full scale; -100 for silence."""
    count = len(samples) // _FRAME
    if not count:
        return _mean_db(samples)
    power = np.mean(np.square(samples[: count * _FRAME].reshape(count, _FRAME), dtype=np.float64), axis=1)
    spoken = power[power >= np.quantile(power, 0.95) * 10 ** (-_SPOKEN_DB / 10)]
    return 10 * math.log10(max(1e-10, float(spoken.mean())))


def _mean_db(samples: NDArray[np.float32]) -> float:
    return 10 * math.log10(max(1e-10, float(np.mean(np.square(samples, dtype=np.float64))))) if len(samples) else -100.0


def _of_length(sound: NDArray[np.float32], length: int, rng: np.random.Generator) -> Sound:
    """From a random place, repeated as often as need be."""
    start = int(rng.integers(len(sound)))
    return np.resize(np.roll(np.nan_to_num(sound), -start), length).astype(np.float32)


def _carried(samples: Sound, condition: Condition) -> Sound:
    """Through handset and band, without delay."""
    if condition.handset is None and not condition.band:
        return samples
    padded = -(-(len(samples) + 1024) // 4096) * 4096  # what rings on does not come round to the beginning
    hz = np.fft.rfftfreq(padded, 1 / SAMPLE_RATE)
    response = np.ones(len(hz))
    if condition.handset is not None:
        if not 0 <= condition.handset < len(HANDSETS):
            raise ValueError(f"there are handsets 0 to {len(HANDSETS) - 1}, and no {condition.handset}")
        response *= 10 ** (np.interp(hz, _AT_HZ, HANDSETS[condition.handset]) / 20)
    if condition.band:
        low, high = _BAND_HZ
        response *= np.clip((hz - low) / (2 * _EDGE_HZ) + 0.5, 1e-3, 1) * np.clip(
            (high - hz) / (2 * _EDGE_HZ) + 0.5, 1e-3, 1
        )
    shaped = np.fft.irfft(np.fft.rfft(samples, padded) * response, padded)[: len(samples)]
    return shaped.astype(np.float32)


def _alaw_levels() -> NDArray[np.int16]:
    """Every value an A-law decoder can give, in order (ITU-T G.711, table 1)."""
    positive = [8 + 16 * step for step in range(32)]
    for segment in range(2, 8):
        positive += [(16 * step + 264) << (segment - 1) for step in range(16)]
    return np.array([-level for level in reversed(positive)] + positive, dtype=np.int16)


_ALAW_LEVELS: Final = _alaw_levels()
_ALAW_EDGES: Final = (_ALAW_LEVELS[:-1].astype(np.int32) + _ALAW_LEVELS[1:]) // 2


def _coded(linear: NDArray[np.int16], codec: str) -> NDArray[np.int16]:
    match codec:
        case "none":
            return linear
        case "mulaw":
            return mulaw.decode(mulaw.encode(linear))
        case "alaw":
            return _ALAW_LEVELS[np.searchsorted(_ALAW_EDGES, linear)]
    raise ValueError(f"the codec must be mulaw, alaw or none, not {codec!r}")


def _with_loss(heard: NDArray[np.int16], percent: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Bursts of lost frames (Gilbert's model: a good and a bad state, each left with its own chance)."""
    if percent <= 0:
        return heard
    share = min(percent, 90.0) / 100
    to_good = 1 / _BURST_FRAMES
    to_bad = to_good * share / (1 - share)
    heard, bad = heard.copy(), False
    chances = rng.random(len(heard) // _FRAME + 1)
    for frame, chance in enumerate(chances):
        bad = chance >= to_good if bad else chance < to_bad
        if bad:
            heard[frame * _FRAME : (frame + 1) * _FRAME] = 0
    return heard
