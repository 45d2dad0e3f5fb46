"""callmood report: one call, on one page."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..ledger.reading import Reader
    from ..reporting.facts import Findings


def report(
    call: Annotated[str, typer.Argument(help="The call's id, or its end.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it; else CALL.html in this folder.")] = None,
) -> None:
    """Write one self-contained HTML page about a call in the ledger."""
    from ..ledger.reading import open_ledger
    from ..reporting.page import page
    from .ledger import folder, one_call
    from .private import write

    with open_ledger(folder()) as ledger:
        call_sid = one_call(ledger, call)
        text = page(findings(ledger, call_sid))
    path = out or Path(re.sub(r"[^\w.-]", "_", call_sid) + ".html")
    write(path, text)
    typer.echo(path)


def findings(ledger: "Reader", call_sid: str) -> "Findings":
    """What the ledger has on one call."""
    from ..config_sources import load
    from ..reporting.decisions import recorded
    from ..reporting.facts import About, Bar
    from ..reporting.study import decoded, study

    settings, row = load(), ledger.call(call_sid)
    known = recorded(ledger.steps(call_sid), ledger.text)
    about = About(call_sid, model=known.model)
    if row is not None:
        about = About(
            call_sid,
            began_at=row.began_at,
            ended_at=row.ended_at or "",
            outcome=row.outcome or "",
            attach=row.attach or "",
            caller=row.caller,
            model=known.model or row.model,
            incomplete=row.ended_at is not None and not row.complete,
        )
    bar = known.bar or Bar(settings.gate, settings.act_at)
    return study(decoded(ledger.timeline(call_sid)), about, bar, known.whys)
