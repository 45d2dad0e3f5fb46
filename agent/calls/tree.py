"""A whole call on one screen: the channels, the actors, and what happens at hang-up.

Closing travels left to right. The line ends and closes `frames`; the decoder ends and closes `windows`; and so on to
the publisher and the escalator, within `wrap_up_s`. Whoever is still at work then is cancelled.
"""

from functools import partial

import trio

from ..actors.aggregator import aggregate
from ..actors.channels import WhenFull, open_channel
from ..actors.escalator import TransferOrder
from ..actors.gathering import Gathering
from ..actors.heartbeat import beat
from ..actors.measure import measure
from ..actors.overload import Load
from ..actors.receiver import receive
from ..core.audio import Window
from ..core.context import ContextUpdate
from ..ports import Assistant, Engine, Ledger
from ..settings import Settings
from .call import Call
from .policy import Policy
from .setup import recorder, setup
from .staff import staffed


async def run_call(
    call: Call,
    engine: Engine,
    assistant: Assistant,
    ledger: Ledger,
    policy: Policy,
    settings: Settings,
    *,
    second_engine: Engine | None = None,
    gathering: Gathering | None = None,
    load: Load | None = None,
) -> None:
    """Serve one call from its registration until it has wrapped up. Raises only what is a bug of ours."""
    windows_out, windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    updates_out, updates = open_channel(ContextUpdate, 1, WhenFull.REPLACE, merge=ContextUpdate.replacing)
    transfers_out, transfers = open_channel(TransferOrder, 1, WhenFull.REPLACE)

    made_of = setup(settings)
    mood = made_of.tracker()
    staff = staffed(call, engine, assistant, policy, settings, second_engine, gathering, load)
    analyzer, publisher, second = staff.analyzer, staff.publisher, staff.second

    inside, frames = call.workings, call.mailbox.blocks
    inside.channels |= {
        "frames": call.mailbox.outbox,
        "windows": windows_out,
        "readings": call.readings,
        "updates": updates_out,
        "transfers": transfers_out,
    }
    if settings.profile == "acoustic":
        inside.engines[engine.name] = analyzer.condition
    if second is not None and second_engine is not None:
        inside.engines[second_engine.name] = second.condition

    recording = recorder(call, ledger, engine, made_of)
    for forget in (*staff.forgets, windows_out.discard, mood.forget):
        call.consent.on_stop(forget)

    async def judge() -> None:
        """What becomes of windows. In profile `off` there are none."""
        if staff.meter is not None:
            await measure(
                windows,
                meter=staff.meter,
                assistant_spoke=call.assistant_spoke,
                timeline=call.timeline,
                min_duration_s=settings.min_duration_s,
            )
        elif settings.profile == "acoustic":
            await analyzer.run(windows, call.readings.clone())

    def dropped() -> int:
        return call.mailbox.dropped

    async with trio.open_nursery() as attendants:
        pulse = partial(beat, ledger, drops=dropped, every_s=settings.checkpoint_s)
        attendants.start_soon(inside.attend, "heartbeat", pulse)
        async with trio.open_nursery() as pipeline:
            pipeline.start_soon(
                inside.attend,
                "receiver",
                partial(
                    receive,
                    connected=call.mailbox.connected,
                    over=call.mailbox.over,
                    connect_within_s=settings.connect_within_s,
                    line_quiet_s=settings.line_quiet_s,
                    ended=call.end,
                    awaited=lambda: call.awaits_audio,
                    heard_at=lambda: call.mailbox.heard_at,
                ),
                name="receiver",
            )
            pipeline.start_soon(
                inside.attend, "analyzer", partial(call.consent.unless_stopped, judge), analyzer.condition
            )
            pipeline.start_soon(
                inside.attend,
                "aggregator",
                partial(
                    aggregate,
                    call.readings_inbox,
                    updates_out,
                    transfers_out,
                    tracker=mood,
                    rules=made_of.rules(policy.book()),
                    call=call,
                    timeline=call.timeline,
                    listening=call.consent.may_listen,
                    book=policy.book,
                    over_budget=policy.over_budget,
                    consider=None if second is None else second.consider,
                    decided=inside.decided,
                    recorder=recording,
                ),
            )
            if second is not None:
                asking = partial(call.consent.unless_stopped, partial(second.run, call.readings.clone()))
                pipeline.start_soon(inside.attend, "second opinion", asking, second.condition)
            pipeline.start_soon(inside.attend, "publisher", partial(publisher.run, updates), publisher.condition)
            pipeline.start_soon(inside.attend, "escalator", partial(staff.escalator.run, transfers))
            listening = partial(
                staff.decoder.run, frames, windows_out, dropped=dropped, cut_later=call.mailbox.cut_later
            )
            await inside.attend("decoder", listening)
            # The line has ended: the rest has this long to finish what is queued.
            call.readings.close()
            if second is not None:
                second.close()
            pipeline.cancel_scope.deadline = trio.current_time() + settings.wrap_up_s
        if recording is not None:
            recording.ended(trio.current_time())
        attendants.cancel_scope.cancel()
