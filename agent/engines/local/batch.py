"""One hop of 200 ms for many calls at once. Each call's result is the same, to the last bit, whoever is beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.emotion import ANGER, LABELS
from ...core.frames import BLOCK_MS
from . import baseline, belief, pooling, spectrum, summary, voice
from .memory import Memory, Ring, after_a_hole
from .model import Model, labelled
from .spectrum import ROW_MS, ROWS, Floats

MOST: Final = 48
"""Calls in one batch: two or three milliseconds, so that the loop is never held up."""
_CLIPPED: Final = 0.95
"""Of full scale; mu-law's loudest code is 0.98."""
_STANDS_OUT_DB: Final = 25.0
_COUNTS: Final = [summary.COUNT["speech"], summary.COUNT["voiced"]]
_IN_ANGER: Final = np.array([label in ANGER for label in LABELS])


@dataclass(frozen=True, slots=True)
class Heard:
    """Of calls in whose newest block there is speech; arrays of n."""

    speech: Floats
    """Rows of speech in the newest stretch."""
    new: Floats
    """The same in its last block."""
    sounds: Floats
    """That block, shape (n, 1600)."""
    floor_db: Floats


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


def hop(model: Model, memory: Memory, rings: Sequence[Ring], sounds: Floats) -> Beliefs:
    """Hear the next block of each call, shape (n, 1600), full scale 1.0. What they remember is brought up to date."""
    power = spectrum.powers(np.concatenate((memory["sound"], sounds), axis=1))
    memory["sound"] = sounds[:, -spectrum.KEPT :]
    level_db = spectrum.levels(power)
    floors = _shifted(memory["floors"], voice.floors_of(level_db)[:, np.newaxis])
    audible_db = voice.audible_db(floors.min(axis=1)[:, np.newaxis])
    may_speak = (level_db > audible_db).any(axis=1) | memory["good"].any(axis=1)
    for chosen, hear in ((np.flatnonzero(may_speak), _hear), (np.flatnonzero(~may_speak), _rest)):
        if len(chosen):
            some = memory[chosen]
            hear(model, some, [rings[at] for at in chosen.tolist()], sounds[chosen], power[chosen])
            memory[chosen] = some
    return _beliefs(memory)


def _rest(model: Model, memory: Memory, rings: Sequence[Ring], _: Floats, power: Floats) -> None:
    """Of these calls' blocks, and of what came just before, nothing can be speech: most of the work is not needed."""
    memory["before"] = summary.last_row(spectrum.bands(power))
    _shifted(memory["octaves"], voice.new_octaves(1)[:, :ROWS])
    for name in ("tracks", "spoken", "counts"):
        _shifted(memory[name], np.zeros((1, 1 if name == "counts" else ROWS), dtype=np.float32))
    for ring in rings:
        ring.push(summary.NO_SPEECH)
    memory["belief"] = belief.faded(memory["belief"], BLOCK_MS, model.evidence)


def _hear(model: Model, memory: Memory, rings: Sequence[Ring], sounds: Floats, power: Floats) -> None:
    spectra = spectrum.spectra(power, spectrum.levels(power))
    floor_db = memory["floors"].min(axis=1)[:, np.newaxis]
    voices = voice.judge(spectra, floor_db, memory["octaves"], memory["good"])
    sums, tracks = summary.summarise(spectra, voices, memory["before"])
    _shifted(memory["tracks"], tracks)
    _shifted(memory["spoken"], voices.speech)
    for ring, each in zip(rings, sums, strict=True):
        ring.push(each)
    counts = _shifted(memory["counts"], sums[:, _COUNTS][:, :, np.newaxis])
    new = sums[:, summary.COUNT["speech"]]
    memory["speech_ms"] += (new * ROW_MS).astype(np.int64)

    belongs = pooling.newest(counts[:, 0])
    held = (counts * belongs[:, np.newaxis]).sum(axis=2)  # of whole numbers: exact in any order
    says = (new > 0) & pooling.enough(held[:, 0], held[:, 1])
    silent = np.flatnonzero(~says)
    if len(silent):
        memory["belief"][silent] = belief.faded(memory["belief"][silent], BLOCK_MS, model.evidence)
    speaking = np.flatnonzero(says)
    if len(speaking):
        some = memory[speaking]
        blocks = np.empty((len(speaking), pooling.BLOCKS, summary.SIZE), dtype=np.float32)
        for at, each in zip(speaking.tolist(), blocks, strict=True):
            rings[at].unroll(each)
        heard = Heard(held[speaking, 0], new[speaking], sounds[speaking], voices.floor_db[speaking])
        _judge(model, some, blocks, belongs[speaking], heard)
        memory[speaking] = some


def skip(model: Model, memory: Memory, ring: Ring, ms: int) -> Beliefs:
    """So much of this one call never came."""
    after_a_hole(memory)
    ring.forget()
    memory["belief"] = belief.faded(memory["belief"], ms, model.evidence)
    return _beliefs(memory)


def _beliefs(memory: Memory) -> Beliefs:
    return Beliefs(
        belief.shares(memory["belief"]), memory["scores"].copy(), memory["quality"].copy(), memory["speech_ms"].copy()
    )


def _shifted(kept: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    """What is kept, in its last dimension, with the new behind it and the oldest gone: brought up to date in place."""
    count = new.shape[-1]
    kept[..., :-count] = kept[..., count:].copy()
    kept[..., -count:] = new
    return kept


def _judge(model: Model, memory: Memory, blocks: Floats, belongs: Floats, heard: Heard) -> None:
    """What the newest stretches of these calls say, and what is believed then."""
    # Copies, because the order in which numpy adds up depends on how its arrays lie in memory.
    features = pooling.pool(blocks, belongs, memory["tracks"].copy(), memory["spoken"].copy())
    known = baseline.known(memory)
    judged = model.judge(features, memory["usual"], known)
    new_ms = heard.new * np.float32(ROW_MS)
    new_belief = belief.said(judged, known, model.evidence)
    memory["belief"] = belief.followed(memory["belief"], new_belief, new_ms, model.evidence)
    memory["scores"] = labelled(judged)
    anger = belief.shares(memory["belief"])[:, _IN_ANGER].sum(axis=1)
    baseline.learn(memory, features, new_ms / np.float32(1000), anger)
    clipped = (np.abs(heard.sounds) > _CLIPPED).mean(axis=1, dtype=np.float32)
    memory["clipped"] += np.float32(0.2) * (clipped - memory["clipped"])
    memory["quality"] = (
        np.clip((features[:, pooling.LOUDNESS] - heard.floor_db) / np.float32(_STANDS_OUT_DB), 0, 1)
        * np.clip(1 - 8 * memory["clipped"], 0, 1)
        * np.clip(np.float32(0.4) + heard.speech * np.float32(ROW_MS / 1000), 0, 1)
    )
