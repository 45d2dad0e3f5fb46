"""What is believed of a call at the end of a hop: its rows of what was found of the whole batch."""

from typing import NamedTuple

import numpy as np

from ...core.emotion import LABELS
from .batch import Beliefs
from .spectrum import Floats


class Judgement(NamedTuple):
    """What is believed at the end of a hop."""

    end_ms: int
    """Since the first sound."""
    found: Beliefs
    """What was found of all calls of the batch together, which is smaller than one by one."""
    at: int
    """Which of them is this call."""

    @property
    def shares(self) -> Floats:
        """Accumulated belief, over LABELS."""
        return np.asarray(self.found.shares[self.at])

    @property
    def scores(self) -> Floats:
        """Of the last stretch alone, likewise."""
        return np.asarray(self.found.scores[self.at])

    @property
    def quality(self) -> float:
        return float(self.found.quality[self.at])

    @property
    def speech_ms(self) -> int:
        """Heard in the call so far."""
        return int(self.found.speech_ms[self.at])


def nothing(end_ms: int) -> Judgement:
    """Before anything was heard."""
    scores = np.zeros((1, len(LABELS)), dtype=np.float32)
    scores[0, 0] = 1.0
    nothing = Beliefs(np.zeros_like(scores), scores, np.zeros(1, np.float32), np.zeros(1, np.int64))
    return Judgement(end_ms, nothing, 0)
