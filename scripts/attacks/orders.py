"""What operators order, what Vapi says of a transfer, and what a rules file holds while calls go on."""

import json
from pathlib import Path

import trio

from .beside import beside, peer, repeat, shake_hands, take_everything, watched
from .injection import ELSEWHERE, HOSTILE
from .raw_line import end, open_line, placed
from .table import Breach, Cases, attack
from .target import Target

NOBODYS = (
    "+",
    "+0155501001",
    "15550100100",
    "+15550100100\r\nX: 1",
    "+15550100100,+15550100101",
    "+15550100100;ext=1",
    "+" + "1" * 200,
    "+\u0661\u0662\u0663\u0664\u0665\u0666",
    "tel:+15550100100",
    "sip:a@b\r\nX-Planted: 1",
    "sip:a b@c",
    "sip:a@b</Sip><Say>x</Say>",
    "sip:a@b?x-a=1%0d%0aX-Planted",
    "sip:@b",
    "sip:a@",
    "javascript:sip:a@b",
    "sip:a@b\x00",
    "client:somebody",
    "</Dial><Redirect>http://127.0.0.1</Redirect>",
)


@attack()
async def orders(target: Target) -> str:
    """Orders to a live call without the token, of no shape, or to nobody's number: refused, and nothing is done."""
    cases = Cases()
    caller = target.caller()
    sid = (await placed(target, caller)).parameters["callSid"]
    path, before = f"/calls/{sid}/actions", (await target.get(f"/calls/{sid}")).json()
    token, json_type = target.markers.token, {"Content-Type": "application/json"}
    transfer = json.dumps({"action": "transfer", "to": "+15550100100"})
    for name, headers in {
        "nothing": {},
        "Vapi's secret": {"X-Vapi-Secret": target.markers.vapi_secret},
        "the gateway's key": {"Authorization": f"Bearer {target.markers.others['CALLMOOD_LLM_KEY']}"},
        "part of the token": {"Authorization": f"Bearer {token[:-1]}"},
        "the token as cookie": {"Cookie": f"callmood={token}"},
    }.items():
        answer = await target.post(path, transfer, {**headers, **json_type})
        cases.check(name, answer.status_code == 401, answer.status_code)
    answer = await target.post(f"{path}?token={token}", transfer, json_type)
    cases.check("the token in the address", answer.status_code == 401, answer.status_code)
    for origin in ("http://evil.example", "null", target.url + ".evil.example"):
        answer = await target.post(path, transfer, {**target.bearer, "Origin": origin})
        cases.check(f"from {origin}", answer.status_code == 403, answer.status_code)
    bodies: list[object] = [{"action": "transfer", "to": to} for to in NOBODYS]
    bodies += [{"action": "context"}, {"action": "context", "text": " \t"}, {"action": "context", "text": "x" * 3000}]
    bodies += [{"action": "interrupt", "to": "+15550100100"}, {"action": "wrong", "t": -1}, {"action": "hang_up"}]
    bodies += [{"action": "wrong", "t": 1e300}, {"action": ["transfer"]}, [], None, 1, {"action": "transfer", "x": 1}]
    for body in bodies:
        answer = await target.post(path, json.dumps(body), target.bearer)
        cases.check(str(body)[:50], answer.status_code == 400, (answer.status_code, answer.text))
    for raw in (b"[" * 16_000, b'{"action":' * 1500, b"\xff", b"", b"x" * 20_000):
        answer = await target.post(path, raw, target.bearer)
        cases.check(f"{raw[:8]!r}", answer.status_code in (400, 413), answer.status_code)
    after = (await target.get(f"/calls/{sid}")).json()
    cases.check("no effect", after == before, after)
    for number in range(300):
        body = json.dumps({"action": "context", "text": f"{number} {target.markers.planted} " + "x" * 1900})
        answer = await target.post(path, body, target.bearer)
        cases.check("a flood of texts", answer.status_code in (202, 503), answer.status_code)
    await end(target, caller)
    answer = await target.post(path, transfer, target.bearer)
    cases.check("after the end", answer.status_code in (404, 409), answer.status_code)
    return cases.verdict("orders judged rightly")


