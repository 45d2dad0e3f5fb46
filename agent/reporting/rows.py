"""The table of events: a line for each, and one for a row of readings that say the same. Pure."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from .facts import UNREAD, Row, Sample, Voice
from .heard import samples, voices
from .words import REFUSED, Event, many, plain, told, two

ROWS_SHOWN = 2000


def rows(events: Sequence[Event]) -> list[Row]:
    """All of them, in order."""
    found: list[Row] = []
    for key, group in groupby(events, _alike):
        alike = list(group)
        if key[0] == "audio.chunk":
            found += _readings(alike)
        else:
            for each in alike:
                tone, words = told(each)
                found.append(Row(int(each["t"]), str(each["event"]), words, tone))
    return found


def _alike(event: Event) -> tuple[str, ...]:
    """What readings have in common that are told in one line."""
    emotion = event.get("emotion")
    label = str(emotion.get("label", "")) if isinstance(emotion, dict) else ""
    gated = str(event.get("gated") or "")
    return (str(event["event"]), "" if gated in UNREAD else label, gated, str(event.get("source", "")))


def _readings(alike: Sequence[Event]) -> Iterator[Row]:
    t_ms = int(alike[0]["t"])
    if measured := voices(alike):
        yield Row(t_ms, "audio.chunk", _measured(measured))
    elif read := samples(alike):
        yield Row(t_ms, "audio.chunk", _read(read))


def _read(read: Sequence[Sample]) -> str:
    first, count = read[0], many(len(read), "reading")
    if first.state in UNREAD:
        return f"{count}: {UNREAD[first.state]}"
    low, high = min(each.score for each in read), max(each.score for each in read)
    scores = two(low) if two(low) == two(high) else f"{two(low)} to {two(high)}"
    refused = f"; {REFUSED.get(first.state, plain(first.state))}" if first.state else ""
    source = "" if first.source == "local" else f", from {plain(first.source)}"
    return f"{count}: {plain(first.label)} {scores}{source}{refused}"


def _measured(measured: Sequence[Voice]) -> str:
    loud = [each.loudness_db for each in measured]
    rate = [each.rate for each in measured]
    refused = f"; {REFUSED.get(measured[0].state, plain(measured[0].state))}" if measured[0].state else ""
    both = sum(each.overlap_ms for each in measured)
    at_once = f", {both / 1000:.1f} s spoken at once" if both else ""
    count = many(len(measured), "measurement")
    return f"{count}: {between(loud, 'dB')}, {between(rate, 'syllables/s')}{at_once}{refused}"


def between(values: Sequence[float], unit: str) -> str:
    """Lowest to highest: 2.5 to 4.0 dB."""
    low, high = (f"{value:.1f}".replace("-", "\N{MINUS SIGN}") for value in (min(values), max(values)))
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
