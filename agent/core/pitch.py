"""The pitch of voices in the telephone band, for one call or for many at once.

It is taken from the harmonics between 200 and 1800 Hz, since the network's 300 Hz high-pass removes most fundamentals:
the highest peak of a generalised autocorrelation, that of the spectrum's power to the 0.6, which keeps a strong formant
from posing as a period (Tolonen & Karjalainen, "A computationally efficient multipitch analysis model", 2000), divided
by the window's own (Boersma, "Accurate short-term analysis of the fundamental frequency", 1993).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .audio import SAMPLE_RATE, SAMPLES_PER_MS
from .frames import FRAME_SAMPLES, FRAMES_PER_BLOCK
from .matrix import Floats, times

FRAME: Final = 40 * SAMPLES_PER_MS
"""Three periods of the lowest voice."""
HALF: Final = FRAME // 2
KEPT: Final = FRAME - FRAME_SAMPLES
"""Samples of the block before that a block's first frames reach back to."""
_SHORTEST, _LONGEST = 8, SAMPLE_RATE // 70
"""Lags looked at, in samples at 8 kHz: 1000 Hz to 70 Hz. The shortest lags are there to expose barks and whistles."""
VOICE_HZ: Final = np.arange(207, 1800, 18).astype(np.float64)
"""The harmonics listened to. Bins this close keep the autocorrelation clear of itself up to the longest lag."""
COMPRESSION: Final = np.float32(0.6)
_SHORTER: Final = 0.0022
"""Preference for the shorter of two equally good periods, per sample of lag."""
_AT_ONCE: Final = 16
"""Blocks transformed together: what lies between sound and power stays in the processor's cache then."""
SILENCE: Final = np.float32(1e-10)


