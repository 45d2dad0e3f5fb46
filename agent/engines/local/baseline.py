"""How this caller sounds when calm, as far as we can know.

The reference a voice is compared with lies between the ordinary caller and this one. It moves towards this caller as
calm speech is heard, feature by feature: quickly where people differ more among each other than from moment to moment
(pitch: half way after two seconds), slowly where the moment decides, and never wholly, for the first seconds of a call
may be anything. The spread that counts as ordinary narrows with it. Speech counts the less the less calm it sounds, so
that anger is slow to become the norm. Loudness is different: line and handset set it, so it is only ever compared with
the caller's own.
"""

from typing import Final

from .features import FEATURES
from .model import CENTRE, SPREAD, SPREAD_OF_ONE, Vector

_HALF_WAY_S: Final = 6.0 * (SPREAD_OF_ONE / SPREAD) ** 2
"""Seconds of calm speech after which this caller counts as much as the ordinary one."""
_MEMORY_S: Final = 60.0
"""Calm speech older than this fades: lines and handsets change."""
_ALWAYS: Final = 0.3
"""What speech that does not sound calm still counts: a bright, high voice on a bright line never sounds calm by the
ordinary measure, and must yet become its own."""
_LOUDNESS: Final = FEATURES.index("loudness")
_LOUDNESS_KNOWN_S: Final = 2.0


class Baseline:
    def __init__(self) -> None:
        self._mean = CENTRE.copy()
        self._calm_s = 0.0

    def reference(self, values: Vector) -> tuple[Vector, Vector]:
        """What to compare these values with, and the spread that is ordinary around it."""
        own = self._calm_s / (self._calm_s + _HALF_WAY_S)
        centre = CENTRE + own * (self._mean - CENTRE)
        known = min(1.0, self._calm_s / _LOUDNESS_KNOWN_S)
        centre[_LOUDNESS] = values[_LOUDNESS] + known * (self._mean[_LOUDNESS] - values[_LOUDNESS])
        return centre, SPREAD + own * (SPREAD_OF_ONE - SPREAD)

    def learn(self, values: Vector, speech_s: float, calm: float) -> None:
        """Take in a window that brought so much new speech, believed calm to this degree."""
        weight = speech_s * (_ALWAYS + (1.0 - _ALWAYS) * calm**2)
        self._calm_s = min(_MEMORY_S, self._calm_s + weight)
        self._mean += (values - self._mean) * (weight / self._calm_s)
