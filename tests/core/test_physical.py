"""How loud and how quick a voice is: measured, and nothing else."""

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.audiofile import bundled_voice
from agent.core import mulaw
from agent.core.audio import Gap, PcmChunk
from agent.core.physical import Measured, Meter

VOICE = mulaw.decode(bundled_voice())


def babbling(syllables_a_second: float, seconds: float = 6.0, peak: int = 8000) -> NDArray[np.int16]:
    """A voice that says one syllable after another: harmonics of a moving pitch, as loud as their envelope says."""
    t = np.arange(round(8000 * seconds)) / 8000
    turns = 2 * np.pi * np.cumsum(140 + 25 * np.sin(2 * np.pi * 0.7 * t)) / 8000
    sound = sum(np.sin(k * turns) / k for k in range(1, 20)) * (
        0.55 - 0.45 * np.cos(2 * np.pi * syllables_a_second * t)
    )
    said: NDArray[np.int16] = (sound / np.abs(sound).max() * peak).astype(np.int16)
    return said


def heard(samples: NDArray[np.int16], meter: Meter | None = None, *, chunk_ms: int = 100) -> Meter:
    meter = meter or Meter()
    for start in range(0, len(samples), 8 * chunk_ms):
        meter.hear(PcmChunk(samples[start : start + 8 * chunk_ms], start // 8, 0.0))
    return meter


def measured(meter: Meter, end_ms: int) -> Measured:
    found = meter.measure(end_ms)
    assert found is not None
    return found


@pytest.mark.parametrize("syllables", [3.0, 4.0, 5.0, 6.0])
def test_syllables_are_counted(syllables: float) -> None:
    assert measured(heard(babbling(syllables)), 6000).rate == pytest.approx(syllables, abs=0.4)


def test_a_voice_half_as_loud_is_six_decibels_quieter_and_just_as_quick() -> None:
    loud, quiet = measured(heard(babbling(4)), 6000), measured(heard(babbling(4, peak=4000)), 6000)
    assert loud.loudness_db - quiet.loudness_db == pytest.approx(6.02, abs=0.2)
    assert loud.rate == pytest.approx(quiet.rate, abs=0.2)


def test_loudness_is_the_level_of_what_is_said_and_pauses_do_not_lower_it() -> None:
    voice = babbling(4, 1.5)
    paused = np.concatenate([voice, np.zeros(12_000, np.int16)])
    assert measured(heard(paused), 3000).loudness_db == pytest.approx(measured(heard(voice), 1500).loudness_db, abs=1.0)
    power = float(np.square(voice / 32768).mean())
    assert measured(heard(voice), 1400).loudness_db == pytest.approx(10 * np.log10(power), abs=1.0)


def test_a_person_speaks_between_two_and_eight_syllables_a_second() -> None:
    meter = Meter()
    rates = []
    for second in range(8):
        heard(VOICE[8000 * second : 8000 * (second + 1)], meter)
        if (found := meter.measure(1000 * (second + 1))) is not None and found.speech_ms > 1000:
            rates.append(found.rate)
    assert rates
    assert 2 < np.median(rates) < 8


def test_silence_noise_and_gaps_are_no_voice() -> None:
    assert heard(np.zeros(24_000, np.int16)).measure(3000) is None
    noise = np.random.default_rng(1).normal(0, 1000, 24_000).astype(np.int16)
    assert heard(noise).measure(3000) is None
    meter = heard(babbling(4, 3))
    meter.hear(Gap(3000, 3_600_000, "lost", 0.0))
    assert meter.measure(3_603_000) is None
    assert measured(heard(babbling(4, 3), meter), 3_606_000).rate == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("chunk_ms", [10, 20, 70, 1000])
def test_how_the_sound_was_cut_changes_nothing(chunk_ms: int) -> None:
    assert heard(VOICE[:48_000], chunk_ms=chunk_ms).measure(6000) == heard(VOICE[:48_000]).measure(6000)


def test_a_window_asked_for_a_little_late_is_the_window_it_was() -> None:
    meter = heard(VOICE[: 8 * 4000])
    asked_in_time = meter.measure(4000)
    assert heard(VOICE[8 * 4000 : 8 * 4800], meter).measure(4000) == asked_in_time


def test_a_meter_that_forgets_holds_nothing_of_the_voice() -> None:
    meter = heard(VOICE[:47_000])
    arrays = [meter._rows, meter._cutter._block, meter._tracker._end]
    assert all(array.any() for array in arrays)
    meter.forget()
    assert not any(array.any() for array in arrays)
    assert meter.measure(6000) is None
