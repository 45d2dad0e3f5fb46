"""Writing into what others read: TwiML, the log, the ledger, answers; and steering where the server connects to."""

import json
from urllib.parse import quote
from xml.etree import ElementTree as ET

import trio

from .raw_line import end, placed
from .table import Breach, Cases, attack
from .target import Form, Target

HOSTILE = (
    "\n{planted}",
    "\r\n\r\n{planted}",
    "\x1b]0;{planted}\x07\x1b[2J",
    "\x00{planted}\u202e\u2028",
    "]]></Parameter><Say>{planted}</Say>",
    "\"/><Redirect>http://127.0.0.1/{planted}</Redirect><x a='",
    "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>&b;{planted}",
    "%s%n{{0}}{planted}${{jndi:ldap://127.0.0.1/a}}",
    "{planted}\ud7ff\ufffe\U0001f3f4",
    "é" * 300 + "{planted}",
)
FIELDS = ("From", "To", "Caller", "Called", "CallerName", "FromCity", "AccountSid", "CallStatus", "ApiVersion", "A\nB")
SHAPE = ["Response", "Connect", "Stream", "Parameter", "Parameter", "Say", "Hangup"]


@attack()
async def form_fields(target: Target) -> str:
    """Every field of a signed webhook filled with markup, line ends and control characters."""
    cases = Cases()
    for number, hostile in enumerate(HOSTILE):
        text = hostile.format(planted=target.markers.planted)
        sid = f"CAd{number:031x}"
        form: Form = [("CallSid", sid), *((name, text) for name in FIELDS)]
        answer = await target.signed("/voice/incoming", form)
        shape = [element.tag for element in ET.fromstring(answer.text).iter()] if answer.status_code == 200 else None
        cases.check(f"{hostile[:12]!r} in TwiML", shape == SHAPE and target.markers.planted not in answer.text, shape)
        entry = (await target.get(f"/calls/{sid}")).text
        cases.check(f"{hostile[:12]!r} in the list", target.markers.planted not in entry, entry)
        status: Form = [("CallSid", sid), ("StreamEvent", "stream-error"), ("StreamSid", text), ("StreamError", text)]
        await target.signed("/twilio/stream-status", status)
        await target.signed("/twilio/call-status", [("CallSid", sid), ("CallStatus", "completed"), ("A", text)])
    for hostile in HOSTILE:
        text = hostile.format(planted=target.markers.planted)
        answer = await target.signed("/voice/incoming", [("CallSid", text)])
        cases.check(f"{hostile[:12]!r} as CallSid", answer.status_code == 400, answer.status_code)
    return cases.verdict("documents unharmed")


@attack(quick=False)
async def odd_places(target: Target) -> str:
    """The same in paths, queries and headers."""
    planted = target.markers.planted
    cases = Cases()
    for hostile in HOSTILE[:4]:
        text = quote(hostile.format(planted=planted))
        for path in (f"/{text}", f"/calls/{text}", f"/calls?before={text}", f"/events?call={text}", f"/live/{text}"):
            answer = await target.get(path)
            cases.check(path[:30], answer.status_code in (200, 400, 404), answer.status_code)
            cases.check(f"{path[:30]} header", planted not in str(answer.headers), answer.headers)
    headers = {"User-Agent": planted + "\x1b[2J", "Referer": planted, "X-Request-Id": planted}
    answer = await target.get("/calls", {**target.bearer, **headers})
    cases.check("headers", planted not in str(answer.headers) + answer.text)
    return cases.verdict("answers unharmed")


@attack()
async def readings_and_messages(target: Target) -> str:
    """Control characters and markup in readings from outside and in Vapi's messages."""
    cases = Cases()
    caller = target.caller()
    sid = (await placed(target, caller)).parameters["callSid"]
    for hostile in HOSTILE:
        text = hostile.format(planted=target.markers.planted)
        answer = await target.emotion(sid, text)
        cases.check(f"{hostile[:12]!r} as label", answer.status_code == 400, answer.text)
        cases.check(f"{hostile[:12]!r} comes back", target.markers.planted not in answer.text, answer.text)
        call = {"phoneCallProviderId": sid, "id": "vapi\x1b[2J\n" + hostile[:9], "monitor": {"controlUrl": text}}
        for kind in ("status-update", "speech-update", text):
            message = {"type": kind, "status": "started\n", "role": "assistant", "call": call, "transcript": text}
            answer = await target.vapi_says({"message": message})
            cases.check(f"{hostile[:12]!r} as {kind[:12]!r}", answer.status_code == 200, answer.status_code)
    await end(target, caller)
    return cases.verdict("bodies judged rightly")


