"""A line that brings something else than mu-law: said once, believed never."""

from pathlib import Path

import pytest

from agent.actors.line_check import LineCheck
from agent.audiofile import load_linear, load_telephone
from agent.core.audio import Block, MediaFrame
from agent.core.emotion import Emotion, EmotionReading, Gated

VOICE = Path(__file__).parents[2] / "agent/demo/voices/emma_calm_then_angry.wav"
MU_LAW = load_telephone(VOICE)
LINEAR = load_linear(VOICE).astype("<i2").tobytes()
ANGRY = EmotionReading(Emotion("angry", 0.95), "local", 0, 1500, 1.5, scores={"angry": 1.0}, quality=0.9)


class Notes:
    """A timeline that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def record(self, event: str, **fields: object) -> None:
        self.events.append((event, str(fields["reason"])))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]


def heard(check: LineCheck, payload: bytes, seconds: int, line: int = 0) -> None:
    for n in range(10 * seconds):
        frames = tuple(
            MediaFrame(5 * n + m, 100 * n + 20 * m, payload[160 * (5 * n + m) :][:160], 0.1 * n) for m in range(5)
        )
        check.hear(Block(frames, line))


def test_misread_audio_is_said_once_in_the_timeline_and_the_log_and_every_reading_of_it_is_a_poor_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check = LineCheck("local", notes := Notes())
    heard(check, LINEAR, 20)
    assert notes.names == ["analyzer.degraded"]
    assert "16 bits a sample" in notes.events[0][1]
    assert "mu-law, 8000 Hz" in notes.events[0][1]
    assert capsys.readouterr().out.count("audio.misread") == 1
    left = check.tempered(ANGRY)
    assert (left.abstained, left.emotion.label, left.anger, left.scores) == (Gated.POOR_LINE, "neutral", 0.0, {})


def test_mu_law_is_let_through_as_it_is_and_nothing_is_said() -> None:
    check = LineCheck("local", notes := Notes())
    heard(check, MU_LAW, 20)
    assert notes.events == []
    assert check.tempered(ANGRY) is ANGRY


def test_another_line_that_keeps_its_promise_is_believed_again() -> None:
    check = LineCheck("local", notes := Notes())
    heard(check, LINEAR, 5)
    heard(check, bytes([0xFF]) * len(MU_LAW), 5, line=1)
    assert check.tempered(ANGRY).abstained is Gated.POOR_LINE, "silence proves nothing"
    heard(check, MU_LAW, 5, line=1)
    assert notes.names == ["analyzer.degraded", "analyzer.recovered"]
    assert check.tempered(ANGRY) is ANGRY


def test_a_second_line_is_looked_at_although_the_first_was_fine_for_long() -> None:
    check = LineCheck("local", notes := Notes())
    heard(check, MU_LAW, 20)
    heard(check, LINEAR, 5, line=1)
    assert notes.names == ["analyzer.degraded"]


@pytest.mark.parametrize("dead", [b"", b"\x80" * 160, b"\x00\x80" * 80, b"\xff" * 160])
def test_a_dead_line_says_nothing(dead: bytes) -> None:
    check = LineCheck("local", notes := Notes())
    heard(check, dead * 1000, 15)
    assert notes.events == []


def test_nothing_of_the_sound_is_kept_once_it_is_to_be_forgotten() -> None:
    check = LineCheck("local", Notes())
    heard(check, LINEAR[:800], 1)
    assert any(check._watch._waiting)
    check.forget()
    assert not check._watch._waiting


def test_a_line_that_goes_wrong_later_is_noticed_in_a_few_seconds_of_sound() -> None:
    check = LineCheck("local", notes := Notes())
    heard(check, MU_LAW, 6)
    heard(check, LINEAR, 10)
    assert notes.names == ["analyzer.degraded"]


def test_silence_uses_up_nothing_of_what_is_looked_at_whole() -> None:
    check = LineCheck("local", notes := Notes())
    heard(check, b"\xff" * len(MU_LAW), 20)
    heard(check, LINEAR, 3)
    assert notes.names == ["analyzer.degraded"]
