"""What the caller has heard of the assistant, by marks and by the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ingress.playback import ANNOUNCED_PAUSE_S, MARK_BYTES, MARKS_LATE_S, PAUSE_S, Cut, Playback
from agent.ingress.voice import unheard

SOUND = b"\x11" * 1600
"""200 ms."""
SILENCE = b"\xff" * 1600


def test_what_was_sent_is_heard_as_time_goes_on_and_never_more_than_that() -> None:
    playback = Playback()
    playback.send(SOUND, 10.0)
    assert [playback.heard_ms(at) for at in (10.0, 10.05, 10.2, 99.0)] == [0, 50, 200, 200]


def test_a_mark_that_has_not_come_back_bounds_what_counts_as_heard() -> None:
    playback = Playback()
    playback.send(SOUND, 0.0)
    name = playback.mark()
    playback.send(SOUND, 0.0)
    assert playback.heard_ms(0.39) == 200
    playback.played(name, 0.5)
    assert playback.heard_ms(0.5) == 200
    assert playback.heard_ms(0.6) == 300


def test_a_mark_that_comes_early_moves_the_clock_on() -> None:
    playback = Playback()
    playback.send(SOUND, 0.0)
    playback.played(playback.mark(), 0.01)
    assert playback.heard_ms(0.01) == 200


@pytest.mark.parametrize("name", ["", "7", "x"])
def test_a_mark_nobody_set_says_nothing(name: str) -> None:
    playback = Playback()
    playback.send(SOUND, 0.0)
    playback.mark()
    playback.played(name, 0.05)
    assert playback.heard_ms(0.05) == 50


def test_a_carrier_that_returns_no_marks_is_waited_for_a_little_and_no_longer() -> None:
    """A bridged call would otherwise hang on in silence for as long as a goodbye may take."""
    playback = Playback()
    playback.announce(started=True)
    playback.send(SOUND, 0.0)
    playback.mark()
    playback.send(SOUND, 0.0)
    playback.announce(started=False)
    late = 0.4 + MARKS_LATE_S
    assert [playback.finished(at) for at in (0.4, late - 0.01, late)] == [False, False, True]
    playback.settle(late - 0.01)
    assert playback.speaking
    playback.settle(late)
    assert not playback.speaking


def test_marks_that_come_late_are_waited_for_as_long_as_they_come() -> None:
    playback = Playback()
    names = []
    for _ in range(20):
        playback.send(SOUND, 0.0)
        names.append(playback.mark())
    playback.played(names[9], 6.9)  # by the clock all had been heard at 4.0
    assert not playback.finished(7.1)
    assert not playback.finished(8.9 + MARKS_LATE_S - 0.01)
    playback.played(names[19], 8.9)
    assert playback.finished(8.9)


def test_after_a_pause_the_clock_begins_anew() -> None:
    playback = Playback()
    playback.send(SOUND, 0.0)
    playback.send(SOUND, 5.0)
    assert playback.heard(5.0) == len(SOUND)
    assert playback.heard(5.1) == len(SOUND) + 800


def test_a_turn_begins_with_sound_and_is_over_when_all_was_heard_and_a_pause_has_followed() -> None:
    playback = Playback()
    playback.send(SILENCE, 0.0)
    assert not playback.speaking
    playback.send(SOUND * 10, 0.0)
    playback.settle(1.9)
    assert playback.speaking, "sent long ago, but still to be heard"
    playback.settle(2.2 + PAUSE_S)
    assert not playback.speaking
    assert playback.heard_ms(9.0) is None


def test_a_turn_that_is_said_to_go_on_outlasts_a_pause_but_not_for_ever() -> None:
    playback = Playback()
    playback.announce(started=True)
    playback.send(SOUND, 0.0)
    playback.settle(2.0)
    assert playback.speaking
    playback.settle(0.2 + ANNOUNCED_PAUSE_S)
    assert not playback.speaking


def test_of_two_turns_in_the_carriers_buffer_the_one_that_is_heard_counts() -> None:
    playback = Playback()
    playback.announce(started=True)
    playback.send(SOUND, 0.0)
    playback.announce(started=False)
    playback.announce(started=True)
    playback.send(SOUND, 0.0)
    assert playback.heard_ms(0.1) == 100
    assert playback.heard_ms(0.3) == 100, "of the second one"


def test_a_cut_says_what_was_heard_and_what_there_was() -> None:
    playback = Playback()
    playback.announce(started=True)
    playback.send(SOUND, 0.0)
    playback.announce(started=False)
    assert playback.cut(0.05, waiting=800) == Cut(50, 300, complete=True)
    assert not playback.speaking
    assert playback.cut(0.06, waiting=0) is None
    playback.send(SOUND, 1.0)
    assert playback.cut(1.1, waiting=0) == Cut(100, 200, complete=False)


def test_marks_of_before_a_cut_say_nothing_any_more() -> None:
    playback = Playback()
    playback.send(SOUND, 0.0)
    name = playback.mark()
    playback.cut(0.05, waiting=0)
    playback.send(SOUND, 0.06)
    playback.played(name, 0.07)
    assert playback.heard_ms(0.16) == 100


def test_so_much_waits_at_the_carrier_by_the_clock_even_if_no_mark_ever_returns() -> None:
    playback = Playback()
    playback.send(SOUND, 0.0)
    playback.mark()
    playback.send(SOUND, 0.0)
    assert playback.ahead(0.1) == 2 * len(SOUND) - 800
    assert playback.ahead(9.0) == 0


@given(st.lists(st.tuples(st.integers(1, 4000), st.floats(0, 1), st.booleans()), max_size=40))
def test_whatever_comes_what_was_heard_only_grows_and_is_never_more_than_was_sent(
    steps: list[tuple[int, float, bool]],
) -> None:
    playback, now, heard = Playback(), 0.0, 0
    names = []
    for length, passed, returns in steps:
        playback.send(b"\x11" * length, now)
        if playback.unmarked >= MARK_BYTES:
            names.append(playback.mark())
        now += passed
        if returns and names:
            playback.played(names.pop(0), now)
        playback.settle(now)
        assert heard <= playback.heard(now) <= playback.sent
        heard = playback.heard(now)


@pytest.mark.parametrize(
    ("cut", "left"),
    [
        (Cut(0, 1000, complete=True), "one two three four"),
        (Cut(500, 1000, complete=True), "four"),
        (Cut(400, 1000, complete=True), "three four"),
        (Cut(1000, 1000, complete=True), ""),
        (Cut(200, 200, complete=False), "two three four"),
        (Cut(9000, 9000, complete=False), ""),
    ],
)
def test_the_words_not_heard_are_the_rest_by_share_and_whole_words(cut: Cut, left: str) -> None:
    assert unheard("one two three four", cut) == left
