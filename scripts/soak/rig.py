"""What the soak scripts share: a service of their own, what it holds of the machine, and the verdict.

The service is `callmood serve` in a process and a folder of its own, with keys made for it alone, on a free loopback
port. Memory is what it holds of its own after a full collection, the median of a few looks at it: allocators breathe.
"""

import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import trio
from inside import OF_A_CALL

from agent.audiofile import bundled_voice
from agent.http import client, httpx
from agent.testing import FakeCall, FakeVapi, Hook, TwilioCaller

VOICE = bundled_voice()
BYTES_A_SECOND = 8000

LOOKS, BETWEEN_LOOKS_S = 5, 0.1
SETTLES_IN_S = 15.0
"""How long what is left over may take to go: Trio keeps idle worker threads for ten seconds."""
THREADS = 6
"""The loop's own, and as many of Trio's workers as may be busy at once: the ledger's three slots, the rules file, a
name that is looked up. How many of them overlapped lately is chance."""
ENDS_IN_S = 15.0
EXPLAINS_IN_S = 5.0
POOL = 20
"""Warm connections to the assistant's platform that the service may keep."""

# --- what a process holds ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What the service holds at rest."""

    memory_kb: float
    threads: int
    files: int
    """Open descriptors, sockets included; not those to the assistant's platform."""
    sockets: int
    warm: int
    """Sockets to the assistant's platform, kept open on purpose."""
    tasks: int
    objects: Mapping[str, int]
    """By type, those Python's collector knows of."""
    blocks: int
    """That Python's allocator has given away: steadier than memory, which allocators hold on to."""
    system_kb: int
    """That C's allocator has given away; 0 where it does not tell."""

    @property
    def of_calls(self) -> int:
        return sum(self.objects.get(name, 0) for name in OF_A_CALL)

    @property
    def threads_later(self) -> int:
        """As many as there may be at another look."""
        return max(self.threads, THREADS)

    def within(self, other: "Held") -> bool:
        """Nothing countable is more than there."""
        counts = ("files", "sockets", "tasks", "of_calls")
        return self.threads <= other.threads_later and all(
            getattr(self, name) <= getattr(other, name) for name in counts
        )


def memory_kb(pid: int | str = "self") -> int:
    """Anonymous memory, pages that are shared counting in part. Not those of files: a library's pages count for more
    whenever another process that had mapped them too comes to its end."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return found.get("Pss_Anon", found["Pss"])


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid: int) -> list[str]:
    """What each open descriptor leads to."""
    leads_to = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            leads_to.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            continue  # closed meanwhile
    return leads_to


def sockets_to(pid: int, ports: Collection[int]) -> set[str]:
    """Those of its TCP sockets whose other end has one of these ports, named as descriptors name them."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if int(row[2].rpartition(":")[2], 16) in ports}


# --- a service --------------------------------------------------------------------------------------------------------


