"""callmood tune --refit: the model's last step for somebody's own recordings, and whether that is any better."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engines.local import LocalEngine
    from ..evaluation.comparing import Comparison, Difference
    from ..evaluation.listening import Hearing
    from ..evaluation.manifest import Row
    from ..evaluation.tuning import Point
    from ..settings import Settings

    Hear = Callable[..., list[object]]
    """Rows, and by keyword the `factory` of an engine, to what the ear made of them."""

NOT_SURE = "Do not use it: it is not surely better."


def check_out(out: Path, settings: "Settings") -> None:
    """Raises ConfigError where the refitted model cannot go there."""
    from ..engines.local.model import SHIPPED
    from ..errors import ConfigError

    if out.is_dir() or not out.absolute().parent.is_dir() or out.suffix != ".npz":
        raise ConfigError(f"--out {out} must be a file that ends in .npz, in a folder that exists.")
    if out.resolve() in (SHIPPED.resolve(), base(settings).resolve()):
        raise ConfigError(f"--out {out} is the model it is made from: name another file.")


def check_rows(rows: "Sequence[Row]") -> None:
    """Raises ConfigError where the recordings are too few."""
    from ..errors import ConfigError
    from ..evaluation.tuning import folds_of

    voices = folds_of([row.voice for row in rows])
    if voices is None or all(row.angry for row in rows) or not any(row.angry for row in rows):
        raise ConfigError("--refit needs recordings with anger and without, of three speakers at least: add some")


def base(settings: "Settings") -> Path:
    """The model that is in use."""
    from ..engines.local.model import SHIPPED

    return Path(settings.local_model).expanduser() if settings.local_model else SHIPPED


def refit(
    rows: "list[Row]",
    hearings: "list[Hearing]",
    settings: "Settings",
    wanted: float,
    hear: "Hear",
    out: Path,
) -> None:
    """Fit it, try it on speakers left out, write it, and say what it is worth. Raises ConfigError where too few of the
    recordings could be heard."""
    from ..engines.local.model import load
    from ..evaluation.comparing import compared
    from ..evaluation.refitting import by_label, chosen, material
    from ..evaluation.tuning import Peaks, Point

    check_rows(rows)
    model, bias = load(base(settings)), by_label(chosen(material(rows, hearings)))
    if not any(bias.values()):
        typer.echo("\nRefitting: these recordings ask for no other model; none is written.")
        return
    crossed = left_out(rows, hearings, settings, hear)
    now = Point(settings.gate, settings.act_at)
    peaks = (Peaks(rows, hearings, settings), Peaks(rows, crossed, settings))
    comparison = compared(rows, (hearings, crossed), peaks, wanted, now)
    assert comparison is not None  # there are three speakers
    point = peaks[1].best(wanted, now) or now
    lines = [*figures(comparison), "", verdict(comparison)]
    checksum = written(out, model, bias, rows, lines, point)
    typer.echo("\nRefitted, on speakers left out")
    for line in lines:
        typer.echo(line)
    typer.echo(f"{out} is made (sha256 {checksum}); what it is made of is in {card_of(out)}")
    if comparison.sure:
        typer.echo(f'\nlocal_model = "{out}"\ngate = {point.gate:g}\nact_at = {point.act_at:g}')


def left_out(rows: "list[Row]", hearings: "list[Hearing]", settings: "Settings", hear: "Hear") -> "list[Hearing]":
    """Every recording, heard by a model that was refitted without its speaker."""
    from functools import partial
    from tempfile import TemporaryDirectory

    import numpy as np

    from ..engines.local.model import load, save
    from ..errors import CallmoodError
    from ..evaluation.refitting import by_label, chosen, material, refitted
    from ..evaluation.runner import Heard
    from ..evaluation.tuning import folds_of

    folds, model, found = folds_of([row.voice for row in rows]), load(base(settings)), list(hearings)
    with TemporaryDirectory() as folder:
        for fold in np.unique(folds):  # type: ignore[arg-type]
            rest = np.flatnonzero(folds != fold).tolist()
            bias = by_label(chosen(material([rows[at] for at in rest], [hearings[at] for at in rest])))
            if not any(bias.values()):
                continue
            path, here = Path(folder) / f"{fold}.npz", np.flatnonzero(folds == fold).tolist()
            save(refitted(model, bias), path, {})
            results = hear([rows[at] for at in here], factory=partial(engine, path))
            for at, result in zip(here, results, strict=True):
                if not isinstance(result, Heard):
                    raise CallmoodError(f"{rows[at].name} could not be heard a second time: try again")
                found[at] = result.hearing
    return found


def engine(path: Path) -> "LocalEngine":
    """Made in whichever process."""
    from ..engines.local import LocalEngine

    return LocalEngine(model=path)


def figures(comparison: "Comparison") -> list[str]:
    """Before and after, with 95 % by speaker."""
    before, after = comparison.outcomes
    named = (
        ("anger ranked above the rest (AUC)", comparison.auc, 1.0, ""),
        (f"anger acted on, % ({before.found}, {after.found} of {before.angry})", comparison.recall, 100.0, " points"),
        (f"false alarms, % ({before.false}, {after.false} of {before.other})", comparison.false, 100.0, " points"),
    )
    return [f"{name:<48} {between(difference, scale)}{unit}" for name, difference, scale, unit in named]


def between(difference: "Difference", scale: float) -> str:
    digits = 3 if scale == 1.0 else 1
    shown = f"{scale * difference.before:.{digits}f} -> {scale * difference.after:.{digits}f}"
    if difference.interval is None:
        return f"{shown}   95 %: not to be told"
    low, high = (f"{scale * bound:+.{digits}f}" for bound in difference.interval)
    return f"{shown}   95 %: {low} to {high}"


def verdict(comparison: "Comparison") -> str:
    """Whether to use it, and what it would take to know."""
    if comparison.sure:
        return "It is surely better on speakers like these: set the lines below."
    if (needed := comparison.speakers_needed) is None:
        return f"{NOT_SURE} It ranks anger no better; more recordings like these would not change that."
    if needed <= comparison.speakers:
        return f"{NOT_SURE} It ranks anger better, but finds less of it or alarms more."
    return (
        f"{NOT_SURE} There are {comparison.speakers} speakers; if the difference stays, about {needed} like these "
        "would show it."
    )


def card_of(out: Path) -> Path:
    return out.with_name(f"{out.stem}_CARD.md")


def written(
    out: Path, model: object, bias: dict[str, float], rows: "Sequence[Row]", lines: list[str], point: "Point"
) -> str:
    """The model, its checksum and its card; returns the checksum."""
    import json

    from ..engines.local.model import Model, save
    from ..errors import CallmoodError
    from ..evaluation.refit_card import refit_card
    from ..evaluation.refitting import refitted

    assert isinstance(model, Model)
    about = {**json.loads(model.about), "refitted": {"from": model.checksum, "recordings": len(rows), "bias": bias}}
    try:
        checksum = save(refitted(model, bias), out, about)
        card_of(out).write_text(
            refit_card(out.name, checksum, model.checksum, bias, rows, lines, point),
            encoding="utf-8",
        )
    except OSError as error:
        raise CallmoodError(f"{out} cannot be written ({error.strerror}): name another file with --out") from None
    return checksum
