"""A peer: Quart-Trio on Hypercorn, a WebSocket handler for each call."""

import socket

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import websocket
from quart_trio import QuartTrio
from work import Ring

app = QuartTrio(__name__)


@app.websocket("/audio-stream/<call_sid>")
async def audio(call_sid: str) -> None:
    ring = Ring()
    while True:
        ring.take(await websocket.receive())


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, app, config)
        print(f"ready http://127.0.0.1:{listener.getsockname()[1]}", flush=True)


trio.run(main)
