from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.audio import Gap, PcmChunk
from agent.core.frames import BLOCK_SAMPLES
from agent.core.pitch import PitchTracker
from agent.core.speech import SpeechGate, judge

VOICES = Path(__file__).parents[2] / "agent/demo/voices"
SECOND = np.arange(8000) / 8000


def voice(hz: float, seconds: float = 2.0) -> np.ndarray:
    """A vowel without its fundamental: harmonics from 300 to 3400 Hz, gliding up and down by three semitones, in
    syllables of 250 ms."""
    at = np.arange(int(seconds * 8000)) / 8000
    phase = 2 * np.pi * np.cumsum(hz * 2 ** (np.sin(2 * np.pi * 1.5 * at) / 4)) / 8000
    harmonics = [k for k in range(1, 40) if 300 <= hz * k <= 3400]
    sound = sum(np.cos(k * phase + k * k) / k for k in harmonics)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * at)
    return (8000 * sound / np.abs(sound).max() * syllables).astype(np.int16)


def speech_ms(samples: np.ndarray) -> int:
    spans = SpeechGate().push(PcmChunk(samples, 0, 0.0)).spans
    return sum(end - start for start, end in spans)


NOISE = np.random.default_rng(7)
NOT_SPEECH = {
    "digital silence": np.zeros(24_000, np.int16),
    "a dead line with an offset": np.full(24_000, 900, np.int16),
    "white noise": NOISE.normal(0, 3000, 24_000).astype(np.int16),
    "a dial tone": (4000 * np.tile(np.sin(2 * np.pi * 350 * SECOND) + np.sin(2 * np.pi * 440 * SECOND), 3)).astype(
        np.int16
    ),
    "mains hum": (6000 * np.tile(sum(np.sin(2 * np.pi * 50 * k * SECOND) / k for k in (1, 2, 3)), 3)).astype(np.int16),
    "a whistle": (8000 * np.tile(np.sin(2 * np.pi * 1300 * SECOND), 3)).astype(np.int16),
    "keys": np.where(NOISE.random(24_000) < 0.001, 20_000, 0).astype(np.int16),
    "full-scale square waves": np.tile(np.repeat(np.array([32767, -32768], np.int16), 20), 600),
    "the loudest possible offset": np.full(24_000, -32768, np.int16),
}


@pytest.mark.parametrize("name", NOT_SPEECH)
def test_what_is_not_a_voice_is_not_speech(name):
    """Up to the third of a second it takes to notice that a tone never moves."""
    assert speech_ms(NOT_SPEECH[name]) <= 400


@pytest.mark.parametrize("hz", [90, 120, 160, 200, 240, 320, 420])
def test_a_voice_is_speech_though_its_fundamental_is_missing(hz):
    assert speech_ms(voice(hz)) > 1200


@pytest.mark.parametrize("hz", [90, 120, 160, 200, 240, 320, 420])
def test_pitch_is_taken_from_the_harmonics(hz):
    at = np.arange(BLOCK_SAMPLES) / 8000
    sound = sum(np.cos(2 * np.pi * hz * k * at + k * k) for k in range(1, 40) if 300 <= hz * k <= 3400)
    tracker = PitchTracker()
    pitch = tracker.track((sound / 20).astype(np.float32))
    assert np.allclose(pitch.hz[5:], hz, rtol=0.01)


@pytest.mark.parametrize("file", sorted(VOICES.glob("*.wav")), ids=lambda file: file.stem)
def test_most_of_a_recorded_voice_is_speech(file):
    audio, rate = soundfile.read(file)
    samples = (soxr.resample(audio, rate, 8000) * 32767).astype(np.int16)
    assert 0.5 < speech_ms(samples) / (len(samples) / 8) < 0.95


def test_loudness_makes_no_difference_to_what_is_speech():
    loud, soft = speech_ms(voice(150)), speech_ms((voice(150) // 8).astype(np.int16))
    assert abs(loud - soft) <= 200


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_the_same_sound_holds_the_same_speech_however_it_was_cut(cuts):
    samples, gate, at, spans = voice(140, 1.5), SpeechGate(), 0, []
    for length in [*cuts, len(samples)]:
        spans += gate.push(PcmChunk(samples[at : at + length], at // 8, 0.0)).spans
        at = min(len(samples), at + length)
    flags = np.zeros(150, bool)
    for start, end in spans:
        flags[start // 10 : end // 10] = True
    whole = np.zeros(150, bool)
    for start, end in SpeechGate().push(PcmChunk(samples, 0, 0.0)).spans:
        whole[start // 10 : end // 10] = True
    judged = len(samples) // BLOCK_SAMPLES * 20
    assert np.array_equal(flags[:judged], whole[:judged])


def test_a_gap_is_not_speech_and_ends_the_word_it_falls_into():
    gate = SpeechGate()
    gate.push(PcmChunk(voice(150, 1.0), 0, 0.0))
    assert gate.push(Gap(1000, 5000, "lost", 0.0)).spans == ()
    assert gate.push(Gap(6000, 3_600_000, "pause", 0.0)).until_ms == 3_606_000


def test_a_voice_is_found_again_after_a_gap():
    gate = SpeechGate()
    gate.push(PcmChunk(voice(150, 1.0), 0, 0.0))
    gate.push(Gap(1000, 60_000, "pause", 0.0))
    assert gate.push(PcmChunk(voice(150, 1.0), 61_000, 0.0)).spans


def test_gates_judged_together_say_what_each_says_alone():
    sounds = [voice(hz, 1.5) // quieter for hz, quieter in ((110, 1), (180, 8), (250, 40))]
    sounds += [NOISE.integers(-9000, 9000, 12_000).astype(np.int16), np.zeros(12_000, np.int16)]
    alone = [SpeechGate().push(PcmChunk(sound, 0, 0.0)) for sound in sounds]
    gates = [SpeechGate() for _ in sounds]
    for gate, sound in zip(gates, sounds, strict=True):
        gate.hear(PcmChunk(sound, 0, 0.0))
    while any(gate.pending for gate in gates):
        judge(gates)
    together = [gate.speech() for gate in gates]
    assert together == alone
    assert together[0].spans
    assert not together[-1].spans


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_who_else_is_judged_makes_no_difference(others, chance):
    sound = voice(160, 1.2)
    beside = [voice(90 + 60 * each, 1.2) // (1 + 9 * each) for each in others]
    gates = [SpeechGate() for _ in (sound, *beside)]
    for at in range(0, len(sound), BLOCK_SAMPLES):
        for gate, each in zip(gates, (sound, *beside), strict=True):
            gate.hear(PcmChunk(each[at : at + BLOCK_SAMPLES], at // 8, 0.0))
        judge(chance.sample(gates, len(gates)))
    assert gates[0].speech() == SpeechGate().push(PcmChunk(sound, 0, 0.0))


def test_a_gate_that_forgets_overwrites_what_it_had_heard():
    gate = SpeechGate()
    gate.push(PcmChunk(voice(150, 1.05), 0, 0.0))
    gate.hear(PcmChunk(voice(150, 0.5), 1050, 0.0))
    waiting = [block.samples for block in gate.pending]
    kept = [*waiting, gate._cutter._block, gate._tracker._end]
    assert len(waiting) == 2
    assert all(array.any() for array in kept)
    gate.forget()
    assert not any(array.any() for array in kept)
    assert not gate.pending
    assert gate.speech().spans == ()