@attack()
async def what_is_said_of_transfers(target: Target) -> str:
    """Vapi's messages about transfers and tools, full of markup and words: nothing of it is kept or given back."""
    cases, planted = Cases(), target.markers.planted
    caller = target.caller()
    sid = (await placed(target, caller)).parameters["callSid"]
    call = {"id": "v-transfers", "phoneCallProviderId": sid}
    for hostile in HOSTILE:
        text = hostile.format(planted=planted)
        for reason in ("call.forwarding." + text, "call.in-progress.error-transfer " + text, text):
            said = {"type": "end-of-call-report", "endedReason": reason, "call": {**call, "endedReason": text}}
            answer = await target.vapi_says({"message": said})
            cases.check(f"reason {hostile[:9]!r}", answer.status_code == 200, answer.status_code)
        for said in (
            {"type": "transfer-destination-request", "destination": {"number": text}},
            {"type": "assistant-request", "assistant": {"id": text}, "customer": {"number": text}},
            {"type": "tool-calls", "toolCallList": [{"id": 1, "name": text}, {"id": [], "function": {"name": {}}}]},
            {"type": "tool-calls", "toolCalls": [{"id": "1", "function": {"name": "x", "arguments": "[" * 900}}] * 99},
            {"type": "transcript", "role": "user", "transcript": text},
        ):
            answer = await target.vapi_says({"message": {**said, "call": call}})
            fine = answer.status_code == 200 and planted not in answer.text
            cases.check(f"{said['type']} {hostile[:9]!r}", fine, (answer.status_code, answer.text))
        for field in ("DialCallStatus", "DialCallSid", "DialSipResponseCode", "DialBridged"):
            answer = await target.signed("/twilio/dial-status?leg=human", [("CallSid", sid), (field, text)])
            fine = answer.status_code == 200 and planted not in answer.text
            cases.check(f"{field} {hostile[:9]!r}", fine, answer.text)
    kept = (await target.get(f"/calls/{sid}")).text
    cases.check("kept", planted not in kept, kept)
    unsigned = await target.post("/twilio/dial-status?leg=human", f"CallSid={sid}&DialCallStatus=busy", {})
    cases.check("unsigned", unsigned.status_code == 403, unsigned.status_code)
    form = [("CallSid", sid), ("DialCallStatus", "busy")]
    other_leg = await target.signed(
        "/twilio/dial-status?leg=last", form, url=f"{target.url}/twilio/dial-status?leg=human"
    )
    cases.check("another leg's signature", other_leg.status_code == 403, other_leg.status_code)
    await end(target, caller)
    return cases.verdict("messages judged rightly")


# A rules file, edited while calls go on.

RULE = '[[rule]]\nname = "a"\nemotions = ["angry"]\ndo = ["interrupt"]\n'
ABSURD = {
    "a number of thousands of digits": RULE + "cooldown_s = 0x" + "f" * 5000,
    "thousands of levels": RULE + "trend" + ".a" * 3000 + " = 1",
    "tens of thousands of levels": RULE + "trend" + ".a" * 40_000 + " = 1",
    "brackets": RULE + "at_least = " + "[" * 50_000,
    "tables in tables": "[" + "a." * 60_000 + "a]\n",
    "megabytes": "# " + "x" * 5_000_000,
    "an attribute": '[context]\na = "{score.__class__.__init__.__globals__}"\n',
    "a width": '[context]\na = "{score:999999999}"\n',
    "a width in a field": '[context]\na = "{score:{score}}"\n',
    "an index": '[context]\na = "{emotion[0]}"\n',
}


