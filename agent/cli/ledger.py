"""callmood calls, show, tail: the ledger and the live timeline in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..ledger.reading import Reader

_JSON = typer.Option("--json", help="JSON lines instead of text.")


def folder() -> Path:
    from ..config_sources import load

    return Path(load().data).expanduser()


def one_call(reader: "Reader", named: str) -> str:
    """The id of the call that is meant by its id, or by the end of it. Raises CallmoodError, ConfigError."""
    from ..errors import CallmoodError, ConfigError

    found = reader.find(named)
    if not found:
        raise CallmoodError(f"the ledger has no call {named}: callmood calls lists those it has")
    if len(found) > 1:
        raise ConfigError(f"{len(found)} calls end in {named}: name more of it ({', '.join(sorted(found)[:5])})")
    return found.pop()


def calls(
    limit: Annotated[int, typer.Option(min=1, help="So many at the most.")] = 20,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """The calls in the ledger, newest first; those without an end are live, or were cut off."""
    from itertools import islice

    import msgspec
    from rich.console import Console
    from rich.table import Column, Table

    from ..ledger.reading import open_ledger
    from .visible import visible

    with open_ledger(folder()) as reader:
        rows = list(islice(reader.calls(), limit))
    if as_json:
        for row in rows:
            typer.echo(visible(row.entry.decode()))
        return
    names = ("call", "started", "outcome", "caller", "mood")
    columns = [Column(name, no_wrap=True, overflow="fold") for name in names]
    table = Table(*columns, box=None, padding=(0, 1, 0, 0), pad_edge=False)  # 80 columns with an id of Twilio's
    for row in rows:
        mood = msgspec.json.decode(row.entry)["mood"]
        table.add_row(
            row.call_sid,
            row.began_at[5:19].replace("T", " "),
            row.outcome or "-",
            row.caller,
            f"{mood['label']} {mood['score']:.2f}" if row.outcome and mood else "-",
        )
    Console().print(table)


def show(
    call: Annotated[str, typer.Argument(help="The call's id, or its end.")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """One call's timeline from the ledger."""
    from ..ledger.reading import open_ledger

    with open_ledger(folder()) as reader:
        lines = reader.timeline(one_call(reader, call))
    _print(lines, as_json=as_json)


def tail(
    call: Annotated[str, typer.Argument(help="Only this call (its id, or the id's end).")] = "",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """The timeline as it is written, until Ctrl-C."""
    import trio

    from ..ledger.reading import follow

    async def main() -> None:
        async for line in follow(folder(), call):
            _print([line], as_json=as_json, with_call=not call)

    trio.run(main)


def _print(lines: list[bytes], *, as_json: bool, with_call: bool = False) -> None:
    import msgspec
    from rich.console import Console

    from .printing import print_event
    from .visible import visible

    console = Console()
    for line in lines:
        if as_json:
            typer.echo(visible(line.decode()))
        else:
            event: dict[str, Any] = msgspec.json.decode(line)
            print_event(console, event, with_call=with_call)
