"""The script that brings the supervisor's screen to life: its callers call, the screen shows them, and it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "fates.py"


def test_simulated_callers_come_are_shown_and_go() -> None:
    command = [sys.executable, str(SCRIPT), "--calls", "3", "--seconds", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"3 callers for 4 s\..* (http://127\.0\.0\.1:\d+)/live\?token=(\S+)", said)
        assert found, said
        asked = Request(f"{found[1]}/events?view=summary", headers={"Authorization": f"Bearer {found[2]}"})
        shown: set[str] = set()
        with urlopen(asked, timeout=10) as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    shown |= {entry["callSid"] for entry in json.loads(line[6:])["calls"]}
        _, complaints = process.communicate(timeout=20)
    assert process.returncode == 0, complaints
    assert len(shown) == 3
    assert "error" not in complaints.lower()


def test_a_crowd_that_no_small_machine_could_play_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--calls", "101"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert "--calls must lie between 1 and 100" in done.stderr
