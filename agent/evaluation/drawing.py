"""Curves as small SVG pictures that read on light and dark pages, without anything to draw them with."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 28, 56, 48
COLOURS = ("#2f6fdb", "#d9730d", "#2e9e6b", "#b4489f", "#8a8f98")
_STYLE = """text{font:12px system-ui,sans-serif;fill:#57606a}.t{font-size:14px;font-weight:600;fill:#24292f}
.b{fill:#fff}.g{stroke:#d8dee4}.d{stroke:#8a8f98;stroke-dasharray:4 4}
@media(prefers-color-scheme:dark){text{fill:#9aa4b2}.t{fill:#e6edf3}.b{fill:#0d1117}.g{stroke:#30363d}}"""


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    """Mark the points: there are few, and each is a figure."""


@dataclass(frozen=True, slots=True)
class Axis:
    label: str
    most: float = 1.0
    step: float = 0.2
    percent: bool = False

    def tick(self, value: float) -> str:
        return f"{100 * value:.0f} %" if self.percent else f"{value:g}"

    @property
    def ticks(self) -> list[float]:
        return [round(at * self.step, 6) for at in range(int(self.most / self.step + 1e-9) + 1)]


def chart(title: str, x: Axis, y: Axis, curves: Sequence[Curve], *, diagonal: bool = False) -> str:
    """The picture as text; axes begin at zero, and what lies beyond their end is drawn at it."""

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across, up = min(1.0, point[0] / x.most), min(1.0, point[1] / y.most)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f'<title>{escape(title)}</title><style>{_STYLE}</style><rect class="b" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="t" x="{LEFT}" y="20">{escape(title)}</text>',
    ]
    for value in x.ticks:
        at, floor = place((value, 0.0))
        parts.append(_line("g", at, TOP, at, floor) + _text(at, floor + 16, x.tick(value), "middle"))
    for value in y.ticks:
        edge, at = place((0.0, value))
        parts.append(_line("g", edge, at, WIDTH - RIGHT, at) + _text(edge - 6, at + 4, y.tick(value), "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x.label, "middle"))
    parts.append(f'<g transform="rotate(-90)">{_text(-(TOP + HEIGHT - BOTTOM) / 2, 14, y.label, "middle")}</g>')
    if diagonal:
        parts.append(_line("d", *place((0.0, 0.0)), *place((x.most, y.most))))
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(point) for point in curve.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        if curve.dots:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in places]
    if len(curves) > 1:
        parts += _legend([curve.name for curve in curves])
    return "\n".join([*parts, "</svg>\n"])


def _legend(names: Sequence[str]) -> list[str]:
    """In a row above the curves, where it hides none of them."""
    parts: list[str] = []
    at = LEFT
    for number, name in enumerate(names):
        parts.append(f'<rect x="{at}" y="36" width="12" height="3" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(_text(at + 17, 42, name, "start"))
        at += 36 + 7 * len(name)
    return parts


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
