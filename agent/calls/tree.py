"""A whole call on one screen: the channels, the actors, and what happens at hang-up.

Closing travels left to right. The line ends and closes `frames`; the decoder ends and closes `windows`; and so on to
the publisher, within `wrap_up_s`. Whoever is still at work then is cancelled.
"""

from functools import partial

import trio

from ..actors.aggregator import aggregate
from ..actors.analyzer import Analyzer, Ear
from ..actors.channels import WhenFull, open_channel
from ..actors.decoder import decode
from ..actors.heartbeat import beat
from ..actors.publisher import Publisher
from ..actors.receiver import receive
from ..core.audio import Block, Window
from ..core.context import ContextUpdate
from ..core.rules import InterruptRule, Rules
from ..core.tracking import Gate, MoodTracker
from ..ports import Assistant, Engine, Ledger
from ..settings import Settings
from .call import Call
from .mailbox import BLOCKS_A_SECOND


async def run_call(call: Call, engine: Engine, assistant: Assistant, ledger: Ledger, settings: Settings) -> None:
    """Serve one call from its registration until it has wrapped up. Raises only what is a bug of ours."""
    frames_out, frames = open_channel(Block, BLOCKS_A_SECOND, WhenFull.DROP_OLDEST)
    windows_out, windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    updates_out, updates = open_channel(ContextUpdate, 1, WhenFull.REPLACE, merge=ContextUpdate.replacing)

    ear = Ear()
    analyzer = Analyzer(engine, call.call_sid, ear, call.timeline, patience_s=settings.analyzer_patience_s)
    publisher = Publisher(
        assistant, call.call_sid, call.timeline, patience_s=settings.publisher_patience_s, heard_ms=call.heard_ms
    )

    def dropped() -> int:
        return call.mailbox.dropped + frames_out.dropped

    async with trio.open_nursery() as attendants:
        attendants.start_soon(partial(beat, ledger, drops=dropped, every_s=settings.checkpoint_s))
        async with trio.open_nursery() as pipeline:
            pipeline.start_soon(
                partial(
                    receive,
                    call.mailbox.blocks,
                    frames_out,
                    connected=call.mailbox.connected,
                    connect_within_s=settings.connect_within_s,
                    line_quiet_s=settings.line_quiet_s,
                    ended=call.end,
                )
            )
            pipeline.start_soon(analyzer.run, windows, call.readings.clone())
            pipeline.start_soon(
                partial(
                    aggregate,
                    call.readings_inbox,
                    updates_out,
                    tracker=tracker(settings),
                    rules=Rules(InterruptRule(at_least=settings.act_at), update_every_s=settings.update_every_s),
                    call=call,
                    timeline=call.timeline,
                )
            )
            pipeline.start_soon(publisher.run, updates)
            await decode(frames, windows_out, ear=ear, timeline=call.timeline, dropped=dropped)
            # The line has ended: the rest has this long to finish what is queued.
            call.readings.close()
            pipeline.cancel_scope.deadline = trio.current_time() + settings.wrap_up_s
        attendants.cancel_scope.cancel()


def tracker(settings: Settings) -> MoodTracker:
    """The mood of one call, as the settings want it kept."""
    engine = settings.for_engine(settings.engine)
    return MoodTracker(
        Gate(settings.gate, round(1000 * settings.min_duration_s), frozenset(settings.ignored_labels)),
        window_s=engine.window_s or settings.window_s,
        min_samples=engine.min_samples or settings.min_samples,
        trend_window_s=settings.trend_window_s,
        buffer_cap=settings.buffer_cap,
        buffer_keep=settings.buffer_keep,
    )
