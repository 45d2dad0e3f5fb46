"""Vapi's messages under an HMAC, and the gateway: forged ones, and crowds of those who prove nothing."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from agent.testing.fake_llm import FakeLLM, Script

from .beside import OK, beside, peer, repeat, watched
from .front_door import hold
from .raw_line import end, placed
from .table import Breach, Cases, attack
from .target import FILES, Target, finals

HMAC = '[vapi]\nauth = "hmac"\n'
LARGE = 10_000_000
LARGE_BODIES = 40
SLOW_BODIES = 450
STREAMS = 400
"""One for each call of a full service."""
MANY_FILES = 4096
"""A relayed request holds three, and its question to the model one."""

Headers = dict[str, str]


def signed(target: Target, body: bytes, *, at: float | None = None, key: str | None = None) -> Headers:
    stamp = str(int(time.time() if at is None else at))
    mac = hmac.new((key or target.markers.vapi_secret).encode(), stamp.encode() + b"." + body, hashlib.sha256)
    return {"X-Signature": mac.hexdigest(), "X-Timestamp": stamp}


def message(sid: str, kind: str = "speech-update", **more: object) -> bytes:
    call = {"id": sid, "phoneCallProviderId": sid}
    return json.dumps(
        {"message": {"type": kind, "role": "assistant", "status": "started", "call": call, **more}}
    ).encode()


@attack()
async def signed_messages(target: Target) -> str:
    """Messages under an HMAC: altered, old, signed for another time, by another key, or large: refused, no effect."""
    cases = Cases()
    async with beside(target, toml=HMAC) as other:
        caller = other.caller()
        sid = (await placed(other, caller)).parameters["callSid"]
        before = (await other.get(f"/calls/{sid}")).json()
        body, now = message(sid), time.time()
        good = signed(other, body)
        large = message(sid, padding="x" * 400_000)
        wrong: dict[str, tuple[bytes, Headers]] = {
            "nothing": (body, {}),
            "the secret itself": (body, {"X-Vapi-Secret": other.markers.vapi_secret}),
            "no time": (body, {"X-Signature": good["X-Signature"]}),
            "no signature": (body, {"X-Timestamp": good["X-Timestamp"]}),
            "another body": (body + b" ", good),
            "another time": (body, {**good, "X-Timestamp": str(int(good["X-Timestamp"]) + 1)}),
            "an old one": (body, signed(other, body, at=now - 400)),
            "one to come": (body, signed(other, body, at=now + 400)),
            "another key": (body, signed(other, body, key="x")),
            "an empty key": (body, {**good, "X-Signature": hmac.new(b"\0", body, hashlib.sha256).hexdigest()}),
            "a huge time": (body, {**good, "X-Timestamp": "9" * 5000}),
            "a time beyond ASCII": (body, {**good, "X-Timestamp": "\u00b2" * 3}),
            "a signature beyond ASCII": (body, {**good, "X-Signature": "\u00e9" * 64}),
            "SHA-1": (body, {**good, "X-Signature": good["X-Signature"][:40]}),
            "large": (large, good),
            "large, altered": (large + b" ", signed(other, large)),
        }
        for name, (content, headers) in wrong.items():
            raw = {field: value.encode("latin-1") for field, value in headers.items()}
            answer = await other.http.post(other.url + "/webhook/vapi", content=content, headers=raw)
            other.note(answer.content)
            cases.check(name, answer.status_code == 401, answer.status_code)
        cases.check("no effect", (await other.get(f"/calls/{sid}")).json() == before)
        for name, content in {"the right one": body, "a large right one": large}.items():
            answer = await other.post("/webhook/vapi", content, signed(other, content))
            cases.check(name, answer.text == '{"status":"ok"}', answer.text)
        await end(other, caller)
    return cases.verdict("messages judged rightly")


@attack(clients=LARGE_BODIES)
async def large_bodies_without_proof(target: Target) -> str:
    """Forty who prove nothing send ten megabytes each at once: it is not kept in memory, and others are answered."""
    statuses: list[int] = []
    head = (
        f"POST /webhook/vapi HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\nX-Signature: {'a' * 64}\r\n"
        f"X-Timestamp: {int(time.time())}\r\n\r\n"
    )
    pieces = [head.encode(), *[b"x" * 500_000] * (LARGE // 500_000 - 1), b"x" * 499_999]

    async def send(other: Target) -> None:
        statuses.extend(finals(await other.exchange(*pieces, patience_s=3.0)))

    async with beside(target, toml=HMAC) as other, watched(other) as cost:
        async with trio.open_nursery() as nursery:
            for _ in range(LARGE_BODIES):
                nursery.start_soon(send, other)
            await trio.sleep(0.3)
            told = await answered(other)
        verdict = cost.check(LARGE_BODIES)
    if 200 in statuses:
        raise Breach("a body without proof was accepted")
    return f"{LARGE_BODIES} bodies of 10 MB, {verdict}; a caller was answered in {told:.1f} s"


@attack(clients=SLOW_BODIES, quick=False)
async def slow_bodies_without_proof(target: Target) -> str:
    """As many small bodies that do not come as there are places: they do not hold them for long."""
    head = (
        f"POST /webhook/vapi HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nX-Signature: {'a' * 64}\r\n"
        f"X-Timestamp: {int(time.time())}\r\n\r\nx"
    )
    async with beside(target, toml=HMAC, files=MANY_FILES) as other, trio.open_nursery() as nursery:
        for _ in range(SLOW_BODIES):
            nursery.start_soon(hold, other, head.encode())
            await trio.sleep(0.004)
        await trio.sleep(0.5)
        full, told = (await other.get("/healthz")).status_code, await answered(other)
        began = trio.current_time()
        with trio.move_on_after(20):
            while (await other.get("/healthz")).status_code != 200:  # noqa: ASYNC110 - another process
                await trio.sleep(0.2)
            took = trio.current_time() - began
            nursery.cancel_scope.cancel()
            return f"{SLOW_BODIES} bodies that do not come ({full} meanwhile), places back after {took:.0f} s"
        nursery.cancel_scope.cancel()
        raise Breach(f"places were not given back (a caller was answered in {told:.1f} s)")


async def answered(target: Target) -> float:
    """How long a caller waits for an answer. Raises Breach where that is too long."""
    caller, began = target.caller(), trio.current_time()
    with trio.move_on_after(5):
        await placed(target, caller)
        await end(target, caller)
        return trio.current_time() - began
    raise Breach("a caller was not answered")


# The gateway.


@asynccontextmanager
async def gateway(target: Target, llm_url: str, key: str, files: int = FILES) -> AsyncIterator[Target]:
    async with beside(target, files=files, LLM_BASE_URL=llm_url, LLM_API_KEY=key) as other:
        yield other


def chat(sid: str = "CA1", **more: object) -> bytes:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Well?"}]
    return json.dumps({"model": "m", "messages": messages, "call": {"id": sid}, **more}).encode()


@attack()
async def gateway_keys(target: Target) -> str:
    """The gateway with every other key there is, or none: refused, and the model is not asked."""
    cases = Cases()
    async with FakeLLM.serve() as llm, gateway(target, llm.url, llm.key) as other:
        key, path = other.markers.others["CALLMOOD_LLM_KEY"], "/llm/chat/completions"
        bearers = {
            "none": "",
            "empty": "Bearer",
            "part": f"Bearer {key[:-1]}",
            "more": f"Bearer {key}x",
            "another case": f"Bearer {key.upper()}",
            "twice": f"Bearer {key}, Bearer {key}",
            "basic": f"Basic {key}",
            "the token": f"Bearer {other.markers.token}",
            "Vapi's secret": f"Bearer {other.markers.vapi_secret}",
            "the model's": f"Bearer {llm.key}",
            "beyond ASCII": "Bearer \u00e9\u00ff",
            "huge": "Bearer " + "x" * 20_000,
        }
        for name, bearer in bearers.items():
            raw = {"Authorization": bearer.encode("latin-1")}
            answer = await other.http.post(other.url + path, content=chat(), headers=raw)
            shape = sorted(answer.json().get("error", {}))
            fine = answer.status_code == 401 and shape == ["code", "message", "param", "type"]
            cases.check(name, fine, (answer.status_code, answer.text))
        answer = await other.post(f"{path}?key={key}", chat(), {"Cookie": f"key={key}"})
        cases.check("key elsewhere", answer.status_code == 401, answer.status_code)
        cases.check("the model was asked", not llm.asked and not llm.refused)
        good = {"Authorization": f"Bearer {key}"}
        for name, more in {
            "encodings": {"Accept-Encoding": b"\xe9\xff, gzip"},
            "a cookie": {"Cookie": b"\xff=\xe9"},
        }.items():
            answer = await other.http.post(other.url + path, content=chat(), headers={**good, **more})
            cases.check(f"odd {name}", answer.status_code == 200, answer.status_code)
        forwarded = " ".join(str(dict(asked.headers)) for asked in llm.asked)
        cases.check("our key goes on", key not in forwarded and "cookie" not in forwarded.lower(), forwarded)
    return cases.verdict("keys judged rightly")


@attack(clients=4)
async def answers_of_models(target: Target) -> str:
    """A model's address that redirects, says too much, or lies about it: nothing is followed, kept or given away."""
    cases, hits = Cases(), list[bytes]()

    async def elsewhere(stream: trio.SocketStream, head: bytes) -> None:
        hits.append(head)

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        nonlocal kind
        cookie = b"Set-Cookie: callmood=x\r\nX-Planted: 1\r\nConnection: X-Planted\r\n"
        if kind == "redirect":
            place = f"Location: http://127.0.0.1:{other_port}/\r\n".encode()
            await stream.send_all(b"HTTP/1.1 307 Go\r\nContent-Length: 0\r\n" + place + cookie + b"\r\n")
        elif kind == "endless":
            await stream.send_all(OK + b"Content-Length: 99999999999\r\n\r\n")
            await repeat(stream, b"x" * 65_536)
        elif kind == "two lengths":
            await stream.send_all(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
            await stream.send_all(b"400\r\n" + b"x" * 0x400 + b"\r\n0\r\n\r\n")
        elif kind == "line ends":
            await stream.send_all(OK + b"x-request-id: a\rX-Planted: 1\r\nContent-Length: 2\r\n\r\n{}")
        elif kind == "cookies":
            await stream.send_all(OK + cookie + b"Content-Length: 2\r\n\r\n{}")

    kind, llm_key = "", target.markers.others["LLM_API_KEY"]
    async with (
        peer(elsewhere) as other_port,
        peer(answer) as port,
        gateway(target, f"http://127.0.0.1:{port}/v1", llm_key) as other,
        watched(other) as cost,
    ):
        ask = (
            f"POST /llm/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(chat())}\r\n"
            f"Authorization: Bearer {other.markers.others['CALLMOOD_LLM_KEY']}\r\n\r\n"
        ).encode() + chat()
        for kind in ("redirect", "endless", "two lengths", "line ends", "cookies"):
            if kind == "endless":  # nobody takes what comes
                with trio.move_on_after(target.seconds):
                    await hold(other, ask, window=4096)
                continue
            got = await other.exchange(ask, patience_s=3)
            cases.check(kind, len(finals(got)) <= 1 and b"lanted" not in got and b"allmood=x" not in got, got[:200])
            cases.check(f"{kind}: place", b"ocation" not in got, got[:200])
        verdict = cost.check()
    cases.check("followed", not hits, hits[:1])
    return cases.verdict(f"answers passed on or refused, {verdict}")


@attack(clients=STREAMS, quick=False)
async def models_that_stall(target: Target) -> str:
    """A full service whose model has stalled: each call's request has its place, and nobody else's is taken by it."""
    async with FakeLLM.serve() as llm, gateway(target, llm.url, llm.key, files=MANY_FILES) as other:
        llm.script = Script(think_s=60.0)
        ask = (
            f"POST /llm/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(chat())}\r\n"
            f"Authorization: Bearer {other.markers.others['CALLMOOD_LLM_KEY']}\r\n\r\n"
        ).encode() + chat()
        async with trio.open_nursery() as nursery:
            for _ in range(STREAMS):
                nursery.start_soon(partial(hold, other, ask))
                await trio.sleep(0.004)
            with trio.move_on_after(10):
                while len(llm.asked) < STREAMS:  # noqa: ASYNC110
                    await trio.sleep(0.05)
            told, vapi = await answered(other), await other.vapi_says(json.loads(message("CA1")))
            nursery.cancel_scope.cancel()
        if len(llm.asked) < STREAMS or vapi.status_code != 200:
            raise Breach(
                f"{len(llm.asked)} of {STREAMS} requests reached the model; Vapi was answered {vapi.status_code}"
            )
    return f"{STREAMS} requests wait for a model; a caller was answered in {told:.1f} s"
