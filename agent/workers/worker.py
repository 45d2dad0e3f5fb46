"""One worker's process, from its place to its end."""

import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from ..config_sources import load
from ..process import serve_here
from .berth import BEAT_S, decoded
from .crew import Crew

TIE, SAY = 0, 1
"""The descriptors that our supervisor holds the other ends of: it hears on the second one that we are alive."""


def work() -> None:
    """Serve until told to stop, or until the supervisor is gone. Raises ConfigError, LedgerUnavailable."""
    berth = decoded(told())
    settings = replace(load(file=Path(berth.config) if berth.config else None), port=berth.port)
    crew = Crew(berth)
    structlog.contextvars.bind_contextvars(worker=berth.slot)

    def ready(_: object) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    serve_here(crew.settings(settings), berth.host, insecure=berth.insecure, ready=ready, crew=crew, tied=alive)


def told() -> bytes:
    """The first line of standard input, and nothing of what may come behind it."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(TIE, 1)):
        line += byte
    return bytes(line)


async def alive() -> None:
    """Say so again and again, for as long as the loop goes round; returns when the supervisor is gone."""
    os.set_blocking(TIE, False)
    os.set_blocking(SAY, False)
    while True:
        with trio.move_on_after(BEAT_S):
            await trio.lowlevel.wait_readable(TIE)
            if not os.read(TIE, 4096):
                return
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(SAY, b".")
