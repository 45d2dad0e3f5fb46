"""A call as a picture: the curve of anger with its readings, what was done, when the assistant spoke, and where nothing
could be heard; or, where nobody's feelings were judged, how loud and how quick the caller spoke. As SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import median

from .facts import UNREAD, Deed, Findings, Sample, Span
from .plane import LETTER, Panel, Plane, text

HIGH = 200.0
PART_S = 2.5
"""Readings further apart than this are not joined by a line, unless they all are."""
Series = Sequence[tuple[int, float]]


def picture(found: Findings, width: int, name: str) -> str:
    """`width`: in pixels of its own; `name`: of this picture among those of a page."""
    plane = Plane(width, found.about.duration_ms, name)
    parts, bottom = (_voices if found.voices else _mood)(found, plane)
    parts += _lanes(found, plane, bottom)
    height = bottom + 28 + 30 * len(_lanes_of(found))
    title = "Loudness and pace over time" if found.voices else "Anger over time"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{escape(name)}" viewBox="0 0 {width} {height:.0f}" role="img" '
        f'aria-labelledby="{escape(name)}-title {escape(name)}-about"><title id="{escape(name)}-title">{title}</title>'
        f'<desc id="{escape(name)}-about">The summary above and the lists and the table below say in words what is '
        f"drawn here.</desc>{plane.hatchings()}{''.join(parts)}</svg>"
    )


# --- where emotions are judged ---


def _mood(found: Findings, plane: Plane) -> tuple[list[str], float]:
    marks, top = markers(found.deeds, plane)
    panel = Panel(plane, top + 8, HIGH)
    said = [each for each in found.samples if each.says]
    columns = plane.width // 3
    parts = [plane.times(panel.top, panel.bottom + 30 * len(_lanes_of(found)))]
    parts.append(panel.levels([(0.0, "0"), (0.5, "0.5"), (1.0, "1")]))
    parts += [_unread(panel, span) for span in found.states if span.kind in UNREAD or span.kind == "stopped"]
    apart = abs(panel.y(found.bar.act_at) - panel.y(found.bar.gate)) > 12
    parts.append(panel.level(found.bar.act_at, "act", named=True) + panel.level(found.bar.gate, "gate", named=apart))
    parts += [
        f'<path class="leader" d="M{mark.x:.1f} {top:.1f}V{panel.bottom:.1f}"/>' for mark in marked(found.deeds, plane)
    ]
    strokes = [thinned([(each.t_ms, each.anger) for each in stroke], columns) for stroke in unbroken(found.samples)]
    parts.append(panel.curve(strokes))
    for each in strongest(said, columns):
        parts.append(panel.dot(each.t_ms, each.anger, "hollow" if each.state else "point"))
    return [*parts, *marks], panel.bottom


def _unread(panel: Panel, span: Span) -> str:
    drawn = panel.plane.stretch(span.kind, span.from_ms, span.to_ms, panel.top, panel.height)
    room = panel.plane.x(span.to_ms) - panel.plane.x(span.from_ms)
    if len(span.words) * LETTER + 8 > room:
        return drawn
    return drawn + text(panel.plane.x(span.from_ms) + 4, panel.top + 16, span.words, kind="halo")


def unbroken(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """The readings that a line joins: without an opinion, or after a pause, it is broken."""
    spacing = [b.t_ms - a.t_ms for a, b in pairwise(samples)]
    longest_ms = max(1000 * PART_S, 3 * median(spacing)) if spacing else 0
    stroke: list[Sample] = []
    for each in samples:
        if stroke and (not each.says or each.t_ms - stroke[-1].t_ms > longest_ms):
            yield stroke
            stroke = []
        if each.says:
            stroke.append(each)
    if stroke:
        yield stroke


def thinned(series: Series, columns: int) -> Series:
    """At most four points a column: where it began and ended, its lowest and its highest."""
    if len(series) <= 2 * columns:
        return series
    size = -(-len(series) // columns)
    kept: list[tuple[int, float]] = []
    for start in range(0, len(series), size):
        part = series[start : start + size]
        low, high = min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])
        kept += sorted({part[0], low, high, part[-1]})
    return kept


def strongest(said: Sequence[Sample], columns: int) -> Sequence[Sample]:
    """The readings that are shown as points: all, or of each column the one with the most anger."""
    size = -(-len(said) // columns)
    if size <= 1:
        return said
    return [max(said[start : start + size], key=lambda each: each.anger) for start in range(0, len(said), size)]


# --- what was done ---


@dataclass(frozen=True, slots=True)
class Mark:
    """A numbered marker: one deed's, or that of several whose markers would cover each other."""

    x: float
    deeds: Sequence[Deed]

    @property
    def words(self) -> str:
        first, last = self.deeds[0].number, self.deeds[-1].number
        return str(first) if first == last else f"{first}–{last}"  # noqa: RUF001 - an en dash: from … to

    @property
    def wide(self) -> float:
        return max(20.0, 10 + 1.15 * LETTER * len(self.words))


