"""The ground that a picture of a call is drawn on: its scales, axes and hatchings, as SVG. All text is escaped.

Drawn once for wide pages and once for narrow ones, because letters of one picture shrink with it. What colour says,
shape says too: each state has a hatching of its own, and its name where there is room for it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LEFT, RIGHT = 36.0, 36.0
LETTER = 6.6
"""Pixels, about."""
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)

HATCHINGS = {
    "calibrating": '<circle cx="3" cy="3" r="1.1"/>',
    "poor_line": '<path d="M0 8 8 0M-2 2 2-2M6 10 10 6"/>',
    "fallback": '<path d="M0 0 8 8M-2 6 2 10M6-2 10 2"/>',
    "degraded": '<path d="M0 0 8 8M8 0 0 8"/>',
    "stopped": '<path d="M0 2H8M0 6H8"/>',
    "gap": '<path d="M2 0V8M6 0V8"/>',
}
"""What fills a stretch of each state: 8 by 8 pixels."""


@dataclass(frozen=True, slots=True)
class Plane:
    """The scale of a picture: `width` pixels for `duration_ms`."""

    width: int
    duration_ms: int
    name: str
    """Comes first in the ids of its hatchings: a page has several pictures."""

    def x(self, t_ms: float) -> float:
        return LEFT + (self.width - LEFT - RIGHT) * min(1.0, max(0.0, t_ms / max(1, self.duration_ms)))

    def hatchings(self) -> str:
        patterns = "".join(
            f'<pattern id="{self.name}-{kind}" width="8" height="8" patternUnits="userSpaceOnUse" class="hatch {kind}">'
            f'<rect class="under" width="8" height="8"/>{drawn}</pattern>'
            for kind, drawn in HATCHINGS.items()
        )
        return f"<defs>{patterns}</defs>"

    def stretch(self, kind: str, from_ms: int, to_ms: int, top: float, height: float) -> str:
        """A hatched stretch, no narrower than can be seen."""
        left, wide = self.x(from_ms), max(2.0, self.x(to_ms) - self.x(from_ms))
        return (
            f'<rect class="state" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{height:.1f}" '
            f'fill="url(#{self.name}-{kind})"/>'
        )

    def bar(self, kind: str, from_ms: int, to_ms: int, top: float, height: float) -> str:
        left, wide = self.x(from_ms), max(2.0, self.x(to_ms) - self.x(from_ms))
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{height:.1f}" '
            f'rx="{min(3.0, wide / 2):.1f}"/>'
        )

    def across(self, kind: str, y: float) -> str:
        return f'<path class="{kind}" d="M{LEFT:.1f} {y:.1f}H{self.width - RIGHT:.1f}"/>'

    def times(self, top: float, bottom: float) -> str:
        """The axis: a line and a time at round seconds, as many as there is room for."""
        least_s = self.duration_ms / 1000 * 64 / (self.width - LEFT - RIGHT)
        step = next((step for step in STEPS_S if step >= least_s), math.ceil(least_s))
        parts = []
        for second in range(0, self.duration_ms // 1000 + 1, step):
            x = self.x(1000 * second)
            parts.append(f'<path class="grid" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
            shown = f"{second // 60}:{second % 60:02}"
            anchor = "end" if x > self.width - RIGHT - 14 else "middle"
            parts.append(text(x, bottom + 15, shown, anchor))
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Panel:
    """A plane's part in which one figure is drawn, from `low` at the bottom to `high` at the top."""

    plane: Plane
    top: float
    height: float
    low: float = 0.0
    high: float = 1.0

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - self.height * min(1.0, max(0.0, share))

    def levels(self, marked: Sequence[tuple[float, str]]) -> str:
        """Lines across, with what they stand for on the left."""
        return "".join(
            self.plane.across("grid", self.y(value)) + text(LEFT - 6, self.y(value) + 4, shown, "end")
            for value, shown in marked
        )

    def level(self, value: float, kind: str, *, named: bool) -> str:
        """A line that means something; `named`: with its figure on the right."""
        line = self.plane.across(f"level {kind}", self.y(value))
        return line + (text(self.plane.width - RIGHT + 5, self.y(value) + 4, f"{value:.2f}") if named else "")

    def curve(self, strokes: Sequence[Sequence[tuple[int, float]]]) -> str:
        """A stroke for each unbroken row of points."""
        rows = [[f"{self.plane.x(t):.1f} {self.y(value):.1f}" for t, value in stroke] for stroke in strokes if stroke]
        return "".join(f'<path class="curve" d="M{"L".join(row)}"/>' for row in rows if len(row) > 1)

    def dot(self, t_ms: int, value: float, kind: str, size: float = 2.6) -> str:
        return f'<circle class="{kind}" cx="{self.plane.x(t_ms):.1f}" cy="{self.y(value):.1f}" r="{size}"/>'


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return f'<text{kinds} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
