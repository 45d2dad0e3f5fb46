"""Who is heard by a model that never met them: splits of a manifest into what is trained on and what is tested.

The same splits serve our own model and the yardstick, and depend on nothing but the manifest and the seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .manifest import Row

SEED = 11
TESTED_ONLY = ("tess",)
"""Corpora whose licence allows no derivatives: in no model's training."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One model's share."""

    split: str
    """`speaker` or `corpus`."""
    name: str
    train: tuple[Row, ...]
    test: tuple[Row, ...]


def by_speaker(rows: Sequence[Row], count: int = 5, seed: int = SEED) -> list[Fold]:
    """Every speaker is tested once, by a model trained without any recording of theirs; each corpus is dealt out
    evenly. What is never trained on is tested by the first model."""
    dealt: dict[str, int] = {}
    for corpus in sorted({row.corpus for row in rows}):
        voices = sorted({row.voice for row in rows if row.corpus == corpus} - dealt.keys())
        order = np.random.default_rng([seed, len(dealt)]).permutation(len(voices))
        dealt |= {voices[at]: (place + len(dealt)) % count for place, at in enumerate(order)}
    folds = []
    for number in range(count):
        test = [row for row in rows if _fold(row, dealt) == number]
        train = [row for row in rows if dealt[row.voice] != number and row.corpus not in TESTED_ONLY]
        folds.append(Fold("speaker", f"speaker-{number + 1}", tuple(train), tuple(test)))
    return [fold for fold in folds if fold.test]


def _fold(row: Row, dealt: dict[str, int]) -> int:
    return 0 if row.corpus in TESTED_ONLY else dealt[row.voice]


def by_corpus(rows: Sequence[Row]) -> list[Fold]:
    """Every corpus with anger in it is tested by a model trained on all the others."""
    angry = sorted({row.corpus for row in rows if row.angry})
    return [
        Fold(
            "corpus",
            f"without-{corpus}",
            tuple(row for row in rows if row.corpus != corpus and row.corpus not in TESTED_ONLY),
            tuple(row for row in rows if row.corpus == corpus),
        )
        for corpus in angry
    ]
