"""The run as a person reads it in a terminal, or as a README quotes it."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from . import figures
from .measure import Spread
from .result import SPEED, Result
from .stages import MEANING
from .step import LAG_MS

PLACES = 20
"""The most expensive ones that are shown."""

Titled = tuple[str, Table]


def show(console: Console, result: Result) -> None:
    """Everything that was run."""
    for part in (_by_calls, _split, _inside, _long_call, _workers, _peers):
        for title, table in part(result):
            console.print(title, style="bold", soft_wrap=True)
            console.print(table, "")
    for sentence in sentences(result):
        console.print(sentence, soft_wrap=True)
    for line in profile(result):
        console.print(line, soft_wrap=True, markup=False)


def sentences(result: Result) -> Iterator[str]:
    """What it comes to."""
    if result.steps:
        more = f"{result.too_many} were too many" if result.too_many else "more were not tried"
        yield (
            f"{result.carried} calls with full analysis on one core: p99 from the last frame of a hop to its reading "
            f"below {LAG_MS} ms, nothing lost; {more}."
        )
    if (kb := figures.a_call_kb(result.steps)) is not None:
        yield f"{kb:.0f} kB a call."
    if (growth := figures.growth_kb(result)) is not None:
        (_, _, before_kb), *_, (_, _, after_kb) = figures.long_call(result)
        minutes, calls, mb = figures.watched_minutes(result), result.length[0][1].calls, (after_kb - before_kb) / 1024
        yield f"A call grew by {growth:.0f} kB in {minutes:.0f} minutes; the process with its {calls} by {mb:.1f} MB."
    if result.ingress is not None:
        step = result.ingress
        yield f"Audio alone: {step.cpu_ms:.2f} ms of CPU a call and second, {step.us_a_message:.1f} us a message."
    if result.inside is not None:
        yield f"Hops of {result.inside.batch:.0f} calls are judged together, on average."
    if result.machine:
        machine = result.machine
        yield (
            f"One core of {machine['cores']} ({machine['processor']}), Python {machine['python']}, "
            f"load {machine['load1']} before."
        )
        if machine["cores"] == 1:
            yield "The load had to share this core with the server: give the machine two."
    for each in figures.compared(result):
        if each.why_not is not None:
            yield f"{each.name} was not run: {each.why_not}."
    others = [each for each in figures.compared(result) if each.disturbed]
    if others or any(step.disturbed for step in (*result.steps, *result.workers.values())):
        yield "What is marked * was disturbed by something else on this machine: run bench again when it is idle."


def profile(result: Result) -> Iterator[str]:
    """Where the time goes."""
    found = figures.places(result)
    if not found:
        return
    whole = sum(ms for *_, ms in found)
    yield "\nwhere the time goes, ms of CPU a call and second"
    for stage, where, ms in found[:PLACES]:
        yield f"{ms:8.3f} {100 * ms / whole:5.1f} %  {stage:<9} {where}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place == 0 else "right")
    return table


def _by_calls(result: Result) -> Iterator[Titled]:
    if not result.steps:
        return
    table = _table(
        "calls",
        "core",
        "CPU ms\na call-s",
        "frame\nage",
        "window to\ndecision",
        "frame to\nreading",
        "memory\nMB",
        "sent\nlate",
        "in time",
    )
    for step in sorted(result.steps, key=lambda each: each.calls):
        ages = step.ages
        table.add_row(
            f"{step.calls}{'*' if step.disturbed else ''}",
            f"{100 * step.core:.0f} %",
            f"{step.cpu_ms:.2f}",
            *map(_spread, (ages.frame, ages.decision, ages.reading)),
            f"{step.memory_kb / 1024:.0f}",
            "-" if step.late is None else f"{step.late.p99:.0f}",
            "yes" if step.kept_up else "no",
        )
    yield "full analysis on one core; p50 / p99 in ms", table


def _split(result: Result) -> Iterator[Titled]:
    found = figures.stages(result)
    whole = sum(found.values())
    if not whole or result.sampled is None:
        return
    table = _table("part", "CPU ms a call-s", "share", "")
    for stage, ms in found.items():
        table.add_row(stage, f"{ms:.3f}", f"{100 * ms / whole:.0f} %", MEANING[stage])
    table.add_row("together", f"{whole:.3f}", "", "")
    table.columns[-1].justify = "left"
    yield f"CPU by part, {result.sampled.calls} calls", table


def _inside(result: Result) -> Iterator[Titled]:
    if result.inside is None:
        return
    table = _table("part", "CPU ms a call-s")
    for stage, ms in result.inside.stages.items():
        table.add_row(stage, f"{ms:.3f}")
    yield "behind the socket, one process whose clock jumps, nothing kept", table


def _long_call(result: Result) -> Iterator[Titled]:
    if not result.length:
        return
    table = _table("minute", "CPU ms\na call-s", "memory\nMB")
    for minute, ms, kb in figures.long_call(result):
        table.add_row(f"{minute:.1f}", f"{ms:.2f}", f"{kb / 1024:.1f}")
    yield f"long calls, {result.length[0][1].calls} at {SPEED} times real time", table


def _workers(result: Result) -> Iterator[Titled]:
    if not result.workers:
        return
    table = _table("workers", "calls", "cores", "CPU ms\na call-s", "ratio")
    alone = next(iter(result.workers.values())).cpu_ms
    for (count, _), step in result.workers.items():
        calls = f"{step.calls}{'*' * (step.disturbed or step.shed)}"
        table.add_row(str(count), calls, f"{step.core:.2f}", f"{step.cpu_ms:.2f}", f"{step.cpu_ms / alone:.2f}")
    yield "several workers", table


def _peers(result: Result) -> Iterator[Titled]:
    if not result.peers:
        return
    table = _table("server", "calls", "CPU us\na message", "ratio", "kB a call")
    for each in figures.compared(result):
        if each.why_not is not None:
            table.add_row(each.name, "not run")
            continue
        ratio = "-" if each.ratio is None else f"{each.ratio:.2f}"
        us = f"{'>= ' if each.late else ''}{each.us:.1f}"
        table.add_row(each.name, f"{each.calls}{'*' * each.disturbed}", us, ratio, f"{each.kb:.0f}")
    yield "beside others, the same load in turns", table


def _spread(found: Spread | None) -> str:
    return "-" if found is None else f"{found.p50:.0f} / {found.p99:.0f}"
