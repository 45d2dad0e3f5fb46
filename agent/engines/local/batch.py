"""One hop of 200 ms for many calls at once. Each call's result is the same, to the last bit, whoever is beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.frames import BLOCK_MS
from . import baseline, belief, pooling, spectrum, summary, voice
from .memory import CALLER, LINE, Bytes, Memory, Ring, after_a_hole, put_back, together
from .model import Model, labelled
from .spectrum import ROW_MS, ROWS, Floats

MOST: Final = 64
"""Calls in one batch: three milliseconds or so, so that the loop is never held up."""
_CLIPPED: Final = np.float32(0.95)
"""Of full scale; mu-law's loudest code is 0.98."""
_STANDS_OUT_DB: Final = 25.0
_NONE, _ALL = np.float32(0), np.float32(1)
_COUNTS: Final = [summary.COUNT["speech"], summary.COUNT["voiced"]]

Places = NDArray[np.intp]
"""Which calls of a batch, in order."""


class Call(NamedTuple):
    """What is remembered of one call: parts of its record, to be read and written in place."""

    sound: Floats
    """The end of the last block, shape (KEPT,)."""
    line: Bytes
    caller: Bytes
    ring: Ring


@dataclass(frozen=True, slots=True)
class Heard:
    """Of calls whose newest stretch of speech can be judged; arrays of n."""

    at: Places
    belongs: Floats
    """Which blocks of their rings are in the stretch, shape (n, BLOCKS): 0 or 1."""
    speech: Floats
    """Rows of speech in the stretch."""
    new: Floats
    """The same in its last block."""
    floor_db: Floats


@dataclass(frozen=True, slots=True)
class Beliefs:
    """After a hop, of n calls."""

    shares: Floats
    """Accumulated belief, probabilities over LABELS, shape (n, 6)."""
    scores: Floats
    """What the last stretch says by itself, likewise."""
    quality: Floats
    speech_ms: NDArray[np.int64]
    """Heard in the call so far."""


def hop(model: Model, calls: Sequence[Call], blocks: Sequence[Floats]) -> Beliefs:
    """Hear the next block of each call, shape (1600,), full scale 1.0. What they remember is brought up to date."""
    pieces = [piece for call, block in zip(calls, blocks, strict=True) for piece in (call.sound, block)]
    sounds = np.concatenate(pieces).reshape(len(calls), -1)
    lines = [call.line for call in calls]
    memory = together(lines, LINE)
    power = spectrum.powers(sounds)
    memory["sound"] = sounds[:, -spectrum.KEPT :]
    level_db = spectrum.levels(power)
    floor_db = np.minimum.reduce(_shifted(memory["floors"], voice.floors_of(level_db)[:, np.newaxis]), axis=1)
    may_speak = np.logical_or.reduce(level_db > voice.audible_db(floor_db)[:, np.newaxis], axis=1)
    may_speak |= np.logical_or.reduce(memory["good"], axis=1)
    resting = (~may_speak).nonzero()[0]
    if len(resting):
        _rest(memory, resting, calls, power)
    before = memory["belief"].copy()
    memory["belief"] = belief.faded(before, BLOCK_MS, model.evidence)  # of those who speak it is overwritten below
    heard = None
    if len(resting) < len(calls):
        heard = _hear(memory, may_speak.nonzero()[0], calls, power, level_db, floor_db)
    if heard is None or not len(heard.at):
        beliefs = _beliefs(memory)
    else:
        speaking = [calls[each] for each in heard.at.tolist()]
        kept = [call.caller for call in speaking]
        callers = together(kept, CALLER)
        features = _judge(model, memory, heard, callers, [call.ring for call in speaking], before)
        _tell_quality(memory, heard, features[:, pooling.LOUDNESS], _clipped(sounds[:, spectrum.KEPT :], heard.at))
        beliefs = _beliefs(memory)
        new_s = heard.new * np.float32(ROW_MS) / np.float32(1000)
        baseline.learn(callers, features, new_s, belief.anger_of(beliefs.shares[heard.at]))
        put_back(kept, callers)
    put_back(lines, memory)
    return beliefs


