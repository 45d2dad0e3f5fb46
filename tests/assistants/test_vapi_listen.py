"""What Vapi's listen socket sends becomes the caller's voice, and nobody else's."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.assistants.vapi_listen import ONE_CHANNEL, SAME_SOUND, ListenedAudio, ListenShape
from agent.core import mulaw
from agent.core.audio import MediaFrame
from agent.errors import BadMessage

RATE = 16_000
LOUD = 8_000


def tone(hz: float, seconds: float, rate: int = RATE) -> NDArray[np.int16]:
    return (LOUD * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def noise(seconds: float, seed: int = 1, rate: int = RATE) -> NDArray[np.int16]:
    """Something like speech: low frequencies mostly."""
    white = np.random.default_rng(seed).normal(size=round(seconds * rate) + 8)
    return (LOUD / 2 * np.convolve(white, np.ones(8) / 3, "valid")[: round(seconds * rate)]).astype(np.int16)


def both(caller: NDArray[np.int16], assistant: NDArray[np.int16]) -> bytes:
    return np.stack((caller, assistant), axis=1).astype("<i2").tobytes()


def heard(frames: list[MediaFrame]) -> NDArray[np.float64]:
    return mulaw.decode(b"".join(frame.payload for frame in frames)).astype(float)


def level(sound: NDArray[np.float64], hz: float) -> float:
    """How loud this frequency is in 8 kHz sound, its first 100 ms aside."""
    sound = sound[800:]
    return 2 * abs(np.exp(-2j * np.pi * hz * np.arange(len(sound)) / 8000) @ sound) / len(sound)


def test_only_the_callers_channel_is_heard_at_the_rate_of_the_telephone() -> None:
    audio = ListenedAudio(ListenShape())
    frames = audio.feed(both(tone(440, 2.0), tone(1000, 2.0)), 1.0)
    sound = heard(frames)
    assert abs(len(sound) - 16_000) < 800
    assert level(sound, 440) == pytest.approx(LOUD, rel=0.05)
    assert level(sound, 1000) < LOUD / 200


def test_the_caller_may_be_on_the_other_channel() -> None:
    audio = ListenedAudio(ListenShape(caller_channel=1))
    sound = heard(audio.feed(both(tone(440, 1.0), tone(1000, 1.0)), 1.0))
    assert level(sound, 1000) == pytest.approx(LOUD, rel=0.05)
    assert level(sound, 440) < LOUD / 200


def test_frames_are_twenty_milliseconds_on_one_clock_with_counted_numbers() -> None:
    audio = ListenedAudio(ListenShape())
    data = both(tone(440, 0.5), tone(1000, 0.5))
    frames = [*audio.feed(data, 1.0), *audio.feed(data, 2.0)]
    assert {len(frame.payload) for frame in frames} == {160}
    assert [frame.media_ms for frame in frames] == [20 * place for place in range(len(frames))]
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert {frame.heard_at for frame in frames} == {1.0, 2.0}


@given(st.lists(st.integers(1, 4001), min_size=1, max_size=12))
def test_it_does_not_matter_how_the_sound_is_cut_into_messages(cuts: list[int]) -> None:
    data = both(tone(440, 0.4), tone(1000, 0.4))
    whole, parts = ListenedAudio(ListenShape()), ListenedAudio(ListenShape())
    frames: list[MediaFrame] = []
    at = 0
    for cut in [*cuts, len(data)]:
        frames += parts.feed(data[at : at + cut], 1.0)
        at = min(len(data), at + cut)
    assert [frame.payload for frame in frames] == [frame.payload for frame in whole.feed(data, 1.0)]


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
def test_the_rate_that_vapi_names_is_obeyed(rate: int) -> None:
    audio = ListenedAudio(ListenShape())
    assert audio.feed(json.dumps({"type": "start", "sampleRate": rate, "channels": 2}), 1.0) == []
    sound = heard(audio.feed(both(tone(440, 1.0, rate), tone(1000, 1.0, rate)), 1.0))
    assert abs(len(sound) - 8_000) < 800
    assert level(sound, 440) == pytest.approx(LOUD, rel=0.05)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '"text"',
        '{"sampleRate": 0}',
        '{"sampleRate": "16000"}',
        '{"sampleRate": 16000.5}',
        '{"sampleRate": true}',
        '{"sampleRate": 10000000}',
        '{"channels": 0}',
        '{"channels": 1000}',
        '{"channels": null}',
        "[" * 100_000,
        '{"\ud800": 1}',
    ],
    ids=range(14),
)
def test_a_text_that_says_nothing_usable_changes_nothing(text: str) -> None:
    audio, other = ListenedAudio(ListenShape()), ListenedAudio(ListenShape())
    data = both(tone(440, 0.5), tone(1000, 0.5))
    with pytest.raises(BadMessage):
        audio.feed(text, 1.0)
    assert audio.feed(data, 1.0) == other.feed(data, 1.0)


def test_other_texts_are_passed_over() -> None:
    audio = ListenedAudio(ListenShape())
    assert audio.feed('{"type":"hello"}', 1.0) == []
    assert audio.doubt is None


def test_both_voices_on_one_channel_are_not_the_callers() -> None:
    audio = ListenedAudio(ListenShape())
    audio.feed('{"sampleRate":16000,"channels":1}', 1.0)
    assert audio.doubt == ONE_CHANNEL
    assert audio.feed(tone(440, 1.0).tobytes(), 1.0) == []


def test_a_mixture_is_heard_where_the_user_wants_that() -> None:
    audio = ListenedAudio(ListenShape(channels=1))
    audio.feed('{"sampleRate":16000,"channels":1}', 1.0)
    sound = heard(audio.feed(noise(5.0).tobytes(), 1.0))
    assert audio.doubt is None
    assert len(sound) > 39_000


@pytest.mark.parametrize(
    "data",
    [both(noise(4.0), noise(4.0)), noise(8.0).tobytes()],
    ids=["both channels the same", "one channel taken for two"],
)
def test_channels_that_carry_one_sound_stop_the_listening_after_three_seconds(data: bytes) -> None:
    audio = ListenedAudio(ListenShape())
    second = 4 * RATE
    for at in range(0, 3 * second - 4000, 4000):
        audio.feed(data[at : at + 4000], 1.0)
        assert audio.doubt is None
    audio.feed(data[3 * second - 4000 :], 1.0)
    assert audio.doubt == SAME_SOUND
    assert audio.feed(data, 1.0) == []


@pytest.mark.parametrize(
    ("caller", "assistant"),
    [
        (noise(6.0, 1), noise(6.0, 2)),
        (noise(6.0), np.zeros(6 * RATE, np.int16)),
        (np.zeros(6 * RATE, np.int16), noise(6.0)),
        (np.zeros(6 * RATE, np.int16), np.zeros(6 * RATE, np.int16)),
        (noise(6.0), (0.1 * noise(6.0) + noise(6.0, 2)).astype(np.int16)),
    ],
    ids=["two voices", "only the caller", "only the assistant", "silence", "an echo"],
)
def test_two_persons_are_never_doubted(caller: NDArray[np.int16], assistant: NDArray[np.int16]) -> None:
    audio = ListenedAudio(ListenShape())
    data = both(caller, assistant)
    for at in range(0, len(data), 1280):
        audio.feed(data[at : at + 1280], 1.0)
    assert audio.doubt is None


def test_what_was_missed_is_a_gap_behind_which_the_sound_begins_anew() -> None:
    audio = ListenedAudio(ListenShape())
    before = audio.feed(both(tone(440, 1.0), tone(1000, 1.0)) + b"\x01", 1.0)
    audio.missed(700)
    after = audio.feed(both(tone(440, 1.0), tone(1000, 1.0)), 2.0)
    assert after[0].media_ms == before[-1].end_ms + 700
    assert after[0].sequence == before[-1].sequence + 2
    assert level(heard(after), 1000) < LOUD / 200
