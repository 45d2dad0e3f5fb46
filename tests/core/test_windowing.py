import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.audio import Gap, PcmChunk, Window
from agent.core.speech import Speech
from agent.core.windowing import Windower

ORIGIN_MS = 340


def sounds(lengths: list[tuple[int, bool]], origin_ms: int = ORIGIN_MS) -> list[PcmChunk | Gap]:
    """Chunks and gaps of the given lengths in milliseconds, in order; each is heard at the second of its end."""
    out: list[PcmChunk | Gap] = []
    at_ms = origin_ms
    for ms, missing in lengths:
        heard_at = (at_ms + ms) / 1000
        out.append(
            Gap(at_ms, ms, "lost", heard_at) if missing else PcmChunk(np.zeros(ms * 8, np.int16), at_ms, heard_at)
        )
        at_ms += ms
    return out


def windows(
    lengths: list[tuple[int, bool]], speech: tuple[tuple[int, int], ...] = (), windower: Windower | None = None
) -> list[Window]:
    windower = windower or Windower()
    found: list[Window] = []
    for sound in sounds(lengths):
        judged_ms = sound.end_ms - ORIGIN_MS
        start_ms = sound.start_ms - ORIGIN_MS
        spans = tuple((max(a, start_ms), min(b, judged_ms)) for a, b in speech if a < judged_ms and b > start_ms)
        found += windower.push(sound, Speech(judged_ms, spans))
    return found


cuts = st.lists(st.tuples(st.integers(1, 900), st.booleans()), min_size=1, max_size=30)


@given(cuts, st.integers(50, 500), st.integers(50, 2000))
def test_windows_tile_the_audio_whatever_the_chunking(lengths, hop_ms, window_ms):
    total_ms = sum(ms for ms, _ in lengths)
    whole = windows([(total_ms, False)], windower=Windower(hop_ms, window_ms))
    cut = windows([(ms, False) for ms, _ in lengths], windower=Windower(hop_ms, window_ms))
    assert [(w.start_ms, w.end_ms) for w in cut] == [(w.start_ms, w.end_ms) for w in whole]
    assert [w.end_ms - ORIGIN_MS for w in cut] == list(range(hop_ms, total_ms + 1, hop_ms))
    assert all(w.start_ms == max(ORIGIN_MS, w.end_ms - window_ms) for w in cut)


@given(cuts)
def test_what_is_missing_is_counted_to_the_millisecond(lengths):
    missing = np.concatenate([np.full(ms, gap) for ms, gap in lengths])
    for window in windows(lengths):
        inside = missing[window.start_ms - ORIGIN_MS : window.end_ms - ORIGIN_MS]
        assert window.missing_ms == inside.sum() < len(inside)


@given(cuts, st.integers(0, 3000), st.integers(1, 3000))
def test_speech_in_the_window_does_not_depend_on_the_chunking(lengths, start_ms, length_ms):
    span = (start_ms, start_ms + length_ms)
    for window in windows([(ms, False) for ms, _ in lengths], (span,)):
        start, end = window.start_ms - ORIGIN_MS, window.end_ms - ORIGIN_MS
        assert window.speech_ms == max(0, min(end, span[1]) - max(start, span[0]))


def test_a_window_is_heard_when_the_sound_that_completes_it_is():
    found = windows([(150, False), (150, False), (100, False)])
    assert [w.heard_at for w in found] == [(ORIGIN_MS + 300) / 1000, (ORIGIN_MS + 400) / 1000]


def test_a_window_waits_until_its_sound_has_been_judged():
    windower = Windower(hop_ms=100)
    first, second = sounds([(100, False), (100, False)])
    assert windower.push(first, Speech(0)) == []
    assert [w.end_ms for w in windower.push(second, Speech(200))] == [ORIGIN_MS + 100, ORIGIN_MS + 200]


def test_hops_that_lie_deep_inside_a_gap_are_passed_over():
    found = windows([(1000, False), (3_600_000, True), (1000, False)])
    ends = [w.end_ms - ORIGIN_MS for w in found]
    assert ends[:5] == [200, 400, 600, 800, 1000]
    assert all(end % 200 == 0 for end in ends)
    assert ends[-5:] == [3_601_200, 3_601_400, 3_601_600, 3_601_800, 3_602_000]
    assert len(found) < 20


def test_an_endless_call_needs_no_more_memory_than_a_short_one():
    windower = Windower()
    for second in range(600):
        span = ((second * 1000, second * 1000 + 500),)
        chunk = PcmChunk(np.zeros(8000, np.int16), second * 1000, float(second))
        windower.push(chunk, Speech(second * 1000 + 1000, span))
        assert len(windower._speech) < 10


def test_a_window_of_no_length_is_refused():
    with pytest.raises(ValueError, match="positive"):
        Windower(hop_ms=0)
