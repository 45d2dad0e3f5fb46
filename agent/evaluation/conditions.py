"""The telephones and surroundings in which recordings are heard, by name.

What a noise consists of comes from the manifest: babble from other people's ordinary speech, a kitchen from the second
half of a row labelled `noise` whose column `emotion` says `kitchen` (models are trained with the first). Everything is
decided by the seed, the recording and the condition, so that it does not matter in which order, or by how many
processes, recordings are heard.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioUnreadable, ConfigError
from .manifest import NOISE, Row
from .phone import HANDSETS, Condition, babble, telephone
from .sounds import load

Sound = NDArray[np.float32]
Noises = Mapping[str, Sequence[Sound]]
"""By kind; two of each, so that no recording is heard in front of a babble of its own speaker."""

SEED = 7
TELEPHONE = "telephone"
_VOICES = 6
_BABBLE_S = 30.0


_PLAIN = Condition()


@dataclass(frozen=True, slots=True)
class Named:
    """A condition before a recording is put into it."""

    name: str
    means: str
    """For a table."""
    base: Condition = _PLAIN
    noise: str = ""
    """`babble` or `kitchen`."""
    any_handset: bool = False


CONDITIONS: Mapping[str, Named] = {
    named.name: named
    for named in (
        Named(TELEPHONE, "300-3400 Hz, mu-law, level as recorded"),
        Named("wide", "as recorded: no band limit, no codec", Condition(codec="none", band=False)),
        Named("alaw", "300-3400 Hz, A-law", Condition(codec="alaw")),
        Named("loss3", "3 % of frames lost in bursts", Condition(loss_percent=3.0)),
        Named("handsets", "one of eight handsets", any_handset=True),
        Named("quiet", "speech at -38 dBFS", Condition(level_db=-38.0)),
        Named("loud", "speech at -12 dBFS", Condition(level_db=-12.0)),
        Named("babble20", "people talking, 20 dB below", Condition(snr_db=20.0), "babble"),
        Named("babble10", "people talking, 10 dB below", Condition(snr_db=10.0), "babble"),
        Named("kitchen20", "a kitchen, 20 dB below", Condition(snr_db=20.0), "kitchen"),
    )
}


def chosen(names: Sequence[str]) -> list[Named]:
    """The conditions of these names; the telephone, where there are none. Raises ConfigError."""
    for name in names:
        if name not in CONDITIONS:
            raise ConfigError(f"--condition {name} is not known: choose from {', '.join(CONDITIONS)}")
    return [CONDITIONS[name] for name in dict.fromkeys(names or [TELEPHONE])]


def noises_for(conditions: Iterable[Named], rows: Sequence[Row], seed: int = SEED) -> dict[str, list[Sound]]:
    """The noises these conditions need. Raises ConfigError where the manifest has none."""
    sources: dict[str, Callable[[], list[Sound]]] = {
        "babble": lambda: _babbles(rows, seed),
        "kitchen": lambda: _kitchens(rows),
    }
    kinds = sorted({condition.noise for condition in conditions} - {""})
    return {kind: sources[kind]() for kind in kinds}


def heard_as(samples: Sound, row: Row, condition: Named, noises: Noises, seed: int = SEED) -> NDArray[np.int16]:
    """The recording (8 kHz, full scale 1.0) in this condition: 16 bits, 8 kHz."""
    rng = np.random.default_rng([seed, crc32(row.name.encode()), crc32(condition.name.encode())])
    base = condition.base
    sound = noises[condition.noise][1 - _side(row)] if condition.noise else None
    handset = int(rng.integers(len(HANDSETS))) if condition.any_handset else base.handset
    at_the_phone = Condition(base.codec, base.band, handset, base.level_db, sound, base.snr_db, base.loss_percent)
    return telephone(samples, at_the_phone, rng)


def _side(row: Row) -> int:
    """Speakers fall into two halves; each is heard before a babble of the other."""
    return crc32(row.voice.encode()) % 2


def _babbles(rows: Sequence[Row], seed: int) -> list[Sound]:
    rng = np.random.default_rng([seed, 1])
    babbles = []
    for side in (0, 1):
        voices: dict[str, Row] = {}
        for row in rows:
            if row.label == "neutral" and _side(row) == side:
                voices.setdefault(row.voice, row)
        names = sorted(voices)
        rng.shuffle(names)
        sounds = list(_readable(voices[name] for name in names))[:_VOICES]
        if len(sounds) < 2:
            raise ConfigError(
                "babble needs neutral rows of at least two speakers on either side: add some, or leave it"
            )
        babbles.append(babble(sounds, _BABBLE_S, rng))
    return babbles


def _kitchens(rows: Sequence[Row]) -> list[Sound]:
    for sound in _readable(row for row in rows if row.label == NOISE and row.others.get("emotion") == "kitchen"):
        return [sound[len(sound) // 2 :]] * 2
    raise ConfigError(
        "kitchen noise needs a row labelled noise whose column emotion says kitchen: add one, or leave it"
    )


def _readable(rows: Iterable[Row]) -> Iterable[Sound]:
    """Recordings that can be read; who hears them in their own right says which cannot."""
    for row in rows:
        try:
            sound = load(row.path)
        except AudioUnreadable:
            continue
        if sound.any():
            yield sound
