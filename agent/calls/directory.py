"""The live calls by id: admission, the sweep of calls nobody hears of any more, outcomes, draining.

A call's slot is taken when its webhook is answered and given back when its tree has ended, whatever ended it. What goes
wrong inside one call ends here as an outcome: other calls and the server never notice.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
import trio

from ..actors.gathering import Gathering
from ..actors.heartbeat import checkpoint
from ..actors.overload import Load
from ..apart import start_apart
from ..core.emotion import Outcome
from ..ports import Assistant, Engine, Ledger
from ..settings import Settings
from .broadcast import Broadcast
from .call import Call
from .consent import consent
from .policy import Policy
from .policy import policy as default_policy
from .setup import model_of
from .shown import summary_of
from .timeline import CallTimeline
from .tree import run_call
from .workings import Measures, Unmeasured

log = structlog.get_logger()

CLOSING = {Outcome.CRASHED: (1011, "Internal error"), Outcome.DRAINED: (1012, "Service restart")}
"""How the line of a call that ended this way is closed; after any other outcome normally, with 1000."""

LOOKS_AGAIN_S = 1.0
"""Before a call of which nothing is heard counts as one: so long its line may take to be read."""
LAST_SAVE_S = 1.0
"""The grace for bringing a finished call to the ledger's disk, shielded."""


