"""What the aggregation means: the gate, the rolling window, its weights, and the trend."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.emotion import FAILED, LABELS, NEUTRAL, Emotion, EmotionReading, Gated, Trend
from agent.core.tracking import Gate, MoodTracker, TrendSeries

Heard = Sequence[tuple[float, str, float]]
"""When a reading arrived, its label, its score."""

WINDOW_S = 3.0


def reading(label: str = "angry", score: float = 0.9, **facts: object) -> EmotionReading:
    plain: dict[str, object] = {"source": "local", "start_ms": 0, "end_ms": 1_500, "heard_at": 0.0}
    return EmotionReading(Emotion(label, score), **(plain | facts))  # type: ignore[arg-type]


def tracker_of(heard: Heard, **kept: int) -> MoodTracker:
    tracker = MoodTracker(Gate(at_least=0.0), window_s=WINDOW_S, **({"min_samples": 1} | kept))
    for at, label, score in heard:
        tracker.take(reading(label, score, heard_at=at), at)
    return tracker


quarters = st.integers(0, 160).map(lambda count: count / 4)
scores = st.integers(1, 100).map(lambda percent: percent / 100)
heards = st.lists(st.tuples(quarters, st.sampled_from(LABELS), scores), max_size=45).map(sorted)


# --- The gate ---


def test_a_score_equal_to_the_gate_passes_and_a_smaller_one_does_not() -> None:
    assert Gate(at_least=0.7).refuses(reading(score=0.7)) is None
    assert Gate(at_least=0.7).refuses(reading(score=0.6999999)) is Gated.LOW_CONFIDENCE


def test_a_score_that_is_not_a_number_never_passes() -> None:
    assert Gate().refuses(reading(score=float("nan"))) is Gated.LOW_CONFIDENCE


@pytest.mark.parametrize("at_least", [0.0, 0.5, 0.7])
def test_a_reading_that_failed_never_passes_however_low_the_gate(at_least: float) -> None:
    failed = reading(FAILED.label, FAILED.score, source="fallback")
    assert Gate(at_least=at_least).refuses(failed) is Gated.LOW_CONFIDENCE


@pytest.mark.parametrize(
    ("speech_ms", "refused"), [(499, Gated.TOO_SHORT), (500, None), (0, Gated.TOO_SHORT), (None, None)]
)
def test_speech_shorter_than_the_minimum_is_refused_where_its_length_is_known(
    speech_ms: int | None, refused: Gated | None
) -> None:
    assert Gate(min_duration_ms=500).refuses(reading(speech_ms=speech_ms)) is refused


def test_ignored_labels_are_refused_as_such_and_only_they() -> None:
    gate = Gate(ignored_labels=("confused",))
    assert gate.refuses(reading("confused")) is Gated.IGNORED_LABEL
    assert gate.refuses(reading("surprised")) is None


@pytest.mark.parametrize("abstained", [Gated.CALIBRATING, Gated.POOR_LINE])
def test_an_engine_that_would_rather_not_say_is_taken_at_its_word(abstained: Gated) -> None:
    assert Gate().refuses(reading(score=1.0, abstained=abstained)) is abstained


@pytest.mark.parametrize("refused", [reading(score=0.1), reading("confused"), reading(speech_ms=3)])
def test_a_refused_reading_changes_neither_buffer_nor_mood_nor_trend(refused: EmotionReading) -> None:
    tracker = MoodTracker()
    for second in range(20):
        assert tracker.take(refused, float(second)) is not None
    assert tracker.buffer_size == 0
    mood = tracker.mood(20.0)
    assert (mood.emotion, mood.samples, mood.trend) == (NEUTRAL, 0, Trend.STEADY)


# --- The mood ---


def oracle(heard: Heard, now: float) -> tuple[dict[str, float], dict[str, float]]:
    """Sum of weight x score and sum of weight by label, written once more and differently."""
    support = dict.fromkeys(LABELS, 0.0)
    weight = dict.fromkeys(LABELS, 0.0)
    for at, label, score in heard:
        recency = max(0.0, (at + WINDOW_S - now) / WINDOW_S)
        support[label] += recency * score
        weight[label] += recency
    return support, weight


@given(heards, st.integers(0, 16).map(lambda quarters: quarters / 4))
def test_the_mood_is_what_the_definition_says(heard: Heard, later: float) -> None:
    now = (heard[-1][0] if heard else 0.0) + later
    mood = tracker_of(heard).mood(now)
    support, weight = oracle(heard, now)
    if not any(weight.values()):
        assert (mood.emotion, mood.samples) == (NEUTRAL, 0)
        return
    label = mood.emotion.label
    assert support[label] == pytest.approx(max(support.values()))
    assert mood.emotion.score == pytest.approx(support[label] / weight[label])
    assert dict(mood.support) == pytest.approx({name: total for name, total in support.items() if total})
    assert mood.samples == sum(now - at < WINDOW_S for at, _, _ in heard)
    assert mood.heard_at == max(at for at, _, _ in heard)


def test_many_weak_new_readings_outweigh_one_strong_old_one() -> None:
    mood = tracker_of([(0.0, "angry", 1.0), (2.0, "happy", 0.6), (2.5, "happy", 0.7)]).mood(2.5)
    assert mood.emotion.label == "happy"
    assert mood.emotion.score == pytest.approx((0.6 * (2.5 / 3) + 0.7) / (2.5 / 3 + 1))


def test_a_reading_of_this_moment_weighs_one_and_the_windows_far_end_weighs_nothing() -> None:
    tracker = tracker_of([(0.0, "angry", 1.0), (3.0, "happy", 0.5)])
    assert tracker.mood(3.0).support == {"happy": 0.5}
    assert tracker.mood(3.0).samples == 1
    assert tracker.mood(6.0).samples == 0


def test_too_few_readings_are_no_mood() -> None:
    tracker = MoodTracker(min_samples=3)
    moods = []
    for at in (0.0, 0.2, 0.4):
        tracker.take(reading(heard_at=at), at)
        moods.append(tracker.mood(at).emotion)
    assert [(mood.label, mood.score) for mood in moods] == [
        ("neutral", 0),
        ("neutral", 0),
        ("angry", pytest.approx(0.9)),
    ]
    assert tracker.mood(3.1).emotion == NEUTRAL, "two of the three have left the window"


@given(heards, st.integers(1, 10), st.integers(10, 20))
def test_the_buffer_is_capped_and_keeps_the_newest(heard: Heard, keep: int, cap: int) -> None:
    tracker = tracker_of([], buffer_cap=cap, buffer_keep=keep)
    size = 0
    for at, label, score in heard:
        tracker.take(reading(label, score, heard_at=at), at)
        size = size + 1 if size < cap else keep
        assert tracker.buffer_size == size
    held = heard[len(heard) - size :]
    now = heard[-1][0] if heard else 0.0
    assert sum(tracker.mood(now).support.values()) == pytest.approx(sum(oracle(held, now)[0].values()))


def test_of_a_full_buffer_the_newest_stay() -> None:
    heard = [(0.0, "sad", 0.9)] * 8 + [(0.0, "happy", 0.9)] * 3
    tracker = tracker_of(heard, buffer_cap=10, buffer_keep=3)
    assert (tracker.buffer_size, set(tracker.mood(0.0).support)) == (3, {"happy"})


def test_readings_from_outside_share_the_buffer_and_their_arrival_places_them() -> None:
    tracker = MoodTracker(min_samples=2)
    tracker.take(reading("sad", 0.8, heard_at=99.0), 100.0)
    tracker.take(reading("sad", 0.8, source="webhook", heard_at=100.5), 100.5)
    mood = tracker.mood(100.5)
    assert (mood.emotion.label, mood.samples, tracker.buffer_size, mood.heard_at) == ("sad", 2, 2, 100.5)


# --- The trend ---


def trend_of(values: Sequence[float], *, start: float = 0.0, span_s: float = 30.0) -> Trend:
    series = TrendSeries(span_s)
    for second, value in enumerate(values):
        series.add(value, start + second)
    return series.trend(start + len(values) - 1)


@pytest.mark.parametrize(
    ("values", "trend"),
    [
        ([0.1, 0.2, 0.3, 0.4], Trend.RISING),
        ([0.4, 0.3, 0.2, 0.1], Trend.FALLING),
        ([0.5, 0.5, 0.5, 0.5], Trend.STEADY),
        ([0.5, 0.51, 0.5, 0.51], Trend.STEADY),
        ([0.0, 1.0], Trend.STEADY),
        ([], Trend.STEADY),
    ],
)
def test_a_trend_is_the_sign_of_the_slope_where_there_is_one(values: list[float], trend: Trend) -> None:
    assert trend_of(values) is trend


@given(st.lists(st.floats(0, 1, width=16), max_size=40), st.integers(0, 10**6))
def test_a_trend_does_not_care_when_the_call_was_and_turns_round_with_its_values(
    values: list[float], start: int
) -> None:
    turned = {Trend.RISING: Trend.FALLING, Trend.FALLING: Trend.RISING, Trend.STEADY: Trend.STEADY}
    assert trend_of(values, start=float(start)) is trend_of(values)
    assert trend_of([1 - value for value in values]) is turned[trend_of(values)]


def test_many_readings_in_one_second_are_one_point() -> None:
    series = TrendSeries()
    for second, value in enumerate([0.9, 0.9, 0.1]):
        for tenth in range(10):
            series.add(value if tenth else 0.1, second + tenth / 10)
    assert series.trend(2.9) is Trend.FALLING
    assert len(series._points) == 3


def test_a_trend_forgets_what_is_older_than_its_span() -> None:
    assert trend_of([1.0] * 5 + [0.0] * 40) is Trend.STEADY
    series = TrendSeries(30.0)
    for second in range(10):
        series.add(second / 10, float(second))
    assert series.trend(9.0) is Trend.RISING
    assert series.trend(60.0) is Trend.STEADY


def test_an_hour_of_readings_takes_no_more_memory_than_a_minute() -> None:
    tracker = MoodTracker(buffer_cap=50, trend_window_s=30.0)
    for tick in range(18_000):
        tracker.take(reading(heard_at=tick / 5), tick / 5)
    assert tracker.buffer_size <= 50
    assert len(tracker._trend._points) <= 32


def test_the_trend_is_of_anger_even_where_the_label_is_another() -> None:
    tracker = MoodTracker(min_samples=1)
    for second in range(6):
        scores = {"neutral": 0.9 - second * 0.05, "angry": second * 0.03, "frustrated": second * 0.02}
        tracker.take(reading("neutral", 0.8, scores=scores), float(second))
    assert tracker.mood(5.0).trend is Trend.RISING
