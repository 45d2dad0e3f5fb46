"""callmood doctor: what is set up, and the exact command that mends what is not.

The checks are small functions in two lists: those of `checks` stay on this machine, and `--online` adds those of
`online`, which ask the vendors.
"""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..settings import Settings
    from .checks import Check


def doctor(
    online: Annotated[bool, typer.Option("--online", help="Ask Twilio, Vapi and your public address as well.")] = False,
) -> None:
    """Check the set-up: one line each, `ok` or `fix: <command>`."""
    from ..config_sources import load
    from ..errors import CallmoodError
    from .checks import EDIT_ALL, offline
    from .visible import visible

    try:
        settings = load()
    except CallmoodError as error:
        results = [(f"settings: {error}", EDIT_ALL)]
    else:
        results = [("settings can be read", ""), *offline(settings)]
        results += asked_online(settings) if online else []
    for what, fix in results:
        typer.echo(visible(f"fix: {fix}  ({what})" if fix else f"ok   {what}"))
    raise typer.Exit(1 if any(fix for _, fix in results) else 0)


def asked_online(settings: "Settings") -> "list[Check]":
    import trio

    from .online import ask_vendors

    return trio.run(ask_vendors, settings)
