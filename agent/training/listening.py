"""A whole recording at once, through the very functions that hear a live call."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.frames import BLOCK_SAMPLES
from ..engines.local import pooling, spectrum, summary, voice
from ..engines.local.spectrum import Floats


@dataclass(frozen=True, slots=True)
class Stretches:
    """The stretches of speech that end in the blocks of a recording in which something new was said."""

    block: NDArray[np.int32]
    """In which block each ends."""
    features: Floats
    """Shape (n, len(FEATURES))."""
    speech_rows: Floats
    """Rows of 20 ms with speech in the stretch."""
    new_rows: Floats
    """The same in its last block."""
    level_db: Floats
    floor_db: Floats


def listen(samples: NDArray[np.int16]) -> Stretches:
    """Everything the engine would hear in this recording, shape (n,) at 8 kHz."""
    sums, floors = _blocks(samples)
    earlier = pooling.BLOCKS - 1
    padded = np.concatenate((np.zeros((earlier, summary.SIZE), np.float32), sums))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, pooling.BLOCKS, axis=0).transpose(0, 2, 1)
    belongs = pooling.stretch(blocks)
    held = np.matmul(belongs[:, np.newaxis], blocks[:, :, [summary.COUNT["speech"], summary.COUNT["voiced"]]])[:, 0]
    new = sums[:, summary.COUNT["speech"]]
    chosen = np.flatnonzero((new > 0) & pooling.enough(held[:, 0], held[:, 1]))
    features = pooling.pool(np.ascontiguousarray(blocks[chosen]), belongs[chosen])
    return Stretches(
        chosen.astype(np.int32),
        features,
        held[chosen, 0],
        new[chosen],
        features[:, pooling.LOUDNESS],
        floors[chosen],
    )


def _blocks(samples: NDArray[np.int16]) -> tuple[Floats, Floats]:
    """Of each block: its sums, and the floor by then."""
    count = max(1, -(-len(samples) // BLOCK_SAMPLES))
    sound = np.zeros(spectrum.KEPT + count * BLOCK_SAMPLES, dtype=np.float32)
    sound[spectrum.KEPT : spectrum.KEPT + len(samples)] = samples * np.float32(1 / 32768)
    step = spectrum.KEPT + BLOCK_SAMPLES
    spectra = spectrum.look(np.lib.stride_tricks.sliding_window_view(sound, step)[::BLOCK_SAMPLES])
    quietest = np.concatenate(
        (np.full(voice.FLOOR_BLOCKS - 1, voice.FLOOR_CEILING_DB, np.float32), voice.floors_of(spectra.level_db))
    )
    floors = np.lib.stride_tricks.sliding_window_view(quietest, voice.FLOOR_BLOCKS).min(axis=1)
    octaves, good = voice.new_octaves(1), voice.new_good(1)
    voiced, speech, pitch = [], [], []
    for at in range(count):
        heard = voice.judge(_part(spectra, at), floors[at : at + 1, np.newaxis], octaves, good)
        voiced.append(heard.voiced)
        speech.append(heard.speech)
        pitch.append(heard.octaves)
    voices = voice.Voices(np.concatenate(voiced), np.concatenate(speech), np.concatenate(pitch), floors)
    return summary.summarise(spectra, voices, None), floors


def _part(spectra: spectrum.Spectra, at: int) -> spectrum.Spectra:
    one = slice(at, at + 1)
    return spectrum.Spectra(spectra.bands[one], spectra.level_db[one], spectra.periodicity[one], spectra.hz[one])
