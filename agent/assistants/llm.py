"""The model behind the gateway: an OpenAI-compatible upstream, over one warm client."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import trio

from ..errors import AssistantUnavailable
from ..http import finish, httpx

_PASSED_ON = frozenset({"content-type", "content-length", "content-encoding", "retry-after", "x-request-id"})
_PASSED_ON_FAMILIES = ("openai-", "x-ratelimit-")

_CONNECTION_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class BrokenOff(AssistantUnavailable):
    """An answer that had begun does not go on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has begun."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Those that are the answer's own, and not the connection's."""
    pieces: "Pieces"
    """Its body as it comes, from the first byte."""


class Upstream:
    """Asks; who asks says within what time."""

    def __init__(self, client: httpx.AsyncClient, *, base_url: str, api_key: str) -> None:
        self._client, self._url = client, f"{base_url.rstrip('/')}/chat/completions"
        # Nothing of the asker's but the body goes on: its key is ours, and not the upstream's.
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    async def ask(self, body: bytes, exits: AsyncExitStack, *, encodings: str, idle_s: float) -> Answer:
        """The answer, once its first bytes are there; it lives until `exits` is closed.

        `encodings`: what the asker accepts, since the bytes are passed on as they come. Raises AssistantUnavailable.
        """
        headers = {**self._headers, "Accept-Encoding": encodings or "identity"}
        request = self._client.build_request("POST", self._url, content=body, headers=headers)
        try:
            response = await self._send(request)
            raw = response.aiter_raw()
            exits.push_async_callback(finish, raw)
            pieces = Pieces(await anext(raw, b""), raw, idle_s)
        except httpx.HTTPError as error:
            raise AssistantUnavailable(f"the language model cannot be reached ({type(error).__name__})") from None
        return Answer(response.status_code, tuple(_own(response.headers)), pieces)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """A warm connection may have been closed at the other end just now: asked anew over another one, once."""
        try:
            return await self._client.send(request, stream=True)
        except _CONNECTION_LOST:
            return await self._client.send(request, stream=True)


class Pieces:
    """The body's pieces: one that is there, and those that come. Raises BrokenOff. It holds nothing that would have to
    be closed when its reader is cancelled."""

    def __init__(self, first: bytes, more: AsyncGenerator[bytes, None], idle_s: float) -> None:
        self._first, self._more, self._idle_s = first, more, idle_s

    def __aiter__(self) -> "Pieces":
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        with trio.move_on_after(self._idle_s):
            try:
                return await anext(self._more)
            except httpx.HTTPError as error:
                raise BrokenOff(f"the language model's answer broke off ({type(error).__name__})") from None
        raise BrokenOff("the language model's answer does not go on")


def _own(headers: httpx.Headers) -> list[tuple[str, str]]:
    return [
        (name, value) for name, value in headers.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_FAMILIES)
    ]