def _rest(memory: Memory, at: Places, calls: Sequence[Call], power: Floats) -> None:
    """Of these calls' blocks, and of what came just before, nothing can be speech: most of the work is not needed."""
    some = memory[at]
    some["before"] = summary.last_row(spectrum.bands(power[at]))
    _shifted(some["octaves"], voice.new_octaves(1)[:, :ROWS])
    _shifted(some["counts"], np.zeros((1, 1), dtype=np.float32))
    for each in at.tolist():
        calls[each].ring.push(summary.NO_SPEECH)
    memory[at] = some


def _hear(
    memory: Memory, at: Places, calls: Sequence[Call], power: Floats, level_db: Floats, floor_db: Floats
) -> Heard:
    """Of these calls some may speak: what they said becomes sums, and those that can be judged are returned."""
    all_of_them = len(at) == len(memory)
    some = memory if all_of_them else memory[at]
    if not all_of_them:
        power, level_db, floor_db = power.take(at, axis=0), level_db[at], floor_db[at]
    spectra = spectrum.spectra(power, level_db)
    voices = voice.judge(spectra, floor_db[:, np.newaxis], some["octaves"], some["good"])
    sums = summary.summarise(spectra, voices, some["before"])
    for each, new_sums in zip(at.tolist(), sums, strict=True):
        calls[each].ring.push(new_sums)
    counts = _shifted(some["counts"], sums[:, _COUNTS][:, :, np.newaxis])
    new = sums[:, summary.COUNT["speech"]]
    some["speech_ms"] += (new * ROW_MS).astype(np.int64)
    belongs = pooling.newest(counts[:, 0])
    held = np.add.reduce(counts * belongs[:, np.newaxis], axis=2)  # of whole numbers: exact in any order
    speaking = ((new > 0) & pooling.enough(held[:, 0], held[:, 1])).nonzero()[0]
    if not all_of_them:
        memory[at] = some
    return Heard(at[speaking], belongs[speaking], held[speaking, 0], new[speaking], floor_db[speaking])


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
    kept[..., :-count] = kept[..., count:]
    kept[..., -count:] = new
    return kept


def _judge(
    model: Model, memory: Memory, heard: Heard, callers: Memory, rings: Sequence[Ring], before: Floats
) -> Floats:
    """What the newest stretches of these calls say, and what is believed then, after what was believed before: their
    features."""
    blocks = np.empty((len(rings), pooling.BLOCKS, summary.SIZE), dtype=np.float32)
    for ring, out in zip(rings, blocks, strict=True):
        ring.unroll(out)
    features = pooling.pool(blocks, heard.belongs)
    known = baseline.known(callers)
    shares = labelled(model.judge(features, callers["usual"], known))
    says = belief.said_of(shares, known, model.evidence)
    memory["belief"][heard.at] = belief.followed(before[heard.at], says, heard.new * np.float32(ROW_MS), model.evidence)
    memory["scores"][heard.at] = shares
    return features


def _tell_quality(memory: Memory, heard: Heard, loudness_db: Floats, clipped: Floats) -> None:
    lately = memory["clipped"][heard.at]
    lately += np.float32(0.2) * (clipped - lately)
    memory["clipped"][heard.at] = lately
    stands_out = _share((loudness_db - heard.floor_db) / np.float32(_STANDS_OUT_DB))
    clean = _share(1 - 8 * lately)
    enough = _share(np.float32(0.4) + heard.speech * np.float32(ROW_MS / 1000))
    memory["quality"][heard.at] = stands_out * clean * enough


def _share(values: Floats) -> Floats:
    """No less than 0, no more than 1."""
    return np.asarray(np.minimum(np.maximum(values, _NONE), _ALL))


def _clipped(blocks: Floats, at: Places) -> Floats:
    """The share of samples at full scale in the blocks of these calls. Most have none, which is soon seen."""
    shares = np.zeros(len(at), dtype=np.float32)
    loud = (np.maximum.reduce(blocks, axis=1) > _CLIPPED) | (np.minimum.reduce(blocks, axis=1) < -_CLIPPED)
    for place in loud[at].nonzero()[0].tolist():
        shares[place] = np.float32(np.count_nonzero(np.abs(blocks[at[place]]) > _CLIPPED)) / np.float32(blocks.shape[1])
    return shares
