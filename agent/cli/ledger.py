"""callmood calls, show, tail: the ledger and the live timeline in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from ..ledger.reading import Reader

SHOWN_OF_UNREADABLE = 200
_JSON = typer.Option("--json", help="JSON lines instead of text.")


def folder() -> Path:
    from ..config_sources import load

    return Path(load().data).expanduser()


def say_where(reader: "Reader", data: Path) -> None:
    """Where nothing is found because nothing is there: mostly one stands in another folder than the service."""
    if not reader.is_there:
        typer.echo(f"callmood: there is no ledger in {data} yet: is this the folder of the service?", err=True)


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

    from rich.console import Console
    from rich.table import Column, Table

    from ..ledger.reading import open_ledger
    from .visible import visible

    data = folder()
    with open_ledger(data) as reader:
        rows = list(islice(reader.calls(), limit))
    if as_json:
        for row in rows:
            typer.echo(visible(row.entry.decode(errors="replace")))
        return
    say_where(reader, data)
    names = ("call", "started", "outcome", "caller", "mood")
    columns = [Column(name, no_wrap=True, overflow="fold") for name in names]
    table = Table(*columns, box=None, padding=(0, 1, 0, 0), pad_edge=False)  # 80 columns with an id of Twilio's
    for row in rows:
        mood = row.listed()["mood"]
        table.add_row(
            visible(row.call_sid),
            visible(row.began_at[5:19].replace("T", " ")),
            visible(row.outcome or "-"),
            visible(row.caller),
            f"{visible(mood['label'])} {mood['score']:.2f}" if row.outcome and mood else "-",
        )
    Console().print(table)


def show(
    call: Annotated[str, typer.Argument(help="The call's id, or its end.")],
    earlier: Annotated[int, typer.Option(min=0, help="Not the latest of this id: the one so many before it.")] = 0,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """One call's timeline from the ledger."""
    from ..errors import CallmoodError
    from ..ledger.reading import open_ledger
    from .visible import visible

    with open_ledger(folder()) as reader:
        named = one_call(reader, call)
        row, there = reader.call(named, earlier), reader.count(named)
        if row is None:
            raise CallmoodError(f"the ledger has {there} calls of the id {visible(named)}: --earlier is less than that")
        lines = reader.timeline(row)
    if there > earlier + 1:
        text = f"callmood: there is an earlier call of this id: callmood show {visible(named)} --earlier {earlier + 1}"
        typer.echo(text, err=True)
    _print(lines, as_json=as_json)


def tail(
    call: Annotated[str, typer.Argument(help="Only this call (its id, or the id's end).")] = "",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """The timeline as it is written, until Ctrl-C."""
    import trio

    from ..ledger.reading import follow, open_ledger
    from .visible import visible

    data = folder()
    with open_ledger(data) as reader:
        say_where(reader, data)
        if reader.is_there and call and not reader.find(call):
            typer.echo(f"callmood: waiting for {visible(call)}, of which the ledger has no call yet", err=True)

    async def main() -> None:
        async for line in follow(data, call):
            _print([line], as_json=as_json, with_call=not call)

    trio.run(main)


def _print(lines: list[bytes], *, as_json: bool, with_call: bool = False) -> None:
    from rich.console import Console

    from .visible import visible

    console = Console()
    for line in lines:
        if as_json:
            typer.echo(visible(line.decode(errors="replace")))
        else:
            console.print(_text(line, with_call=with_call), soft_wrap=True, highlight=False)


def _text(line: bytes, *, with_call: bool) -> "Text":
    """A line as a person reads it; one that no call of ours has written, as it stands."""
    import msgspec
    from rich.text import Text

    from .printing import event_text
    from .visible import visible

    try:
        return event_text(msgspec.json.decode(line, type=dict[str, Any]), with_call=with_call)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Text(f"cannot be read: {visible(line[:SHOWN_OF_UNREADABLE].decode(errors='replace'))}", "dim")
