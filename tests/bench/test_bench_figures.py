"""What is made of measurements: percentiles, the search, stages, tables, the picture."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console

from agent.bench import capacity, figures, report, stages
from agent.bench.measure import Spread, spread
from agent.bench.picture import axis, drawn
from agent.bench.pipeline import Split
from agent.bench.readings import Ages
from agent.bench.result import Plan, Result
from agent.bench.run import Bench
from agent.bench.server import Running
from agent.bench.step import Step, total
from agent.errors import CallmoodError

FINE = Ages(Spread(2, 9, 400), Spread(5, 20, 400), Spread(7, 29, 400))


def step(calls: int, *, ms: float = 2.0, base_kb: int = 60_000, call_kb: int = 100, ages: Ages = FINE) -> Step:
    """So many calls at so many milliseconds of CPU a call and second, for ten seconds."""
    return Step(
        calls=calls,
        seconds=10.0,
        cpu_s=calls * ms / 100,
        memory_kb=base_kb + call_kb * calls,
        messages=500 * calls,
        late=Spread(0.5, 3.0, 500 * calls),
        ages=ages,
    )


def whole() -> Result:
    slow = Ages(Spread(90, 400, 99), Spread(80, 300, 99), Spread(200, 700, 99))
    return Result(
        machine={"processor": "a processor", "cores": 2, "python": "3.11", "load1": 0.1},
        steps=[step(100), step(200), step(400, ages=slow), step(300)],
        carried=300,
        too_many=400,
        ingress=step(100, ms=0.4),
        sampled=step(100, ms=2.0),
        places=[("features", "core/pitch.py look", 3.0), ("ledger", "ledger/store.py write", 1.0)],
        inside=Split({"model": 0.07, "tree": 2.6}, batch=19.4),
        length=[(1.0 + n, step(2, ms=40.0, call_kb=100 + n)) for n in range(4)],
        workers={(1, 100): step(100), (2, 200): step(200, ms=2.1), (2, 100): step(100, ms=2.6)},
        peers={
            "Node, ws": [(step(100, ms=2.0), 60_000), (step(100, ms=4.0), 60_000), (step(100, ms=2.0), 60_000)],
            "callmood, audio alone": [(step(100, ms=0.5), 60_000)],
            "pipecat, Twilio": "it is not installed",
        },
    )


def test_percentiles_are_values_that_were_measured() -> None:
    assert spread([float(value) for value in range(100, 0, -1)]) == Spread(50.0, 99.0, 100)
    assert spread([3.0]) == Spread(3.0, 3.0, 1)
    assert spread([]) is None


def test_a_weight_counts_as_so_many_of_the_same_value() -> None:
    assert spread([5.0, 1.0], [1, 99]) == spread([5.0, *[1.0] * 99]) == Spread(1.0, 1.0, 100)
    assert spread([5.0, 1.0], [3, 97]) == Spread(1.0, 5.0, 100)


@pytest.mark.parametrize("bound", [7, 25, 26, 64, 250, 511])
async def test_the_search_finds_how_many_are_carried_within_a_tenth(bound: int) -> None:
    tried: list[int] = []

    async def carries(calls: int) -> bool:
        tried.append(calls)
        return calls <= bound

    good, bad = await capacity.most(carries, first=25, at_most=4000, may_go_on=lambda: True)
    assert bad is not None
    assert good <= bound < bad
    assert bad - good <= max(1, bad // 10)
    assert len(tried) < 14
    assert len(set(tried)) == len(tried)


async def test_the_search_ends_at_its_limit_and_when_time_is_up() -> None:
    tried: list[int] = []

    async def carries(calls: int) -> bool:
        tried.append(calls)
        return True

    assert await capacity.most(carries, first=25, at_most=90, may_go_on=lambda: True) == (90, None)
    assert tried == [25, 50, 90]
    tried.clear()
    assert await capacity.most(carries, first=25, at_most=90, may_go_on=lambda: len(tried) < 2) == (50, None)


def test_a_step_says_what_a_call_and_a_message_cost() -> None:
    found = step(100, ms=2.0)
    assert found.core == pytest.approx(0.2)
    assert found.cpu_ms == pytest.approx(2.0)
    assert found.us_a_message == pytest.approx(40.0)


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(step(10), ages=Ages(FINE.frame, FINE.decision, Spread(10, 151, 400))),
        replace(step(10), ages=Ages(None, None, None)),
        replace(step(10), lost=1),
        replace(step(10), troubles={"droppedMs": 100.0, "fallbacks": 0.0}),
    ],
)
def test_late_or_lost_or_dropped_is_not_carried(spoilt: Step) -> None:
    assert step(10).kept_up
    assert not spoilt.kept_up


def test_a_run_is_disturbed_when_the_load_was_late_or_the_server_had_to_wait() -> None:
    assert not step(10).disturbed
    assert replace(step(10), late=Spread(1, 21, 100)).disturbed
    assert replace(step(10), waited=0.2).disturbed
    assert replace(step(500), waited=0.2, workers=2).disturbed, "each of two has a core to itself"
    assert not replace(step(500), waited=0.2).disturbed, "a server that uses all of its core waits for itself"


def test_metrics_are_added_up_over_all_that_has_the_label() -> None:
    page = 'a_total{cause="dropped",worker="0"} 3.0\na_total{cause="dropped",worker="1"} 4.0\na_total{cause="lost"} 9\n'
    assert total(page, "a_total", 'cause="dropped"') == 7.0
    assert total(page, "b_total", 'cause="dropped"') == 0.0


@pytest.mark.parametrize(
    ("stack", "stage"),
    [
        (
            ["/x/site-packages/numpy/fft/_pocketfft.py", "/x/agent/core/pitch.py", "/x/agent/actors/decoder.py"],
            "features",
        ),
        (["/x/agent/core/sameness.py", "/x/agent/web/access.py"], "web"),
        (["/x/agent/engines/local/model.py", "/x/agent/actors/analyzer.py"], "model"),
        (["/x/agent/actors/channels.py", "/x/agent/actors/receiver.py"], "tree"),
        (["/x/site-packages/wsproto/frame_protocol.py", "/x/site-packages/trio/_core/_run.py"], "ingress"),
        (["/x/site-packages/trio/_core/_run.py", "/x/agent/cli/serve.py", "/x/agent/__main__.py"], "loop"),
        (["/usr/lib/python3.11/sqlite3/dbapi2.py", "/x/agent/ledger/store.py"], "ledger"),
        (["/x/site-packages/hypercorn/trio/worker_context.py"], "web"),
    ],
)
def test_a_stack_belongs_to_the_innermost_code_that_says_something(stack: list[str], stage: str) -> None:
    assert stages.judged((path, "f") for path in stack)[0] == stage


def test_every_stage_that_is_named_has_code_and_a_meaning() -> None:
    package = Path(stages.__file__).parents[1]
    for start, stage in stages.OURS:
        assert stage in stages.STAGES
        assert any(package.glob(start + "**/*.py")) if start.endswith("/") else (package / start).is_file(), start
    assert set(stages.MEANING) == set(stages.STAGES)


def test_memory_for_a_call_is_the_slope_over_what_was_carried() -> None:
    too_many = replace(step(400, call_kb=900), lost=3)
    assert figures.a_call_kb([step(100), step(200), too_many, step(300)]) == pytest.approx(100.0)
    assert figures.a_call_kb([step(100)]) is None


def test_stages_share_out_all_that_was_used() -> None:
    split = figures.stages(whole())
    assert split["features"] == pytest.approx(1.5)
    assert split["ledger"] == pytest.approx(0.5)
    assert sum(split.values()) == pytest.approx(2.0)


def test_a_long_call_s_growth_is_said_by_the_call_and_the_minutes_watched() -> None:
    assert figures.growth_kb(whole()) == pytest.approx(3.0)
    assert figures.watched_minutes(whole()) == pytest.approx(3.0)
    assert figures.long_call(whole())[0][1] == pytest.approx(2.0), "its CPU is for a second of its own time"


@pytest.mark.parametrize("taken", range(1, 8))
def test_what_a_server_takes_once_in_a_long_call_is_no_growth(taken: int) -> None:
    found = whole()
    found.length = [(float(n), step(2, ms=40.0, base_kb=60_000 + 5_000 * (n > taken))) for n in range(1, 9)]
    assert figures.growth_kb(found) == 0.0


def test_others_are_compared_by_the_middle_of_their_runs_and_the_missing_come_last() -> None:
    found = figures.compared(whole())
    assert [each.name for each in found] == ["callmood, audio alone", "Node, ws", "pipecat, Twilio"]
    assert found[0].ratio == pytest.approx(0.25)
    assert found[1].us == pytest.approx(40.0)
    assert found[1].kb == pytest.approx(100.0)


async def test_a_peer_that_fails_in_a_later_round_keeps_the_runs_it_had() -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[Running]:
        raise CallmoodError("it does not start")
        yield

    bench = Bench(Plan(1, 1, 1, 60, 20), lambda _: None)
    bench.result.peers["quick"] = runs = [(step(100), 60_000)]
    for name in ("quick", "slow"):
        await bench._compare(name, failing(), 1)
    assert bench.result.peers == {"quick": runs, "slow": "it does not start"}


def test_a_run_that_was_disturbed_counts_only_where_there_is_no_other() -> None:
    disturbed = replace(step(100, ms=1.0), waited=0.5)
    both = figures.compared(Result(peers={"Node, ws": [(disturbed, 60_000), (step(100, ms=2.0), 60_000)]}))[0]
    assert (both.us, both.disturbed) == (pytest.approx(40.0), False)
    alone = figures.compared(Result(peers={"Node, ws": [(disturbed, 60_000)]}))[0]
    assert (alone.us, alone.disturbed) == (pytest.approx(20.0), True)


def test_the_table_shows_what_was_found_and_what_was_not_run() -> None:
    console = Console(width=120, file=(said := StringIO()))
    report.show(console, whole())
    shown = said.getvalue()
    assert "300 calls with full analysis on one core" in shown
    assert "400 were too many" in shown
    assert "200 / 700" in shown
    assert "100 kB a call" in shown
    assert "pipecat, Twilio was not run: it is not installed." in shown
    assert "core/pitch.py look" in shown
    assert re.search(r"^2 +200 +\S+ +2\.10 +1\.05\s*$", shown, re.MULTILINE), "as many calls each as one alone"
    assert re.search(r"^2 +100 +\S+ +2\.60 +1\.30\s*$", shown, re.MULTILINE), "the same calls, shared"
    assert "Hops of 19 calls are judged together" in shown


def test_what_was_not_run_leaves_nothing_behind() -> None:
    console = Console(width=120, file=(said := StringIO()))
    report.show(console, Result())
    assert said.getvalue() == ""
    assert figures.as_json(Result())["steps"] == []


def test_the_json_holds_every_figure_and_can_be_read_back() -> None:
    found = msgspec.json.decode(msgspec.json.encode(figures.as_json(whole())))
    assert found["callsPerCore"] == 300
    assert found["memoryKbPerCall"] == 100.0
    assert [each["calls"] for each in found["steps"]] == [100, 200, 400, 300]
    assert found["steps"][2]["frameToReadingMs"]["p99"] == 700
    assert [(each["workers"], each["calls"]) for each in found["workers"]] == [(1, 100), (2, 200), (2, 100)]
    assert found["peers"][-1] == {"name": "pipecat, Twilio", "notRun": "it is not installed"}


def test_the_picture_is_an_svg_with_a_curve_for_each_figure() -> None:
    root = ET.fromstring(drawn(whole()))
    lines = root.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 6
    assert all("nan" not in str(line.get("points")) for line in lines)


@pytest.mark.parametrize("most", [0.7, 3, 25, 99, 400, 1234])
def test_an_axis_ends_at_a_round_number_above_what_it_shows(most: float) -> None:
    found = axis("calls", most)
    assert most <= found.most <= 2 * most + 1e-9
    assert 3 <= len(found.ticks) <= 7
