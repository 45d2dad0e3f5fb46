"""Which moods earn a note, and which an interruption."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.context import ContextUpdate
from agent.core.emotion import LABELS, NEUTRAL, Emotion, Mood, Trend
from agent.core.rulebook import SORRY, Rule, RuleBook, Template
from agent.core.rules import AWAIT_READING_S, BETWEEN_INTERRUPTIONS_S, LEAD, Budgets, Decision, Fired, Rules, note_for
from agent.rulefile import shipped

ANGRY = frozenset({"angry", "frustrated"})
CUT = Rule("cut", ANGRY, 0.85, cooldown_s=15.0, interrupt=True)
TELL = Rule("tell", ANGRY, 0.85, for_s=1.0, context=Template("{emotion} {score:.1f} {trend}"), context_name="tell")
PASS = Rule("pass", ANGRY, 0.85, for_s=1.0, transfer=True)


def rules(*own: Rule, update_every_s: float = 0.5, budgets: Budgets | None = None) -> Rules:
    """Without a rule: the packaged ones."""
    return Rules(RuleBook(own) if own else shipped(0.85), update_every_s=update_every_s, budgets=budgets)


def told(decision: Decision | None) -> ContextUpdate | None:
    return decision.update if decision is not None else None


def decide(rules: Rules, mood: Mood, now: float, *, speaking: bool = False, **more: bool) -> ContextUpdate | None:
    return told(rules.decide(mood, now, assistant_speaking=speaking, **more))


def mood(label: str = "angry", score: float = 0.9, **rivals: float) -> Mood:
    return Mood(Emotion(label, score), Trend.STEADY, 5, 0.0, {label: 2.0, **rivals})


def felt(score: float = 0.9, trend: Trend = Trend.RISING, quality: float | None = None) -> Mood:
    return Mood(Emotion("angry", score), trend, 5, 0.0, {"angry": 2.0}, quality)


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
        update = decide(rules, believed, now, speaking=speaking)
        if update is not None:
            made.append((now, update, speaking))
    return made


# --- Notes ---


def test_a_note_goes_out_when_the_state_changes_and_not_with_every_reading() -> None:
    told = ["sad", "sad", "sad", "happy", "happy", "neutral", "neutral", "sad"]
    made = run([(20, mood(label), False) for label in told], rules())
    assert [update.mood.emotion.label for _, update, _ in made] == ["sad", "happy", "neutral", "sad"]


def test_a_call_that_is_neutral_from_the_start_is_not_worth_a_note() -> None:
    assert run([(10, mood("neutral"), False)] * 5, rules()) == []


def test_without_a_mood_nothing_is_sent_and_nothing_forgotten() -> None:
    made = run([(10, mood("angry"), False), (10, NO_MOOD, False), (10, mood("angry"), False)], rules())
    assert len(made) == 1


@given(steps, st.sampled_from([0.0, 0.5, 2.0]))
def test_no_two_updates_are_closer_than_the_spacing(steps: list[tuple[int, Mood, bool]], every_s: float) -> None:
    times = [at for at, _, _ in run(steps, rules(update_every_s=every_s))]
    assert all(later - earlier >= every_s - 1e-9 for earlier, later in pairwise(times))


@given(steps)
def test_the_same_state_is_only_ever_repeated_by_an_interruption(steps: list[tuple[int, Mood, bool]]) -> None:
    announced = "neutral"
    for _, update, _ in run(steps, rules()):
        assert update.barge_in or update.mood.emotion.label != announced
        announced = update.mood.emotion.label


def test_what_spacing_held_back_is_decided_anew_on_the_mood_of_that_later_moment() -> None:
    memory = rules()
    assert decide(memory, mood("sad"), 0.0) is not None
    assert decide(memory, mood("happy"), 0.2) is None
    assert 0.5 <= memory.recheck_at <= 0.75, "soon after it became due, with a reading or without"
    update = decide(memory, mood("fearful"), 0.5)
    assert update is not None
    assert update.mood.emotion.label == "fearful"
    assert memory.recheck_at == float("inf")


def test_what_spacing_held_back_may_have_become_unnecessary() -> None:
    memory = rules()
    decide(memory, mood("sad"), 0.0)
    decide(memory, mood("happy"), 0.2)
    assert decide(memory, mood("sad"), 0.5) is None
    assert memory.recheck_at == float("inf")


def test_a_new_label_has_to_lead_the_announced_one_clearly() -> None:
    memory = rules(update_every_s=0.0)
    decide(memory, mood("sad"), 0.0)
    too_close, enough = 2.0 / LEAD + 0.01, 2.0 / LEAD - 0.01
    assert decide(memory, mood("happy", sad=too_close), 1.0) is None
    assert decide(memory, mood("happy", sad=enough), 1.0) is not None


def test_two_labels_that_take_turns_by_a_hair_are_not_two_notes_a_second() -> None:
    turns = [(5, mood("sad", happy=1.95), False), (5, mood("happy", sad=1.95), False)]
    assert len(run(turns * 50, rules())) == 1


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
    update = decide(rules(), mood(label, score), 0.0, speaking=speaking)
    assert (update is not None and update.barge_in) is cut
    assert update is None or update.say == (SORRY if cut else None)


@given(steps)
def test_interruptions_keep_their_conditions_and_their_distance(steps: list[tuple[int, Mood, bool]]) -> None:
    eager = replace(CUT, cooldown_s=3.0)
    cuts = [(at, update, speaking) for at, update, speaking in run(steps, rules(eager)) if update.barge_in]
    assert all(speaking and update.mood.emotion.score >= 0.85 for _, update, speaking in cuts)
    assert all(update.mood.emotion.label in ANGRY for _, update, _ in cuts)
    assert all(second[0] - first[0] >= BETWEEN_INTERRUPTIONS_S - 1e-9 for first, second in pairwise(cuts))


@pytest.mark.parametrize(("cooldown_s", "at"), [(15.0, [1, 16, 31]), (20.0, [1, 21]), (0.0, [1, 16, 31])])
def test_an_assistant_that_goes_on_speaking_is_not_cut_off_again_before_the_cool_down_is_over(
    cooldown_s: float, at: list[float]
) -> None:
    made = run([(10, mood(), True)] * 40, rules(replace(CUT, cooldown_s=cooldown_s)))
    assert [now for now, update, _ in made if update.barge_in] == at


def test_two_rules_that_interrupt_keep_the_same_distance() -> None:
    other = replace(CUT, name="other", for_s=1.0)
    made = run([(5, mood(), True)] * 20, rules(CUT, other))
    assert [at for at, update, _ in made if update.barge_in] == [0.5]


def test_an_apology_that_an_operator_caused_is_not_cut_off_either() -> None:
    memory = rules(CUT)
    memory.interrupted(0.0)
    assert not any(update and update.barge_in for update in [decide(memory, mood(), t, speaking=True) for t in (1, 14)])
    update = decide(memory, mood(), 15.0, speaking=True)
    assert update is not None
    assert update.barge_in


def test_a_rule_that_can_only_interrupt_waits_for_the_assistant_with_its_cool_down_unspent() -> None:
    memory = rules(CUT)
    assert decide(memory, mood(), 0.0) == ContextUpdate(mood(), note_for(mood()))
    assert decide(memory, mood(), 1.0) is None
    update = decide(memory, mood(), 2.0, speaking=True)
    assert update is not None
    assert update.barge_in


def test_a_rule_that_can_do_more_does_not_wait_for_the_assistant_to_speak() -> None:
    both = replace(TELL, interrupt=True, for_s=0.0, cooldown_s=60.0)
    memory = rules(both)
    assert decide(memory, felt(), 0.0) == ContextUpdate(felt(), "angry 0.9 rising")
    assert decide(memory, felt(), 59.0, speaking=True) is None
    assert decide(memory, felt(), 60.0, speaking=True) == ContextUpdate(felt(), "angry 0.9 rising", say=SORRY)


def test_an_interruption_held_back_by_spacing_is_only_made_if_the_assistant_still_speaks() -> None:
    memory = rules(CUT)
    decide(memory, mood("sad"), 0.0, speaking=True)
    assert decide(memory, mood("angry"), 0.1, speaking=True) is None
    update = decide(memory, mood("angry"), 0.5)
    assert update is not None
    assert not update.barge_in


def test_a_rule_may_have_its_own_words_for_the_assistant() -> None:
    update = decide(rules(replace(CUT, say="One moment.")), mood(), 0.0, speaking=True)
    assert update is not None
    assert update.say == "One moment."


# --- How long, which way, how good a line ---


def fires(memory: Rules, *scores: float, every_s: float = 0.2) -> list[float]:
    """When a rule fires, in seconds, with one reading every so often."""
    found = []
    for place, score in enumerate(scores):
        decision = memory.decide(felt(score), place * every_s, assistant_speaking=False)
        if decision is not None and decision.fired:
            found.append(round(place * every_s, 3))
    return found


@pytest.mark.parametrize(
    ("scores", "at"),
    [
        ([0.9] * 6, [1.0]),
        ([0.9] * 5, []),
        ([0.9, 0.9, 0.81, 0.9, 0.9, 0.9, 0.9], [1.0]),
        ([0.9, 0.9, 0.79, 0.9, 0.9, 0.9, 0.9], []),
        ([0.9, 0.9, 0.79, *[0.9] * 6], [1.6]),
        ([0.9, 0.82, 0.82, 0.82, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9], [1.8]),
        ([0.9, 0.9, 0.9, 0.9, 0.9, 0.84, 0.9], [1.2]),
        ([0.84] * 20, []),
    ],
)
def test_a_rule_fires_when_its_condition_has_held_for_long_enough_a_small_dip_aside(
    scores: list[float], at: list[float]
) -> None:
    assert fires(rules(TELL), *scores) == at


def test_another_emotion_begins_a_rules_time_anew() -> None:
    memory = rules(replace(TELL, cooldown_s=0.0))
    told = [felt(), mood("happy"), felt(), felt(), mood("happy"), felt(), felt(), felt()]
    decisions = [memory.decide(each, 0.6 * place, assistant_speaking=False) for place, each in enumerate(told)]
    assert [place for place, each in enumerate(decisions) if each and each.fired] == [7]


def test_what_time_alone_makes_due_is_asked_again_without_a_reading() -> None:
    memory = rules(TELL)
    memory.decide(felt(), 0.0, assistant_speaking=False)
    assert memory.recheck_at == 1.0 + AWAIT_READING_S
    decision = memory.decide(felt(), memory.recheck_at, assistant_speaking=False)
    assert decision is not None
    assert decision.fired == (Fired("tell", 1.25, ("context:tell",)),)


@pytest.mark.parametrize("wanted", [None, Trend.RISING, Trend.FALLING])
@pytest.mark.parametrize("trend", list(Trend))
def test_a_rule_may_ask_for_a_trend(wanted: Trend | None, trend: Trend) -> None:
    decision = rules(replace(TELL, trend=wanted, for_s=0.0)).decide(felt(trend=trend), 0.0, assistant_speaking=False)
    assert decision is not None
    assert bool(decision.fired) is (wanted in (None, trend))


def test_a_trend_that_comes_later_finds_the_time_over_already() -> None:
    memory = rules(replace(TELL, trend=Trend.RISING))
    for now in (0.0, 1.0, 2.0):
        decision = memory.decide(felt(trend=Trend.STEADY), now, assistant_speaking=False)
        assert decision is None or not decision.fired
    decision = memory.decide(felt(), 2.2, assistant_speaking=False)
    assert decision is not None
    assert decision.fired == (Fired("tell", 2.2, ("context:tell",)),)


@pytest.mark.parametrize(("quality", "fired"), [(0.29, False), (0.3, True), (1.0, True), (None, True)])
def test_a_poor_line_is_not_an_angry_caller(quality: float | None, fired: bool) -> None:
    memory = rules(replace(TELL, for_s=0.0, unless_quality_below=0.3))
    decision = memory.decide(felt(quality=quality), 0.0, assistant_speaking=False)
    assert decision is not None
    assert bool(decision.fired) is fired


def test_time_alone_makes_nobody_angrier() -> None:
    memory = Rules(RuleBook((TELL,)), fresh_s=1.0)
    memory.decide(felt(), 0.0, assistant_speaking=False)
    assert memory.decide(felt(), 1.25, assistant_speaking=False) is None
    decision = memory.decide(replace(felt(), heard_at=0.6), 1.5, assistant_speaking=False)
    assert decision is not None
    assert decision.fired == (Fired("tell", 1.5, ("context:tell",)),)


@given(steps)
def test_time_alone_never_makes_us_ask_again_at_once(steps: list[tuple[int, Mood, bool]]) -> None:
    memory, now = rules(CUT, TELL, PASS), 0.0
    for wait, believed, speaking in steps:
        now += wait / 10
        memory.decide(believed, now, assistant_speaking=speaking)
        assert memory.recheck_at > now


# --- A human ---


def test_a_transfer_is_decided_with_its_evidence() -> None:
    memory = rules()
    memory.decide(felt(), 0.0, assistant_speaking=True)
    decision = memory.decide(felt(), 1.0, assistant_speaking=True)
    assert decision is not None
    assert (decision.mood, decision.transfer) == (felt(), "angry-transfer")
    assert decision.fired == (Fired("angry-transfer", 1.0, ("context:apologise", "transfer")),)
    assert decision.update is not None
    assert decision.update.note.startswith("Caller state: angry (0.90, rising). Acknowledge it in one short sentence, ")
    assert not decision.update.barge_in, "the apology of the first second is not cut off by the second rule"


def test_a_transfer_and_the_word_that_goes_with_it_are_held_back_by_no_spacing() -> None:
    memory = rules(replace(TELL, for_s=0.1, transfer=True), update_every_s=60.0)
    memory.decide(felt(), 0.0, assistant_speaking=False)
    decision = memory.decide(felt(), 0.1, assistant_speaking=False)
    assert decision is not None
    assert (decision.transfer, decision.update) == ("tell", ContextUpdate(felt(), "angry 0.9 rising"))


def test_for_a_transfer_nobody_need_be_there_to_be_told() -> None:
    memory = rules(PASS)
    memory.decide(felt(), 0.0, assistant_speaking=False, attached=False)
    decision = memory.decide(felt(), 1.0, assistant_speaking=False, attached=False)
    assert decision is not None
    assert (decision.transfer, decision.update) == ("pass", None)


def test_a_caller_who_is_passed_on_already_is_not_passed_on_again() -> None:
    memory = rules(replace(PASS, cooldown_s=0.0))
    for now in (0.0, 1.0, 2.0, 3.0):
        decision = memory.decide(felt(), now, assistant_speaking=False, may_transfer=False)
        assert decision is None or decision.transfer is None
    decision = memory.decide(felt(), 4.0, assistant_speaking=False)
    assert decision is not None
    assert decision.transfer == "pass", "nor has it spent its cool-down on that"


# --- Nobody to tell ---


def test_what_reaches_nobody_does_not_count_and_is_said_at_once_when_it_can_be() -> None:
    memory, fresh = rules(), rules()
    decision = memory.decide(mood(), 0.0, assistant_speaking=True, attached=False)
    assert decision == Decision(mood(), unheard=True)
    assert decide(memory, mood(), 0.01, speaking=True) == decide(fresh, mood(), 0.0, speaking=True)


# --- Budgets ---


def test_a_budget_that_is_spent_ends_that_and_is_told_of_once() -> None:
    memory = rules(CUT, budgets=Budgets(interrupts=2, notes=3))
    decisions = [memory.decide(mood(), now, assistant_speaking=True) for now in range(0, 200, 20)]
    cuts = [bool(decision and decision.update and decision.update.barge_in) for decision in decisions]
    assert cuts == [True, True] + [False] * 8
    assert [decision.over_budget for decision in decisions if decision and decision.over_budget] == [
        ("interrupts_per_call",)
    ]


def test_without_notes_left_an_interruption_goes_alone() -> None:
    memory = rules(CUT, budgets=Budgets(interrupts=9, notes=1))
    first, second = (memory.decide(mood(), now, assistant_speaking=True) for now in (0.0, 20.0))
    assert first is not None
    assert second is not None
    assert second.over_budget == ("notes_per_call",)
    assert second.update == ContextUpdate(mood(), "", say=SORRY)
    assert memory.decide(mood("sad"), 21.0, assistant_speaking=True) is None


# --- Another book ---


def test_cool_downs_stay_with_the_names_when_the_rules_are_edited() -> None:
    memory = rules(replace(TELL, for_s=0.0, cooldown_s=60.0))
    assert fires(memory, 0.9) == [0.0]
    memory.book = RuleBook((replace(TELL, for_s=0.0, cooldown_s=30.0), replace(TELL, name="new", for_s=0.0)))
    decisions = [memory.decide(felt(), now, assistant_speaking=False) for now in (10.0, 29.9, 30.0)]
    assert [[fired.rule for fired in decision.fired] if decision else [] for decision in decisions] == [
        ["new"],
        [],
        ["tell"],
    ]


def test_where_two_rules_want_something_else_said_the_first_has_it_and_both_are_done() -> None:
    other = replace(TELL, name="other", context=Template("another"), context_name="other")
    memory = rules(other, TELL)
    memory.decide(felt(), 0.0, assistant_speaking=False)
    assert decide(memory, felt(), 1.0) == ContextUpdate(felt(), "another")
    assert decide(memory, felt(), 2.0) is None


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
    update = decide(rules(), mood(label, score), 0.0, speaking=True)
    assert update is None or label in update.note
    assert update is None or update.barge_in is (label in ("angry", "frustrated") and score >= 0.85)


def test_an_update_that_takes_anothers_place_keeps_its_pending_interruption() -> None:
    cut = ContextUpdate(mood(), "old", say="Sorry.", reason="operator")
    assert ContextUpdate(mood(), "new").replacing(cut) == ContextUpdate(mood(), "new", say="Sorry.", reason="operator")
    assert ContextUpdate(mood(), "new", say="Newer.").replacing(cut).say == "Newer."


def test_each_part_of_an_update_that_took_anothers_place_keeps_its_own_reason() -> None:
    angry = ContextUpdate(mood(), "angry", say="Sorry.", why="Angry for 2 s")
    calmer = ContextUpdate(mood(), "calm", why="Calm for 5 s").replacing(angry)
    assert (calmer.why, calmer.cut_why) == ("Calm for 5 s", "Angry for 2 s")
    assert calmer.without_interruption().cut_why == ""
    asked = ContextUpdate(mood(), "", words=("Offer a refund.",), why="asked by an operator").replacing(calmer)
    assert (asked.note, asked.why, asked.cut_why) == ("calm", "Calm for 5 s", "Angry for 2 s")


def test_an_update_that_takes_anothers_place_keeps_the_operators_words_and_few_enough() -> None:
    update = ContextUpdate(mood(), "state")
    for number in range(20):
        update = ContextUpdate(mood(), "", words=(str(number),)).replacing(update)
    update = ContextUpdate(mood(), "newer").replacing(update)
    assert update.text == "newer\n\n15\n\n16\n\n17\n\n18\n\n19"
    assert "19" not in repr(update)
