"""Thresholds for somebody's own recordings."""

import tomllib

import pytest
from made import hearing, readings, row

from agent.evaluation.metrics import binomial_upper
from agent.evaluation.tuning import Alarms, Peaks, Point, certainty, with_point
from agent.settings import Settings

NOW = Point(0.7, 0.85)


def peaks(angry: list[float], calm: list[float], settings: Settings | None = None) -> Peaks:
    """Recordings in which the engine is this sure of anger all the time; each of its own speaker."""
    rows = [row("angry", speaker=f"a{at}") for at in range(len(angry))]
    rows += [row("neutral", speaker=f"c{at}") for at in range(len(calm))]
    heard = [hearing(readings(*[("angry", score)] * 8)) for score in (*angry, *calm)]
    return Peaks(rows, heard, settings or Settings())


def test_the_point_that_finds_most_within_the_wanted_rate_is_chosen():
    found = peaks([0.95, 0.8, 0.75, 0.6], [0.72, 0.3, 0.3, 0.3])
    assert found.outcome(NOW) == Alarms(angry=4, found=1, other=4, false=0)
    point = found.best(0.0, NOW)
    assert point is not None
    assert found.outcome(point) == Alarms(4, 3, 4, 0), "0.75 is found, and 0.72 raises no alarm"
    assert 0.72 < point.act_at <= 0.75
    loose = found.best(0.25, NOW)
    assert loose is not None
    assert found.outcome(loose) == Alarms(4, 4, 4, 1)


def test_what_is_good_already_is_left_alone():
    assert peaks([0.95, 0.9], [0.3, 0.2]).best(0.02, NOW) == NOW


def test_none_is_said_where_no_threshold_will_do():
    assert peaks([0.95], [0.999, 0.999]).best(0.1, NOW) is None


def test_an_angry_recording_with_a_calm_beginning_can_alarm_falsely():
    early = row("angry", angry_from_ms=60_000)
    outcome = Peaks([early], [hearing(readings(*[("angry", 0.95)] * 8))], Settings()).outcome(NOW)
    assert outcome == Alarms(angry=1, found=0, other=1, false=1)


def test_on_speakers_left_out_it_looks_no_better_than_it_is():
    """One caller's 0.84 is all that stands between the rest and a lower threshold."""
    found = peaks([0.8] * 10, [0.3] * 9 + [0.84])
    chosen = found.best(0.0, NOW)
    left_out = found.left_out(0.0, NOW)
    assert chosen is not None
    assert left_out is not None
    assert found.outcome(chosen).false == 0
    assert left_out.false == 1, "whoever was tuned without that caller would have alarmed on them"
    assert (left_out.angry, left_out.other) == (10, 10)
    assert peaks([0.9], [0.1]).left_out(0.0, NOW) is None


def test_how_sure_it_is_follows_from_how_much_was_heard():
    few = certainty(Alarms(10, 9, 20, 0), 0.02)
    assert f"{100 * binomial_upper(0, 20):.1f} %" in few
    assert "149 such recordings" in few
    assert "enough to be sure of 2 %" in certainty(Alarms(10, 9, 200, 0), 0.02)


FILE = """# Mine.
gate = 0.7               # a guess is not worth it
act_at=0.85
[local]
gate_like = 1
"""


def test_only_the_two_lines_of_the_file_change_and_their_comments_stay():
    text = with_point(FILE, Point(0.65, 0.8))
    assert text == FILE.replace("gate = 0.7 ", "gate = 0.65 ").replace("act_at=0.85", "act_at=0.8")


@pytest.mark.parametrize("text", ["", "[hume]\nwindow_s = 10.0\n", "# nothing here\nmin_samples = 3\n"])
def test_a_file_without_the_keys_gets_them_at_its_top(text):
    table = tomllib.loads(with_point(text, Point(0.65, 0.8)))
    assert (table["gate"], table["act_at"]) == (0.65, 0.8)
    assert {name: value for name, value in table.items() if name not in ("gate", "act_at")} == tomllib.loads(text)
