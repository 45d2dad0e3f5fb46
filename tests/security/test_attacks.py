"""The quick attacks of `scripts/attack.py`, on a server of their own: one test for each line it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_S = 240
AFTERWARDS = ("ends-by-itself", "secrets", "lines")


def attack(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "attack.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False, cwd=ROOT)


def listed() -> list[str]:
    done = attack("--quick", "--list")
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def reports() -> Mapping[str, Mapping[str, Any]]:
    """What came of every attack, by its name."""
    done = attack("--quick", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    assert done.returncode == (0 if all(report["ok"] for report in found) else 1), done.stderr
    return {report["name"]: report for report in found}


@pytest.mark.parametrize("name", [*listed(), *AFTERWARDS])
def test_the_service_withstands(name: str, reports: Mapping[str, Mapping[str, Any]]) -> None:
    assert reports[name]["ok"], reports[name]["observed"]


def test_a_name_that_is_none_is_a_mistake_of_whoever_asks() -> None:
    assert attack("no-such-attack").returncode == 2
