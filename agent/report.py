"""One self-contained HTML page about one recording or call: its curve of anger, what stood out, a few numbers.

No script, no address of anything elsewhere: it can be mailed and opened years later. All text is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .core.emotion import ANGER

WIDTH, HEIGHT = 960, 160

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1d2430, #e8ecf2); --soft: light-dark(#66707f, #9aa4b2);
        --line: light-dark(#d5dbe3, #39424f); --anger: light-dark(#b42318, #ff8577); }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; overflow: visible; }
.grid { stroke: var(--line); } text { fill: var(--soft); font-size: 12px; }
.curve { fill: none; stroke: var(--anger); stroke-width: 2; } .act { stroke: var(--anger); stroke-dasharray: 4 4; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; vertical-align: top; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; }
"""


def anger(event: Mapping[str, Any]) -> float:
    """P(angry) + P(frustrated) as far as one `audio.chunk` tells."""
    emotion = event["emotion"]
    if emotion["label"] in ANGER:
        return float(emotion["score"])
    return min(1.0, sum(float(event["scores"].get(label, 0.0)) for label in ANGER))


def page(
    title: str,
    events: Sequence[Mapping[str, Any]],
    notes: Iterable[tuple[int, str]],
    summary: Mapping[str, Any],
    act_at: float,
) -> str:
    """`events`: readings as in the timeline; `notes`: media time in ms and what was decided then."""
    duration_ms = max(1, int(summary["durationMs"]))
    told = "".join(f"<tr><th>{ms / 1000:.1f} s</th><td>{escape(text)}</td></tr>" for ms, text in notes)
    numbers = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(shown(value))}</td></tr>" for name, value in summary.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{escape(title)}</h1>'
        f"<p>Anger and frustration in the caller's voice, as heard from second to second. "
        f"The dashed line is where the assistant is interrupted.</p>{curve(events, duration_ms, act_at)}"
        f"<h2>What the assistant would have been told</h2>"
        f"{f'<table>{told}</table>' if told else '<p>Nothing: the mood did not change.</p>'}"
        f"<h2>In numbers</h2><table>{numbers}</table></html>\n"
    )


def shown(value: object) -> str:
    """A figure as a person writes it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "none"
    return "never" if value is None else str(value)


def curve(events: Sequence[Mapping[str, Any]], duration_ms: int, act_at: float) -> str:
    """The curve as SVG; readings in which the engine abstained leave it open."""
    strokes: list[list[str]] = [[]]
    for event in events:
        if event.get("gated") in ("calibrating", "poor_line"):
            strokes.append([])
        else:
            x, y = WIDTH * event["endMs"] / duration_ms, HEIGHT * (1 - anger(event))
            strokes[-1].append(f"{x:.1f},{y:.1f}")
    lines = "".join(f'<polyline class="curve" points="{" ".join(stroke)}"/>' for stroke in strokes if len(stroke) > 1)
    step_s = next(
        step for step in (1, 5, 10, 30, 60, 300, 900, 3600) if duration_ms / 1000 / step <= 16 or step == 3600
    )
    marks = "".join(
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"/>'
        f'<text x="{x + 3:.1f}" y="{HEIGHT + 14}">{second} s</text>'
        for second in range(0, duration_ms // 1000 + 1, step_s)
        for x in [1000 * WIDTH * second / duration_ms]
    )
    y = HEIGHT * (1 - act_at)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 20}" role="img" aria-label="Anger over time">{marks}'
        f'<line class="act" x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>{lines}</svg>'
    )
