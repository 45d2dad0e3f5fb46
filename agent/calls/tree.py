"""A whole call on one screen: the channels, the actors, and what happens at hang-up.

Closing travels left to right. The line ends and closes `frames`; the decoder ends and closes `windows`; and so on to
the publisher and the escalator, within `wrap_up_s`. Whoever is still at work then is cancelled.
"""

from functools import partial

import trio

from ..actors.aggregator import aggregate
from ..actors.analyzer import Analyzer, Ear, Ears
from ..actors.channels import WhenFull, open_channel
from ..actors.decoder import Decoder
from ..actors.escalator import Escalator, TransferOrder
from ..actors.gathering import Gathering
from ..actors.heartbeat import beat
from ..actors.line_check import LineCheck
from ..actors.measure import measure
from ..actors.overload import Load, Share
from ..actors.publisher import Publisher
from ..actors.receiver import receive
from ..actors.second_opinion import SecondOpinion
from ..core.audio import Block, Window
from ..core.context import ContextUpdate
from ..core.opinion import Band
from ..core.physical import Meter
from ..ports import Assistant, Engine, Ledger
from ..settings import Settings
from .call import Call
from .mailbox import BLOCKS_A_SECOND
from .policy import Policy
from .setup import recorder, setup


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
    frames_out, frames = open_channel(Block, BLOCKS_A_SECOND, WhenFull.DROP_OLDEST)
    windows_out, windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    updates_out, updates = open_channel(ContextUpdate, 1, WhenFull.REPLACE, merge=ContextUpdate.replacing)
    transfers_out, transfers = open_channel(TransferOrder, 1, WhenFull.REPLACE)

    made_of = setup(settings)
    mood = made_of.tracker()
    line_check = LineCheck(engine.name, call.timeline)
    second = second_opinion(call, second_engine, settings, line_check)
    ear = Ear() if second is None else Ears(second.ear)
    meter = Meter(settings.window_s) if settings.profile == "physical-only" else None
    decoder = Decoder(
        meter or ear,
        call.timeline,
        listening=call.consent.may_listen,
        line_check=line_check,
        gathering=gathering,
        share=Share(load or Load(), engine.name, call.timeline),
    )
    analyzer = Analyzer(
        engine,
        call.call_sid,
        ear,
        call.timeline,
        patience_s=settings.analyzer_patience_s,
        under_way=call.present,
        tempered=line_check.tempered,
    )
    publisher = Publisher(
        assistant,
        call.call_sid,
        call.timeline,
        patience_s=settings.publisher_patience_s,
        heard_ms=call.heard_ms,
        may_tell=lambda: call.listening and not call.handed_over,
        told_otherwise=lambda: call.through_gateway,
        while_listening=call.consent.while_listening,
    )
    escalator = Escalator(
        policy.transfers,
        call.call_sid,
        call,
        destination=settings.transfer_to,
        patience_s=settings.transfer_patience_s,
        allowance=policy.allowance,
        over_budget=policy.over_budget,
        confirm=policy.confirm if second is None else second.confirm,
        confirm_within_s=settings.confirm_within_s,
    )

    inside = call.workings
    inside.channels |= {
        "line": call.mailbox.outbox,
        "frames": frames_out,
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
    for forget in (frames_out.discard, decoder.forget, (meter or ear).forget, windows_out.discard, mood.forget):
        call.consent.on_stop(forget)

    async def judge() -> None:
        """What becomes of windows. In profile `off` there are none."""
        if meter is not None:
            await measure(
                windows,
                meter=meter,
                assistant_spoke=call.assistant_spoke,
                timeline=call.timeline,
                min_duration_s=settings.min_duration_s,
            )
        elif settings.profile == "acoustic":
            await analyzer.run(windows, call.readings.clone())

    def dropped() -> int:
        return call.mailbox.dropped + frames_out.dropped

    async with trio.open_nursery() as attendants:
        pulse = partial(beat, ledger, drops=dropped, every_s=settings.checkpoint_s)
        attendants.start_soon(inside.attend, "heartbeat", pulse)
        async with trio.open_nursery() as pipeline:
            pipeline.start_soon(
                inside.attend,
                "receiver",
                partial(
                    receive,
                    call.mailbox.blocks,
                    frames_out,
                    connected=call.mailbox.connected,
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
            pipeline.start_soon(inside.attend, "escalator", partial(escalator.run, transfers))
            await inside.attend("decoder", partial(decoder.run, frames, windows_out, dropped=dropped))
            # The line has ended: the rest has this long to finish what is queued.
            call.readings.close()
            if second is not None:
                second.close()
            pipeline.cancel_scope.deadline = trio.current_time() + settings.wrap_up_s
        if recording is not None:
            recording.ended(trio.current_time())
        attendants.cancel_scope.cancel()


def second_opinion(
    call: Call, engine: Engine | None, settings: Settings, line_check: LineCheck
) -> SecondOpinion | None:
    """Who is asked where our own engine is in doubt."""
    if engine is None or settings.profile != "acoustic":
        return None
    band = Band(settings.hybrid_low, settings.hybrid_high)
    return SecondOpinion(
        engine,
        call.call_sid,
        call.timeline,
        band,
        patience_s=settings.analyzer_patience_s,
        tempered=line_check.tempered,
    )
