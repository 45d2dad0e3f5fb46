"""The soak scripts in their quick form: each in a process of its own, and over within seconds.

What they judge is in the scripts; the full versions are for whoever has minutes. Memory over a few dozen calls says
little, so that the quick forms allow for more of it; what can be counted must be exact.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_S = 90
"""They take up to fifteen seconds; a busy machine may need longer."""


def soak(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/soak" / name), "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("churn.py", (), id="many-short-calls-leave-nothing-behind"),
        pytest.param("hour.py", (), id="a-long-call-does-not-grow"),
        pytest.param("hour.py", ("--socket",), id="nor-does-one-over-a-socket"),
        pytest.param("chaos.py", ("--seed", "3"), id="calls-in-trouble-are-not-hurt-by-us"),
    ],
)
def test_the_service_holds_nothing_that_it_should_have_given_back(name: str, arguments: tuple[str, ...]) -> None:
    done = soak(name, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("ok")


def test_the_same_seed_draws_the_same_troubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts/soak"))
    from trouble import draw

    first, again = [draw(7, number) for number in range(50)], [draw(7, number) for number in range(50)]
    assert first == again
    assert {lot.ending for lot in first} >= {"stop", "close", "reset", "silent"}
    assert first != [draw(8, number) for number in range(50)]
