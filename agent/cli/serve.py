"""callmood serve: the service."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..settings import Settings

MOST = 64
"""Workers: each asks all others."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: PORT, or 3000. 0: a free one.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file; default config/callmood.toml.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST, help="Processes on the port: one a core, for many calls.")
    ] = 1,
    insecure: Annotated[
        bool, typer.Option(help="Accept Twilio's requests unsigned where TWILIO_AUTH_TOKEN is not set.")
    ] = False,
) -> None:
    """Run the service: prints `ready` and its URL when it listens."""
    from ..config_sources import load
    from ..errors import ConfigError

    if config is not None and not config.is_file():
        raise ConfigError(f"there is no file {config}: name a settings file")
    settings = load(file=config)
    if port is not None:
        settings = replace(settings, port=port)
    if workers > 1:
        several(settings, workers, host, config, insecure=insecure)
        return
    from ..process import serve_here

    serve_here(settings, host, insecure=insecure, ready=lambda ready: say(settings, ready.url, ready.live_url))


def several(settings: "Settings", workers: int, host: str, config: Path | None, *, insecure: bool) -> None:
    """The same with several processes on one port."""
    from ..logs import configure
    from ..workers.supervisor import Asked, supervise

    configure()

    def ready(url: str, token: str) -> None:
        say(settings, url, f"{url}/live?token={token}")

    if code := supervise(settings, Asked(workers, host, config, insecure), ready):
        raise typer.Exit(code)


def say(settings: "Settings", url: str, live_url: str) -> None:
    """That we listen, where, and what leaves this machine."""
    print(f"ready {url}")
    if not settings.token:
        print(f"live  {live_url}")
    print(leaves(settings.engine, told=bool(settings.vapi_secret), profile=settings.profile), file=sys.stderr)
    if settings.require_notice and settings.profile != "off":
        print(told_by(settings.attach), file=sys.stderr)
    sys.stdout.flush()


def leaves(engine: str, *, told: bool, profile: str = "acoustic") -> str:
    """What leaves this machine, in one sentence."""
    if profile == "off":
        return "CALLMOOD_PROFILE is off: calls are passed on, and nothing is heard, inferred or told."
    if profile == "physical-only":
        return (
            "CALLMOOD_PROFILE is physical-only: loudness, rate and overlap of voices are measured on this machine, "
            "nothing is inferred of how anybody feels, and nothing is told to any assistant."
        )
    voice = {
        "local": "No voice leaves this machine",
        "hume": "Callers' voices are sent to Hume",
        "hybrid": "Callers' voices are sent to Hume while our own engine is in doubt",
    }.get(engine, f"Callers' voices are sent to {engine}")
    return f"{voice}; {'notes about moods go to Vapi' if told else 'nothing is told to any assistant'}."


def told_by(attach: str) -> str:
    """How callers learn that they are analysed, in one sentence."""
    if attach in ("fork", "listen"):
        return (
            "Nothing is inferred before the assistant's first message has ended: it must say that calls are analysed."
        )
    return "Nothing is inferred before the notice ([notice] text) has been said to the caller."
