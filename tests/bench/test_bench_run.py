"""The bench for real, small: a server of its own, three calls, a few seconds. No time is asserted."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from agent.bench import figures, measure, step
from agent.bench.load import calling
from agent.bench.measure import Spread
from agent.bench.peers import PEERS, Peer
from agent.bench.readings import Ages
from agent.bench.result import Plan
from agent.bench.run import Bench
from agent.bench.server import Running, announced, started
from agent.errors import CallmoodError, ConfigError

IN_TIME = Ages(None, None, Spread(1, 2, 3))
SMALL = Plan(window_s=3, settle_s=0.5, search_s=0, length_s=60, warm_s=20)
TINY = Plan(window_s=1, settle_s=0.2, search_s=0, length_s=60, warm_s=20)


async def test_a_dozen_calls_are_measured_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = 12  # each is somewhere in its talk: of three, all were silent for as long once in forty times
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    bench = Bench(SMALL, lambda _: None)
    with trio.fail_after(60):
        await bench.search(first=calls, at_most=calls)
    [found] = bench.result.steps
    assert found.calls == calls
    assert found.lost == 0
    assert found.cpu_s > 0
    assert found.memory_kb > 10_000
    assert found.messages > 100 * calls, "three seconds of each, or nearly"
    assert found.ages.reading is not None, "its ledger tells how old its readings were"
    assert found.ages.reading.n > 0
    assert measure.family(os.getpid()) == [os.getpid()]
    assert os.listdir(tmp_path) == []


async def test_after_more_calls_than_it_carries_the_next_number_is_tried_on_a_new_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[tuple[int, int]] = []

    async def taken(running: Running, load: object, calls: int, **_: object) -> step.Step:
        tried.append((running.pid, calls))
        if calls > 3:
            raise CallmoodError("it takes no more")
        return step.Step(calls, 1.0, 0.1, 1, 1, ages=IN_TIME)

    monkeypatch.setattr(step, "take", taken)
    bench = Bench(replace(TINY, search_s=60), lambda _: None)
    with trio.fail_after(60):
        await bench.search(first=2)
    assert [calls for _, calls in tried] == [2, 4, 3]
    assert tried[0][0] == tried[1][0] != tried[2][0]
    assert (bench.result.carried, bench.result.too_many) == (3, 4)


async def test_the_split_says_what_a_server_with_calls_spends_its_time_on() -> None:
    bench = Bench(TINY, lambda _: None)
    with trio.fail_after(60):
        await bench.sample(12)
    split = figures.stages(bench.result)
    assert bench.result.sampled is not None
    assert sum(split.values()) == pytest.approx(bench.result.sampled.cpu_ms)
    assert split["features"] > 0


async def test_calls_that_nobody_listens_to_have_audio_and_no_readings() -> None:
    bench = Bench(TINY, lambda _: None)
    with trio.fail_after(60):
        found = await bench.ingress_only(2)
    assert found.messages > 50
    assert found.lost == 0
    assert found.ages.reading is None


async def test_a_server_that_does_not_start_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no')"]
    with trio.fail_after(20):
        async with started(command, tmp_path, {}) as process:
            with pytest.raises(CallmoodError, match="the server did not start: no"):
                await announced(process, tmp_path)


def test_a_peer_that_is_not_there_says_so() -> None:
    assert "there is no nosuchprogram" in str(Peer(("nosuchprogram",), ()).missing())
    absent = Peer((sys.executable,), (Path("/nonexistent/ws"),))
    assert "--install" in str(absent.missing())
    assert Peer((sys.executable,), ()).missing() is None


@pytest.mark.parametrize("name", ["trio-websocket", "Quart-Trio on Hypercorn"])
async def test_a_peer_takes_the_same_load(name: str) -> None:
    peer = PEERS[name]
    assert peer.missing() is None
    with trio.fail_after(30):
        async with peer.serving(()) as running, calling(running.server) as load:
            found = await step.take(running, load, 10, settle_s=0.1, window_s=1.0, aged=False)
    assert found.messages > 200
    assert found.cpu_s > 0
    assert found.lost == 0


def test_an_unknown_part_is_a_usage_error_that_names_the_parts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent", "bench", "--only", "everything"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "name one of calls, audio, split, inside" in done.stderr
    assert "Traceback" not in done.stderr


def test_cpu_and_memory_of_a_process_and_its_children_are_read_together() -> None:
    busy = "x = bytearray(30_000_000)\nimport time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    process = subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        family = measure.family(process.pid)
        assert len(family) == 2
        assert measure.cpu_s(family) >= 0.25
        assert measure.memory_kb(family) > 30_000
        assert measure.cpu_s([2**22 + 1]) == 0.0, "one that has ended counts for nothing"
    finally:
        process.communicate(b"\n", timeout=20)


def test_a_machine_that_cannot_be_measured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    measure.check_machine()
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(ConfigError, match="only Linux has"):
        measure.check_machine()


async def test_a_server_that_is_gone_is_too_many_calls_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(running: Running, *_: object, **__: object) -> dict[str, float]:
        os.kill(running.pid, signal.SIGKILL)
        return await troubles(replace(running, server=replace(running.server, url="http://127.0.0.1:9")))

    troubles = step.troubles
    monkeypatch.setattr(step, "troubles", gone)
    said: list[str] = []
    bench = Bench(TINY, said.append)
    with trio.fail_after(60):
        await bench.search(first=25, at_most=1)
    assert (bench.result.carried, bench.result.too_many) == (0, 1)
    assert said[-1].startswith("1 calls: the server does not answer")
