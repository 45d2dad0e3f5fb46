"""What comes of a decision or an order: something on its way to the assistant, or to a human."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
import trio

from ..core.because import OPERATOR, because
from ..core.context import ContextUpdate
from ..core.rulebook import SORRY, Rule
from ..core.rules import Decision, Rules
from ..core.tracking import MoodTracker
from ..ports import Timeline
from .channels import Outbox
from .escalator import TransferOrder
from .incoming import CallState, Order
from .recording import Recorder

log = structlog.get_logger()

NOBODY_TO_TELL = "no assistant is attached yet: Vapi has not sent this call's control address"


class Deeds:
    """What comes of a decision or an order: something on its way to the assistant, or to a human."""

    def __init__(
        self,
        updates: Outbox[ContextUpdate],
        transfers: Outbox[TransferOrder],
        call: CallState,
        timeline: Timeline,
        over_budget: Callable[[str], None],
        recorder: Recorder | None = None,
    ) -> None:
        self._updates, self._transfers, self._call = updates, transfers, call
        self._timeline, self._over_budget, self._recorder = timeline, over_budget, recorder
        self._said_unattached = False

    def carry_out(self, decision: Decision, now: float, rules: Sequence[Rule] = ()) -> None:
        """`rules`: those in force, for saying why."""
        why = because(decision, rules)
        for fired in decision.fired:
            log.info("rules.fired", rule=fired.rule, held_s=round(fired.held_s, 2), did=fired.did)
        for budget in decision.over_budget:
            self._over_budget(budget)
        if decision.unheard:
            self._nobody()
        if decision.update is not None:
            self._updates.offer(replace(decision.update, decided_at=now, why=why))
        if decision.transfer is not None and self._call.claim_transfer(decision.transfer):
            self._transfers.offer(TransferOrder(decision=decision, why=why))

    def obey(self, order: Order, tracker: MoodTracker, rules: Rules) -> None:
        now = trio.current_time()
        if self._recorder is not None:
            cut = order.action == "interrupt" and self._call.assistant_attached
            self._recorder.obeyed(order, now, cut=cut)
        if order.action == "transfer":
            self._transfers.offer(TransferOrder(order.text, why=OPERATOR))
            return
        if not self._call.assistant_attached:
            self._nobody()
        mood = replace(tracker.mood(now), heard_at=now)  # its age is counted from the order, not from a reading
        if order.action == "context":
            self._updates.offer(ContextUpdate(mood, "", words=(order.text,), decided_at=now, why=OPERATOR))
        elif self._call.assistant_attached:
            rules.interrupted(now)
            self._updates.offer(ContextUpdate(mood, "", say=SORRY, reason="operator", decided_at=now, why=OPERATOR))

    def _nobody(self) -> None:
        if not self._said_unattached:
            self._said_unattached = True
            self._timeline.record("context.failed", reason=NOBODY_TO_TELL, willRetry=True)