def transforms(hz: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Folded frame to the cosine and the sine parts of these frequencies, tapered: so few that a matrix beats an FFT.

    Seen from its middle, a frame's even half holds the cosines and its odd half the sines: half the work for each.
    """
    turns = 2 * np.pi * np.outer((np.arange(HALF) + 0.5 - HALF) / SAMPLE_RATE, hz)
    window = np.hanning(FRAME)
    taper = (window[:HALF] * 2 / window.sum())[:, np.newaxis]
    return (np.cos(turns) * taper).astype(np.float32), (np.sin(turns) * taper).astype(np.float32)


def _likeness() -> Floats:
    """Compressed power in the bins to autocorrelation at lag 0 and at each lag of a voice, the taper undone."""
    spectrum = np.abs(np.fft.rfft(np.hanning(FRAME), 4 * FRAME)) ** 2
    taper = np.fft.irfft(spectrum ** float(COMPRESSION))
    lags = np.concatenate(([0], np.arange(_SHORTEST - 1, _LONGEST + 2)))
    weights = taper[0] / taper[lags] * (1 - _SHORTER * lags)
    cosines: NDArray[np.float64] = np.cos(2 * np.pi * np.outer(VOICE_HZ, lags) / SAMPLE_RATE)
    weighted: Floats = (cosines * weights).astype(np.float32)
    return weighted


_COSINES, _SINES = transforms(VOICE_HZ)
LIKENESS: Final = _likeness()


@dataclass(frozen=True, slots=True)
class Pitch:
    """Voice in the frames of a block; each array has shape (20,)."""

    level_db: Floats
    """Level between 200 and 1800 Hz, dB below full scale."""
    periodicity: Floats
    """Height of the autocorrelation's best peak, 0 to about 1."""
    hz: Floats
    """Frequency of that peak, whether or not it is a voice."""


def powers(sounds: Floats) -> Floats:
    """Power in the bins of the frames of n blocks, shape (n * 20, bins). `sounds`, shape (n, KEPT + 1600), are the
    blocks, each with the end of the block before it."""
    return framed_powers(sounds, FRAME_SAMPLES, _COSINES, _SINES).reshape(-1, len(VOICE_HZ))


def framed_powers(sounds: Floats, step: int, cosines: Floats, sines: Floats) -> Floats:
    """Power at the frequencies of these transforms, shape (n, frames, frequencies), in the frames that begin every
    `step` samples of n sounds."""
    count, length = sounds.shape
    frames, bins = (length - FRAME) // step + 1, cosines.shape[1]
    power = np.empty((count, frames, bins), dtype=np.float32)
    folded = np.empty((min(count, _AT_ONCE), frames, HALF), dtype=np.float32)
    odd = np.empty((len(folded), frames, bins), dtype=np.float32)
    for at in range(0, count, _AT_ONCE):
        some = power[at : at + _AT_ONCE]
        fold, other = folded[: len(some)], odd[: len(some)]
        first, last = _halves(sounds[at : at + _AT_ONCE], frames, step)
        np.matmul(np.add(first, last, out=fold), cosines, out=some)
        np.matmul(np.subtract(first, last, out=fold), sines, out=other)
        np.square(some, out=some)
        some += np.square(other, out=other)
        some += SILENCE
    return power


def _halves(sounds: Floats, frames: int, step: int) -> tuple[Floats, Floats]:
    """The first half of every frame, seen forwards, and its last half, seen backwards: shape (n, frames, HALF) each.

    The sounds are turned round once, which is faster than to read every frame backwards.
    """
    forwards, backwards = np.ascontiguousarray(sounds), np.ascontiguousarray(sounds[:, ::-1])
    count, length = sounds.shape
    shape, size = (count, frames, HALF), sounds.itemsize
    first = np.ndarray(shape, np.float32, forwards, 0, (length * size, step * size, size))
    last = np.ndarray(shape, np.float32, backwards, (length - FRAME) * size, (length * size, -step * size, size))
    return first, last


def levels(power: Floats) -> Floats:
    """Of frames, shape (n,), dB below full scale."""
    total: Floats = np.add.reduce(power, axis=1)
    np.log10(total, out=total)
    total *= 10
    return total


def periods(power: Floats) -> tuple[Floats, Floats]:
    """Of any frames, whose power is overwritten: periodicity and frequency, shape (n,) each."""
    return best_periods(times(np.power(power, COMPRESSION, out=power), LIKENESS, FRAMES_PER_BLOCK))


def best_periods(likeness: Floats) -> tuple[Floats, Floats]:
    """Of frames' autocorrelations, as `LIKENESS` gives them: height and frequency of the best peak, shape (n,) each."""
    flat, width = likeness.reshape(-1), likeness.shape[1]
    at = likeness[:, 2:-1].argmax(axis=1)
    lag = at + _SHORTEST
    at += np.arange(1, flat.size, width)
    before, top, after = flat.take(at), flat.take(at + 1), flat.take(at + 2)
    bend = np.minimum(before - 2 * top + after, -SILENCE)
    shift = np.minimum(np.maximum(0.5 * (before - after) / bend, -0.5), 0.5)
    return top / likeness[:, 0], SAMPLE_RATE / (lag + shift).astype(np.float32)


class PitchTracker:
    """One call's blocks of 1600 samples in, pitch per 10 ms out. Frames end where their 10 ms end: nothing is looked
    ahead."""

    def __init__(self) -> None:
        self._end = np.zeros(KEPT, dtype=np.float32)

    def forget(self) -> None:
        """After a hole longer than a frame."""
        self._end[:] = 0

    @property
    def before(self) -> Floats:
        """The end of the block before the next one, shape (KEPT,)."""
        return self._end

    def passed(self, samples: Floats) -> None:
        """This block is done with."""
        self._end[:] = samples[-KEPT:]

    def track(self, samples: Floats) -> Pitch:
        sound = np.concatenate((self._end, samples))
        self.passed(samples)
        power = powers(sound[np.newaxis])
        sound.fill(0)
        return Pitch(levels(power), *periods(power))
