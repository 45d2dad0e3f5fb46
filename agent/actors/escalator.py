"""transfers -> a human. The one step that cannot be taken back, so that it is taken once, and all of it is recorded.

An outage of the platform is waited out while the call lasts, a few times; a refusal is final. Whatever else is learnt
meanwhile counts: a platform may say that the transfer happened before it answers the request for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from ..core.budget import PerMinute
from ..core.rules import Decision
from ..errors import AssistantUnavailable
from ..ports import Transfers
from .channels import Inbox
from .publisher import as_assistant_error, backoff

log = structlog.get_logger()

RETRIES = 3

NOWHERE = "nobody is set to take the call: set CALLMOOD_TRANSFER_TO"
TOO_MANY = "more calls than transfers_per_minute allows want a human at once: raise it, or look at the rules"
ENDED = "the call ended first"
STOPPED = "the analysis was stopped first"


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """This caller is to be passed on to a human."""

    destination: str = field(default="", repr=False)
    """E.164 or a SIP address; empty: the one that is set."""
    decision: Decision | None = None
    """What a rule decided, with its evidence. None: an operator asked."""
    why: str = field(default="", compare=False)
    """The same in plain words."""


Confirm = Callable[[Decision], Awaitable[bool]]
"""A second opinion on a rule's decision. Whether the caller is to be passed on."""


class Passing(Protocol):
    """What the escalator shares with the rest of its call."""

    @property
    def transfer_under_way(self) -> bool:
        """Asked for, and neither done nor failed."""

    @property
    def listening(self) -> bool:
        """What is believed of the caller may be acted on."""

    def transfer_begins(self, destination: str, why: str) -> None: ...

    def transfer_confirmed(self) -> None: ...

    def transfer_failed(self, reason: str) -> None: ...

    def transfer_unwanted(self) -> None:
        """A second opinion would rather not: a rule may ask again."""


class Escalator:
    """One call's way to a human."""

    def __init__(
        self,
        transfers: Transfers,
        call_sid: str,
        call: Passing,
        *,
        destination: str,
        patience_s: float,
        allowance: PerMinute,
        over_budget: Callable[[str], None] = lambda _: None,
        confirm: Confirm | None = None,
        confirm_within_s: float = 0.0,
    ) -> None:
        self._transfers, self._call_sid, self._call = transfers, call_sid, call
        self._destination, self._patience_s, self._allowance = destination, patience_s, allowance
        self._over_budget, self._confirm, self._confirm_within_s = over_budget, confirm, confirm_within_s

    async def run(self, orders: Inbox[TransferOrder]) -> None:
        """Carry out what comes, until no more can."""
        try:
            async for order in orders:
                if not await self._wanted(order):
                    self._call.transfer_unwanted()
                elif (obstacle := self._obstacle(order)) is not None:
                    self._give_up(obstacle)
                else:
                    await self._carry_out(order, orders)
        finally:
            self._give_up(ENDED)  # also where the call's end has cancelled us

    async def _wanted(self, order: TransferOrder) -> bool:
        """Whether a second opinion agrees. One that does not come in time does not count."""
        if self._confirm is None or order.decision is None or not self._to(order):
            return True
        with trio.move_on_after(self._confirm_within_s):
            return await self._confirm(order.decision)
        return True

    def _to(self, order: TransferOrder) -> str:
        return order.destination or self._destination

    def _obstacle(self, order: TransferOrder) -> str | None:
        """Why it cannot even be tried."""
        if not self._to(order):
            return NOWHERE
        if not self._may(order):
            return STOPPED
        if not self._allowance.take(trio.current_time()):
            self._over_budget("transfers_per_minute")
            return TOO_MANY
        return None

    def _may(self, order: TransferOrder) -> bool:
        """An operator may always; a rule, while what it read may be acted on."""
        return order.decision is None or self._call.listening

    async def _carry_out(self, order: TransferOrder, orders: Inbox[TransferOrder]) -> None:
        destination, failures = self._to(order), 0
        self._call.transfer_begins(destination, order.why)
        while self._call.transfer_under_way:  # else its platform has told meanwhile what became of it
            if not self._may(order):
                return self._give_up(STOPPED)
            trouble = await self._try(destination)
            if trouble is None:
                if self._call.transfer_under_way:
                    self._call.transfer_confirmed()
                return None
            failures += 1
            if not isinstance(trouble, AssistantUnavailable) or failures > RETRIES:
                return self._give_up(str(trouble))
            if not await self._wait(backoff(failures, trouble), orders):
                return self._give_up(ENDED)
        return None

    async def _try(self, destination: str) -> Exception | None:
        with trio.move_on_after(self._patience_s):
            try:
                await self._transfers.transfer(self._call_sid, destination)
            except Exception as fault:
                return as_assistant_error(fault)
            return None
        return AssistantUnavailable("it did not answer in time")

    async def _wait(self, seconds: float, orders: Inbox[TransferOrder]) -> bool:
        """False: the call has ended meanwhile, and there is nobody to pass on."""
        with trio.move_on_after(seconds):
            try:
                while True:  # while one is under way no other can be claimed
                    await orders.receive()
            except trio.EndOfChannel:
                return False
        return True

    def _give_up(self, reason: str) -> None:
        if self._call.transfer_under_way:
            self._call.transfer_failed(reason)