PATHS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/data/ledger.db",
    "..%5c..%5cdata",
    "%252e%252e%252f",
    "CA1%00.html",
    "%c0%ae%c0%ae/",
    "%ff%fe",
    "CA1%0d%0aX-Planted:%201",
    "CA1;a=b",
    "CA1%3fa=b",
    "%22,%22event%22:%22call.",
    "%F0%9F%8F%B4",
    "x" * 6000,
    "",
    ".",
    "*",
)


@attack(clients=len(PATHS), quick=False)
async def ids_as_paths(target: Target) -> str:
    """A call's id that is a path, a pattern, a line end, or very long, wherever a route takes one."""
    cases = Cases()
    async with trio.open_nursery() as nursery:
        for place in PATHS:
            nursery.start_soon(id_as_path, target, place, cases)
    return cases.verdict("ids refused")


async def id_as_path(target: Target, place: str, cases: Cases) -> None:
    bearer = f"Authorization: {target.bearer['Authorization']}"
    for method, route in (
        ("GET", "/calls/"),
        ("GET", "/live/static/"),
        ("GET", "/events?call="),
        ("DELETE", "/calls/"),
    ):
        head = f"{method} {route}{place} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n\r\n"
        answer = await target.exchange(head.encode(), patience_s=2.0)
        status = answer[9:12]
        leaked = b"root:" in answer or b"x-planted" in answer.lower().partition(b"\r\n\r\n")[0]
        fine = status in (b"400", b"404", b"405", b"308") or (not place and status == b"200")
        cases.check(f"{method} {route}{place[:30]}", fine and not leaked, answer[:60])
    media = f"GET /audio-stream/{place} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    media += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    answer = await target.exchange(media.encode(), patience_s=3.0)
    refused = b"Invalid signature" in answer or answer[9:12] in (b"400", b"404")
    cases.check(f"media {place[:30]}", refused and b"x-planted" not in answer.lower(), answer[-60:])


ELSEWHERE = (
    "http://127.0.0.1:{port}/control",
    "http://localhost:{port}/control",
    "http://[::1]:{port}/control",
    "http://[::ffff:127.0.0.1]:{port}/control",
    "http://0.0.0.0:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.0.0.2:{port}/",
    "https://127.0.0.1:{port}/control",
    "https://x.vapi.ai@127.0.0.1:{port}/",
    "http://{good}@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#{good}/",
    "http://127.0.0.1:{port}\\@{good}/",
    "http://127.0.0.1:{port}?@x.vapi.ai/",
    "http://{good}:{port}/",
    "http://\uff11\uff12\uff17.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "//127.0.0.1:{port}/",
    "http:127.0.0.1:{port}",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "unix:///tmp/x.sock",
    "https://vapi.ai.127.0.0.1.nip.example:{port}/",
    "https://evilvapi.ai:{port}/",
    "https://x.vapi.ai:{port}/",
    "http://x.vapi.ai:{port}/",
)


@attack(clients=len(ELSEWHERE))
async def control_addresses(target: Target) -> str:
    """Control addresses that lead elsewhere, in messages with the right secret: never connected to."""
    hits: list[bytes] = []

    async def record(stream: trio.SocketStream) -> None:
        with trio.move_on_after(1):
            hits.append(await stream.receive_some())
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, record, listeners)
        good = target.vapi.url.removeprefix("http://")
        async with trio.open_nursery() as provoking:
            for address in ELSEWHERE:
                provoking.start_soon(provoke, target, address.format(port=port, good=good))
        await trio.sleep(0.3)
        nursery.cancel_scope.cancel()
    if hits:
        raise Breach(f"connected to elsewhere {len(hits)} times: {hits[0][:80]!r}")
    return f"{len(ELSEWHERE)} addresses, nobody called"


async def provoke(target: Target, address: str) -> None:
    """A call with this control address, that there is every reason to tell of its mood."""
    caller = target.caller()
    sid = (await placed(target, caller)).parameters["callSid"]
    call = {"id": "v1", "phoneCallProviderId": sid, "monitor": {"controlUrl": address, "listenUrl": address}}
    call |= {"transport": {"callSid": sid, "websocketCallUrl": address}, "server": {"url": address}}
    await target.vapi_says(
        json.dumps({"message": {"type": "status-update", "status": "in-progress", "call": call}}).encode()
    )
    for _ in range(3):
        await target.emotion(sid, "angry")
    await end(target, caller)
