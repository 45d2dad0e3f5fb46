"""The run as one picture: CPU, memory and lag over the number of calls."""

import math
import re
from collections.abc import Sequence

from ..evaluation.drawing import HEIGHT, WIDTH, Axis, Curve, chart
from . import figures
from .result import Result
from .step import LAG_MS, Step

ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


def drawn(result: Result) -> str:
    """An SVG, its charts one below the other."""
    charts = list(_charts(result))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(charts)}" role="img">']
    parts.append("<title>callmood bench</title>")
    for place, each in enumerate(charts):
        parts.append(re.sub("^<svg ", f'<svg y="{HEIGHT * place}" width="{WIDTH}" height="{HEIGHT}" ', each))
    return "\n".join([*parts, "</svg>\n"])


def _charts(result: Result) -> list[str]:
    steps = sorted(result.steps, key=lambda step: step.calls)
    found = []
    if steps:
        found = [_core(steps), _lag(steps), _memory(steps)]
    if result.length:
        found.append(_length(result))
    return found


def _core(steps: Sequence[Step]) -> str:
    points = [(step.calls, step.core) for step in steps]
    y = Axis("share of the core", max(1.0, *(core for _, core in points)), 0.2, percent=True)
    return chart("CPU of one core, full analysis", _calls(steps), y, [Curve("CPU", points, dots=True)])


def _lag(steps: Sequence[Step]) -> str:
    aged = [(step.calls, step.ages.reading) for step in steps]
    p50 = [(calls, reading.p50) for calls, reading in aged if reading is not None]
    p99 = [(calls, reading.p99) for calls, reading in aged if reading is not None]
    curves = [Curve("p50", p50, dots=True), Curve("p99", p99, dots=True)]
    return chart("From the last frame of a hop to its reading", _calls(steps), axis("ms", 2 * LAG_MS), curves)


def _memory(steps: Sequence[Step]) -> str:
    points = [(step.calls, step.memory_kb / 1024) for step in steps]
    y = axis("MB", max(mb for _, mb in points))
    return chart("Memory of the server", _calls(steps), y, [Curve("memory", points, dots=True)])


def _length(result: Result) -> str:
    looks = figures.long_call(result)
    x, y = axis("minutes into the call", looks[-1][0]), axis("MB, and ms of CPU a call-second", looks[0][2] / 512)
    memory = Curve("memory, MB", [(minute, kb / 1024) for minute, _, kb in looks], dots=True)
    cpu = Curve("CPU, ms a call-second", [(minute, ms) for minute, ms, _ in looks], dots=True)
    return chart("A long call", x, y, [memory, cpu])


def _calls(steps: Sequence[Step]) -> Axis:
    return axis("calls", steps[-1].calls)


def axis(label: str, most: float) -> Axis:
    """From 0 to at least `most`, in some five round steps."""
    size = 10.0 ** math.floor(math.log10(max(most, 1e-9) / 5))
    step = next(size * each for each in ROUND if size * each >= most / 5 - 1e-12)
    return Axis(label, step * math.ceil(most / step - 1e-9), step)
