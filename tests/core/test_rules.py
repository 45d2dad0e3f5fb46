"""Which moods earn a note, and which an interruption."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.context import ContextUpdate
from agent.core.emotion import LABELS, NEUTRAL, Emotion, Mood, Trend
from agent.core.rules import LEAD, InterruptRule, Rules, note_for


def mood(label: str = "angry", score: float = 0.9, **rivals: float) -> Mood:
    return Mood(Emotion(label, score), Trend.STEADY, 5, 0.0, {label: 2.0, **rivals})


NO_MOOD = Mood(NEUTRAL, Trend.STEADY, 2, 0.0)
moods = st.builds(
    lambda label, score, rival, support: mood(label, score, **({rival: support} if rival != label else {})),
    st.sampled_from(LABELS),
    st.floats(0, 1),
    st.sampled_from(LABELS),
    st.floats(0, 2),
)
steps = st.lists(st.tuples(st.integers(0, 20), moods, st.booleans()), max_size=60)


def run(steps: Sequence[tuple[int, Mood, bool]], rules: Rules) -> list[tuple[float, ContextUpdate, bool]]:
    """What was decided when, and whether the assistant was speaking. Steps are tenths of a second apart."""
    now, made = 0.0, []
    for wait, believed, speaking in steps:
        now += wait / 10
        update = rules.decide(believed, now, assistant_speaking=speaking)
        if update is not None:
            made.append((now, update, speaking))
    return made


# --- Notes ---


def test_a_note_goes_out_when_the_state_changes_and_not_with_every_reading() -> None:
    told = ["sad", "sad", "sad", "happy", "happy", "neutral", "neutral", "sad"]
    made = run([(20, mood(label), False) for label in told], Rules())
    assert [update.mood.emotion.label for _, update, _ in made] == ["sad", "happy", "neutral", "sad"]


def test_a_call_that_is_neutral_from_the_start_is_not_worth_a_note() -> None:
    assert run([(10, mood("neutral"), False)] * 5, Rules()) == []


def test_without_a_mood_nothing_is_sent_and_nothing_forgotten() -> None:
    made = run([(10, mood("angry"), False), (10, NO_MOOD, False), (10, mood("angry"), False)], Rules())
    assert len(made) == 1


@given(steps, st.sampled_from([0.0, 0.5, 2.0]))
def test_no_two_updates_are_closer_than_the_spacing(steps: list[tuple[int, Mood, bool]], every_s: float) -> None:
    times = [at for at, _, _ in run(steps, Rules(update_every_s=every_s))]
    assert all(later - earlier >= every_s - 1e-9 for earlier, later in pairwise(times))


@given(steps)
def test_the_same_state_is_only_ever_repeated_by_an_interruption(steps: list[tuple[int, Mood, bool]]) -> None:
    announced = "neutral"
    for _, update, _ in run(steps, Rules()):
        assert update.barge_in or update.mood.emotion.label != announced
        announced = update.mood.emotion.label


def test_what_spacing_held_back_is_decided_anew_on_the_mood_of_that_later_moment() -> None:
    rules = Rules(update_every_s=0.5)
    assert rules.decide(mood("sad"), 0.0, assistant_speaking=False) is not None
    assert rules.decide(mood("happy"), 0.2, assistant_speaking=False) is None
    assert 0.5 <= rules.recheck_at <= 0.75, "soon after it became due, with a reading or without"
    update = rules.decide(mood("fearful"), 0.5, assistant_speaking=False)
    assert update is not None
    assert update.mood.emotion.label == "fearful"
    assert rules.recheck_at == float("inf")


def test_what_spacing_held_back_may_have_become_unnecessary() -> None:
    rules = Rules(update_every_s=0.5)
    rules.decide(mood("sad"), 0.0, assistant_speaking=False)
    rules.decide(mood("happy"), 0.2, assistant_speaking=False)
    assert rules.decide(mood("sad"), 0.5, assistant_speaking=False) is None
    assert rules.recheck_at == float("inf")


def test_a_new_label_has_to_lead_the_announced_one_clearly() -> None:
    rules = Rules(update_every_s=0.0)
    rules.decide(mood("sad"), 0.0, assistant_speaking=False)
    too_close, enough = 2.0 / LEAD + 0.01, 2.0 / LEAD - 0.01
    assert rules.decide(mood("happy", sad=too_close), 1.0, assistant_speaking=False) is None
    assert rules.decide(mood("happy", sad=enough), 1.0, assistant_speaking=False) is not None


def test_two_labels_that_take_turns_by_a_hair_are_not_two_notes_a_second() -> None:
    turns = [(5, mood("sad", happy=1.95), False), (5, mood("happy", sad=1.95), False)]
    assert len(run(turns * 50, Rules())) == 1


# --- Interruptions ---


@pytest.mark.parametrize(
    ("label", "score", "speaking", "cut"),
    [
        ("angry", 0.85, True, True),
        ("frustrated", 0.85, True, True),
        ("angry", 0.8499, True, False),
        ("angry", 1.0, False, False),
        ("sad", 1.0, True, False),
        ("neutral", 1.0, True, False),
    ],
)
def test_an_interruption_needs_anger_from_the_threshold_and_an_assistant_that_speaks(
    label: str, score: float, speaking: bool, cut: bool
) -> None:
    rules = Rules(InterruptRule(at_least=0.85))
    update = rules.decide(mood(label, score), 0.0, assistant_speaking=speaking)
    assert (update is not None and update.barge_in) is cut
    assert update is None or update.say == (InterruptRule().say if cut else None)


@given(steps)
def test_interruptions_keep_their_conditions_and_their_cool_down(steps: list[tuple[int, Mood, bool]]) -> None:
    rule = InterruptRule(cooldown_s=3.0)
    cuts = [(at, update, speaking) for at, update, speaking in run(steps, Rules(rule)) if update.barge_in]
    assert all(speaking and update.mood.emotion.score >= rule.at_least for _, update, speaking in cuts)
    assert all(update.mood.emotion.label in rule.emotions for _, update, _ in cuts)
    assert all(second[0] - first[0] >= 3.0 - 1e-9 for first, second in pairwise(cuts))


def test_an_assistant_that_goes_on_speaking_is_not_cut_off_again_before_the_cool_down_is_over() -> None:
    made = run([(10, mood(), True)] * 40, Rules(InterruptRule(cooldown_s=15.0)))
    assert [at for at, update, _ in made if update.barge_in] == [1.0, 16.0, 31.0]


def test_an_angry_caller_who_was_already_announced_still_interrupts_when_the_assistant_begins_to_speak() -> None:
    rules = Rules()
    assert rules.decide(mood(), 0.0, assistant_speaking=False) is not None
    update = rules.decide(mood(), 1.0, assistant_speaking=True)
    assert update is not None
    assert update.barge_in


def test_an_interruption_held_back_by_spacing_is_only_made_if_the_assistant_still_speaks() -> None:
    rules = Rules(update_every_s=0.5)
    rules.decide(mood("sad"), 0.0, assistant_speaking=True)
    assert rules.decide(mood("angry"), 0.1, assistant_speaking=True) is None
    update = rules.decide(mood("angry"), 0.5, assistant_speaking=False)
    assert update is not None
    assert not update.barge_in


# --- Nobody was told ---


def test_what_reached_nobody_is_said_again_at_once_interruption_and_all() -> None:
    rules = Rules()
    first = rules.decide(mood(), 0.0, assistant_speaking=True)
    rules.forget()
    assert rules.decide(mood(), 0.01, assistant_speaking=True) == first


# --- The note ---


@given(moods)
def test_a_note_names_the_state_and_says_that_it_replaces_earlier_ones(believed: Mood) -> None:
    note = note_for(believed)
    assert believed.emotion.label in note
    assert f"{believed.emotion.score:.2f}" in note
    assert believed.trend.value in note
    assert note.endswith("Replaces earlier caller-state notes.")
    assert len(note) < 200


@given(st.text(min_size=1, max_size=32), st.floats(0, 1))
def test_any_label_from_outside_can_be_decided_upon(label: str, score: float) -> None:
    update = Rules().decide(mood(label, score), 0.0, assistant_speaking=True)
    assert update is None or label in update.note
    assert update is None or update.barge_in is (label in ("angry", "frustrated") and score >= 0.85)


def test_an_update_that_takes_anothers_place_keeps_its_pending_interruption() -> None:
    cut = ContextUpdate(mood(), "old", say="Sorry.")
    assert ContextUpdate(mood(), "new").replacing(cut) == ContextUpdate(mood(), "new", say="Sorry.")
    assert ContextUpdate(mood(), "new", say="Newer.").replacing(cut).say == "Newer."