class CallDirectory:
    """Open it with `open_directory`; everything else is synchronous, and safe because there is one thread."""

    def __init__(
        self,
        nursery: trio.Nursery,
        engine: Engine,
        assistant: Assistant,
        ledger: Ledger,
        settings: Settings,
        policy: Policy,
        second_engine: Engine | None,
    ) -> None:
        self._second_engine = second_engine
        self.load = Load()
        self.gathering = Gathering(late=self.load.tick)
        self.broadcast, self.policy = Broadcast(), policy
        self.draining = False
        self.measures: Measures = Unmeasured()
        """Who measures all calls together."""
        self._nursery, self._engine, self._assistant = nursery, engine, assistant
        self._ledger, self._settings = ledger, settings
        self._live: dict[str, Call] = {}
        self._relayed: dict[str, Call] = {}
        """Calls that are over for us while their callers still speak with the assistant through our relay."""
        self._emptied = trio.Event()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._live.values()))

    def find(self, call_sid: str) -> Call | None:
        return self._live.get(call_sid)

    def find_by_vapi(self, vapi_call_id: str) -> Call | None:
        return next((call for call in self._live.values() if call.vapi_call_id == vapi_call_id), None)

    def has(self, call_id: str) -> bool:
        """The call of this id, or of this id of Vapi's, is here: it goes on, or its relay does."""
        return call_id in self._live or call_id in self._relayed or self.find_by_vapi(call_id) is not None

    def with_line(self, call_sid: str) -> Call | None:
        """The call of this id whose line may come in: one that goes on, or whose relay does."""
        call = self._live.get(call_sid) or self._relayed.get(call_sid)
        return call if call is not None and (call.outcome is None or call.relay is not None) else None

    @property
    def full(self) -> bool:
        return len(self._live) + len(self._relayed) >= self._settings.max_calls

    def register(self, call_sid: str, *, caller: str) -> Call | None:
        """The live call of this id, or a new one with its slot; None when there is no slot, or we are draining."""
        if (call := self.with_line(call_sid)) is not None:
            call.touch()
            return call
        if call_sid in self._live or self.full or self.draining:
            return None
        self._ledger.begin(call_sid, caller=caller, model=model_of(self._engine))
        timeline = CallTimeline(
            call_sid,
            began=datetime.now(UTC),
            ledger=self._ledger,
            audience=self.broadcast,
            keep_text=self._settings.keep_text,
        )
        call = self._live[call_sid] = Call(
            call_sid,
            attach=self._settings.attach,
            caller=caller,
            timeline=timeline,
            consent=consent(self._settings),
            profile=self._settings.profile,
            analyse_after_transfer=self._settings.analyse_after_transfer,
            relayed=self._settings.relays,
        )
        call.workings.measures = self.measures
        start_apart(self._nursery, self._serve, call)
        return call

    async def _serve(self, call: Call) -> None:
        with structlog.contextvars.bound_contextvars(call=call.call_sid):
            try:
                await self._attend(call)
            except* Exception as bugs:
                log.error("call.ended_badly", exc_info=bugs)

    async def _attend(self, call: Call) -> None:
        """The call's tree, and its end. Whatever goes wrong at the end is the caller's to log, and no other call's."""
        try:
            await run_call(
                call,
                self._engine,
                self._assistant,
                self._ledger,
                self.policy,
                self._settings,
                second_engine=self._second_engine,
                gathering=self.gathering,
                load=self.load,
            )
        except* Exception as bugs:
            call.end(Outcome.CRASHED)
            call.outcome = Outcome.CRASHED
            log.error("call.crashed", exc_info=bugs)
        finally:
            self._finish(call)
        with trio.CancelScope(shield=True):
            await checkpoint(self._ledger, patience_s=LAST_SAVE_S)

    def _finish(self, call: Call) -> None:
        """Everything that must happen whatever happened: nothing here waits."""
        call.end(Outcome.DRAINED)
        try:
            summary = summary_of(call)
        except Exception as bug:
            log.error("call.crashed", exc_info=bug)
            call.outcome, summary = Outcome.CRASHED, {}
        outcome = call.outcome or Outcome.DRAINED
        try:
            call.close(*CLOSING.get(outcome, (1000, outcome.value)))
            call.timeline.record(
                "call.ended", outcome=outcome.value, durationMs=call.timeline.elapsed_ms, summary=summary
            )
        finally:
            del self._live[call.call_sid]
            if call.relay is not None:
                self._relayed[call.call_sid] = call
            self.measures.freed(trio.current_time() - call.ended_at, call.workings)
            self._note_empty()

    def relay_ended(self, call: Call) -> None:
        """This call's relay is gone, and its slot with it where the call was over already."""
        call.relay = None
        self._relayed.pop(call.call_sid, None)
        self._note_empty()

    def _note_empty(self) -> None:
        if not self._live and not self._relayed:
            self._emptied.set()
            self._emptied = trio.Event()

    async def sweep(self) -> None:
        """End calls of which nothing was heard for `session_ttl_s`, until cancelled."""
        while True:
            await trio.sleep(self._settings.sweep_every_s)
            if silent := self._silent():
                await trio.sleep(LOOKS_AGAIN_S)  # the machine may have stood still, and what was said be read just now
                for call_sid in self._silent() & silent:
                    self._live[call_sid].end(Outcome.EXPIRED)

    def _silent(self) -> set[str]:
        """Ids: a sleeping frame would keep the last call that it looked at."""
        return {sid for sid, call in self._live.items() if call.silent_s > self._settings.session_ttl_s}

    async def drain(self) -> None:
        """Take no more calls and let the live ones finish; after `drain_s`, end the rest. Returns when none is left."""
        self.draining = True
        with trio.move_on_after(self._settings.drain_s):
            await self._until_empty()
        for call in (*self, *self._relayed.values()):
            call.end(Outcome.DRAINED)
            if call.relay is not None:
                call.relay.end(*CLOSING[Outcome.DRAINED])
        with trio.move_on_after(self._settings.wrap_up_s + LAST_SAVE_S):
            await self._until_empty()

    async def _until_empty(self) -> None:
        while self._live or self._relayed:
            await self._emptied.wait()


@asynccontextmanager
async def open_directory(
    engine: Engine,
    assistant: Assistant,
    ledger: Ledger,
    settings: Settings,
    policy: Policy | None = None,
    second_engine: Engine | None = None,
) -> AsyncIterator[CallDirectory]:
    """The directory, and the nursery its calls live in; leaving the block ends what calls are left. Without a `policy`
    the packaged rules hold, and no caller can be passed on. `second_engine` is asked where the first is in doubt."""
    policy = policy or default_policy(settings)
    async with trio.open_nursery() as nursery:
        directory = CallDirectory(nursery, engine, assistant, ledger, settings, policy, second_engine)
        nursery.start_soon(directory.sweep)
        nursery.start_soon(directory.gathering.run)
        yield directory
        nursery.cancel_scope.cancel()