def marked(deeds: Sequence[Deed], plane: Plane) -> list[Mark]:
    """The markers, none over another."""
    found: list[Mark] = []
    for deed in deeds:
        found.append(Mark(plane.x(deed.t_ms), [deed]))
        while len(found) > 1 and found[-1].x - found[-2].x < (found[-1].wide + found[-2].wide) / 2 + 2:
            joined = [*found[-2].deeds, *found[-1].deeds]
            found[-2:] = [Mark((plane.x(joined[0].t_ms) + plane.x(joined[-1].t_ms)) / 2, joined)]
    return found


def markers(deeds: Sequence[Deed], plane: Plane) -> tuple[list[str], float]:
    """They lie in a row above the curve; and how high that row is."""
    parts: list[str] = []
    for mark in marked(deeds, plane):
        wide = mark.wide
        x = min(max(mark.x, wide / 2), plane.width - wide / 2)
        kind = "tried" if all(deed.failed for deed in mark.deeds) else "done"
        parts.append(f'<rect class="mark {kind}" x="{x - wide / 2:.1f}" y="2" width="{wide:.1f}" height="20" rx="10"/>')
        parts.append(text(x, 16.5, mark.words, "middle", f"mark {kind}"))
    return parts, 22.0 if deeds else 0.0


# --- beneath it: who spoke, and what was missing ---


def _lanes_of(found: Findings) -> list[tuple[str, list[Span]]]:
    missing = [span for span in found.states if span.kind in ("gap", "degraded")]
    both = [Span(each.t_ms - each.overlap_ms, each.t_ms, "both") for each in found.voices if each.overlap_ms]
    lanes = [("the assistant speaks", list(found.speech)), ("both speak", both), ("gaps and outages", missing)]
    return [(words, spans) for words, spans in lanes if spans]


def _lanes(found: Findings, plane: Plane, bottom: float) -> Iterator[str]:
    for place, (words, spans) in enumerate(_lanes_of(found)):
        top = bottom + 8 + 30 * place
        yield text(plane.x(0) + 3, top + 9, words, kind="halo")
        for span in spans:
            hatched = span.kind in ("gap", "degraded")
            yield (plane.stretch if hatched else plane.bar)(span.kind, span.from_ms, span.to_ms, top + 13, 9)


# --- where they are not ---


def _voices(found: Findings, plane: Plane) -> tuple[list[str], float]:
    marks, top = markers(found.deeds, plane)
    quietest = min(each.loudness_db for each in found.voices)
    quickest = max(each.rate for each in found.voices)
    loudness = Panel(plane, top + 20, 110.0, min(-40.0, 10 * (quietest // 10)), 0.0)
    rate = Panel(plane, loudness.bottom + 34, 80.0, 0.0, max(6.0, quickest))
    drawn: list[tuple[Panel, str, Series]] = [
        (loudness, "loudness in dB, 0 is the loudest possible", [(v.t_ms, v.loudness_db) for v in found.voices]),
        (rate, "syllables a second", [(v.t_ms, v.rate) for v in found.voices]),
    ]
    parts = [plane.times(loudness.top, rate.bottom + 30 * len(_lanes_of(found)))]
    for panel, words, series in drawn:
        middle = (panel.low + panel.high) / 2
        shown = [(value, f"{value:.0f}".replace("-", "\N{MINUS SIGN}")) for value in (panel.low, middle, panel.high)]
        parts += [panel.levels(shown), text(plane.x(0) + 3, panel.top - 6, words)]
        parts += [panel.dot(t, value, "measured") for t, value in thinned(series, plane.width // 4)]
    return [*parts, *marks], rate.bottom
