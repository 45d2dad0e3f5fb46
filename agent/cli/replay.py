"""callmood replay: what was decided in a call, decided again: by the rules it had, or by others."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..ledger.reading import Reader

SHOWN = 20
"""Ids and sentences of a table, at the most; --json has all of them."""


def replay(
    call: Annotated[str, typer.Argument(help="The call's id, or its end.")] = "",
    rules: Annotated[Path | None, typer.Option(help="Another rules file. Default: the rules each call had.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Many calls, in a table.")] = False,
    since: Annotated[str, typer.Option(help="With --all: began since then, an ISO date, 7d or 24h.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Decide a recorded call again, and say what differs. Exit 0: nothing; 1: something, or the record is incomplete.

    Scores that a rules file does not name are those the call was decided with.
    """
    from ..config_sources import load
    from ..errors import ConfigError
    from ..ledger.reading import open_ledger
    from ..rulefile import read
    from .ledger import folder

    if every == bool(call):
        raise ConfigError("name a call, or --all: callmood calls lists those there are")
    if since and not every:
        raise ConfigError("--since goes with --all: leave it out, or the call")
    text = None if rules is None else read(rules, act_at=load().act_at).text
    with open_ledger(folder()) as ledger:
        same = _all(ledger, text, since, as_json=as_json) if every else _one(ledger, call, text, as_json=as_json)
    raise typer.Exit(0 if same else 1)


def _one(ledger: "Reader", call: str, rules: str | None, *, as_json: bool) -> bool:
    """Whether nothing differs."""
    from ..errors import CallmoodError
    from ..whatif import try_call
    from .ledger import one_call
    from .replayed import lines_of, object_of
    from .visible import visible

    row = ledger.call(one_call(ledger, call))
    if row is None:
        raise CallmoodError(f"call {call} has just been forgotten: callmood calls lists those there are")
    started = perf_counter()
    tried = try_call(ledger, row, rules)
    took_s = perf_counter() - started
    for line in [object_of(tried, took_s)] if as_json else lines_of(tried, others=rules is not None):
        typer.echo(visible(line))
    return tried.as_it_was


def _all(ledger: "Reader", rules: str | None, since: str, *, as_json: bool) -> bool:
    """Whether nothing differs in any call."""
    from ..whatif import Table, try_call
    from .moments import moment
    from .replayed import lines_of_table, object_of_table
    from .visible import visible

    table, started = Table(), perf_counter()
    for row in ledger.calls(moment(since, "--since") if since else None):
        table.add(try_call(ledger, row, rules))
    took_s = perf_counter() - started
    for line in [object_of_table(table, took_s)] if as_json else lines_of_table(table, SHOWN):
        typer.echo(visible(line))
    return not table.otherwise and not table.incomplete
