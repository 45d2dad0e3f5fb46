"""From stretches to a model: an ensemble fitted to all speakers, its numbers set on speakers it was not fitted to.

Five times the ensemble is fitted to four fifths of the speakers and asked about the others. On those answers the
temperature is chosen, and how much evidence is an alarm: as much as keeps false alarms within bounds in every corpus,
on every telephone, with the caller's baseline known and without.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core.emotion import ANGER
from ..engines.local import belief
from ..engines.local.memory import CALIBRATION_MS
from ..engines.local.model import CLASSES, Evidence, Model, labelled
from ..engines.local.networks import log_softmax
from ..engines.local.pooling import FEATURES
from ..engines.local.spectrum import ROW_MS, Floats
from ..engines.local.summary import CEPSTRA
from .corpora import Clip
from .dataset import Deck, Ints, Usual
from .extraction import Heard
from .network import Recipe, fit

FOLDS: Final = 5
_FINER: Final = {
    f"{kind}{order}" for kind, first in (("cepstrum", 5), ("change", 1)) for order in range(first, CEPSTRA + 1)
}
_FINE: Final = tuple(at for at, name in enumerate(FEATURES) if name.rpartition(".")[2] in _FINER)
"""Features that tell studios apart as well as moods: the finer shape of the spectrum, and how it moves."""
_FINE_INPUTS: Final = (*_FINE, *(len(FEATURES) + at for at in _FINE))
WIDE: Final = Recipe((64, 32), (0.1, 0.3, 0.3), steps=3000)
SMALL: Final = Recipe((64,), (0.2, 0.4), steps=1500, intercepts=True, blind=_FINE_INPUTS)
LINEAR: Final = Recipe((), (0.1,), steps=1500, rate=1e-3, intercepts=True, blind=_FINE_INPUTS)
FINAL: Final = (WIDE, WIDE, SMALL, SMALL, LINEAR, LINEAR)
"""A kind that may learn what ordinary talk is like where it knows it, two that learn what holds anywhere. Two of each,
because when a given voice is taken for angry is a matter of the seed too, by a second or two."""

ACT_AT: Final = 0.85
_FALSE_NEUTRAL, _FALSE_ALARMS, _FALSE_CALLS = 0.02, 0.04, 0.03
_START: Final = Evidence(gain=1.5, anger_bias=0.0, stranger_bias=0.0, follows_ms=350.0, fades_ms=15_000.0)
_STEPS: Final = 3
_BASELINE: Final = 2
"""Which of CALM_CLIPS a caller is judged with who has spoken calmly before."""


def folds(clips: Sequence[Clip]) -> NDArray[np.int32]:
    """To which part each recording belongs; a speaker belongs to one part."""
    number: dict[str, int] = {}
    seen: dict[str, int] = {}
    for who, corpus in sorted({(clip.who, clip.corpus) for clip in clips}, key=lambda one: zlib.crc32(one[0].encode())):
        number[who] = seen.get(corpus, 0) % FOLDS
        seen[corpus] = seen.get(corpus, 0) + 1
    return np.array([number[clip.who] for clip in clips], dtype=np.int32)


def ensemble(
    clips: Sequence[Clip], heard: Heard, usual: Usual, chosen: Ints, recipes: Iterable[Recipe], seed: int
) -> Model:
    """Networks fitted to the chosen stretches, not yet calibrated."""
    deck = Deck(clips, heard, usual, chosen)
    networks = tuple(
        fit(deck.draw, deck.inputs, deck.intercepts, recipe, seed * 100 + at) for at, recipe in enumerate(recipes)
    )
    return Model(deck.centre, deck.spread, networks, 1.0, _START)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Log-probabilities over CLASSES of every stretch, by a model that never heard its speaker: shape (n, 8)."""

    alone: Floats
    """Nothing known about the caller."""
    after_calm: Floats
    """After some calm speech."""


def hold_out(clips: Sequence[Clip], heard: Heard, usual: Usual, seed: int, tell: Callable[[str], None]) -> HeldOut:
    part = folds(clips)[heard.clip]
    alone = np.zeros((len(part), len(CLASSES)), dtype=np.float32)
    after = np.zeros_like(alone)
    for fold in range(FOLDS):
        model = ensemble(clips, heard, usual, np.flatnonzero(part != fold), FINAL, seed + 1 + fold)
        asked = np.flatnonzero(part == fold)
        alone[asked] = answers(model, heard, usual, asked, None)
        after[asked] = answers(model, heard, usual, asked, _BASELINE)
        tell(f"asked about the speakers of part {fold + 1} of {FOLDS}")
    return HeldOut(alone, after)


