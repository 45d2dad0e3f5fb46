"""This process as a server: its signals, its log, its limits, and the service in it."""

import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from .allocator import keep_freed_memory
from .logs import configure
from .open_files import raise_file_limit
from .service import Ready, run_service, stop_on_signals
from .settings import Settings
from .tracing.export import from_dotenv, open_traces
from .watchdog import Watchdog
from .workers.crew import Crew


def serve_here(
    settings: Settings,
    host: str,
    *,
    insecure: bool,
    ready: Callable[[Ready], None],
    crew: Crew | None = None,
    tied: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve until told to stop, or until `tied` returns. `ready` is told once it listens; `crew`: the other workers,
    where there are any. Raises ConfigError, LedgerUnavailable."""
    configure()
    from_dotenv(Path.cwd())

    async def main() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_on_signals, stop, nursery.cancel_scope)

            async def run(task_status: trio.TaskStatus[Ready] = trio.TASK_STATUS_IGNORED) -> None:
                async with open_traces() as traces:
                    await run_service(
                        settings,
                        host=host,
                        insecure=insecure,
                        stop=stop,
                        watchdog=watchdog,
                        listeners=[traces] if traces else [],
                        crew=crew,
                        task_status=task_status,
                    )
                nursery.cancel_scope.cancel()

            listening: Ready = await nursery.start(run)
            settle()
            ready(listening)
            with watchdog.watching():
                if tied is not None:
                    await tied()
                    stop.set()
                await trio.sleep_forever()

    raise_file_limit()
    keep_freed_memory()
    watchdog = Watchdog()
    trio.run(main, instruments=[watchdog])


YOUNG, FULL_LOOKS_EVERY = 10_000, 10
"""The garbage collector looks when there are so many more containers than the last time; a call has five hundred, and
leaves none that need it. A round's blocks and readings come and go without its looking at any: by default each round
made it look, which was a twentieth of all CPU. Of its longer looks one in so many is at everything."""


def settle() -> None:
    """All that is loaded by now stays, and what lives long is rarely looked through by the garbage collector: with
    hundreds of calls the loop stands still for some 100 ms each time."""
    gc.collect()
    gc.freeze()
    _, middle, _ = gc.get_threshold()
    gc.set_threshold(YOUNG, middle, FULL_LOOKS_EVERY)
