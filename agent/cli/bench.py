"""callmood bench: how many calls does this machine carry, and where does the time go?"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..bench.pipeline import Split
    from ..bench.run import Bench


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="A rough look: about two minutes.")] = False,
    long: Annotated[bool, typer.Option("--long", help="A thorough one, with a call of an hour.")] = False,
    peers: Annotated[bool, typer.Option("--peers", help="Beside other servers, those that are installed.")] = False,
    install: Annotated[bool, typer.Option("--install", help="The same, and install them first.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Also compare so many workers with one.")] = 1,
    only: Annotated[str, typer.Option(help="One part: calls, audio, split, inside, length, workers or peers.")] = "",
    calls: Annotated[int, typer.Option(min=1, max=4000, help="For the parts; for workers twice as many.")] = 100,
    at_most: Annotated[int, typer.Option(min=1, max=4000, help="Try no more calls than this.")] = 4000,
    json: Annotated[Path | None, typer.Option(help="Write everything here.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw it here, as SVG.")] = None,
) -> None:
    """Measure calls per core on this machine, with a load of its own over real sockets; prints tables and JSON."""
    import msgspec
    import trio
    from rich.console import Console

    from ..bench import figures, measure, report
    from ..bench.peers import install as installed
    from ..bench.picture import drawn
    from ..bench.result import LONG, QUICK, USUAL
    from ..bench.run import Bench
    from ..errors import ConfigError
    from .writing import check_writable, save, save_json

    parts = wanted(only, peers=peers or install, workers=workers)
    if quick and long:
        raise ConfigError("--quick and --long are two ways to measure: give one of them")
    if picture is not None and not {"calls", "length"} & {*parts}:
        raise ConfigError(f"--only {only} measures nothing that --picture could draw: leave one of them out")
    for path in (json, picture):
        if path is not None:
            check_writable(path)
    measure.check_machine()
    errors, out = Console(stderr=True, highlight=False), Console(highlight=False)
    say = partial(errors.print, soft_wrap=True, markup=False)
    if install:
        for doing in installed():
            say(doing)
    run = Bench(QUICK if quick else LONG if long else USUAL, say)
    whole = trio.run(_run, run, parts, calls, at_most, workers)
    if "inside" in parts:
        say(f"{calls} calls without sockets")
        run.result.inside = inside(calls)
    report.show(out, run.result)
    found = figures.as_json(run.result)
    typer.echo(msgspec.json.encode(found))
    if json is not None:
        save_json(json, found)
    if picture is not None:
        save(picture, drawn(run.result).encode())
    raise typer.Exit(0 if whole else 1)


INSIDE_S = 6.0
PARTS = ("calls", "audio", "split", "inside", "length", "workers", "peers")


def wanted(only: str, *, peers: bool, workers: int) -> tuple[str, ...]:
    """The parts to run. Raises ConfigError."""
    from ..errors import ConfigError

    if only and only not in PARTS:
        raise ConfigError(f"bench has no part {only}: name one of {', '.join(PARTS)}")
    if only == "workers" and workers == 1:
        raise ConfigError("one worker is compared with several: say how many with --workers")
    if only:
        return (only,)
    return tuple(part for part in PARTS if (part != "workers" or workers > 1) and (part != "peers" or peers))


async def _run(run: "Bench", parts: tuple[str, ...], calls: int, at_most: int, workers: int) -> bool:
    """One part after the other; whether all of them could be run."""
    import os

    from ..errors import CallmoodError
    from ..open_files import raise_file_limit

    raise_file_limit()
    os.sched_setaffinity(0, run.load_cores)
    whole = True
    for part in parts:
        try:
            await _part(run, part, calls, at_most, workers)
        except CallmoodError as failure:
            run.say(f"{part}: {failure}")
            whole = False
    return whole


async def _part(run: "Bench", part: str, calls: int, at_most: int, workers: int) -> None:
    match part:
        case "calls":
            await run.search(at_most=at_most)
        case "audio":
            run.result.ingress = await run.ingress_only(calls)
        case "split":
            # The split of a server that is too busy says little.
            await run.sample(min(calls, run.result.carried or calls))
        case "length":
            await run.long_call()
        case "workers":
            await run.with_workers(workers, 2 * calls)  # nobody needs a second one before the first is well filled
        case "peers":
            await run.beside_peers(calls=calls)


def inside(calls: int) -> "Split":
    """What calls cost behind their sockets, by stage."""
    from contextlib import asynccontextmanager

    from ..allocator import keep_freed_memory
    from ..bench.frames import talk
    from ..bench.pipeline import measure
    from ..ledger.memory import MemoryLedger
    from ..logs import WARNING, configure

    @asynccontextmanager
    async def nothing_kept() -> "AsyncIterator[MemoryLedger]":
        yield MemoryLedger()

    configure(WARNING)
    keep_freed_memory()  # as the service does
    return measure(talk(), calls=calls, seconds=INSIDE_S, ledger=nothing_kept)
