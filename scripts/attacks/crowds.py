"""Many at once who want nothing, or never take what they asked for."""

from collections import Counter

import trio

from .front_door import GET, crowd
from .raw_line import end, placed
from .table import Breach, attack
from .target import Target, finals

SMALL_WINDOW = 4096
UNSIGNED = (
    b"GET /audio-stream/CA1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@attack(clients=300)
async def a_burst_of_requests(target: Target) -> str:
    """Three hundred good requests at the same moment: each gets an answer, whatever it is."""
    answers: Counter[str] = Counter()

    async def ask() -> None:
        statuses = finals(await target.exchange(GET + b"\r\n", patience_s=10.0))
        answers["/".join(map(str, statuses)) or "nothing"] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(ask)
    if set(answers) - {"200", "503"}:
        raise Breach(f"300 requests at once were answered with {dict(answers)}")
    return f"300 requests at once were answered with {dict(answers)}"


@attack(clients=500, quick=False)
async def idle_connections(target: Target) -> str:
    """Five hundred connections that say nothing."""
    return f"500 silent connections, {await crowd(target, 500, b'')} open files"


@attack(clients=300, quick=False)
async def half_asked_lines(target: Target) -> str:
    """Three hundred media streams whose handshake stops in the middle."""
    most = await crowd(target, 300, b"GET /audio-stream/CA1 HTTP/1.1\r\nHost: a\r\n")
    return f"300 handshakes that stop in the middle, {most} open files"


@attack(clients=100, quick=False)
async def unsigned_lines_that_never_close(target: Target) -> str:
    """A hundred media streams without a signature, whose refusal nobody reads or answers."""
    return f"100 refusals that nobody reads, {await crowd(target, 100, UNSIGNED)} open files"


@attack(clients=200)
async def watchers_who_never_read(target: Target) -> str:
    """Two hundred event streams that nobody reads, while a call has much to tell."""
    caller, told, most = target.caller(), 0, 0
    sid = (await placed(target, caller)).parameters["callSid"]
    request = f"GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: {target.bearer['Authorization']}\r\n\r\n"

    async def gather() -> None:
        nonlocal most
        most = await crowd(target, 200, request.encode(), window=SMALL_WINDOW)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gather)
        while True:
            told += (await target.emotion(sid, "angry")).status_code == 200
            await trio.sleep(0.1)
    await end(target, caller)
    if not told:
        raise Breach("no reading was taken in the meantime")
    return f"200 who never read, {told} readings told to them, {most} open files"


@attack(clients=50, quick=False)
async def more_calls_than_hang_up(target: Target) -> str:
    """Fifty signed calls that never open their stream, announced again and again."""
    callers = [target.caller() for _ in range(50)]
    until, count = trio.current_time() + target.seconds, 0
    while trio.current_time() < until:
        for caller in callers:
            await placed(target, caller)
            count += 1
    await end(target, *callers)
    return f"{count} announcements of 50 calls"
