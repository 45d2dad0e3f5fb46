"""Numbers that are read from whoever knows them when somebody asks: a call costs nothing more for being measured. Never
a label per call."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Protocol

import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..calls.directory import CallDirectory
from ..calls.workings import Workings


class Used(Protocol):
    """What all calls together have used of a vendor."""

    open: int
    """Sessions, now."""
    used_ms: int
    """Audio, since the start."""
    dropped_ms: int
    """Audio that was not sent, since the start."""


class VendorEngine(Protocol):
    """An engine whose audio is somebody else's to bill."""

    @property
    def name(self) -> str: ...

    @property
    def allowance(self) -> Used: ...

    @property
    def unseen(self) -> int:
        """Expressions found that belong to no label."""


class VendorNumbers(Collector):
    """Read from the vendors themselves when somebody asks: sending a frame costs nothing more for being counted."""

    def __init__(self, vendors: Sequence[VendorEngine]) -> None:
        self._vendors = vendors

    def collect(self) -> Iterator[Metric]:
        audio = CounterMetricFamily("callmood_vendor_audio_seconds", "Audio sent to a vendor.", labels=["vendor"])
        dropped = CounterMetricFamily(
            "callmood_vendor_dropped_seconds", "Audio not sent to a vendor that did not keep up.", labels=["vendor"]
        )
        unseen = CounterMetricFamily(
            "callmood_vendor_unseen", "Expressions of a vendor that belong to no label.", labels=["vendor"]
        )
        sessions = GaugeMetricFamily("callmood_vendor_sessions", "Sessions open at a vendor.", labels=["vendor"])
        for vendor in self._vendors:
            audio.add_metric([vendor.name], vendor.allowance.used_ms / 1000)
            dropped.add_metric([vendor.name], vendor.allowance.dropped_ms / 1000)
            unseen.add_metric([vendor.name], vendor.unseen)
            sessions.add_metric([vendor.name], vendor.allowance.open)
        yield from (audio, dropped, unseen, sessions)


class Counted(Collector):
    """Something that is counted elsewhere."""

    def __init__(self, name: str, text: str, count: Callable[[], int]) -> None:
        self._name, self._text, self._count = name, text, count

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._text, value=self._count())


class LedgerState(Protocol):
    """What a ledger says of itself."""

    @property
    def waiting(self) -> int:
        """Lines given and not yet on disk."""

    @property
    def dropped(self) -> int:
        """Lines that gave way because the disk stood still, since the start."""

    @property
    def committed_at(self) -> float:
        """Loop time of the last commit; before the first one, of its opening."""


class LedgerNumbers(Collector):
    """The ledger's."""

    def __init__(self, store: LedgerState) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        age_s = max(0.0, trio.current_time() - self._store.committed_at)
        yield GaugeMetricFamily("callmood_ledger_waiting", "Lines not yet on disk.", value=self._store.waiting)
        yield CounterMetricFamily(
            "callmood_ledger_dropped", "Lines lost because the disk stood still.", value=self._store.dropped
        )
        yield GaugeMetricFamily(
            "callmood_ledger_commit_age_seconds", "Since the ledger last came to disk; grows while idle.", value=age_s
        )


CHANNELS = ("frames", "windows", "readings", "updates", "transfers")
"""A call's, from its line to what is done."""


class CallNumbers(Collector):
    """What goes on inside the live calls, all together; and what those that are over have lost."""

    def __init__(self, directory: CallDirectory, engines: Sequence[str]) -> None:
        self._directory, self._engines = directory, engines
        self._dropped: Counter[str] = Counter(dict.fromkeys(CHANNELS, 0))
        self._failures: Counter[tuple[str, str]] = Counter()

    def freed(self, workings: Workings) -> None:
        """A call is over: what it counted is kept."""
        self._dropped.update(dict(workings.dropped()))
        self._failures.update(workings.failures())

    def collect(self) -> Iterator[Metric]:
        calls = list(self._directory)
        inside = [call.workings for call in calls]
        yield from self._waiting(inside)
        yield from self._lost(inside)
        now = trio.current_time()
        ages = [now - call.mailbox.heard_at for call in calls if call.mailbox.has_line and call.outcome is None]
        yield GaugeMetricFamily(
            "callmood_frame_age_seconds",
            "Since the newest frame of the call that has waited longest for one; 0 without calls.",
            value=max((age for age in ages if age < inf), default=0.0),
        )
        degraded = GaugeMetricFamily(
            "callmood_engine_degraded", "Live calls that an engine serves badly or not at all.", labels=["engine"]
        )
        for engine in self._engines:
            degraded.add_metric(
                [engine], sum(engine in each.engines and each.engines[engine].degraded for each in inside)
            )
        yield degraded

    def _waiting(self, inside: Sequence[Workings]) -> Iterator[Metric]:
        total = GaugeMetricFamily("callmood_channel_waiting", "Items in the channels of all calls.", labels=["channel"])
        most = GaugeMetricFamily(
            "callmood_channel_waiting_most", "Items in the fullest such channel of a call.", labels=["channel"]
        )
        for name in CHANNELS:
            depths = [each.channels[name].waiting for each in inside if name in each.channels]
            total.add_metric([name], sum(depths))
            most.add_metric([name], max(depths, default=0))
        yield from (total, most)

    def _lost(self, inside: Sequence[Workings]) -> Iterator[Metric]:
        dropped, failures = self._dropped.copy(), self._failures.copy()
        for each in inside:
            dropped.update(dict(each.dropped()))
            failures.update(each.failures())
        lost = CounterMetricFamily("callmood_channel_dropped", "Items that gave way to newer ones.", labels=["channel"])
        for name in CHANNELS:
            lost.add_metric([name], dropped[name])
        failed = CounterMetricFamily(
            "callmood_engine_failures",
            "Windows an engine was too slow for, and sessions that it lost or refused.",
            labels=["engine", "how"],
        )
        for engine in self._engines:
            for how in ("slow", "unavailable", "refused"):
                failed.add_metric([engine, how], failures[engine, how])
        yield from (lost, failed)
