"""One hop of 200 ms for many calls at once. Each call's result is the same, to the last bit, whoever is beside it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ...core.emotion import ANGER, LABELS
from ...core.frames import BLOCK_MS
from . import baseline, belief, pooling, spectrum, summary, voice
from .memory import Memory, after_a_hole
from .model import Model, labelled
from .spectrum import ROW_MS, ROWS, Floats

MOST: Final = 32
"""Calls in one batch: two or three milliseconds, so that the loop is never held up."""
_CLIPPED: Final = 0.95
"""Of full scale; mu-law's loudest code is 0.98."""
_STANDS_OUT_DB: Final = 25.0
_COUNTS: Final = [summary.COUNT["speech"], summary.COUNT["voiced"]]
_IN_ANGER: Final = np.array([label in ANGER for label in LABELS])


@dataclass(frozen=True, slots=True)
class Beliefs:
    """After a hop, of n calls."""

    shares: Floats
    """Accumulated belief, probabilities over LABELS, shape (n, 6)."""
    scores: Floats
    """What the last stretch says by itself, likewise."""
    quality: Floats
    speech_ms: Floats
    """Heard in the call so far."""


def hop(model: Model, memory: Memory, sounds: Floats) -> Beliefs:
    """Hear the next block of each call, shape (n, 1600), full scale 1.0. What they remember is brought up to date."""
    spectra = spectrum.look(np.concatenate((memory["sound"], sounds), axis=1))
    memory["sound"] = sounds[:, -spectrum.KEPT :]
    floors = memory["floors"]
    floors[:, :-1] = floors[:, 1:].copy()
    floors[:, -1] = voice.floors_of(spectra)
    octaves, good, before = memory["octaves"], memory["good"], memory["before"]
    voices = voice.judge(spectra, floors.min(axis=1)[:, np.newaxis], octaves, good)
    sums, tracks = summary.summarise(spectra, voices, before)
    _remember(memory, sums, tracks, voices)
    new = sums[:, summary.COUNT["speech"]]
    memory["speech_ms"] += (new * ROW_MS).astype(np.int64)

    counts = memory["blocks"][:, :, _COUNTS].copy()
    belongs = pooling.stretch(memory["blocks"])
    held = (counts * belongs[:, :, np.newaxis]).sum(axis=1)  # of whole numbers: exact in any order
    says = (new > 0) & pooling.enough(held[:, 0], held[:, 1])
    silent = np.flatnonzero(~says)
    if len(silent):
        memory["belief"][silent] = belief.faded(memory["belief"][silent], BLOCK_MS, model.evidence)
    speaking = np.flatnonzero(says)
    if len(speaking):
        some = memory[speaking]
        _judge(
            model,
            some,
            belongs[speaking],
            held[speaking, 0],
            new[speaking],
            sounds[speaking],
            voices.floor_db[speaking],
        )
        memory[speaking] = some
    return _beliefs(memory)


def skip(model: Model, memory: Memory, ms: int) -> Beliefs:
    """So much of these calls never came."""
    after_a_hole(memory)
    memory["belief"] = belief.faded(memory["belief"], ms, model.evidence)
    return _beliefs(memory)


def _beliefs(memory: Memory) -> Beliefs:
    return Beliefs(
        belief.shares(memory["belief"]), memory["scores"].copy(), memory["quality"].copy(), memory["speech_ms"].copy()
    )


def _remember(memory: Memory, sums: Floats, tracks: Floats, voices: voice.Voices) -> None:
    for name, new in (("tracks", tracks), ("spoken", voices.speech)):
        kept = memory[name]
        kept[..., :-ROWS] = kept[..., ROWS:].copy()
        kept[..., -ROWS:] = new
    blocks = memory["blocks"]
    blocks[:, :-1] = blocks[:, 1:].copy()
    blocks[:, -1] = sums


def _judge(
    model: Model, memory: Memory, belongs: Floats, speech: Floats, new: Floats, sounds: Floats, floor_db: Floats
) -> None:
    """What the newest stretches of these calls say, and what is believed then."""
    # Copies, because the order in which numpy adds up depends on how its arrays lie in memory.
    blocks, tracks, spoken = (memory[name].copy() for name in ("blocks", "tracks", "spoken"))
    features = pooling.pool(blocks, belongs, tracks, spoken)
    known = baseline.known(memory)
    judged = model.judge(features, memory["usual"], known)
    new_ms = new * np.float32(ROW_MS)
    new_belief = belief.said(judged, known, model.evidence)
    memory["belief"] = belief.followed(memory["belief"], new_belief, new_ms, model.evidence)
    memory["scores"] = labelled(judged)
    anger = belief.shares(memory["belief"])[:, _IN_ANGER].sum(axis=1)
    baseline.learn(memory, features, new_ms / np.float32(1000), anger)
    clipped = (np.abs(sounds) > _CLIPPED).mean(axis=1, dtype=np.float32)
    memory["clipped"] += np.float32(0.2) * (clipped - memory["clipped"])
    memory["quality"] = (
        np.clip((features[:, pooling.LOUDNESS] - floor_db) / np.float32(_STANDS_OUT_DB), 0, 1)
        * np.clip(1 - 8 * memory["clipped"], 0, 1)
        * np.clip(np.float32(0.4) + speech * np.float32(ROW_MS / 1000), 0, 1)
    )
