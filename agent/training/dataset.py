"""What a model is fitted to: stretches of speech, how often each is drawn, and what is usual for its speaker."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..core.emotion import ANGER
from ..engines.local.baseline import TRUSTED_S
from ..engines.local.pooling import LOUDNESS
from ..engines.local.spectrum import ROW_MS, Floats
from .corpora import CLASSES, Clip
from .extraction import Heard
from .network import Batch, Intercepts

CALM_CLIPS: Final = (1, 2, 4, 8)
"""How many calm recordings of the same speaker a baseline is made of."""
_PLAIN: Final = 9.0
"""How often the plain telephone is drawn for each time another one is: drawn ones add variety, and much noise."""
_WITH_BASELINE: Final = 0.55
_MIX: Final = 0.3
_JITTER: Final = 0.1
LEVEL_DB: Final = 6.0
"""Loudness by itself is blurred by so much (standard deviation): it hints at effort, but a loud talker or a loud line
is not an angry one."""
_CUT: Final = 4.0
_EMOTIONS: Final = {"neutral": 1.5, "happy": 1.4, "sad": 0.8, "fearful": 1.0, "angry": 2.2, "": 0.8}
"""How often each label is drawn, in corpora that have anger: its confusions more often."""
_UNLABELLED_CALLS: Final = 2.0
"""Ordinary talk on real telephones is rare, and what a live call mostly is."""

Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Usual:
    """Of each recording over each telephone (m of them), what other calm recordings of its speaker are like."""

    of: Ints
    """Which of the m each stretch belongs to, shape (n,)."""
    features: Floats
    """Shape (m, len(CALM_CLIPS), D)."""
    known: Floats
    """How far that is to be trusted, (m, len(CALM_CLIPS))."""


def usual(clips: Sequence[Clip], heard: Heard) -> Usual:
    """Noises are given a speaker's calm recordings: they are heard beside a caller, and judged against the caller."""
    key = heard.clip.astype(np.int64) * 1000 + heard.copy
    keys, starts, of = np.unique(key, return_index=True, return_inverse=True)
    weight = heard.new_rows.astype(np.float32)
    total = np.add.reduceat(weight, starts)
    mean = np.add.reduceat(heard.features * weight[:, np.newaxis], starts) / total[:, np.newaxis]
    seconds = total * np.float32(ROW_MS / 1000)
    features = np.zeros((len(keys), len(CALM_CLIPS), heard.features.shape[1]), dtype=np.float32)
    known = np.zeros((len(keys), len(CALM_CLIPS)), dtype=np.float32)
    calm, callers = _calm(clips, keys.tolist())
    chance = np.random.default_rng(7)
    for at, one in enumerate(keys.tolist()):
        clip, copy = clips[one // 1000], one % 1000
        others = [other for other in calm.get((clip.who, copy), ()) if other != at]
        if clip.label == "noise" and callers[copy]:
            others = callers[copy][int(chance.integers(len(callers[copy])))]
        for variant, count in enumerate(CALM_CLIPS if others else ()):
            chosen = chance.choice(others, min(count, len(others)), replace=False)
            spoken = seconds[chosen]
            features[at, variant] = (mean[chosen] * spoken[:, np.newaxis]).sum(axis=0) / spoken.sum()
            known[at, variant] = spoken.sum() / (spoken.sum() + TRUSTED_S)
    return Usual(np.asarray(of, dtype=np.intp), features, known)


def _calm(
    clips: Sequence[Clip], keys: Sequence[int]
) -> tuple[dict[tuple[str, int], list[int]], dict[int, list[list[int]]]]:
    """Where in the keys (recording x 1000 + copy) the calm recordings are: of each speaker over each telephone, and of
    all who have several, by telephone."""
    calm: dict[tuple[str, int], list[int]] = defaultdict(list)
    for at, one in enumerate(keys):
        clip = clips[one // 1000]
        if clip.calm:
            calm[clip.who, one % 1000].append(at)
    callers: dict[int, list[list[int]]] = defaultdict(list)
    for (_, copy), theirs in calm.items():
        if len(theirs) > 1:
            callers[copy].append(theirs)
    return calm, callers


def _with_anger(clips: Sequence[Clip]) -> set[str]:
    return {clip.corpus for clip in clips if clip.label in ANGER}


def intercepts(clips: Sequence[Clip]) -> tuple[Intercepts, Ints]:
    """What may differ from corpus to corpus, and to which of them each recording belongs, shape (len(clips),).

    How likely each label is, and that it seems so: all but being nobody's voice, which has to be heard as such
    anywhere. Corpora without a voice have no intercept. What has no anger says nothing about how likely that is.
    """
    names = sorted({clip.corpus for clip in clips})
    spoken = {clip.corpus for clip in clips if clip.label != "noise"}
    free = np.array([[name in spoken and one != "noise" for one in CLASSES] for name in names], dtype=np.float32)
    angry = _with_anger(clips)
    expected = np.array([name in angry for name in names], dtype=np.float32)
    home = np.array([names.index(clip.corpus) for clip in clips], dtype=np.intp)
    return Intercepts(free, expected / np.maximum(expected.sum(), 1)), home


def frequencies(clips: Sequence[Clip], heard: Heard, chosen: Ints) -> NDArray[np.float64]:
    """How often each of the chosen stretches is to be drawn, summing to 1: corpora, labels, speakers and recordings in
    balance, however many stretches they have."""
    angry = _with_anger(clips)
    _, of = np.unique(heard.clip[chosen].astype(np.int64) * 1000 + heard.copy[chosen], return_inverse=True)
    share = np.where(heard.copy[chosen] == 0, _PLAIN, 1.0) / np.bincount(of)[of]
    groups: dict[tuple[str, str, str], float] = defaultdict(float)
    keys = []
    for clip_at, part in zip(heard.clip[chosen].tolist(), share.tolist(), strict=True):
        clip = clips[clip_at]
        key = (clip.corpus, clip.label, clip.speaker if clip.corpus in angry or clip.emotion else "")
        groups[key] += part
        keys.append(key)
    speakers: dict[tuple[str, str], int] = defaultdict(int)
    for corpus, label, _ in groups:
        speakers[corpus, label] += 1
    sizes: dict[str, int] = defaultdict(int)
    for clip in clips:
        sizes[clip.corpus] += 1
    calls = {clip.corpus for clip in clips if clip.emotion == "unlabelled_call"}

    def wanted(corpus: str, label: str) -> float:
        if corpus in angry:
            return _EMOTIONS.get(label, 1.0)
        return _UNLABELLED_CALLS if corpus in calls else min(1.0, max(0.25, sizes[corpus] / 250))

    weights = np.array(
        [
            part / groups[key] * wanted(*key[:2]) / speakers[key[:2]]
            for key, part in zip(keys, share.tolist(), strict=True)
        ]
    )
    return np.asarray(weights / weights.sum())


class Deck:
    """Batches drawn from the chosen stretches: with a baseline or without, two of them mixed, a little blurred."""

    def __init__(self, clips: Sequence[Clip], heard: Heard, usual: Usual, chosen: Ints) -> None:
        often = frequencies(clips, heard, chosen)
        features = heard.features[chosen]
        weight = often.astype(np.float32)
        self.centre = weight @ features
        variance = weight @ np.square(features - self.centre)
        self.spread = (np.sqrt(variance) + 1e-3).astype(np.float32)
        self._features, self._usual, self._of = features, usual, usual.of[chosen]
        self._up_to = np.cumsum(often)
        self._allowed = np.stack([clip.classes() for clip in clips])[heard.clip[chosen]]
        chosen_clips = [clips[at] for at in np.unique(heard.clip[chosen]).tolist()]
        self.intercepts, home = intercepts(chosen_clips)
        self._home = home[np.unique(heard.clip[chosen], return_inverse=True)[1]]

    @property
    def inputs(self) -> int:
        return 2 * int(self._features.shape[1]) + 1

    def draw(self, chance: np.random.Generator, count: int) -> Batch:
        one = np.minimum(np.searchsorted(self._up_to, chance.random(count)), len(self._up_to) - 1)
        other = one[chance.permutation(count)]
        share = chance.beta(_MIX, _MIX, (count, 1)).astype(np.float32)
        share = np.maximum(share, 1 - share)
        inputs = share * self._inputs(one, chance) + (1 - share) * self._inputs(other, chance)
        inputs += np.float32(_JITTER) * chance.standard_normal(inputs.shape, dtype=np.float32)
        return Batch(inputs, self._allowed[one], self._allowed[other], share, self._home[one], self._home[other])

    def _inputs(self, at: Ints, chance: np.random.Generator) -> Floats:
        features, of = self._features[at], self._of[at]
        alone = np.clip((features - self.centre) / self.spread, -_CUT, _CUT)
        blur = np.float32(LEVEL_DB) / self.spread[LOUDNESS]
        alone[:, LOUDNESS] += blur * chance.standard_normal(len(at), dtype=np.float32)
        variant = chance.integers(0, len(CALM_CLIPS), len(at))
        known = self._usual.known[of, variant] * (chance.random(len(at)) < _WITH_BASELINE)
        known = known.astype(np.float32)[:, np.newaxis]
        against = np.clip((features - self._usual.features[of, variant]) / self.spread, -_CUT, _CUT) * known
        return np.concatenate((alone, against, known), axis=1)
