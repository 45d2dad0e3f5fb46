"""An ngrok on this machine, as a program: the same arguments, log and local API, and a tunnel that really carries.

    printf '#!/bin/sh\\nexec python -m agent.testing.fake_ngrok "$@"\\n' > bin/ngrok

Its public address is another loopback port, from which connections go to the given one. The API answers as
https://ngrok.com/docs/agent/api/ describes, on a port of its own, which the log names as ngrok's does. FAKE_NGROK in
the environment makes it fail: `no-token`, `too-many`, `silent` (no tunnel ever), `short` (the tunnel ends after half a
second), `stubborn` (SIGTERM is ignored).
"""

import json
import os
import signal
import sys
from functools import partial

import trio

from .http_server import HttpRequest, HttpResponse, HttpServer

SHORT_S = 0.5
A_USERS_KEY = "2aBcDeFgHiJkLmNoPqRsTuVwXyZ"
"""What ngrok quotes in its errors, and nobody else must."""
_REFUSALS = {
    "no-token": (
        "authentication failed: The authtoken you specified does not look like a proper ngrok authtoken.\nYour "
        f"authtoken: {A_USERS_KEY}\n\nERR_NGROK_105\n"
    ),
    "too-many": "authentication failed: Your account is limited to 1 simultaneous agent sessions.\n\nERR_NGROK_108\n",
}


def log(message: str, **more: str) -> None:
    print(json.dumps({"lvl": "info", "msg": message, **more}), flush=True)


async def main(target: str) -> int:
    how = os.environ.get("FAKE_NGROK", "")
    if how in _REFUSALS:
        log("failed to reconnect session", lvl="eror", obj="csess", err=_REFUSALS[how])
        print(f"ERROR:  {_REFUSALS[how]}", flush=True)
        return 1
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    port = int(target.rpartition(":")[2])
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, partial(carry, port), 0, host="127.0.0.1")
        )
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        tunnel = {
            "name": "command_line",
            "uri": "/api/tunnels/command_line",
            "public_url": url,
            "proto": "http",
            "config": {"addr": f"http://{target}", "inspect": True},
            "metrics": {},
        }
        listed = {"tunnels": [] if how == "silent" else [tunnel], "uri": "/api/tunnels"}

        async def answer(request: HttpRequest) -> HttpResponse:
            known = request.path == "/api/tunnels"
            headers = (("Content-Type", "application/json"),)
            return HttpResponse(200, json.dumps(listed).encode(), headers) if known else HttpResponse(404)

        api = HttpServer(answer)
        await nursery.start(api.run)
        log("starting web service", obj="web", addr=f"127.0.0.1:{api.port}")
        log("client session established", obj="csess")
        log("started tunnel", obj="tunnels", name="command_line", addr=f"http://{target}", url=url)
        if how == "short":
            await trio.sleep(SHORT_S)
            nursery.cancel_scope.cancel()
    return 0


async def carry(port: int, outside: trio.SocketStream) -> None:
    """One connection through the tunnel."""
    try:
        inside = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return
    async with inside, trio.open_nursery() as nursery:
        nursery.start_soon(pour, outside, inside)
        nursery.start_soon(pour, inside, outside)


async def pour(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """Everything that comes, and its end."""
    try:
        async for piece in source:
            await sink.send_all(piece)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.aclose_forcefully(sink)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "http" or "--log" not in sys.argv:
        sys.exit("the fake ngrok only knows: http HOST:PORT --log stdout --log-format json")
    sys.exit(trio.run(main, sys.argv[2]))
