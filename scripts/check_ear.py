#!/usr/bin/env python3
"""How well the local engine hears: detection and false alarms per corpus, through the telephone, and what it costs.

    .venv/bin/python scripts/check_ear.py [--data ../shared/data] [--wide] [--every N]

Reads the corpora's `manifest.csv`; recordings are band limited to 300-3400 Hz (not with --wide), mu-law coded, and fed
to gate and engine in 100 ms chunks as a call would be. An alarm is what the aggregator calls a mood of anger: at least
three accepted readings within 3 s, mostly angry or frustrated, believed at 0.7; a strict one at 0.85. Speakers and
corpora were looked at while the engine's numbers were set by hand: the table says how it does on them, not on others.
"""

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]
import trio
from numpy.typing import NDArray

from agent.core import mulaw
from agent.core.audio import SAMPLE_RATE, SAMPLES_PER_MS, PcmChunk
from agent.core.emotion import ANGER, EmotionReading
from agent.core.speech import SpeechGate
from agent.core.tracking import MoodTracker
from agent.core.windowing import Windower
from agent.engines.local import LocalEngine

Samples = NDArray[np.int16]
Row = dict[str, str]

CHUNK = 100 * SAMPLES_PER_MS
BESIDE_THE_CHECKOUT = Path(__file__).parents[1].parent / "shared/data"
ALARM, STRICT = 0.7, 0.85
ORDINARY = ("pico_commands", "calls", "asterisk_en")
NOISES = ("animals", "babycry", "keystrokes", "paa", "pico_noise")
CALM_CLIPS, MOVED_CLIPS = 8, 5


def band_pass() -> NDArray[np.float64]:
    """Taps of a linear-phase filter for 300 to 3400 Hz."""
    at = np.arange(257) - 128

    def low(hz: float) -> NDArray[np.float64]:
        return np.asarray(2 * hz / SAMPLE_RATE * np.sinc(2 * hz / SAMPLE_RATE * at))

    return np.asarray((low(3400) - low(300)) * np.hamming(257))


TAPS = band_pass()


def telephone(path: Path, wide: bool) -> Samples:
    audio, rate = soundfile.read(path, dtype="float64", always_2d=True)
    if rate != SAMPLE_RATE:
        raise SystemExit(f"{path} is not at 8 kHz: resample it first.")
    mono = audio.mean(axis=1)
    heard = mono if wide else np.convolve(mono, TAPS)[128 : 128 + len(mono)]
    return mulaw.decode(mulaw.encode(np.clip(heard * 32768, -32768, 32767).astype(np.int16)))


@dataclass
class Cost:
    cpu_s: float = 0.0
    audio_s: float = 0.0
    worst_ms: float = 0.0


@dataclass
class Line:
    """One line of the table."""

    calls: int = 0
    alarms: int = 0
    strict: int = 0
    calm_alarms: int = 0
    neutral: int = 0
    accepted: int = 0
    delays_s: list[float] = field(default_factory=list)

    def add(self, said: list[EmotionReading], turn_ms: int) -> None:
        """A call whose part from `turn_ms` on is what this line is about."""
        tracker = MoodTracker()
        loudest, calm, first = 0.0, 0.0, None
        for reading in said:
            now = reading.end_ms / 1000
            tracker.take(reading, now)
            mood = tracker.mood(now).emotion
            score = mood.score if mood.label in ANGER else 0.0
            if reading.end_ms <= turn_ms:
                calm = max(calm, score)
            else:
                loudest = max(loudest, score)
                if first is None and score >= ALARM:
                    first = now - turn_ms / 1000
            if reading.abstained is None and (not turn_ms or reading.end_ms <= turn_ms):
                self.accepted += 1
                self.neutral += reading.emotion.label == "neutral" and reading.emotion.score >= ALARM
        self.calls += 1
        self.alarms += loudest >= ALARM
        self.strict += loudest >= STRICT
        self.calm_alarms += calm >= ALARM
        if first is not None:
            self.delays_s.append(first)

    def __str__(self) -> str:
        n = max(1, self.calls)
        neutral = f"{self.neutral / self.accepted:7.2f}" if self.accepted else "      -"
        delay = f"{np.median(self.delays_s):6.1f}" if self.delays_s else "     -"
        rates = f"{self.alarms / n:7.2f} {self.strict / n:7.2f} {self.calm_alarms / n:7.2f}"
        return f"{self.calls:5d} {rates} {neutral} {delay}"


