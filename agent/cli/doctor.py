"""callmood doctor: what is set up, and the exact command that mends what is not."""

from collections.abc import Iterator
from pathlib import Path

import typer

Check = tuple[str, str]
"""What was checked, and the command that mends it; empty: it is all right."""


def doctor() -> None:
    """Check the set-up: one line each, `ok` or `fix: <command>`."""
    wrong = 0
    for what, fix in checks():
        wrong += bool(fix)
        typer.echo(f"fix: {fix}  ({what})" if fix else f"ok   {what}")
    raise typer.Exit(1 if wrong else 0)


def checks() -> Iterator[Check]:
    from ..config_sources import load
    from ..errors import CallmoodError
    from ..settings import check_built

    try:
        settings = load()
    except CallmoodError as error:
        yield f"settings: {error}", "${EDITOR:-vi} .env config/callmood.toml"
        return
    yield "settings can be read", ""
    try:
        check_built(settings)
        yield f"attach mode {settings.attach}, engine {settings.engine}", ""
    except CallmoodError as error:
        yield str(error), "${EDITOR:-vi} .env"
    yield "Twilio's signatures can be checked", "" if settings.twilio_auth_token else ask("TWILIO_AUTH_TOKEN")
    yield (
        f"public address {settings.webhook_url or 'from each request'}",
        "" if settings.webhook_url.startswith("https://") else ask("WEBHOOK_URL"),
    )
    yield "Vapi's messages are believed", "" if settings.vapi_secret else make_secret("VAPI_SECRET")
    yield "the token for pages and readings is fixed", "" if settings.token else make_secret("CALLMOOD_TOKEN")
    yield (
        "a caller can be sent on when we cannot serve",
        "" if settings.transfer_to or settings.vapi_sip_uri else ask("CALLMOOD_TRANSFER_TO"),
    )
    yield from ledger_check(Path(settings.data).expanduser())
    yield from engine_check()
    yield f"{settings.attach}: notes and interruptions over Vapi's control URL; no transfer yet", ""


def ask(name: str) -> str:
    """A command that asks for a value and keeps it."""
    return f"read -rp '{name}=' value && echo \"{name}=$value\" >> .env"


def make_secret(name: str) -> str:
    """A command that makes one up and keeps it."""
    return f"echo {name}=$(python3 -c 'import secrets; print(secrets.token_urlsafe(24))') >> .env"


def ledger_check(folder: Path) -> Iterator[Check]:
    """The ledger's folder can be written, or made."""
    import os

    parent = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    yield f"ledger in {folder}", "" if os.access(parent, os.W_OK) else f"mkdir -p {folder} && chmod u+w {folder}"


def engine_check() -> Iterator[Check]:
    """The local engine reads a second of silence without a complaint."""
    import trio

    from ..core.tracking import MoodTracker
    from ..engines.local import LocalEngine
    from ..offline import read_recording

    async def listen() -> int:
        return len([step async for step in read_recording(b"\xff" * 8000, LocalEngine(), MoodTracker(), 0.85)])

    heard = trio.run(listen)
    yield "the local engine hears nothing in a second of silence", "scripts/run" if heard else ""
