"""What all calls of a process share where something is to be done: the rules, a way to a human, and their limits."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ..actors.escalator import Confirm
from ..core.budget import PerMinute
from ..core.rulebook import RuleBook
from ..errors import AssistantRefused
from ..ports import Transfers
from ..rulefile import shipped
from ..settings import Settings

log = structlog.get_logger()

BUDGETS = ("interrupts_per_call", "notes_per_call", "transfers_per_minute")
"""Settings that limit what may be done, whatever the rules say."""


class NoTransfers:
    """Where nothing can pass a caller on."""

    async def transfer(self, call_sid: str, destination: str) -> None:
        raise AssistantRefused("nothing here can pass a caller on")


@dataclass(frozen=True, slots=True)
class Policy:
    """One process's."""

    book: Callable[[], RuleBook]
    """The rules in force now."""
    transfers: Transfers
    allowance: PerMinute
    """Of transfers."""
    confirm: Confirm | None = None
    spent: Counter[str] = field(default_factory=Counter)
    """How often each budget was found spent: once a call, and once a transfer."""

    def over_budget(self, budget: str) -> None:
        self.spent[budget] += 1
        log.warning("budget.spent", budget=budget)


def policy(
    settings: Settings,
    *,
    book: Callable[[], RuleBook] | None = None,
    transfers: Transfers | None = None,
    confirm: Confirm | None = None,
) -> Policy:
    """As the settings want it; with the packaged rules where none are given."""
    return Policy(
        book or (lambda: shipped(settings.act_at)),
        transfers or NoTransfers(),
        PerMinute(settings.transfers_per_minute),
        confirm,
    )
