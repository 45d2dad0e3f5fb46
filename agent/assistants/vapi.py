"""Vapi, while a call is live: its control address, and what is sent there.

The control address is a secret (knowing it is enough to steer the call) and comes from outside, in a server message. It
is never logged, and never posted to before its host has been checked: otherwise a forged message could have us send
requests anywhere. Wire format: https://docs.vapi.ai/calls/call-features
"""

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from ..core.context import ContextUpdate, CutOff
from ..errors import AssistantRefused, AssistantUnavailable, CallGone, CallmoodError
from ..http import asked, httpx, retry_after

_VAPI_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+vapi\.ai", re.ASCII)

_GONE = frozenset({404, 410})
"""Statuses of a control address whose call is over; nothing is documented, so anything that says so counts."""


OVER = ""
"""In the place of an address whose call is over."""


class BadControlUrl(CallmoodError):
    """A control address we will not post to."""


def checked_control_url(text: str, extra_hosts: Collection[str] = ()) -> str:
    """The address, if it is one of Vapi's over https, or on a host the operator named. Raises BadControlUrl.

    `extra_hosts`: `host` or `host:port`; only these may be plain http.
    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise BadControlUrl("what Vapi names as an address of this call is none") from None
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = url.port or (443 if url.scheme == "https" else 80)
    named = not {url.host, host, f"{host}:{port}"}.isdisjoint(extra_hosts)
    if url.userinfo or url.scheme not in ("https", "http"):
        raise BadControlUrl("Vapi's address of this call is not a plain https or wss address")
    if named:
        return str(url)
    if url.scheme != "https" or url.port not in (None, 443) or not _VAPI_HOST.fullmatch(url.host):
        raise BadControlUrl("Vapi's address of this call is not https or wss on vapi.ai: name it in VAPI_CONTROL_HOSTS")
    return str(url)


def add_message(note: str) -> dict[str, Any]:
    """Silent context: without the `false`, every note would make the assistant speak."""
    return {
        "type": "add-message",
        "message": {"role": "system", "content": note},
        "triggerResponseEnabled": False,
    }


def say(sentence: str) -> dict[str, Any]:
    """There is no command to stop talking: saying something else in its place is the way."""
    return {
        "type": "say",
        "content": sentence,
        "interruptAssistantEnabled": True,
        "interruptionsEnabled": True,
        "endCallAfterSpoken": False,
    }


class VapiControl:
    """Tells live calls' assistants over one warm client. `attach` gives it a call's address when that is known."""

    name = "vapi"

    def __init__(self, client: httpx.AsyncClient, *, public_key: str = "", extra_hosts: Collection[str] = ()) -> None:
        self._client, self._extra_hosts = client, extra_hosts
        # The private key must never go to a control address; the public one goes only where it is asked for.
        self._headers = {"Authorization": f"Bearer {public_key}"} if public_key else {}
        self._addresses: dict[str, str] = {}

    def attach(self, call_sid: str, control_url: str) -> None:
        """Remember where a live call is controlled. Raises BadControlUrl. Forgotten when its session closes."""
        self._addresses[call_sid] = checked_control_url(control_url, self._extra_hosts)

    def ended(self, call_sid: str) -> None:
        """Vapi says that its call is over: nothing more goes there, unless another address is attached."""
        if call_sid in self._addresses:
            self._addresses[call_sid] = OVER

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator["VapiSession"]:
        try:
            yield VapiSession(self, call_sid)
        finally:
            self._addresses.pop(call_sid, None)

    async def post(self, call_sid: str, message: dict[str, Any]) -> None:
        """One control message to a live call's assistant, once."""
        address = self._addresses.get(call_sid)
        if address is None:
            raise AssistantUnavailable("Vapi has not sent this call's control address")
        if address == OVER:
            raise CallGone("the call at Vapi is over")
        try:
            await self._post(address, message)
        except CallGone:
            # Nothing more goes there. Another assistant may still be attached, and brings another address.
            if self._addresses.get(call_sid) == address:
                del self._addresses[call_sid]
            raise

    async def end_call(self, control_url: str) -> None:
        """Hang up a call at Vapi that is none of ours any more. Raises BadControlUrl too."""
        await self._post(checked_control_url(control_url, self._extra_hosts), {"type": "end-call"})

    async def _post(self, address: str, message: dict[str, Any]) -> None:
        """Translates whatever goes wrong into our own errors."""
        try:
            response = await asked(self._client, address, json=message, headers=self._headers)
        except httpx.HTTPError as error:
            raise AssistantUnavailable(f"Vapi cannot be reached ({type(error).__name__})") from None
        _check(response)


class VapiSession:
    """One call's way to its assistant."""

    def __init__(self, control: VapiControl, call_sid: str) -> None:
        self._control, self._call_sid = control, call_sid

    async def tell(self, update: ContextUpdate) -> None:
        await self._control.post(self._call_sid, add_message(update.text))

    async def cut_off(self, sentence: str) -> CutOff | None:
        await self._control.post(self._call_sid, say(sentence))
        return None


def _check(response: httpx.Response) -> None:
    """Acceptance is any 2xx; redirects are not followed. Bodies are not repeated: they may hold the conversation."""
    status = response.status_code
    if status < 300:
        return
    if status in _GONE:
        raise CallGone(f"Vapi answered {status}")
    if status == 429 or status >= 500:
        raise AssistantUnavailable(f"Vapi answered {status}", retry_after=retry_after(response))
    raise AssistantRefused(f"Vapi answered {status}")
