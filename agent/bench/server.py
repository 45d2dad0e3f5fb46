"""The server under test: `callmood serve` in a process and a folder of its own, with keys made for it alone."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from ..errors import CallmoodError
from .dialling import Server
from .measure import pin

READY_S = 60.0
END_S = 10.0
MAX_CALLS = 20_000
"""Nobody is turned away: what is too much shall show."""
SETTINGS = f"max_calls = {MAX_CALLS}\ndrain_s = 1.0\n"
PASSED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
"""Of the environment; no key of the user's."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    pid: int
    server: Server
    """Where the load calls it."""
    folder: Path
    """Its own; the ledger lies in `callmood-data`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How it is started."""

    cores: Sequence[int] = ()
    """Where it is kept; empty: anywhere."""
    unheard: bool = False
    """Nobody may listen to its calls: what is left is how audio comes in."""
    workers: int = 1
    sampled: bool = False
    """With a look every few milliseconds at what it is doing: see `sampling`."""


@asynccontextmanager
async def callmood(kind: Kind) -> AsyncIterator[Running]:
    """A service with the shipped model and a ledger of its own; gone at the end of the block. Raises CallmoodError."""
    signs, token = secrets.token_hex(16), secrets.token_hex(16)
    keys = {"TWILIO_AUTH_TOKEN": signs, "CALLMOOD_TOKEN": token, "CALLMOOD_ATTACH": "bridge"}
    with tempfile.TemporaryDirectory(prefix="callmood-bench-") as name:
        folder = Path(name)
        (folder / "config").mkdir()
        (folder / "config/callmood.toml").write_text(SETTINGS)
        command = [
            sys.executable,
            "-m",
            *(["agent.bench.sampling"] if kind.sampled else ["agent"]),
            "serve",
            "--port=0",
        ]
        command += [f"--workers={kind.workers}"] if kind.workers > 1 else []
        async with started(command, folder, keys) as process:
            url = await announced(process, folder)
            if kind.cores:
                pin(process.pid, kind.cores)
            yield Running(process.pid, Server(url, signs, token if kind.unheard else ""), folder)


@asynccontextmanager
async def started(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> AsyncIterator[trio.Process]:
    """A child process that is gone at the end of the block, by itself or not. Its standard error is in `log`."""
    package = str(Path(__file__).parents[2])
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment = {**passed_on, "PYTHONPATH": package, "OPENBLAS_NUM_THREADS": "1", **environment}
    with (folder / "log").open("w") as log:
        process = await trio.lowlevel.open_process(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            await ended(process)


async def ended(process: trio.Process) -> None:
    """Ask it to end; make it end."""
    if process.returncode is None:
        process.terminate()
    with trio.move_on_after(END_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    if process.stdout is not None:
        await process.stdout.aclose()


async def announced(process: trio.Process, folder: Path) -> str:
    """The address that it prints when it listens. Raises CallmoodError."""
    assert process.stdout is not None
    said = b""
    with trio.move_on_after(READY_S):
        while b"\n" not in said:
            if not (piece := await process.stdout.receive_some(4096)):
                break
            said += piece
    word, _, url = said.split(b"\n", 1)[0].decode().partition(" ")
    if word == "ready":
        return url.strip()
    lines = (folder / "log").read_text().splitlines()
    raise CallmoodError(f"the server did not start: {lines[-1] if lines else 'it said nothing'}")
