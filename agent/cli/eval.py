"""callmood eval: how well the ear hears, on recordings somebody has labelled."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..evaluation.clips import Clip
    from ..evaluation.conditions import Named
    from ..evaluation.manifest import Row
    from ..evaluation.runner import EngineFactory, Unreadable

PERCENT = ("uar", "recall_at_1", "recall_at_4", "alarm_recall", "alarm_rate_not_angry")
MEANING = {
    "uar": "recall averaged over the labels (UAR)",
    "auc": "anger ranked above every other voice (AUC)",
    "auc_angry_happy": "anger ranked above joy (AUC)",
    "recall_at_1": "anger found at 1 % false alarms",
    "recall_at_4": "anger found at 4 % false alarms",
    "ece": "expected calibration error",
    "alarm_recall": "angry clips acted on",
    "alarm_rate_not_angry": "other clips acted on",
    "false_alarms_per_hour": "false alarms an hour",
    "false_escalations_per_hour": "false escalations an hour",
    "cpu_ms_per_s": "ms of CPU a second of audio",
}


def evaluate(
    manifest: Annotated[Path, typer.Argument(help="CSV: file,label,speaker,corpus and what else is known.")],
    json: Annotated[Path | None, typer.Option(help="Write every file's result and the summary there.")] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="How it was heard; again for more. Default: telephone.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local is the only one for now.")] = "local",
    every: Annotated[int, typer.Option(min=1, help="Take every n-th row only.")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one for each core.")] = None,
) -> None:
    """Accuracy and false alarms on labelled recordings, heard through the telephone."""
    from rich.console import Console

    from ..config_sources import load
    from ..errors import CallmoodError, ConfigError
    from ..evaluation.clips import judge
    from ..evaluation.conditions import chosen, noises_for
    from ..evaluation.manifest import read_manifest
    from ..evaluation.runner import Unreadable
    from .writing import check_writable, save_json

    if json is not None:
        check_writable(json)
    if engine != "local":
        raise ConfigError(f"--engine {engine} is not built yet: use local")
    settings = load()
    conditions = chosen(condition or [])
    rows = read_manifest(manifest)
    noises = noises_for(conditions, rows)
    heard: dict[str, list[Clip]] = {}
    lost: list[Unreadable[Row]] = []
    for named in conditions:
        results = hear(rows[::every], named, noises, engine, workers)
        lost = [result for result in results if isinstance(result, Unreadable)]
        clips = [judge(r.row, r.hearing, settings) for r in results if not isinstance(r, Unreadable)]
        if not clips:
            raise CallmoodError(f"{manifest}: not one recording gave a result; the first: {lost[0].sentence}")
        heard[named.name] = clips
    if json is not None:
        save_json(json, as_json(engine, heard, lost))
    console = Console(highlight=False)
    for named in conditions:
        show(console, named, heard[named.name])
    for result in lost:
        typer.echo(f"callmood: {result.row.name}: {result.sentence}", err=True)
    if lost:
        typer.echo(f"callmood: {len(lost)} of {len(rows[::every])} recordings gave no result", err=True)
    raise typer.Exit(1 if lost else 0)


def hear(
    rows: "list[Row]",
    condition: "Named",
    noises: Any,
    engine: str,
    workers: int | None,
    factory: "EngineFactory | None" = None,
) -> list[Any]:
    """The rows through the ear of this engine, or the one that `factory` makes, with a bar on a terminal."""
    from functools import partial

    from rich.console import Console
    from rich.progress import Progress

    from ..evaluation.runner import Ear, configured, hear_all

    ear = Ear(factory or partial(configured, engine), condition, noises)
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task(condition.name, total=len(rows))
        return list(hear_all(rows, ear, workers=workers, done=lambda count: progress.advance(task, count)))


def as_json(engine: str, heard: "dict[str, list[Clip]]", lost: "list[Unreadable[Row]]") -> dict[str, Any]:
    """Section 8 for the first condition; `conditions` holds the same for each of several."""
    from ..evaluation.summary import summarised

    each: dict[str, dict[str, Any]] = {
        name: {"files": [clip.as_json() for clip in clips], "summary": {"condition": name, **summarised(clips)}}
        for name, clips in heard.items()
    }
    first = next(iter(each.values()))
    document: dict[str, Any] = {"engine": engine, **first}
    document["unreadable"] = [{"file": result.row.name, "error": result.sentence} for result in lost]
    if len(each) > 1:
        document["conditions"] = each
    return document


def show(console: "Console", condition: "Named", clips: "list[Clip]") -> None:
    """One condition on the terminal: figures, the confusion matrix, and a line for each corpus."""
    from rich.table import Table

    from ..evaluation.summary import summarised

    summary = summarised(clips)
    console.print(
        f"\n{condition.name}: {condition.means}; {summary['clips']} clips of {summary['speakers']} speakers, "
        f"{summary['hours']:.2f} h, {summary['without_opinion']} too short or too poor for an opinion"
    )
    figures = Table("figure", "value", "95 %", box=None, pad_edge=False)
    for name, meaning in MEANING.items():
        bounds = summary["intervals"].get(name)
        between = f"{shown(name, bounds[0])} to {shown(name, bounds[1])}" if bounds else ""
        figures.add_row(meaning, shown(name, summary[name]), between)
    first = summary["first_alarm_ms"]
    if first:
        figures.add_row("first alarm in anger, s", f"{first['median'] / 1000:.1f}", f"p95 {first['p95'] / 1000:.1f}")
    console.print(figures)
    if summary["confusion_matrix"]:
        console.print(confusion(summary["confusion_matrix"]))
    console.print(corpora(clips))


def confusion(matrix: dict[str, dict[str, int]]) -> Any:
    from rich.table import Table

    said = list(next(iter(matrix.values())))
    table = Table("\nlabelled", *(f"\n{name}" for name in said), box=None, pad_edge=False, title_justify="left")
    for label, row in matrix.items():
        table.add_row(label, *(str(row[name]) for name in said))
    return table


def corpora(clips: "list[Clip]") -> Any:
    from rich.table import Table

    from ..evaluation.summary import grouped, summarised

    table = Table(
        "\ncorpus", "\nclips", "\nUAR", "\nAUC", "acted on,\nangry", "acted on,\nother", box=None, pad_edge=False
    )
    for corpus, some in grouped(clips, "corpus").items():
        s = summarised(some, draws=0)
        shares = [shown(name, s[name]) for name in ("uar", "auc", "alarm_recall", "alarm_rate_not_angry")]
        table.add_row(corpus, str(s["clips"]), *shares)
    return table


def shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return (
        f"{100 * value:.1f} %"
        if name in PERCENT
        else f"{value:.3f}"
        if name in ("auc", "ece", "auc_angry_happy")
        else f"{value:.2f}"
    )
