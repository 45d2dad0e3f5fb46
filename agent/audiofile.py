"""Any recording, as a telephone would have carried it: mu-law, 8 kHz, one channel.

libsndfile (https://libsndfile.github.io/libsndfile/formats.html) reads the file block by block, so a long recording
of many channels never lies in memory whole; soxr's stream resampler gives exactly what it would give in one go.
Channels are mixed, not picked. Audio that would clip is turned down as a whole: clipping sounds like anger.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from .core import mulaw
from .core.audio import SAMPLE_RATE
from .errors import AudioUnreadable

RAW_SUFFIXES = frozenset({".ul", ".ulaw", ".mulaw"})
"""Taken as they are: one byte a sample, no header."""

MAX_S = 4 * 3600
"""Longer recordings are refused, so that a wrong path cannot fill the memory."""

BLOCK_FRAMES = 65_536
RATES = range(1_000, 768_001)
"""Hertz. Outside of this the header is broken rather than unusual."""

Samples = NDArray[np.float32]

VOICES = ("emma_calm_then_angry.wav", "adam_calm_then_angry.wav", "emma_angry_words_calm_voice.wav")
"""Recordings that come with the package. The first two are calm for twelve seconds, then angry."""


def load_telephone(path: str | Path) -> bytes:
    """The file as mu-law bytes at 8 kHz. Raises AudioUnreadable, in one sentence that names the file and the cure."""
    path = Path(path)
    if not path.is_file():
        raise AudioUnreadable(f"There is no file {path.name}: check the path.")
    encoded = _load_raw(path) if path.suffix.lower() in RAW_SUFFIXES else mulaw.encode(load_linear(path))
    if not encoded:
        raise AudioUnreadable(f"{path.name} holds no audio: record it again, or choose another file.")
    return encoded


def bundled_voice(name: str = VOICES[0]) -> bytes:
    """One of the recordings that come with the package, likewise."""
    return load_telephone(Path(str(files("agent") / "demo" / "voices" / name)))


def _load_raw(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_S * SAMPLE_RATE:
            raise _too_long(path)
        return path.read_bytes()
    except OSError as error:
        raise _unopened(path, error) from error


def load_linear(path: Path) -> NDArray[np.int16]:
    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            if sound.frames > MAX_S * sound.samplerate:
                raise _too_long(path)
            if sound.samplerate not in RATES:
                raise AudioUnreadable(
                    f"{path.name} claims a sample rate of {sound.samplerate} Hz: export it again as 16-bit WAV."
                )
            return _linear(np.concatenate([np.zeros(0, np.float32), *_resampled(sound)]))
    except OSError as error:
        raise _unopened(path, error) from error
    except (soundfile.SoundFileError, TypeError, ValueError, RuntimeError) as error:
        raise AudioUnreadable(
            f"{path.name} is not audio that can be read (WAV, FLAC, OGG, MP3, or raw mu-law named .ul or .mulaw): "
            "convert it to WAV."
        ) from error


def _resampled(sound: soundfile.SoundFile) -> Iterator[Samples]:
    """The file at 8 kHz, one channel, block by block. Samples that are not numbers become silence."""
    same = sound.samplerate == SAMPLE_RATE
    resampler = None if same else soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    left = MAX_S * SAMPLE_RATE
    for block in sound.blocks(blocksize=BLOCK_FRAMES, dtype="float32", always_2d=True):
        clean = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
        mono: Samples = clean.mean(axis=1, dtype=np.float64).astype(np.float32)
        out = mono if resampler is None else resampler.resample_chunk(mono)
        left -= len(out)
        if left < 0:
            raise ValueError("the file goes on for longer than its header says")
        yield out
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _linear(audio: Samples) -> NDArray[np.int16]:
    """Floats to 16 bits. Only audio that would clip is scaled; resampling overshoots a full-scale recording a little,
    and some float recordings go far beyond 1."""
    peak = float(np.abs(audio).max(initial=0.0))
    gain = 32767.0 / peak if peak > 1.0 else 32767.0
    return np.round(audio.astype(np.float64) * gain).astype(np.int16)


def _too_long(path: Path) -> AudioUnreadable:
    return AudioUnreadable(f"{path.name} is longer than {MAX_S // 3600} hours: cut it into shorter files.")


def _unopened(path: Path, error: OSError) -> AudioUnreadable:
    return AudioUnreadable(f"{path.name} cannot be opened ({error.strerror or error}): check its permissions.")
