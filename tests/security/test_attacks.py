"""The quick attacks of `scripts/attack.py`, on servers of their own: one test for each line it prints.

They wait more than they work, so they run in parts side by side: each part on a server of its own, one after another.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_S = 240
ENDS_S = 10
PARTS = 2
AFTERWARDS = ("ends-by-itself", "secrets", "lines")
"""Looked at in every part."""


@contextmanager
def attack(*options: str) -> Iterator[subprocess.Popen[str]]:
    """A run of it; what is left of it at the end is interrupted, so that it ends its server too."""
    command = [sys.executable, str(ROOT / "scripts" / "attack.py"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGINT)
                try:
                    running.communicate(timeout=ENDS_S)
                except subprocess.TimeoutExpired:
                    running.kill()


def done(*options: str) -> tuple[int, str, str]:
    """The exit code of such a run, and what it printed on both outputs."""
    with attack(*options) as running:
        out, err = running.communicate(timeout=LONGEST_S)
        return running.returncode, out, err


def listed() -> list[str]:
    code, out, err = done("--quick", "--list")
    assert code == 0, err
    return [line.split()[0] for line in out.splitlines()]


LISTED = listed()
PART_OPTIONS = [f"--part={number}/{PARTS}" for number in range(1, PARTS + 1)]


@pytest.fixture(scope="session")
def reports() -> Mapping[str, list[Mapping[str, Any]]]:
    """What came of every attack, by its name: once, and what is looked at afterwards once for every part."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    with ExitStack() as stack:
        for running in [stack.enter_context(attack("--quick", "--json", part)) for part in PART_OPTIONS]:
            out, err = running.communicate(timeout=LONGEST_S)
            lines = [json.loads(line) for line in out.splitlines()]
            assert lines, err
            assert running.returncode == (0 if all(report["ok"] for report in lines) else 1), err
            for report in lines:
                found.setdefault(report["name"], []).append(report)
    return found


@pytest.mark.parametrize("name", [*LISTED, *AFTERWARDS])
def test_the_service_withstands(name: str, reports: Mapping[str, list[Mapping[str, Any]]]) -> None:
    assert len(reports[name]) == (PARTS if name in AFTERWARDS else 1)
    assert all(report["ok"] for report in reports[name]), [report["observed"] for report in reports[name]]


def test_the_parts_are_the_whole(reports: Mapping[str, list[Mapping[str, Any]]]) -> None:
    assert set(reports) == {*LISTED, *AFTERWARDS}


@pytest.mark.parametrize("wrong", ["no-such-attack", "--part=3/2"])
def test_a_name_or_part_that_is_none_is_a_mistake_of_whoever_asks(wrong: str) -> None:
    assert done(wrong)[0] == 2
