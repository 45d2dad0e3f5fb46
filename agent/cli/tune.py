"""callmood tune: thresholds for somebody's own recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..evaluation.tuning import Alarms, Peaks, Point


def tune(
    data: Annotated[
        Path | None, typer.Argument(help="A manifest (as for eval), or the folder that holds manifest.csv.")
    ] = None,
    false_alarms: Annotated[
        float, typer.Option(help="Wanted at most: percent of the recordings without anger that alarm.")
    ] = 2.0,
    condition: Annotated[str, typer.Option(help="How it was heard; as for eval.")] = "telephone",
    write: Annotated[bool, typer.Option("--write", help="Set them in config/callmood.toml.")] = False,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit the model's last step to them too, and say whether it is better.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the refitted model goes; checksum and card go beside it.")] = Path(
        "refitted.npz"
    ),
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one for each core.")] = None,
    ledger: Annotated[
        bool,
        typer.Option("--ledger", help="Instead of recordings: the calls in the ledger, and what was marked wrong."),
    ] = False,
    since: Annotated[str, typer.Option(help="With --ledger: began since then, an ISO date, 7d or 24h.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="With --ledger: one JSON object instead of text.")] = False,
) -> None:
    """The thresholds that suit your own labelled recordings, or your calls: before and after, and how sure that is.

    With --ledger every call is decided again with other thresholds and times, beside what an operator marked wrong.
    """
    from ..errors import ConfigError
    from .tune_ledger import tune_ledger

    if ledger:
        if data is not None or refit:
            raise ConfigError("--ledger takes its calls from CALLMOOD_DATA: leave out recordings and --refit")
        tune_ledger(since, as_json=as_json, write=write)
        return
    if data is None:
        raise ConfigError("nothing is named to tune on: add a manifest of recordings, or --ledger")
    if since or as_json:
        raise ConfigError("--since and --json go with --ledger: leave them out")
    if not 0 < false_alarms < 100:
        raise ConfigError(f"--false-alarms {false_alarms:g} is no share in percent: choose between 0 and 100")
    tune_recordings(data, false_alarms, condition, workers, write=write, out=out if refit else None)


def tune_recordings(
    data: Path, false_alarms: float, condition: str, workers: int | None, *, write: bool, out: Path | None
) -> None:
    """The thresholds for recordings; `out`: where a model that is refitted to them goes."""
    from functools import partial

    from ..config_sources import load
    from ..errors import CallmoodError, ConfigError
    from ..evaluation.conditions import chosen, noises_for
    from ..evaluation.manifest import read_manifest
    from ..evaluation.runner import Unreadable
    from ..evaluation.tuning import Peaks, Point
    from .eval import hear
    from .tune_refit import check_out, check_rows, refit

    settings = load()
    if out is not None:
        check_out(out, settings)
        if write:
            raise ConfigError("--write sets thresholds of the present model: leave it out with --refit")
    [named] = chosen([condition])
    rows = read_manifest(data / "manifest.csv" if data.is_dir() else data)
    if out is not None:
        check_rows(rows)
    if all(row.angry and not row.angry_from_ms for row in rows):
        raise ConfigError(f"{data}: every recording is angry, so no false alarm can be seen: add calm ones")
    noises = noises_for([named], rows)
    results = hear(rows, named, noises, "local", workers)
    heard = [result for result in results if not isinstance(result, Unreadable)]
    lost = [result for result in results if isinstance(result, Unreadable)]
    for result in lost:
        typer.echo(f"callmood: {result.row.name}: {result.sentence}", err=True)
    peaks = Peaks([r.row for r in heard], [r.hearing for r in heard], settings)
    if not peaks.calm.any():
        raise CallmoodError(f"{data}: no recording without anger gave a result: mend them, or add others")
    now, wanted = Point(settings.gate, settings.act_at), false_alarms / 100
    point = peaks.best(wanted, now)
    if point is None:
        raise CallmoodError(
            f"no threshold keeps false alarms to {false_alarms:g} %: allow more with --false-alarms, or look at the "
            "recordings that alarm with callmood eval --json"
        )
    show(peaks, now, point, wanted)
    if out is not None:
        hear_with = partial(hear, condition=named, noises=noises, engine="local", workers=workers)
        refit([r.row for r in heard], [r.hearing for r in heard], settings, wanted, hear_with, out)
    if write and point != now:
        written(settings.from_file or Path("config/callmood.toml"), point)
    raise typer.Exit(1 if lost else 0)


def show(peaks: "Peaks", now: "Point", point: "Point", wanted: float) -> None:
    """Before and after, what it is worth, and the lines to set."""
    from rich.console import Console
    from rich.table import Table

    from ..evaluation.tuning import certainty

    after = peaks.outcome(point)
    left_out = peaks.left_out(wanted, now)
    table = Table("", "gate", "act_at", "anger acted on", "false alarms", box=None, pad_edge=False)
    table.add_row("now", f"{now.gate:g}", f"{now.act_at:g}", *shares(peaks.outcome(now)))
    table.add_row("tuned", f"{point.gate:g}", f"{point.act_at:g}", *shares(after))
    if left_out is not None:
        table.add_row("tuned, on speakers left out", "", "", *shares(left_out))
    console = Console(highlight=False)
    console.print(table)
    console.print(certainty(after, wanted), soft_wrap=True)
    if not after.angry:
        console.print("There is no angry recording: how much anger this finds is not known.", soft_wrap=True)
    if point == now:
        console.print("Leave the settings as they are: nothing tried does better.")
    else:
        console.print(f"\ngate = {point.gate:g}\nact_at = {point.act_at:g}")
        console.print("A rule that names at_least itself keeps it: see rules.toml.")


def shares(outcome: "Alarms") -> tuple[str, str]:
    found = f"{outcome.found} of {outcome.angry}, {100 * outcome.recall:.0f} %" if outcome.angry else "-"
    return found, f"{outcome.false} of {outcome.other}, {100 * outcome.false_share:.1f} %"


def written(path: Path, point: "Point") -> None:
    from ..errors import CallmoodError
    from ..evaluation.tuning import with_point

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text("utf-8") if path.exists() else ""
        path.write_text(with_point(text, point), "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallmoodError(f"{path} cannot be changed ({type(error).__name__}): set the two lines by hand") from None
    typer.echo(f"written to {path}")
