"""Whole calls, stitched from recordings: what a clip cannot show is how rarely a long call alarms, and how soon anger
after calm is acted upon.

Two kinds. In an ordinary call a voice speaks calmly for minutes, its clips in random order with the pauses of somebody
who listens to an assistant, and now and then a noise in them; or a channel of ordinary calls does. In a turning call a
voice is calm, and from a known moment on it is something else. Everything is decided by the seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..core.audio import SAMPLE_RATE, SAMPLES_PER_MS
from ..core.emotion import LABELS
from ..settings import Settings
from .acting import act
from .conditions import SEED, heard_as
from .listening import Hearing
from .manifest import NOISE, Row
from .runner import Ear
from .sounds import load

ORDINARY_MS = 240_000
TURN_MS = 24_000
"""Calm before the turn."""
ENOUGH_CLIPS = 4
ENOUGH_AFTER = 2
MOST_AFTER = 5
_LINE_NOISE = 10 ** (-66 / 20)
"""Of full scale: a line is never quite silent."""
_PAUSES_MS = ((300, 1200, 0.7), (1500, 6000, 0.3))
"""Between sentences, and while the assistant speaks: from, to, how often."""
_NOISE_OFTEN = 0.15
_NOISE_MS = 4000

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Conversation:
    """The plan of one call."""

    number: int
    voice: str
    corpus: str
    before: tuple[Row, ...]
    """Drawn from until `turn_ms`, over and over if need be."""
    noises: tuple[Row, ...]
    """Drawn from for the pauses."""
    turn_ms: int
    after: tuple[Row, ...] = ()
    """One after the other, from `turn_ms` on."""
    kind: str = "ordinary"
    """What it turns to."""
    seed: int = SEED


def is_strong(row: Row) -> bool:
    return row.intensity != "normal"


TURNS: Mapping[str, Callable[[Row], bool]] = {
    "strong anger": lambda row: row.angry and is_strong(row),
    "mild anger": lambda row: row.angry and not is_strong(row),
    "joy": lambda row: row.label == "happy" and is_strong(row),
    "fear": lambda row: row.label == "fearful" and is_strong(row),
    "sadness": lambda row: row.label == "sad" and is_strong(row),
}
"""What a call may turn to. Recordings of unknown intensity count as strong, as acted emotions mostly are."""


def ordinary(rows: Sequence[Row], hours: float, seed: int = SEED) -> list[Conversation]:
    """Calls without anger, of this many hours together; empty where there are no voices for them."""
    voices = _voices(rows, lambda row: row.label == "neutral")
    talk = {voice: own for voice, own in _voices(rows, lambda row: True).items() if _unlabelled(own)}
    pools = [(voice, own) for voice, own in sorted({**voices, **talk}.items()) if len(own) >= ENOUGH_CLIPS]
    noises = tuple(row for row in rows if row.label == NOISE)
    if not pools:
        return []
    rng = np.random.default_rng([seed, 2])
    plans: list[Conversation] = []
    while len(plans) * ORDINARY_MS < hours * 3_600_000:
        for at in rng.permutation(len(pools)):
            voice, own = pools[at]
            plans.append(Conversation(len(plans), voice, own[0].corpus, tuple(own), noises, ORDINARY_MS, seed=seed))
    return plans[: max(1, round(hours * 3_600_000 / ORDINARY_MS))]


def turning(rows: Sequence[Row], kind: str, each: int = 3, seed: int = SEED) -> list[Conversation]:
    """Calls of every voice that has calm clips and some of this kind, `each` times with other clips."""
    calm = _voices(rows, lambda row: row.label == "neutral")
    moved = _voices(rows, TURNS[kind])
    plans: list[Conversation] = []
    for voice in sorted(calm.keys() & moved.keys()):
        if len(calm[voice]) < ENOUGH_CLIPS or len(moved[voice]) < ENOUGH_AFTER:
            continue
        for time in range(each):
            rng = np.random.default_rng([seed, 3, crc32(f"{voice} {kind} {time}".encode())])
            after = [moved[voice][at] for at in rng.permutation(len(moved[voice]))[:MOST_AFTER]]
            corpus = calm[voice][0].corpus
            plans.append(
                Conversation(len(plans), voice, corpus, tuple(calm[voice]), (), TURN_MS, tuple(after), kind, seed)
            )
    return plans


def sound_of(plan: Conversation, ear: Ear) -> NDArray[np.int16]:
    """The call as it arrives. Raises AudioUnreadable."""
    rng = np.random.default_rng([plan.seed, 4, plan.number, crc32(f"{plan.voice} {plan.kind}".encode())])
    known: dict[Path, Floats] = {}

    def sound(row: Row) -> Floats:
        if row.path not in known:
            known[row.path] = load(row.path)
        return known[row.path]

    parts = [_before(plan, rng, sound)]
    for row in plan.after:
        parts += [sound(row), np.zeros(int(rng.integers(200, 600)) * SAMPLES_PER_MS, np.float32)]
    call = np.concatenate(parts)
    call += rng.normal(0.0, _LINE_NOISE, len(call)).astype(np.float32)
    placed = Row(f"{plan.kind} {plan.number}", Path(), "", plan.voice, plan.corpus)
    return heard_as(call, placed, ear.condition, ear.noises, plan.seed)


def _before(plan: Conversation, rng: np.random.Generator, sound: Callable[[Row], Floats]) -> Floats:
    """Exactly up to the turn; the last clip is cut where it stands."""
    length = plan.turn_ms * SAMPLES_PER_MS
    parts: list[Floats] = []
    filled = 0
    while filled < length:
        for at in rng.permutation(len(plan.before)):
            parts += [sound(plan.before[at]), _pause(plan, rng, sound)]
        filled = sum(map(len, parts))
    return np.concatenate(parts)[:length]


def _pause(plan: Conversation, rng: np.random.Generator, sound: Callable[[Row], Floats]) -> Floats:
    low, high, _ = _PAUSES_MS[int(rng.random() >= _PAUSES_MS[0][2])]
    pause = np.zeros(int(rng.integers(low, high)) * SAMPLES_PER_MS, np.float32)
    if not plan.noises or rng.random() >= _NOISE_OFTEN:
        return pause
    noise = sound(plan.noises[int(rng.integers(len(plan.noises)))])
    start = int(rng.integers(max(1, len(noise) - _NOISE_MS * SAMPLES_PER_MS)))
    return np.concatenate((pause, noise[start : start + _NOISE_MS * SAMPLES_PER_MS], pause))


@dataclass(frozen=True, slots=True)
class Call:
    """What came of a conversation."""

    plan: Conversation
    duration_ms: int
    interrupted_ms: tuple[int, ...]
    escalated_ms: tuple[int, ...]
    spoken: tuple[tuple[int, int], ...]
    """Time, and speech heard until then."""

    def false(self, fired_ms: tuple[int, ...]) -> int:
        """Alarms before the turn, or in a call without one."""
        return sum(at <= self.plan.turn_ms for at in fired_ms)

    def delay_ms(self, fired_ms: tuple[int, ...]) -> int | None:
        """Speech heard from the turn to the first alarm after it; None: there was none."""
        after = [at for at in fired_ms if at > self.plan.turn_ms]
        return self._speech_until(after[0]) - self._speech_until(self.plan.turn_ms) if after else None

    def _speech_until(self, at_ms: int) -> int:
        return max((heard for time, heard in self.spoken if time <= at_ms), default=0)


def judge_call(plan: Conversation, hearing: Hearing, settings: Settings) -> Call:
    acted = act(hearing.readings, settings)
    times = (reading.end_ms for reading in hearing.readings)
    return Call(
        plan,
        hearing.duration_ms,
        acted.interrupted_ms,
        acted.escalated_ms,
        tuple(zip(times, hearing.spoken_ms, strict=True)),
    )


def unique_hours(plans: Sequence[Conversation]) -> float:
    """Of the recordings the plans draw from, each counted once; what a header does not tell counts as nothing."""
    files = {row.path for plan in plans for row in (*plan.before, *plan.noises, *plan.after)}
    return sum(map(_seconds, files)) / 3600


def _seconds(path: Path) -> float:
    try:
        return float(soundfile.info(path).duration)
    except (OSError, soundfile.SoundFileError):
        return path.stat().st_size / SAMPLE_RATE if path.is_file() else 0.0


def _voices(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> dict[str, list[Row]]:
    voices: dict[str, list[Row]] = {}
    for row in rows:
        if row.speaker and wanted(row):
            voices.setdefault(row.speaker, []).append(row)
    return voices


def _unlabelled(rows: Sequence[Row]) -> bool:
    """A voice nobody has labelled at all is ordinary talk; one with some clips of no label of ours is an actor."""
    return not any(row.label in LABELS or row.label == NOISE for row in rows)
