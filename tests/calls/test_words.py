"""What the assistant is saying: announced before its turn, or told while it goes on."""

import trio
from trio.testing import MockClock

from agent.calls.words import ANNOUNCED_S, LONGEST, Words


async def test_a_text_announced_just_before_a_turn_is_that_turns(autojump_clock: MockClock) -> None:
    words = Words()
    words.announced("Good morning.")
    await trio.sleep(ANNOUNCED_S / 2)
    assert words.begin() == "Good morning."
    assert words.end() == "Good morning."


async def test_one_announced_long_before_is_not(autojump_clock: MockClock) -> None:
    words = Words()
    words.announced("Good morning.")
    await trio.sleep(ANNOUNCED_S + 0.1)
    assert words.begin() is None
    assert words.end() is None


async def test_a_text_that_comes_during_the_turn_is_known_at_its_end(autojump_clock: MockClock) -> None:
    words = Words()
    assert words.begin() is None
    words.announced("Good")
    words.announced("Good morning.")
    assert words.end() == "Good morning."
    assert words.begin() is None


async def test_transcripts_add_up_and_give_way_to_the_whole(autojump_clock: MockClock) -> None:
    words = Words()
    words.begin()
    words.transcribed("Good")
    words.transcribed("morning.")
    assert words.text == "Good morning."
    words.announced("Good morning to you.")
    words.transcribed("to you.")
    assert words.end() == "Good morning to you."


async def test_what_was_transcribed_of_one_turn_is_not_the_next_ones(autojump_clock: MockClock) -> None:
    words = Words()
    words.begin()
    words.transcribed("Good morning.")
    words.end()
    assert words.begin() is None


async def test_a_turn_without_end_is_bounded(autojump_clock: MockClock) -> None:
    words = Words()
    words.begin()
    for _ in range(100):
        words.transcribed("x" * 100)
    assert len(words.text or "") == LONGEST
