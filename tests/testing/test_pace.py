"""When frames go out, and which: arithmetic, no clock."""

import math

import pytest

from agent.testing.pace import FRAME_BYTES, Pace, Schedule, SendLog, frames_of
from agent.testing.playback import Playback


def test_frame_k_is_due_when_its_last_sample_has_been_spoken() -> None:
    schedule = Schedule(Pace())
    slots = [schedule.next() for _ in range(3_000)]
    assert [slot.at_s for slot in slots] == [pytest.approx((k + 1) * 0.02) for k in range(3_000)]
    assert [slot.media_ms for slot in slots] == [20 * k for k in range(3_000)]


def test_speed_divides_the_time_and_leaves_the_media_clock_alone() -> None:
    schedule = Schedule(Pace(speed=20))
    slots = [schedule.next() for _ in range(100)]
    assert slots[-1].at_s == pytest.approx(0.1)
    assert slots[-1].media_ms == 1_980
    assert Schedule(Pace(speed=math.inf)).next().at_s == 0


def test_jitter_delays_within_its_bound_and_keeps_order() -> None:
    schedule = Schedule(Pace(jitter_ms=150))
    times = [schedule.next().at_s for _ in range(2_000)]
    late = [at - (k + 1) * 0.02 for k, at in enumerate(times)]
    assert min(late) >= -1e-9
    assert max(late) <= 0.15 + 1e-9
    assert max(late) > 0.1
    assert times == sorted(times)
    assert len(set(times)) < len(times), "what was held back comes in bursts"


def test_loss_is_about_its_percentage_and_repeats_with_the_seed() -> None:
    def lost(seed: int) -> list[bool]:
        schedule = Schedule(Pace(loss=10, seed=seed))
        return [schedule.next().lost for _ in range(5_000)]

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert sum(lost(1)) == pytest.approx(500, abs=100)
    assert not any(Schedule(Pace()).next().lost for _ in range(10))


def test_jitter_does_not_change_which_frames_are_lost() -> None:
    calm, shaky = Schedule(Pace(loss=20)), Schedule(Pace(loss=20, jitter_ms=50))
    assert [calm.next().lost for _ in range(200)] == [shaky.next().lost for _ in range(200)]


def test_a_pause_moves_the_media_clock_on() -> None:
    schedule = Schedule(Pace())
    schedule.next()
    assert schedule.pause(1_000) == pytest.approx(1.02)
    assert schedule.next().media_ms == 1_020


@pytest.mark.parametrize("bad", [{"speed": 0}, {"speed": -1}, {"loss": 101}, {"loss": -1}, {"jitter_ms": -1}])
def test_an_impossible_pace_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Pace(**bad)


def test_the_last_frame_is_filled_up_with_silence() -> None:
    assert list(frames_of(b"\x00" * 200)) == [b"\x00" * FRAME_BYTES, b"\x00" * 40 + b"\xff" * 120]
    assert list(frames_of(b"")) == []


def test_the_send_log_knows_when_a_media_time_was_out() -> None:
    log = SendLog()
    with pytest.raises(LookupError):
        log.sent_at(20)
    for index, at in [(0, 10.02), (1, 10.04), (4, 10.10)]:
        log.note(index, at)
    assert [log.sent_at(ms) for ms in (0, 1, 20, 21, 40)] == [10.02, 10.02, 10.02, 10.04, 10.04]
    assert log.sent_at(60) == 10.10, "a lost frame is covered by the next one that was sent"
    with pytest.raises(LookupError):
        log.sent_at(101)


def test_the_send_log_counts_from_the_first_frame_sent() -> None:
    log = SendLog()
    log.note(3, 1.0)
    assert log.sent_at(20) == 1.0


def test_marks_come_back_when_the_audio_before_them_has_played() -> None:
    playback = Playback(speed=1)
    playback.queue(8_000, now=10)
    playback.mark("one", now=10)
    playback.queue(4_000, now=10.2)
    playback.mark("two", now=10.2)
    assert playback.next_at == 11
    assert playback.due(10.9) == []
    assert playback.due(11) == ["one"]
    assert playback.next_at == 11.5
    assert playback.unplayed_s(11.2) == pytest.approx(0.3)


def test_clear_returns_every_outstanding_mark_at_once() -> None:
    playback = Playback(speed=1)
    playback.queue(80_000, now=0)
    playback.mark("one", now=0)
    playback.mark("two", now=1)
    playback.clear(now=2)
    assert playback.due(2) == ["one", "two"]
    assert playback.unplayed_s(2) == 0
    assert playback.next_at == math.inf
