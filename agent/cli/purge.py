"""callmood purge: forget calls for good."""

import sys
from typing import Annotated

import typer

from ..reporting.words import many


def purge(
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Calls that began longer ago: 30d, 12h, a date.")] = "",
    call: Annotated[str, typer.Option(help="This call: its id, or its end.")] = "",
    caller: Annotated[str, typer.Option(metavar="NUMBER", help="Calls from this number, with its country code.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget calls for good: those to which all that is named applies. What goes on is left alone."""
    from ..errors import CallmoodError, ConfigError
    from ..ledger.purging import Which, purging
    from ..ledger.reading import open_ledger
    from .ledger import folder, one_call
    from .moments import moment
    from .visible import visible

    if not (older_than or call or caller):
        raise ConfigError("nothing is named that should be forgotten: add --older-than, --call or --caller")
    data, before = folder(), moment(older_than, "--older-than") if older_than else None
    if call:
        with open_ledger(data) as reader:
            call = one_call(reader, call)
    with purging(data) as ledger:
        found = None if ledger is None else ledger.find(Which(before, call or None, caller or None))
        if ledger is None or found is None or not found.calls:
            typer.echo("0 calls forgotten" + left(0 if found is None else found.live))
            if caller:
                typer.echo(f"callmood: no such call came from {visible(caller)}: write it like +15550100001", err=True)
            return
        calls = many(len(found.calls), "call")
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigError(f"{calls} would be forgotten, and nobody can be asked: add --yes")
            typer.confirm(f"Forget {calls} for good?", abort=True)
        gone = ledger.forget(found)
    typer.echo(f"{calls} forgotten" + left(found.live))
    if not gone:
        raise CallmoodError("traces are left in ledger.db-wal while another process reads it: run this again later")


def left(live: int) -> str:
    return f"; {many(live, 'call')} without an end left alone: the service is running" if live else ""
