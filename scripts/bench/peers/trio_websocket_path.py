"""A peer: trio-websocket, a task for each call."""

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, WebSocketServer, serve_websocket
from work import Ring


async def audio(request: WebSocketRequest) -> None:
    socket = await request.accept()
    ring = Ring()
    try:
        while True:
            ring.take(await socket.get_message())
    except ConnectionClosed:
        return


async def main() -> None:
    async with trio.open_nursery() as nursery:
        server: WebSocketServer = await nursery.start(serve_websocket, audio, "127.0.0.1", 0, None)
        print(f"ready http://127.0.0.1:{server.port}", flush=True)


trio.run(main)