def answers(model: Model, heard: Heard, usual: Usual, asked: Ints, variant: int | None) -> Floats:
    features, of = heard.features[asked], usual.of[asked]
    if variant is None:
        return model.judge(features, np.zeros_like(features), np.zeros(len(asked), dtype=np.float32))
    return model.judge(features, usual.features[of, variant], usual.known[of, variant])


def calibrate(clips: Sequence[Clip], heard: Heard, held: HeldOut, often: NDArray[np.float64]) -> tuple[float, Evidence]:
    """The temperature at which held-out answers mean what they say, and the evidence that is an alarm."""
    allowed = np.stack([clip.classes() for clip in clips])[heard.clip]

    def surprise(temperature: float) -> float:
        loss = 0.0
        for logits in (held.alone, held.after_calm):
            shares = np.exp(log_softmax(logits / np.float32(temperature)))
            loss -= float((often * np.log((shares * allowed).sum(axis=1) + 1e-9)).sum())
        return loss

    temperature = min(np.arange(0.6, 2.05, 0.05).tolist(), key=surprise)
    enough = math.log(ACT_AT / (1 - ACT_AT))

    def bias(logits: Floats, settled: bool) -> float:
        answers = log_softmax(logits / np.float32(temperature))
        found = 0.0
        for _ in range(_STEPS):  # what lasts counts more, so that a bias moves peaks by more than itself
            tried = replace(_START, anger_bias=found, stranger_bias=found)
            highest = max(_threshold(clips, heard, answers, number, settled, tried) for number in range(2))
            found += (enough - highest) / _START.gain
        return found

    evidence = replace(_START, anger_bias=bias(held.after_calm, True), stranger_bias=bias(held.alone, False))
    return temperature, evidence


def _threshold(
    clips: Sequence[Clip], heard: Heard, answers: Floats, over: int, settled: bool, tried: Evidence
) -> float:
    """Log-odds that keep every bound: `over` 0 the plain telephone, 1 all the others."""
    chosen = np.flatnonzero(heard.copy == 0 if over == 0 else heard.copy > 0)
    peaks, clip_at = peak(answers[chosen], heard, chosen, tried, settled=settled)
    bounds: list[tuple[float, list[int]]] = []
    for corpus in sorted({clip.corpus for clip in clips}):
        rest = [at for at, clip in enumerate(clips) if clip.corpus == corpus and clip.label not in ANGER]
        calls = any(clips[at].emotion == "unlabelled_call" for at in rest)
        bounds.append((_FALSE_CALLS if calls else _FALSE_ALARMS, rest))
        bounds.append((_FALSE_NEUTRAL, [at for at in rest if clips[at].label == "neutral"]))
    found = -math.inf
    for bound, members in bounds:
        member = np.isin(clip_at, members)
        if member.sum() >= 1 / bound:
            found = max(found, float(np.quantile(peaks[member], 1 - bound)))
    return found


def peak(
    answers: Floats, heard: Heard, chosen: Ints, evidence: Evidence, *, settled: bool
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Of each recording over each telephone: the highest log-odds of anger a call would have come to believe, and which
    recording it is. `settled`: the call went on before, so that nothing is calibrated any more."""
    known = np.full(len(answers), float(settled), dtype=np.float32)
    says = belief.said(answers, known, evidence)
    key = heard.clip[chosen].astype(np.int64) * 1000 + heard.copy[chosen]
    new_ms = heard.new_rows[chosen] * np.float32(ROW_MS)
    keys, starts, counts = np.unique(key, return_index=True, return_counts=True)
    believed = np.repeat(belief.AT_REST[np.newaxis], len(keys), axis=0)
    peaks = np.full(len(keys), float(belief.AT_REST[0]))
    spoken = np.zeros(len(keys))
    for at in range(int(counts.max())):
        live = np.flatnonzero(counts > at)
        here = starts[live] + at
        believed[live] = belief.followed(believed[live], says[here], new_ms[here], evidence)
        spoken[live] += new_ms[here]
        said = live if settled else live[spoken[live] >= CALIBRATION_MS]
        peaks[said] = np.maximum(peaks[said], belief.anger_odds(believed[said]))
    return peaks, (keys // 1000).astype(np.int32)


def calibration_error(answers: Floats, clips: Sequence[Clip], heard: Heard, often: NDArray[np.float64]) -> float:
    """Expected calibration error of anger, ten bins (Naeini et al. 2015), over stretches in balance."""
    anger = labelled(answers)[:, [CLASSES.index(label) in (4, 5) for label in CLASSES[:6]]].sum(axis=1)
    truth = np.array([clip.label in ANGER for clip in clips])[heard.clip]
    bins = np.minimum((anger * 10).astype(int), 9)
    error = 0.0
    for one in range(10):
        inside = bins == one
        weight = often[inside].sum()
        if weight:
            error += abs(float((often[inside] * (anger[inside] - truth[inside])).sum()))
    return error
