"""`python -m agent` with a window in it: on SIGUSR1 it writes down what it holds, and goes on as if nothing had been.

    python scripts/soak/inside.py FILE serve --port 0

FILE is then replaced by JSON: how many times it was asked, Trio's tasks, and after a full collection the objects of
each type and what the allocators have given away; what C's allocator keeps for later goes back to the system, so that
the memory that remains is held by somebody. On SIGUSR2 it says on standard error what holds objects that should have
gone with their call and, with SOAK_TRACE=1, which lines of code hold most that was allocated since the last SIGUSR2.
"""

import ctypes
import gc
import json
import linecache
import os
import runpy
import signal
import sys
import threading
import tracemalloc
from collections import Counter
from contextlib import suppress
from pathlib import Path
from traceback import walk_stack
from types import FrameType

import trio

LINES = 25
C = ctypes.CDLL(None)

OF_A_CALL = (
    "agent.calls.call.Call",
    "agent.calls.mailbox.Mailbox",
    "agent.calls.timeline.CallTimeline",
    "agent.engines.local.session.LocalSession",
    "agent.ingress.line.SocketLine",
    "agent.ingress.socket.Socket",
    "agent.telephony.twilio.MediaStream",
)
"""What must not outlive its call."""
HOLDERS, STEPS = 5, 8


class Window:
    """Looks inside whenever it is asked to."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._asked = 0
        self._before: tracemalloc.Snapshot | None = None

    def look(self, *_: object) -> None:
        """The signal handler. Python runs it in the main thread; the looking itself is done beside that, because it
        takes so long that whoever watches the loop would object, and remember our frames."""
        threading.Thread(target=self._look, args=(tasks(),)).start()

    def _look(self, living: int) -> None:
        gc.collect()
        self._asked += 1
        objects: Counter[str] = Counter()
        for known, count in Counter(map(type, gc.get_objects())).items():
            objects[named(known)] += count
        give_back()
        seen = {"asked": self._asked, "tasks": living, "objects": objects}
        seen |= {"blocks": sys.getallocatedblocks(), "system_kb": from_the_system()}
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(seen))
        new.rename(self._file)

    def explain(self, *_: object) -> None:
        """The other signal's handler. What it does may keep alive what it looks at, so it comes last."""
        threading.Thread(target=self._explain).start()

    def _explain(self) -> None:
        gc.collect()
        if tracemalloc.is_tracing():
            now, before = tracemalloc.take_snapshot(), self._before
            self._before = now
            for line in [] if before is None else now.compare_to(before, "lineno")[:LINES]:
                print(f"grown: {line}", file=sys.stderr, flush=True)
        kept = [held for held in gc.get_objects() if named(type(held)) in OF_A_CALL][:HOLDERS]
        for held in kept:
            print(f"held: {' <- '.join(holders(held, {id(kept)}))}", file=sys.stderr, flush=True)


def give_back() -> None:
    """Return to the system what is only kept for later: what remains is held by somebody."""
    linecache.clearcache()  # filled by whoever notices that this look held the loop up
    with suppress(AttributeError):
        C.malloc_trim(0)


def from_the_system() -> int:
    """Kilobytes that C's allocator has handed out: large objects, arrays, and the arenas of Python's own allocator."""
    names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    layout = type("mallinfo2", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in names]})
    with suppress(AttributeError):  # other than glibc
        C.mallinfo2.restype = layout
        told = C.mallinfo2()
        return int(told.uordblks + told.hblkhd) // 1024
    return 0


def named(known: type) -> str:
    return f"{known.__module__}.{known.__qualname__}"


def holders(held: object, ignored: set[int]) -> list[str]:
    """What holds it, and what holds that, and so on for a few steps: one way of several."""
    passed: list[object] = [frame for frame, _ in walk_stack(None)]
    chain, at = [told(held)], held
    for _ in range(STEPS):
        found = [by for by in gc.get_referrers(at) if id(by) not in ignored and not any(by is old for old in passed)]
        passed.append(found)  # kept, so that nothing else gets its id
        at = next((by for by in found if by is not passed), None)
        if at is None:
            break
        passed.append(at)
        chain.append(told(at))
    return chain


def told(held: object) -> str:
    if isinstance(held, FrameType):
        return f"frame at {Path(held.f_code.co_filename).name}:{held.f_lineno} {held.f_code.co_name}"
    if isinstance(held, list | tuple):
        return f"{type(held).__name__} of {len(held)} ({', '.join(named(type(one)) for one in held[:3])})"
    return f"{named(type(held))} {getattr(held, '__qualname__', '')}".strip()


def tasks() -> int:
    try:
        return trio.lowlevel.current_statistics().tasks_living
    except RuntimeError:
        return 0  # Trio does not run yet, or no more


if __name__ == "__main__":
    file, *arguments = sys.argv[1:]
    if os.environ.pop("SOAK_TRACE", ""):
        tracemalloc.start()
    window = Window(Path(file))
    signal.signal(signal.SIGUSR1, window.look)
    signal.signal(signal.SIGUSR2, window.explain)
    sys.argv = ["callmood", *arguments]
    sys.path[0] = str(Path(__file__).parents[2])
    runpy.run_module("agent", run_name="__main__")
