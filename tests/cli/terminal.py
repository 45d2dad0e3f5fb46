"""A command on a terminal of its own, and somebody who waits for its questions and types answers."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

LONGEST_S = 45
REPOSITORY = Path(__file__).parents[2]


class Terminal:
    """`callmood ARGS…` whose standard input, output and controlling terminal are one pseudo terminal."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *args: str) -> None:
        self._ours, theirs = pty.openpty()
        self.shown = ""
        """Everything that stood on the screen so far."""
        self._read_to = 0
        self._deadline = time.monotonic() + LONGEST_S
        # Opening it makes it the controlling terminal of a new session, which is where secrets are asked for.
        on_terminal = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(theirs)]
        self.process = subprocess.Popen(
            [*on_terminal, sys.executable, "-m", "agent", *args],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **environ},
            start_new_session=True,
        )
        self._theirs: int | None = theirs

    def answer(self, question: str, answer: str) -> None:
        """Wait until this is asked, after what was asked before, and type the answer and Return."""
        self.wait_for(question)
        while not self.shown.endswith(": "):  # a hidden question throws away what is typed before its last character
            assert self._read(), f"{question!r} was not asked to its end: {self.shown}"
        self._press(f"{answer}\n")

    def type(self, question: str, keys: str) -> None:
        """Wait until this stands on the screen, after what was waited for before, and press nothing but these keys."""
        self.wait_for(question)
        self._press(keys)

    def _press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str) -> None:
        while (at := self.shown.find(text, self._read_to)) < 0:
            assert self._read(), f"{text!r} never came: {self.shown}"
        self._read_to = at + len(text)

    def end(self) -> int:
        """The exit code, when it has ended by itself."""
        while self._read():
            pass
        return self.process.wait(timeout=LONGEST_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        left = self._deadline - time.monotonic()
        ready, _, _ = select.select([self._ours], [], [], max(0.0, left))
        assert ready, f"nothing more came: {self.shown}"
        try:
            piece = os.read(self._ours, 4096)
        except OSError:  # Linux says EIO when the other side is gone
            return False
        if self._theirs is not None:  # somebody else has it open by now, and its end will be seen
            os.close(self._theirs)
            self._theirs = None
        self.shown += piece.decode(errors="replace").replace("\r\n", "\n")
        return bool(piece)
