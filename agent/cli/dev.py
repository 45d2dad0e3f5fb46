"""callmood dev: the local loop. The server, a tunnel to it, and the Twilio number pointed at both for a while.

In this order, so that a number never points at nothing for longer than it must: tunnel, server, a look at our own
health through the public address, the number. Backwards at the end: the number first, while calls still reach us.
"""

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..signals import STOPS
from .questions import WEBHOOK_MODES

if TYPE_CHECKING:
    import trio

    from ..service import Ready
    from ..settings import Settings
    from .number import Wishes


def dev(
    number: Annotated[str, typer.Option(help="The Twilio number (+1…, or its id PN…). Default: the only one.")] = "",
    ngrok: Annotated[str, typer.Option(help="The ngrok binary. Default: WEBHOOK_URL, or ngrok on PATH.")] = "",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: PORT, or 3000. 0: a free one.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Set the number's webhook without asking.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put a number back after a crash, and end.")] = False,
) -> None:
    """Serve, open a tunnel, and point your Twilio number here until you end it."""
    import trio

    from ..config_sources import load
    from ..errors import CallmoodError
    from ..logs import WARNING, configure
    from ..open_files import raise_file_limit
    from .number import Wishes

    settings = load()
    if port is not None:
        settings = replace(settings, port=port)
    configure(WARNING)
    try:
        if undo:
            trio.run(_undo, settings)
            return
        raise_file_limit()
        trio.run(_dev, settings, Wishes(number, ngrok, yes))
    except BaseExceptionGroup as group:
        known, unknown = group.split(CallmoodError)
        if unknown is not None or known is None:
            raise
        sentences = list(leaves(known))
        raise sentences[0] if len(sentences) == 1 else CallmoodError("; ".join(map(str, sentences))) from None


def leaves(group: "BaseExceptionGroup[BaseException]") -> Iterator[BaseException]:
    """The exceptions in a group, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


async def _undo(settings: "Settings") -> None:
    from .borrowed import data_folder, put_back, read_loan
    from .number import twilio

    folder = data_folder(settings)
    loan = read_loan(folder)
    if loan is None:
        typer.echo("there is nothing to put back")
        return
    async with twilio(settings, loan.account_sid) as numbers:
        typer.echo(await put_back(numbers, loan, folder))


async def _dev(settings: "Settings", wishes: "Wishes") -> None:
    import trio

    from ..tunnel import find_ngrok, run_ngrok
    from .number import pointed, ready_number, twilio
    from .reaching import reach

    theirs = settings.attach not in WEBHOOK_MODES  # the number's webhook is Vapi's, or there is no number
    check(settings, wishes, asks=not theirs)
    binary = find_ngrok(wishes.ngrok) if wishes.ngrok or not settings.webhook_url else ""
    settings = replace(settings, port=settings.port or free_port())
    check_port(settings.port)
    ended, asked, up = trio.Event(), trio.Event(), trio.Event()
    async with twilio(settings) as numbers, trio.open_nursery() as nursery:
        await nursery.start(listen_for_signals, asked, up, nursery.cancel_scope)
        number = None if theirs else await ready_number(numbers, settings, wishes)
        if binary:
            typer.echo("starting ngrok")
            url = await nursery.start(run_ngrok, binary, settings.port)
            settings = replace(settings, webhook_url=url)
        stop = trio.Event()
        ready: Ready = await nursery.start(serve_until, stop, ended, settings)
        await reach(settings.webhook_url, settings.port)
        up.set()
        async with pointed(numbers, number, settings, wishes, asked):
            introduce(ready, settings)
            await asked.wait()
        typer.echo("ending: live calls may finish; once more to end at once")
        stop.set()
        await ended.wait()
        nursery.cancel_scope.cancel()


async def serve_until(
    stop: "trio.Event",
    ended: "trio.Event",
    settings: "Settings",
    task_status: "trio.TaskStatus[Ready]",
) -> None:
    from ..service import run_service

    await run_service(settings, stop=stop, task_status=task_status)
    ended.set()


async def listen_for_signals(
    asked: "trio.Event", up: "trio.Event", quick: "trio.CancelScope", task_status: "trio.TaskStatus[None]"
) -> None:
    """The first signal asks to end; the second, or one before everything is up, ends at once. The number is put back
    in all cases."""
    import trio

    with trio.open_signal_receiver(*STOPS) as signals:
        task_status.started()
        async for _ in signals:
            if asked.is_set() or not up.is_set():
                quick.cancel()
                return
            asked.set()


# Before anything is started.


def check(settings: "Settings", wishes: "Wishes", *, asks: bool) -> None:
    """Raises ConfigError for what would stop us half-way."""
    from ..errors import ConfigError
    from ..settings_checks import check_built

    # The tunnel's address is not known yet, and will be there by the time it is needed.
    check_built(replace(settings, webhook_url=settings.webhook_url or "https://tunnel.invalid"))
    needed = ("twilio_account_sid", "twilio_auth_token") if settings.attach != "listen" else ()
    for name in needed:
        if not getattr(settings, name):
            raise ConfigError(f"{name.upper()} is not set: run callmood init")
    if asks and not wishes.yes and not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask (no terminal): say --yes to set the number's webhook")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Raises ConfigError when somebody listens there: better said before the tunnel leads to him."""
    from ..errors import ConfigError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be used ({error.strerror}): end what is there, or use --port"
            ) from None


def introduce(ready: "Ready", settings: "Settings") -> None:
    """Where everything is, and what this command does not do."""
    url = settings.webhook_url.rstrip("/")
    typer.echo(f"ready {url}")
    typer.echo(f"live  {ready.live_url if not settings.token else ready.url + '/live'}")
    typer.echo(f"Vapi: the assistant's server URL has to be {url}/webhook/vapi while this runs. Ctrl-C ends it.")
    sys.stdout.flush()