@dataclass
class Service:
    """A running `callmood serve`."""

    process: subprocess.Popen[str]
    url: str
    folder: Path
    keys: Mapping[str, str]
    http: httpx.AsyncClient
    upstream: set[int] = field(default_factory=set)
    """Ports of assistants' platforms it was told of."""
    _asked: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys['CALLMOOD_TOKEN']}"}

    def caller(self) -> TwilioCaller:
        return TwilioCaller(self.url, auth_token=self.keys["TWILIO_AUTH_TOKEN"], http=self.http)

    def assistant(self, vapi: FakeVapi, call_sid: str) -> FakeCall:
        """An assistant on this call, which reports to the service."""
        self.upstream.add(int(vapi.url.rpartition(":")[2]))
        return vapi.call(call_sid, hook=Hook(self.url, self.keys["VAPI_SECRET"]))

    async def hear_anger(self, call_sid: str, times: int = 3) -> None:
        """So many readings from outside; enough of them are news for the assistant."""
        reading = json.dumps({"callSid": call_sid, "emotion": {"label": "angry", "score": 0.97}})
        post = partial(self.http.post, f"{self.url}/webhook/emotion", content=reading, headers=self.bearer)
        async with trio.open_nursery() as nursery:
            for _ in range(times):
                nursery.start_soon(post)

    async def live(self) -> int:
        """Calls being served, as /metrics says."""
        page = (await self.http.get(f"{self.url}/metrics")).text
        return int(float(next(line for line in page.splitlines() if line.startswith("callmood_calls_live")).split()[1]))

    async def entries(self) -> dict[str, dict[str, Any]]:
        """Every call of `/calls`, page by page."""
        found: dict[str, dict[str, Any]] = {}
        before = ""
        while True:
            answer = await self.http.get(f"{self.url}/calls?limit=1000{before}", headers=self.bearer)
            page = answer.json()["calls"]
            if not page:
                return found
            found |= {entry["callSid"]: entry for entry in page}
            before = f"&before={page[-1]['callSid']}"

    async def timeline(self, call_sid: str) -> list[dict[str, Any]]:
        answer = await self.http.get(f"{self.url}/calls/{call_sid}", headers=self.bearer)
        return list(answer.json()["timeline"])

    async def empty(self, within_s: float = SETTLES_IN_S) -> int:
        """Wait until no call is live; the number of those that are after all."""
        with trio.move_on_after(within_s):
            while await self.live():  # noqa: ASYNC110 - another process: it has no event of ours
                await trio.sleep(0.1)
        return await self.live()

    async def at_rest(self, before: Held | None = None) -> Held:
        """What it holds when nobody calls; given time to come down to what it held before."""
        await self.empty()
        with trio.move_on_after(SETTLES_IN_S):
            while before is not None and not (await self.look()).within(before):  # noqa: ASYNC110 - another process
                await trio.sleep(0.5)
        return await self.look()

    async def look(self) -> Held:
        inside = await self._inside()
        looks = []
        for _ in range(LOOKS):
            await trio.sleep(BETWEEN_LOOKS_S)
            looks.append(memory_kb(self.pid))
        files, warm = descriptors(self.pid), sockets_to(self.pid, self.upstream)
        cold = [file for file in files if file not in warm]
        sockets = sum(file.startswith("socket:") for file in cold)
        return Held(
            statistics.median(looks),
            threads(self.pid),
            len(cold),
            sockets,
            len(files) - len(cold),
            inside["tasks"],
            inside["objects"],
            inside["blocks"],
            inside["system_kb"],
        )

    async def _inside(self) -> dict[str, Any]:
        self._asked += 1
        self.process.send_signal(signal.SIGUSR1)
        with trio.fail_after(30):
            while not (seen := self._seen()) or seen["asked"] < self._asked:  # noqa: ASYNC110 - another process
                await trio.sleep(0.02)
        return seen

    def _seen(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / "inside.json").read_text()))
        except FileNotFoundError:
            return {}

    async def explain(self) -> list[str]:
        """What holds objects that should have gone with their call; when it is traced, also where what was allocated
        since the last time stands."""
        self.process.send_signal(signal.SIGUSR2)
        await trio.sleep(EXPLAINS_IN_S)
        lines = (self.folder / "log").read_text().splitlines()
        return [line for line in lines if line.startswith(("held: ", "grown: "))]

    def complaints(self) -> list[str]:
        """What it logged as an error, or printed in despair."""
        lines = (self.folder / "log").read_text().splitlines()
        return [line for line in lines if '"level": "error"' in line or "Traceback" in line or "Warning" in line]

    def warnings(self) -> dict[str, int]:
        """What it logged as warnings, by name; not that our looking inside held it up."""
        lines = (self.folder / "log").read_text().splitlines()
        lines = [line for line in lines if '"level": "warning"' in line and "soak/inside.py" not in line]
        return dict(Counter(json.loads(line)["event"] for line in lines))

    async def stop(self) -> int | None:
        """Ask it to end; its exit code, or None when it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        with trio.move_on_after(ENDS_IN_S):
            while self.process.poll() is None:  # noqa: ASYNC110 - another process: it has no event of ours
                await trio.sleep(0.02)
        return self.process.poll()


@asynccontextmanager
async def open_service(*, trace: bool = False, **settings: float) -> AsyncIterator[Service]:
    """A service with these settings in its `config/callmood.toml`; it is gone at the end of the block."""
    keys = {name: secrets.token_hex(8) for name in ("TWILIO_AUTH_TOKEN", "VAPI_SECRET", "CALLMOOD_TOKEN")}
    with tempfile.TemporaryDirectory(prefix="callmood-soak-") as name:
        folder = Path(name)
        (folder / "config").mkdir()
        (folder / "config/callmood.toml").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        with started(folder, keys, trace) as process:
            url = await trio.to_thread.run_sync(ready, process)
            async with client() as http:
                yield Service(process, url, folder, keys, http)


@contextmanager
def started(folder: Path, keys: Mapping[str, str], trace: bool) -> Iterator[subprocess.Popen[str]]:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env |= {**keys, "VAPI_CONTROL_HOSTS": "127.0.0.1", "CALLMOOD_ATTACH": "bridge", "SOAK_TRACE": "1" if trace else ""}
    command = [sys.executable, str(Path(__file__).with_name("inside.py")), str(folder / "inside.json")]
    command += ["serve", "--port", "0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> str:
    """The address it prints when it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("ready "):
        raise SystemExit("the service did not start: run `python -m agent serve --port 0` to see why")
    return line.split()[1]


