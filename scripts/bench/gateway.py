#!/usr/bin/env python3
"""What does the way through us cost? The model's first token through the gateway, and the answers to Vapi's messages.

    .venv/bin/python scripts/bench/gateway.py --calls 20 --seconds 20

A server process (pinned to one core with --pin) serves live calls. This process is the assistant's platform and the
model at once, so that both ends of each way are on one clock:

  direct       from asking the model to its first byte, without us
  gateway      the same through us, for a call whose state is added to the request; the two take turns
  overhead     the gateway's p99 less the direct median: no reading is under way, so nothing is waited for
  webhook      from posting a server message of a live call (30 kB) to the answer, on a fixed schedule
  alive        the same for GET /healthz: what any answer of this server costs on this machine now

Judge a figure by its ratio to the promise beside it. `late` is how far this process fell behind its own schedule: if
that is not small, the machine was too busy, and the run says little.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import trio

from agent.bench.measure import cpu_s
from agent.http import client, httpx
from agent.testing import TwilioCaller
from agent.testing.fake_llm import FakeLLM, Script

ROOT = Path(__file__).parents[2]
OVERHEAD_MS, WEBHOOK_MS = 15, 50
PROMPT = "You are a friendly support agent. " * 100
WARM_UP = 50


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two measurements")
    parser.add_argument("--requests", type=float, default=20.0, help="to the model, a second, direct ones included")
    parser.add_argument("--webhooks", type=float, default=100.0, help="a second")
    parser.add_argument("--pin", default="", help="core of the server, as for taskset")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


class Bench:
    """One server with its live calls, and whoever asks it."""

    def __init__(self, url: str, keys: dict[str, str], http: httpx.AsyncClient, llm: FakeLLM) -> None:
        self.url, self.keys, self.http, self.llm = url, keys, http, llm
        self.calls: list[str] = []
        self.late_ms = 0.0

    async def place(self, number: int) -> None:
        """So many calls, registered as Twilio would, and in a mood."""
        for _ in range(number):
            caller = TwilioCaller(self.url, auth_token=self.keys["TWILIO_AUTH_TOKEN"], http=self.http)
            await caller.place()
            self.calls.append(caller.call_sid)

    async def keep_in_a_mood(self) -> None:
        """What is known of a caller holds for some seconds only."""
        headers = {"Authorization": f"Bearer {self.keys['CALLMOOD_TOKEN']}"}
        while True:
            for call_sid in self.calls:
                for _ in range(3):
                    reading = {"callSid": call_sid, "emotion": {"label": "frustrated", "score": 0.8}}
                    await self.http.post(f"{self.url}/webhook/emotion", json=reading, headers=headers)
            await trio.sleep(7)

    async def first_token_ms(self, place: int) -> float:
        """To the model's first byte: directly where the place is even, through the gateway where it is odd."""
        call_sid = self.calls[place // 2 % len(self.calls)]
        messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": "Where is my parcel?"}]
        body: dict[str, Any] = {"model": "m", "stream": True, "messages": messages}
        url, key = f"{self.llm.url}/chat/completions", self.llm.key
        if place % 2:
            body["call"] = {"id": f"v-{call_sid}", "phoneCallProviderId": call_sid}
            url, key = f"{self.url}/llm/chat/completions", self.keys["CALLMOOD_LLM_KEY"]
        began = trio.current_time()
        first = None
        async with self.http.stream("POST", url, json=body, headers={"Authorization": f"Bearer {key}"}) as answer:
            async for _ in answer.aiter_raw():
                first = first or trio.current_time()
        assert answer.status_code == 200, answer.status_code
        assert first is not None
        return 1000 * (first - began)

    async def webhook_ms(self, place: int) -> float:
        call_sid = self.calls[place % len(self.calls)]
        call = {"id": f"v-{call_sid}", "phoneCallProviderId": call_sid, "assistant": {"prompt": PROMPT * 8}}
        status = "started" if place // len(self.calls) % 2 else "stopped"
        message = {"type": "speech-update", "role": "assistant", "status": status, "turn": place, "call": call}
        headers = {"X-Vapi-Secret": self.keys["VAPI_SECRET"]}
        return await self.answer_ms("POST", "/webhook/vapi", headers=headers, json={"message": message})

    async def alive_ms(self, place: int) -> float:
        return await self.answer_ms("GET", "/healthz")

    async def answer_ms(self, method: str, path: str, **more: Any) -> float:
        began = trio.current_time()
        answer = await self.http.request(method, self.url + path, **more)
        assert answer.status_code == 200, answer.status_code
        return 1000 * (trio.current_time() - began)

    async def on_schedule(
        self, measure: Callable[[int], Awaitable[float]], per_second: float, seconds: float
    ) -> list[float]:
        """Begin one every so often, whether or not the last has ended: a slow answer spares nobody the next one."""
        taken: dict[int, float] = {}
        number = int(per_second * seconds) + WARM_UP

        async def one(place: int) -> None:
            taken[place] = await measure(place)

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for place in range(number):
                due = began + place / per_second
                await trio.sleep_until(due)
                self.late_ms = max(self.late_ms, 1000 * (trio.current_time() - due))
                nursery.start_soon(one, place)
        return [taken[place] for place in range(WARM_UP, number)]


def start_server(env: dict[str, str], folder: str, pin: str) -> tuple[subprocess.Popen[str], str]:
    """A `callmood serve` of its own; returns it with its address."""
    command = [*(["taskset", "-c", pin] if pin else []), sys.executable, "-m", "agent", "serve", "--port", "0"]
    server = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **env, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, server.stdout.readline().split()[1]


def cpu_ms(server: subprocess.Popen[str]) -> float:
    """What the server has used of a core so far; which a busy machine does not change."""
    return 1000 * cpu_s([server.pid])


async def main(args: argparse.Namespace) -> int:
    names = ("TWILIO_AUTH_TOKEN", "VAPI_SECRET", "CALLMOOD_TOKEN", "CALLMOOD_LLM_KEY")
    keys = {name: secrets.token_hex(8) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        async with FakeLLM.serve() as llm, client() as http:
            llm.script = Script(pause_s=0.02)  # a word at a time, as models speak
            env = {**keys, "CALLMOOD_ATTACH": "bridge", "LLM_BASE_URL": llm.url, "LLM_API_KEY": llm.key}
            server, url = start_server(env, folder, args.pin)
            try:
                bench = Bench(url, keys, http, llm)
                await bench.place(args.calls)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(bench.keep_in_a_mood)
                    await trio.sleep(1)
                    asked = await bench.on_schedule(bench.first_token_ms, args.requests, args.seconds)
                    nursery.cancel_scope.cancel()
                noted = sum(bool(request.notes) for request in llm.asked)
                before = cpu_ms(server)
                hooks = await bench.on_schedule(bench.webhook_ms, args.webhooks, args.seconds)
                hook_cpu_ms = (cpu_ms(server) - before) / (len(hooks) + WARM_UP)
                alive = await bench.on_schedule(bench.alive_ms, args.webhooks, args.seconds / 4)
            finally:
                server.kill()  # it would wait for its calls
                server.wait(10)
    print(f"a server message costs the server {hook_cpu_ms:.1f} ms of a core")
    return report(args, asked, hooks, alive, noted, bench.late_ms)


def report(
    args: argparse.Namespace, asked: list[float], hooks: list[float], alive: list[float], noted: int, late_ms: float
) -> int:
    figures: dict[str, Any] = {"calls": args.calls, "lateMs": round(late_ms, 1)}
    rows = {"direct": asked[0::2], "gateway": asked[1::2], "webhook": hooks, "alive": alive}
    for name, taken in rows.items():
        p50, p99 = np.percentile(taken, [50, 99])
        figures[name] = {"n": len(taken), "p50Ms": round(p50, 2), "p99Ms": round(p99, 2)}
        print(f"{name:<9} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   n {len(taken)}")
    gateway, direct = figures["gateway"], figures["direct"]
    figures["overheadMs"] = {
        "p50": round(gateway["p50Ms"] - direct["p50Ms"], 2),
        "p99": round(gateway["p99Ms"] - direct["p50Ms"], 2),
    }
    for name, value, promise in (
        ("first-token overhead p99", figures["overheadMs"]["p99"], OVERHEAD_MS),
        ("webhook p99", figures["webhook"]["p99Ms"], WEBHOOK_MS),
    ):
        print(f"{name:<25} {value:6.2f} ms   promise {promise} ms   ratio {value / promise:.2f}")
    times = gateway["p50Ms"] / direct["p50Ms"], gateway["p99Ms"] / direct["p99Ms"]
    print(
        f"gateway / direct           p50 {times[0]:.1f}x   p99 {times[1]:.1f}x   webhook / alive p99 "
        f"{figures['webhook']['p99Ms'] / figures['alive']['p99Ms']:.1f}x"
    )
    print(f"{noted} requests carried a state; this process was at most {late_ms:.1f} ms late itself")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if noted else 1


if __name__ == "__main__":
    sys.exit(trio.run(main, arguments()))
