"""The command line as a user starts it: another process, an empty folder, nothing of ours in its environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hasty import NO_LESS, callmood

LONGEST_S = 60
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What it said on standard error, which is to be one line."""
        [line] = self.err.strip().splitlines()
        return line


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **more}


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `callmood ARGS…` in an empty folder to its end; keywords are its environment, and its `patience`."""

    def run_it(*args: str, patience: Mapping[str, float] = NO_LESS, **env: str) -> Done:
        done = subprocess.run(
            callmood(*args, patience=patience),
            cwd=tmp_path,
            env=environment(**env),
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run_it


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The same without another process: for the many commands that end before they have begun."""

    def run_it(*args: str, **env: str) -> Done:
        from agent.cli import main

        monkeypatch.setattr(os, "environ", environment(**env))
        monkeypatch.setattr(sys, "argv", ["callmood", *args])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("agent.logs.configure", lambda level=0: None)  # what it sets up outlasts a test
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capfd.readouterr()
        return Done(int(exit_.value.code or 0), out, err)

    return run_it


class Serving:
    """`callmood serve` on a free port, from its `ready` on."""

    auth_token = "twilio-auth-token-of-the-tests"
    token = "token-of-the-tests"
    vapi_secret = "vapi-secret-of-the-tests"

    def __init__(self, folder: Path, *args: str, **env: str) -> None:
        self._err = (folder / "serve.err").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agent", "serve", "--port", "0", *args],
            cwd=folder,
            env=environment(**{**self.secrets(), **env}),
            stdout=subprocess.PIPE,
            stderr=self._err,
            text=True,
        )
        assert self._process.stdout is not None
        self.ready = self._process.stdout.readline().strip()
        self.url = self.ready.removeprefix("ready ")

    @classmethod
    def secrets(cls) -> dict[str, str]:
        return {"TWILIO_AUTH_TOKEN": cls.auth_token, "CALLMOOD_TOKEN": cls.token, "VAPI_SECRET": cls.vapi_secret}

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def wait(self) -> Done:
        """Returns when it has ended."""
        code = self._process.wait(timeout=LONGEST_S)
        assert self._process.stdout is not None
        out = self._process.stdout.read()
        self._err.seek(0)
        return Done(code, f"{self.ready}\n{out}", self._err.read())

    def wait_until_said(self, text: str) -> None:
        """Returns when standard error holds this."""
        deadline = time.monotonic() + LONGEST_S / 2
        while text not in Path(self._err.name).read_text():
            assert time.monotonic() < deadline, f"it never said {text}"
            time.sleep(0.02)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._err.close()


Serve = Callable[..., Serving]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts `callmood serve ARGS…` with the secrets of the tests, and ends what is left of it."""
    started: list[Serving] = []

    def serve_it(*args: str, **env: str) -> Serving:
        started.append(serving := Serving(tmp_path, *args, **env))
        assert serving.ready.startswith("ready "), serving.wait().err
        return serving

    yield serve_it
    for serving in started:
        serving.close()
