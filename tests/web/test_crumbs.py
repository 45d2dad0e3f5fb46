"""Bodies in chunks of a byte each: a little of one is as good as any, and much of one keeps nobody busy for long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from agent.web.server import LINES, PIECE

if TYPE_CHECKING:
    from conftest import Callmood

BODY = json.dumps({"message": {"type": "hang"}}).encode()


def crumbs(body: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def in_one(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("framed", "spaces", "answered"),
    [(crumbs, 1000, True), (in_one, 5 * PIECE, True), (in_one, LINES, True), (crumbs, LINES, False)],
)
async def test_a_body_is_read_to_its_end_unless_its_framing_is_most_of_the_work(
    callmood: Callmood, framed: object, spaces: int, answered: bool
) -> None:
    assert callable(framed)
    secret = callmood.settings.vapi_secret.reveal()
    head = f"POST /webhook/vapi HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {secret}\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await callmood.exchange(head.encode(), framed(b" " * spaces + BODY))
    assert answer.startswith(b"HTTP/1.1 200") is answered
    assert (await callmood.get("/healthz")).status_code == 200
