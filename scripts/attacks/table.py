"""What an attack is, and how it says what it found."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .target import Target

MB = 1_000_000
CLIENT_MAY_COST = 1 * MB
"""Bytes of the server's memory, for each hostile client at a time."""

Run = Callable[["Target"], Awaitable[str]]


class Breach(Exception):
    """The server did what it must not do, or did not do what it must."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of hostile client."""

    name: str
    run: Run
    """Returns what was observed. Raises Breach."""
    clients: int = 1
    """How many there are at a time."""
    quick: bool = True
    """Whether it is part of the quick selection."""

    @property
    def about(self) -> str:
        return (self.run.__doc__ or "").strip()


ATTACKS: list[Attack] = []


def attack(*, clients: int = 1, quick: bool = True) -> Callable[[Run], Run]:
    """Enters a function into the table, under its name."""

    def enter(run: Run) -> Run:
        ATTACKS.append(Attack(run.__name__.replace("_", "-"), run, clients, quick))
        return run

    return enter


@dataclass
class Cases:
    """The rows of one attack's table, and what came of each."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)

    def check(self, name: str, held: bool, seen: object = "") -> None:
        self.count += 1
        if not held:
            self.wrong.append(f"{name}: {str(seen)[:160]}" if seen != "" else name)

    def verdict(self, what: str) -> str:
        """One sentence. Raises Breach where a row was wrong."""
        if self.wrong:
            raise Breach(f"{len(self.wrong)} of {self.count} wrong: " + "; ".join(self.wrong))
        return f"{self.count} {what}"
