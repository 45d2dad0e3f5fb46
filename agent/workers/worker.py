"""One worker's process, from its place to its end."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from ..config_sources import load
from ..process import serve_here
from .berth import decoded
from .crew import Crew

TIE = 0
"""The descriptor that our supervisor holds the other end of."""


def work() -> None:
    """Serve until told to stop, or until the supervisor is gone. Raises ConfigError, LedgerUnavailable."""
    berth = decoded(told())
    settings = replace(load(file=Path(berth.config) if berth.config else None), port=berth.port)
    crew = Crew(berth)
    structlog.contextvars.bind_contextvars(worker=berth.slot)

    def ready(_: object) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    serve_here(crew.settings(settings), berth.host, insecure=berth.insecure, ready=ready, crew=crew, tied=orphaned)


def told() -> bytes:
    """The first line of standard input, and nothing of what may come behind it."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(TIE, 1)):
        line += byte
    return bytes(line)


async def orphaned() -> None:
    """Returns when the supervisor is gone."""
    os.set_blocking(TIE, False)
    while True:
        await trio.lowlevel.wait_readable(TIE)
        if not os.read(TIE, 4096):
            return