@attack(quick=False)
async def absurd_rules(target: Target) -> str:
    """A rules file is edited into what no parser should be given: the rules in force stay, and the service too."""
    cases = Cases()
    async with beside(target) as other, watched(other) as cost:
        file = other.server.folder / "config" / "rules.toml"
        for name, text in ABSURD.items():
            logged = other.server.log.stat().st_size
            await trio.to_thread.run_sync(file.write_text, text)
            cases.check(name, await refused(other.server.log, logged), "it was not refused")
            with trio.move_on_after(3) as patience:
                await other.get("/healthz")
            cases.check(f"{name}: answers", not patience.cancelled_caught, "nobody answers beside it")
            if other.is_dead:
                raise Breach(f"the server died of {name}")
        cases.check("memory", cost.megabytes < 30, f"{cost.megabytes:.1f} MB")
        # What was refused is logged as an error, which here is no fault.
        other.server.log.write_text(other.server.log.read_text().replace('"level": "error"', '"level": "refusal"'))
    return cases.verdict("edits refused")


async def refused(log: Path, since: int) -> bool:
    """Whether the log has a line of a bad rules file by now."""
    with trio.move_on_after(6):
        while b"rules.bad" not in log.read_bytes()[since:]:  # noqa: ASYNC110, ASYNC240 - another process
            await trio.sleep(0.1)
        return True
    return False


# Sockets that a call's audio is carried to, or heard on.


@attack(clients=len(ELSEWHERE))
async def listen_addresses(target: Target) -> str:
    """Listen addresses that lead elsewhere, with the right secret or with none: never dialled."""
    hits: list[bytes] = []

    async def record(stream: trio.SocketStream, head: bytes) -> None:
        hits.append(head)

    async def redirect(stream: trio.SocketStream, head: bytes) -> None:
        place = f"http://127.0.0.1:{port}/"
        await stream.send_all(f"HTTP/1.1 302 Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())

    good = target.vapi.url.removeprefix("http://")
    async with (
        peer(record) as port,
        peer(redirect) as redirecting,
        beside(target, CALLMOOD_ATTACH="listen", VAPI_CONTROL_HOSTS=f"127.0.0.1:{redirecting},{good}") as other,
    ):
        addresses = [place.format(port=port, good=good).replace("http", "ws", 1) for place in ELSEWHERE]
        addresses += [f"http://127.0.0.1:{redirecting}/", f"ws://127.0.0.1:{redirecting}/moved"]
        for number, address in enumerate(addresses):
            call = {"id": f"v{number}", "monitor": {"listenUrl": address, "controlUrl": address}}
            message = {"message": {"type": "status-update", "status": "in-progress", "call": call}}
            answer = await other.vapi_says(message)
            forged = await other.vapi_says(message, secret="x" * 20)
            if (answer.status_code, forged.status_code) != (200, 401):
                raise Breach(f"{address}: {answer.status_code}, forged {forged.status_code}")
        await trio.sleep(1)
    if hits:
        raise Breach(f"connected to elsewhere {len(hits)} times: {hits[0][:80]!r}")
    return f"{len(addresses)} addresses, nobody dialled"


@attack(clients=2)
async def bridged_floods(target: Target) -> str:
    """In `bridge` Vapi's socket sends very many short messages, faster than they are heard: it is read no further."""
    dialled = trio.Event()

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        if head.startswith(b"POST /call "):
            made = {"id": "v1", "transport": {"websocketCallUrl": f"ws://127.0.0.1:{port}/socket"}}
            body = json.dumps(made).encode()
            length = str(len(body)).encode()
            await stream.send_all(b"HTTP/1.1 201 Created\r\nContent-Length: " + length + b"\r\n\r\n" + body)
            return
        await shake_hands(stream, head)
        dialled.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_everything, stream)
            await repeat(stream, b"\x82\x02ab")

    async with peer(answer) as port:
        vapi = {"VAPI_BASE_URL": f"http://127.0.0.1:{port}", "VAPI_ASSISTANT_ID": "a"}
        async with beside(target, **vapi) as other, watched(other) as cost, open_line(other) as line:
            with trio.move_on_after(max(2.0, target.seconds)):
                await dialled.wait()
                for at in range(0, 600_000, 20):
                    await line.send(line.media(b"\x55" * 160, at))
                    await trio.sleep(0.02)
            if not dialled.is_set():
                raise Breach("Vapi's socket was not dialled")
    return cost.check(2)
