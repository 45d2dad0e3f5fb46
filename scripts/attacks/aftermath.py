"""Afterwards: the server ends as it should, and nothing it said or wrote holds what it must not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import trio

from agent.ledger.keys import KEY
from agent.ledger.reading import open_ledger

from .target import Target

CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
"""Control characters, those of the second row included; a tab and a line's end are none."""

LEDGER = "the ledger's lines"

Finding = tuple[str, bool, str]


async def searched(target: Target) -> list[Finding]:
    """Stops the server. One finding each: name, whether it held, and what was observed."""
    shown = await trio.to_thread.run_sync(_on_the_terminal, target)
    code, printed = await trio.to_thread.run_sync(target.server.stop)
    written = {"the log": printed.encode(), "the terminal": shown}
    for path in sorted(target.server.folder.rglob("*")):
        if path.is_file() and path != target.server.log and path.name != KEY:
            written[str(path.relative_to(target.server.folder))] = path.read_bytes()
    lines, steps = _kept(target)
    written |= {LEDGER: b"\n".join(lines), "the ledger's steps": b"\n".join(steps)}
    return [
        ("ends-by-itself", code == 0, f"exit code {code}"),
        _secrets(target, written),
        _lines(target, written),
    ]


def _secrets(target: Target, written: dict[str, bytes]) -> Finding:
    """No key, number, control address, stream token, or text an attacker planted."""
    forbidden = target.markers.all() | {"planted text": target.markers.planted}
    forbidden |= {f"control address {place}": path for place, path in enumerate(target.control_paths)}
    forbidden |= {f"stream token {place}": token for place, token in enumerate(target.stream_tokens) if token}
    found = [
        f"{name} in {where}"
        for where, data in written.items()
        for name, text in forbidden.items()
        if text.encode() in data
    ]
    found += sorted(target.leaks)
    size = sum(map(len, written.values()))
    return "secrets", not found, "; ".join(found[:5]) or f"{len(forbidden)} secrets not in {size:,} bytes written"


def _lines(target: Target, written: dict[str, bytes]) -> Finding:
    """The ledger holds JSON lines, the log has one entry a line, and neither has control characters."""
    texts = {where: data for where, data in written.items() if where in ("the log", "the terminal", LEDGER)}
    wrong = [f"control characters in {where}" for where, data in texts.items() if CONTROL.search(data)]
    count = 0
    for where, data in texts.items():
        for line in data.splitlines():
            count += 1
            if where == LEDGER and not _is_event(line):
                wrong.append(f"{where} has a line that is no event: {line[:80]!r}")
            if where == "the log" and line.startswith(b"{") and not _is_json(line):
                wrong.append(f"the log has a torn line: {line[:80]!r}")
    return "lines", not wrong, "; ".join(wrong[:5]) or f"{count} lines, each whole and printable"


def _is_event(line: bytes) -> bool:
    event = _is_json(line)
    return isinstance(event, dict) and {"t", "at", "callSid", "event"} <= set(event)


def _is_json(line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _kept(target: Target) -> tuple[list[bytes], list[bytes]]:
    """Every line and every step in the ledger: in the file they are compressed."""
    with open_ledger(target.server.folder / "data") as reader:
        calls = [row.call_sid for row in reader.calls()]
        lines = [line for sid in calls for line in reader.timeline(sid)]
        return lines, [step for sid in calls for step in reader.steps(sid)]


def _on_the_terminal(target: Target) -> bytes:
    """What the ledger's commands print, the call that was told the oddest things included."""
    environment = target.markers.environment(CALLMOOD_DATA=str(target.server.folder / "data"), TERM="dumb")
    lines, _ = _kept(target)
    odd = next((json.loads(line)["callSid"] for line in lines if b"vapi\\u001b" in line), None)
    shown = b""
    for arguments in (["calls"], ["show", odd] if odd else ["calls", "--json"]):
        command = [sys.executable, "-m", "agent", *arguments]
        done = subprocess.run(
            command, cwd=Path(target.server.folder), env=environment, capture_output=True, timeout=30, check=False
        )
        shown += done.stdout + done.stderr
    return shown
