"""Evidence accumulated over a call.

What one window says is weak, and overlaps what the last one said. Belief follows it within less than half a second of
speech, so that several windows must agree before an alarm, and fades while nobody speaks.
"""

import math
from typing import Final

from ...core.emotion import LABELS, Emotion
from .baseline import Baseline
from .features import FEATURES, Heard
from .model import CENTRE, SPREAD, Vector, evidence, probabilities, strongest

_FOLLOWS_MS: Final = 300.0
"""Speech after which belief has gone two thirds of the way to what the windows say."""
_FADES_MS: Final = 15_000.0
_AGREEING: Final = 2.2
"""How much surer several agreeing windows are than one."""
_SYLLABLES_DB: Final = 2.9
"""Speech changes its level by more than this every 20 ms, on average; crying, barking and humming by less."""
_MODULATION: Final = FEATURES.index("modulation")
_NEUTRAL: Final = LABELS.index("neutral")
_ORDINARY: Final = evidence(CENTRE, CENTRE, SPREAD)
"""The evidence of an ordinary voice: where belief starts, and what it fades to."""


class Belief:
    """One caller's."""

    def __init__(self) -> None:
        self._baseline = Baseline()
        self._log_odds: Vector = _ORDINARY * _AGREEING
        self._shares = probabilities(self._log_odds)
        self.scores = probabilities(_ORDINARY)
        """What the last window with speech says by itself, over LABELS."""

    @property
    def emotion(self) -> Emotion:
        """What is believed by now."""
        return strongest(self._shares)

    def fade(self, ms: int) -> None:
        """So long without a voice."""
        self._approach(_ORDINARY, ms / _FADES_MS)

    def follow(self, heard: Heard, new_ms: int) -> None:
        """Take in a window that brought so much speech that no window before it had."""
        values = heard.values
        if values[_MODULATION] < _SYLLABLES_DB:
            self.fade(new_ms)
            return
        window = evidence(values, *self._baseline.reference(values))
        self._approach(window, new_ms / _FOLLOWS_MS)
        self.scores = probabilities(window)
        calm = min(self.scores[_NEUTRAL], self._shares[_NEUTRAL])
        self._baseline.learn(values, new_ms / 1000, float(calm))

    def _approach(self, log_odds: Vector, time_constants: float) -> None:
        self._log_odds += (log_odds * _AGREEING - self._log_odds) * -math.expm1(-time_constants)
        self._shares = probabilities(self._log_odds)