@asynccontextmanager
async def every(seconds: float, pid: int, into: list[tuple[float, float]]) -> AsyncIterator[None]:
    """While the block runs, note the time and the process's memory this often."""
    began = time.monotonic()

    async def note() -> None:
        while True:
            await trio.sleep(seconds)
            into.append((time.monotonic() - began, memory_kb(pid)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note)
        yield
        nursery.cancel_scope.cancel()


# --- figures and the verdict ------------------------------------------------------------------------------------------


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points: a few wild ones do not matter. 0 for too few."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent are not above; 0 for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))] if ranked else 0.0


class Verdict:
    """A table of what was found, and whether it is what was promised. Times are only noted when not `timed`: a busy
    machine is late through no fault of ours."""

    def __init__(self, *, timed: bool = True) -> None:
        self._rows: list[tuple[str, str, str, bool]] = []
        self._timed = timed
        self.failed = False

    def note(self, name: str, found: object) -> None:
        """A figure that nothing depends on."""
        self._rows.append((name, str(found), "", True))

    def check(self, name: str, found: object, promise: str, ok: bool) -> None:
        self._rows.append((name, str(found), promise, ok))
        self.failed |= not ok

    def check_time(self, name: str, found: str, promise: str, ok: bool) -> None:
        if self._timed:
            self.check(name, found, promise, ok)
        else:
            self.note(name, found)

    def nothing_left(self, before: Held, after: Held, live: int) -> None:
        """Everything that can be counted is back where it was."""
        self.check("live calls", live, "0", live == 0)
        most = before.threads_later
        self.check("threads", f"{before.threads} -> {after.threads}", f"<= {most}", after.threads <= most)
        for label, name in (
            ("descriptors", "files"),
            ("sockets", "sockets"),
            ("tasks", "tasks"),
            ("objects of calls", "of_calls"),
        ):
            was, now = getattr(before, name), getattr(after, name)
            self.check(label, f"{was} -> {now}", f"<= {was}", now <= was)
        self.check("warm sockets", f"{before.warm} -> {after.warm}", f"<= {POOL}", after.warm <= POOL)

    async def ends_well(self, service: Service) -> None:
        """The service stops when it is asked to, and had nothing to complain about. Where something was wrong before,
        it says first what holds what is left."""
        if self.failed:
            print(*await service.explain(), sep="\n", file=sys.stderr)
        code, complaints = await service.stop(), service.complaints()
        self.check("exit code", code, "0", code == 0)
        self.note("warnings logged", service.warnings() or 0)
        self.check("errors logged", len(complaints), "0", not complaints)
        for line in complaints[:5]:
            print(line, file=sys.stderr)

    def report(self, title: str) -> int:
        """Print the table; the exit code."""
        print(f"\n{title}")
        wide = max(len(name) for name, *_ in self._rows)
        for name, found, promise, ok in self._rows:
            judged = "" if not promise else f"{promise:<14} {'ok' if ok else 'FAILED'}"
            print(f"  {name:<{wide}}  {found:<34} {judged}".rstrip())
        print("FAILED" if self.failed else "ok")
        return int(self.failed)


def grown(before: Held, after: Held, most: int = 12) -> Iterator[str]:
    """Where to look: types with more objects than before."""
    more = {name: count - before.objects.get(name, 0) for name, count in after.objects.items()}
    for name, count in sorted(more.items(), key=lambda item: -item[1])[:most]:
        if count > 0:
            yield f"{count:+8d} {name}"
