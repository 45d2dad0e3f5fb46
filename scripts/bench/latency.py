#!/usr/bin/env python3
"""How old is what we tell the assistant? So many concurrent calls, real sockets, the real engine, in real time.

    .venv/bin/python scripts/bench/latency.py --calls 20 --rounds 3

A server process (pinned to one core with --pin) takes signed calls from simulated Twilio callers in this process, and
tells a simulated Vapi, also in this process, so that both ends of the measured way are on one clock:

  frame to note   from sending the last frame of the deciding window to the fake Vapi's receipt of the note
  latencyMs       what the server itself reports in `context.updated`

Judge a figure by its ratio to the promise beside it. `send lag` tells whether the callers kept their own schedule: if
it is not small, the machine was too busy and the run says little.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import trio

from agent.audiofile import VOICES, bundled_voice
from agent.http import client, httpx
from agent.testing import CallResult, ControlMessage, FakeCall, FakeVapi, Hook, Pace, TwilioCaller

ROOT = Path(__file__).parents[2]
PROMISE_NOTE_MS, PROMISE_LATENCY_MS = 150, 50


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pin", default="", help="core of the server, as for taskset")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def start_server(env: dict[str, str], folder: str, pin: str) -> tuple[subprocess.Popen[str], str]:
    """A `callmood serve` of its own; returns it with its address."""
    command = ["taskset", "-c", pin] if pin else []
    command += [sys.executable, "-m", "agent", "serve", "--port", "0"]
    server = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **env, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, server.stdout.readline().split()[1]


async def one_call(
    audio: bytes, number: int, calls: int, url: str, keys: dict[str, str], vapi: FakeVapi, done: dict[str, CallResult]
) -> None:
    await trio.sleep(20.0 / calls * number / 1000 + 0.3 * number / calls)
    caller = TwilioCaller(url, auth_token=keys["TWILIO_AUTH_TOKEN"])
    assistant = vapi.call(caller.call_sid, hook=Hook(url, keys["VAPI_SECRET"]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attach, assistant)
        done[assistant.facts.call_id] = await caller.call(audio, Pace())


async def attach(assistant: FakeCall) -> None:
    await trio.sleep(0.5)
    await assistant.send_status_update("in-progress")
    await assistant.start_turn("An answer that goes on and on.")


async def timeline(http: httpx.AsyncClient, url: str, call_sid: str, token: str) -> list[dict]:
    answer = await http.get(f"{url}/calls/{call_sid}", headers={"Authorization": f"Bearer {token}"})
    return answer.json()["timeline"]


def ages(result: CallResult, events: list[dict], notes: list[ControlMessage]) -> list[tuple[float, float]]:
    """(frame to note, latencyMs) of each note of one call, in milliseconds."""
    measured, newest = [], None
    received = iter(notes)
    for event in events:
        if event["event"] == "audio.chunk":
            newest = event
        elif event["event"] == "context.updated" and newest is not None:
            note = next(received)
            sent_at = result.log.sent_at(newest["endMs"])
            measured.append((1000 * (note.at - sent_at), event["latencyMs"]))
    return measured


async def main(args: argparse.Namespace) -> int:
    keys = {name: secrets.token_hex(8) for name in ("TWILIO_AUTH_TOKEN", "VAPI_SECRET", "CALLMOOD_TOKEN")}
    env = {**keys, "VAPI_CONTROL_HOSTS": "127.0.0.1", "CALLMOOD_ATTACH": "bridge"}
    audio = [bundled_voice(name) for name in VOICES[:2]]
    measured: list[tuple[float, float]] = []
    lag_ms = 0.0
    with tempfile.TemporaryDirectory() as folder:
        server, url = start_server(env, folder, args.pin)
        try:
            async with FakeVapi.serve() as vapi, client() as http:
                for _ in range(args.rounds):
                    done: dict[str, CallResult] = {}
                    async with trio.open_nursery() as nursery:
                        for n in range(args.calls):
                            nursery.start_soon(partial(one_call, audio[n % 2], n, args.calls, url, keys, vapi, done))
                    await trio.sleep(1.5)
                    for call_id, result in done.items():
                        lag_ms = max(lag_ms, 1000 * result.max_lag_s)
                        said = [m for m in vapi.messages if m.call_id == call_id]
                        notes = [m for m in said if m.body["type"] == "add-message"]
                        events = await timeline(http, url, result.call_sid, keys["CALLMOOD_TOKEN"])
                        measured += ages(result, events, notes)
        finally:
            server.terminate()
            server.wait(10)
    return report(measured, args, lag_ms)


def report(measured: list[tuple[float, float]], args: argparse.Namespace, lag_ms: float) -> int:
    figures = {"calls": args.calls, "rounds": args.rounds, "notes": len(measured), "callerLagMaxMs": round(lag_ms, 1)}
    if not measured:
        print("no note was sent: the engine heard no anger")
        return 1
    for name, column, promise in (
        ("frameToNoteMs", 0, PROMISE_NOTE_MS),
        ("latencyMs", 1, PROMISE_LATENCY_MS),
    ):
        p50, p99 = np.percentile([row[column] for row in measured], [50, 99])
        figures[name] = {
            "p50": round(p50, 1),
            "p99": round(p99, 1),
            "promise": promise,
            "ratio": round(p99 / promise, 2),
        }
        print(f"{name:<14} p50 {p50:7.1f}   p99 {p99:7.1f}   promise {promise}   ratio {p99 / promise:.2f}")
    print(
        f"{len(measured)} notes of {args.rounds} x {args.calls} calls; callers at most {lag_ms:.1f} ms late themselves"
    )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(trio.run(main, arguments()))
