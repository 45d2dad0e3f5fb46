"""What goes on inside one call, for whoever looks in: its actors, its channels, and when each thing happened last.

Nothing here is counted or copied while the call runs: the channels and the actors know it themselves, and are asked
when somebody wants the numbers. All of it is read from the loop's one thread.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import trio

from ..actors.channels import Outbox
from ..actors.supervision import Condition
from ..core.rules import Decision


class Measures(Protocol):
    """Who measures all calls together. Plain functions, which neither wait nor fail."""

    def decided(self, age_s: float) -> None:
        """Something was decided, so long after the last sample that it rests on had been heard."""

    def freed(self, wrapped_up_s: float, workings: "Workings") -> None:
        """A call's tree is gone, so long after the call had ended."""


class Unmeasured:
    """Until somebody measures."""

    def decided(self, age_s: float) -> None: ...

    def freed(self, wrapped_up_s: float, workings: "Workings") -> None: ...


class Workings:
    """One call's."""

    def __init__(self) -> None:
        self.channels: dict[str, Outbox[Any]] = {}
        """By what is in them."""
        self.actors: dict[str, Condition] = {}
        self.engines: dict[str, Condition] = {}
        """The actors that ask an engine, by the engine's name."""
        self.decided_at: float | None = None
        """Loop time of the last decision."""
        self.measures: Measures = Unmeasured()

    def decided(self, decision: Decision) -> None:
        """The rules have spoken; what comes to nothing does not count."""
        if decision.update is not None or decision.transfer is not None:
            self.decided_at = trio.current_time()
            self.measures.decided(max(0.0, self.decided_at - decision.mood.heard_at))

    async def attend(self, name: str, work: Callable[[], Awaitable[None]], condition: Condition | None = None) -> None:
        """Run an actor under this name. One that is supervised brings its own `condition`."""
        condition = self.actors[name] = condition or Condition()
        condition.state = "running"
        try:
            await work()
        finally:
            condition.state = "ended"

    def dropped(self) -> Iterator[tuple[str, int]]:
        """Of each channel, how many items gave way to newer ones."""
        return ((name, outbox.dropped) for name, outbox in self.channels.items())

    def failures(self) -> Counter[tuple[str, str]]:
        """How often each engine failed, by engine and by how."""
        return Counter(
            {(engine, how): count for engine, each in self.engines.items() for how, count in each.failures.items()}
        )
