"""callmood analyze: recordings, after the call."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..offline import Folded
    from ..reporting.facts import Findings
    from ..settings import Settings

ENGINES = ("local", "hume")
"""Those that read recordings. The others hear only live calls."""


def analyze(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="WAV, FLAC, MP3, or raw .ul/.mulaw.")],
    engine: Annotated[str, typer.Option(help="local, or hume: then the recordings are uploaded to Hume.")] = "local",
    as_json: Annotated[bool, typer.Option("--json", help="A line a reading, then a line of summary.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write one self-contained HTML page; for a single file.")] = None,
) -> None:
    """Read recordings: the readings, the mood curve and a summary."""
    import trio

    from ..audiofile import load_telephone
    from ..errors import AudioUnreadable, ConfigError

    if engine not in ENGINES:
        raise ConfigError(f"--engine {engine} does not read recordings: use {' or '.join(ENGINES)}")
    if report is not None and len(files) > 1:
        raise ConfigError("--report is for one file: name one, or leave it out")
    unreadable = 0
    for file in files:
        try:
            audio = load_telephone(file)
        except AudioUnreadable as error:
            if len(files) == 1:
                raise
            unreadable += 1
            typer.echo(f"callmood: {error}", err=True)
            continue
        warn_if_misread(file, audio)
        trio.run(_analyze, file, audio, engine, as_json, report)
    raise typer.Exit(2 if unreadable else 0)


def warn_if_misread(file: Path, audio: bytes) -> None:
    """Say on standard error where a recording is not what it is said to be, and what to do."""
    from ..core.misread import misread

    if found := misread(audio):
        typer.echo(f"callmood: {file.name} is misread: {found}", err=True)


async def _analyze(file: Path, audio: bytes, engine: str, as_json: bool, report: Path | None) -> None:
    from ..config_sources import load
    from ..reporting.page import page
    from .private import write

    settings = load()
    steps = [step async for step in _steps(audio, engine, settings)]
    summary = summarised(file, len(audio) // 8, steps, settings.act_at)
    if report is not None:
        write(report, page(findings(file, len(audio) // 8, steps, settings, engine)))
    if as_json:
        _print_json(file, steps, summary)
    else:
        _print_text(steps, summary)


def _steps(audio: bytes, engine: str, settings: "Settings") -> "AsyncIterator[Folded]":
    """The recording as this engine hears it."""
    from dataclasses import replace

    from .. import wiring
    from ..calls.setup import setup
    from ..offline import read_recording
    from .at_hume import read_at_hume

    if engine == "hume":
        return read_at_hume(audio, settings)
    settings = replace(settings, engine="local")
    return read_recording(audio, wiring.engine(settings), setup(settings))


def findings(file: Path, duration_ms: int, steps: "list[Folded]", settings: "Settings", engine: str) -> "Findings":
    """A recording as a report tells of it."""
    from ..reporting.decisions import of_recording
    from ..reporting.facts import About, Bar
    from ..reporting.study import study
    from ..rulefile import shipped

    rules = shipped(settings.act_at).rules
    decisions = [(step.decision, step.reading.end_ms) for step in steps if step.decision is not None]
    whys = [of_recording(decision, end_ms, rules) for decision, end_ms in decisions]
    about = About(file.name, model=engine, duration_ms=duration_ms, recording=True)
    return study(events(file, steps), about, Bar(settings.gate, settings.act_at), whys)


def summarised(file: Path, duration_ms: int, steps: "list[Folded]", act_at: float) -> dict[str, Any]:
    """A recording in a few numbers."""
    from ..core.emotion import ANGER

    accepted = [step.reading for step in steps if step.refused is None]
    angry = [step for step in steps if step.mood.emotion.label in ANGER]
    acted = next((step for step in angry if step.mood.emotion.score >= act_at), None)
    counts: dict[str, int] = {}
    for reading in accepted:
        counts[reading.emotion.label] = counts.get(reading.emotion.label, 0) + 1
    return {
        "file": file.name,
        "durationMs": duration_ms,
        "readings": len(steps),
        "accepted": len(accepted),
        "labels": counts,
        "dominantEmotion": max(counts, key=lambda label: counts[label], default="neutral"),
        "peakAnger": round(max((step.mood.emotion.score for step in angry), default=0.0), 3),
        "firstAngryMs": angry[0].reading.end_ms if angry else None,
        "firstActedMs": acted.reading.end_ms if acted else None,
        "notes": sum(step.update is not None for step in steps),
    }


def events(file: Path, steps: "list[Folded]") -> list[dict[str, Any]]:
    """The readings as the lines of a timeline; `at` is when a call begun at the epoch would have had them."""
    from datetime import UTC, datetime

    from ..actors.aggregator import described
    from ..core.instants import instant

    return [
        {
            "t": step.reading.end_ms,
            "at": instant(datetime.fromtimestamp(step.reading.end_ms / 1000, UTC)),
            "callSid": file.name,
            "event": "audio.chunk",
            **described(step.reading, step.refused),
        }
        for step in steps
    ]


def _print_json(file: Path, steps: "list[Folded]", summary: dict[str, Any]) -> None:
    import msgspec

    for line in [*events(file, steps), {"event": "summary", **summary}]:
        typer.echo(msgspec.json.encode(line).decode())


def _print_text(steps: "list[Folded]", summary: dict[str, Any]) -> None:
    from rich.console import Console

    from .printing import print_event

    console = Console()
    for event, step in zip(events(Path(summary["file"]), steps), steps, strict=True):
        print_event(console, event)
        if step.update is not None:
            console.print(f"             → {step.update.note}", style="bold", highlight=False, soft_wrap=True)
    console.print()
    console.print(f"mood curve  {curve(steps, summary['durationMs'])}", highlight=False)
    for name, value in summary.items():
        console.print(f"{name:<16} {shown(value)}", highlight=False)


def shown(value: object) -> str:
    """A figure as a person writes it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "none"
    return "never" if value is None else str(value)


def curve(steps: "list[Folded]", duration_ms: int, width: int = 60) -> str:
    """P(angry) + P(frustrated) over the recording as a line of blocks; a dot where nothing was heard."""
    columns: list[list[float]] = [[] for _ in range(width)]
    for step in steps:
        if step.reading.abstained is None:
            place = min(width - 1, width * step.reading.end_ms // max(1, duration_ms))
            columns[place].append(step.reading.anger)
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(8 * max(column)))] if column else "·" for column in columns)