def listen(samples: Samples, cost: Cost) -> list[EmotionReading]:
    async def call() -> list[EmotionReading]:
        gate, windower, said = SpeechGate(), Windower(), []
        async with LocalEngine().open("CA0") as session:
            for at in range(0, len(samples), CHUNK):
                chunk = PcmChunk(samples[at : at + CHUNK], at // SAMPLES_PER_MS, at / SAMPLE_RATE)
                before = time.process_time()
                session.hear(chunk)
                for window in windower.push(chunk, gate.push(chunk)):
                    if window.speech_ms:
                        said.append(await session.read(window))
                spent = time.process_time() - before
                cost.cpu_s += spent
                cost.worst_ms = max(cost.worst_ms, spent * 1000)
        cost.audio_s += len(samples) / SAMPLE_RATE
        return said

    return trio.run(call)


def stitched_calls(rows: list[Row], corpus: str) -> Iterator[tuple[str, list[Row], list[Row]]]:
    """Per speaker: calm clips, then clips of one emotion."""
    speakers: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["corpus"] == corpus:
            calm = row["label"] == "neutral"
            speakers[row["speaker"]]["neutral" if calm else f"{row['intensity']} {row['emotion']}".strip()].append(row)
    for kinds in speakers.values():
        for kind, moved in sorted(kinds.items()):
            if kind != "neutral" and len(kinds["neutral"]) >= 4 and len(moved) >= 3:
                yield f"{corpus}: calm, then {kind}", kinds["neutral"][:CALM_CLIPS], moved[:MOVED_CLIPS]


def single_calls(rows: list[Row]) -> Iterator[tuple[str, Row]]:
    for row in rows:
        if row["corpus"] == "ravdess":
            yield f"ravdess alone: {row['intensity']} {row['emotion']}", row
        elif row["corpus"] in ORDINARY:
            yield f"{row['corpus']}: ordinary talk", row
        elif row["corpus"] in NOISES:
            yield f"{row['corpus']}: {row['emotion'] if row['corpus'] in ('babycry', 'paa') else 'noise'}", row


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--data", type=Path, default=BESIDE_THE_CHECKOUT)
    arguments.add_argument("--wide", action="store_true", help="no band limit")
    arguments.add_argument("--every", type=int, default=1, help="take every n-th call only")
    chosen = arguments.parse_args()
    manifest = chosen.data / "manifest.csv"
    if not manifest.is_file():
        raise SystemExit(f"There is no {manifest}: name the folder of the recordings with --data.")
    with manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    table: dict[str, Line] = defaultdict(Line)
    cost = Cost()

    def heard(row: Row) -> Samples:
        return telephone(chosen.data / row["file"], chosen.wide)

    stitched = [call for corpus in ("ravdess", "nemo", "ased") for call in stitched_calls(rows, corpus)]
    for name, calm, moved in stitched[:: chosen.every]:
        before = np.concatenate([heard(row) for row in calm])
        after = np.concatenate([heard(row) for row in moved])
        said = listen(np.concatenate((before, after)), cost)
        table[name].add(said, len(before) // SAMPLES_PER_MS)
    for name, row in list(single_calls(rows))[:: chosen.every]:
        table[name].add(listen(heard(row), cost), 0)

    print(f"{'':44}calls   alarm  strict    calm neutral delay_s")
    for name, line in table.items():
        print(f"{name:44}{line}")
    print(
        "calm: alarms before the turn; neutral: share of readings called neutral at 0.7, before the turn where there is"
    )
    print(f"CPU {1000 * cost.cpu_s / cost.audio_s:.2f} ms a second of audio, the longest step {cost.worst_ms:.2f} ms")


if __name__ == "__main__":
    main()
