"""What a server does once and keeps: modules, tables, pools. Paid before anything is measured."""

import trio

from .front_door import GET, POST
from .raw_line import open_line
from .target import Target


async def warm_up(target: Target) -> None:
    """Ordinary calls, one of every answer, and as many connections at a time as a busy day has."""
    for _ in range(3):
        await target.real_call()
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(target.real_call)
    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(target.exchange, GET + b"\r\n")
            nursery.start_soon(target.exchange, POST + b"Content-Length: 2\r\n\r\n{}")
    for path in ("/calls", "/live", "/metrics", "/readyz", "/nothing"):
        await target.get(path)
    async with open_line(target):
        await trio.sleep(0.1)
