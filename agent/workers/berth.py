"""A worker's place among its siblings, as the supervisor tells it: on its standard input, which no other user can read
as they could an environment. The input stays open as long as the supervisor lives."""

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec

from ..errors import ConfigError
from ..settings import Settings

BEAT_S = 2.0
"""How often a worker says that it is alive."""


class Berth(msgspec.Struct, frozen=True):
    """One worker's."""

    slot: int
    """From 0. A worker that is started again has the place of the one before it."""
    count: int
    run: str
    """Tells this run of the service from others on the same ledger."""
    folder: str
    """Where the workers' sockets lie; nobody else may look into it."""
    token: str
    """The one that is used where none is set: all workers must know the same."""
    listeners: list[int]
    """Descriptors of the sockets that listen on the port."""
    recovers: str
    """Whose open calls are over when this worker starts: `all`, `own` (those of the one before it), or nobody's."""
    restarts: int
    host: str
    port: int
    """As asked for; 0: the one that was free."""
    config: str
    """The settings file; empty: the usual one."""
    insecure: bool

    @property
    def writer(self) -> str:
        """Under which name its calls stand in the ledger."""
        return f"{self.run}-{self.slot}"

    def path(self, slot: int) -> str:
        """The socket on which a worker is spoken to."""
        return str(Path(self.folder) / f"{slot}.sock")


def encoded(berth: Berth) -> bytes:
    """On one line."""
    return msgspec.json.encode(berth) + b"\n"


def decoded(line: bytes) -> Berth:
    return msgspec.json.decode(line, type=Berth)


SHARED = ("transfers_per_minute", "hume_sessions")
"""Limits of the service, not of a process: each worker has its part of them."""


def check_shared(settings: Settings, count: int) -> None:
    """Raises ConfigError where a limit of the whole service cannot be divided among so many."""
    for name in SHARED:
        unused = name == "hume_sessions" and settings.engine not in ("hume", "hybrid")
        if not unused and 0 < getattr(settings, name) < count:
            raise ConfigError(
                f"{name} is {getattr(settings, name)}, and {count} workers share it: raise it, or start fewer workers"
            )


def share(settings: Settings, slot: int, count: int) -> Settings:
    """The settings as they hold in one worker: all parts together are the limit that was set."""
    parts = {name: getattr(settings, name) // count + (slot < getattr(settings, name) % count) for name in SHARED}
    return replace(settings, **parts)


def weight(key: str, slot: int) -> bytes:
    """A call begins at the slot of the largest weight (rendezvous hashing): where one is missing only its calls go
    elsewhere."""
    return hashlib.blake2b(f"{slot} {key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
