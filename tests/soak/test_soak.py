"""The soak scripts in their quick form: each in a process of its own, and over within seconds.

What they judge is in the scripts; the full versions are for whoever has minutes. Memory over a few dozen calls says
little, so that the quick forms allow for more of it; what can be counted must be exact.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_S = 90
"""They take up to fifteen seconds; a busy machine may need longer."""


AT_ONCE = 2
"""They wait more than they work."""
SOAKS = {
    "many-short-calls-leave-nothing-behind": ("churn.py",),
    "a-long-call-does-not-grow": ("hour.py",),
    "nor-does-one-over-a-socket": ("hour.py", "--socket"),
    "calls-in-trouble-are-not-hurt-by-us": ("chaos.py", "--seed", "3"),
}
"""The longest first."""

Soaked = subprocess.CompletedProcess[str]


def soak(name: str, *arguments: str) -> Soaked:
    command = [sys.executable, str(ROOT / "scripts/soak" / name), "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)


@pytest.fixture(scope="module")
def soaks() -> Iterator[Mapping[str, Future[Soaked]]]:
    """All of them, under way."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(soak, *command) for name, command in SOAKS.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
@pytest.mark.parametrize("name", SOAKS)
def test_the_service_holds_nothing_that_it_should_have_given_back(
    name: str, soaks: Mapping[str, Future[Soaked]]
) -> None:
    done = soaks[name].result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("ok")


def test_the_same_seed_draws_the_same_troubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts/soak"))
    from trouble import draw

    first, again = [draw(7, number) for number in range(50)], [draw(7, number) for number in range(50)]
    assert first == again
    assert {lot.ending for lot in first} >= {"stop", "close", "reset", "silent"}
    assert first != [draw(8, number) for number in range(50)]
