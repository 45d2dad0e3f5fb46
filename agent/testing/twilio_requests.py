"""Twilio's requests: which URL is asked for, what is signed, and where the connection really goes.

https://www.twilio.com/docs/usage/security: a webhook is signed as it is asked for, without credentials, and over https
without its port; a media stream as `wss://`. The connection always goes to one server, whatever host a URL names: its
public name is a tunnel or a proxy that is not there when everything runs on one machine.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit, urlunsplit

import trio

from ..http import client, httpx
from ..telephony import signature
from .twilio_messages import Form

WEBHOOK_PATIENCE_S = 15.0
"""The whole exchange, connecting included (https://www.twilio.com/docs/api/errors/11205)."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Requests:
    """How one account reaches one server."""

    server: str
    """Where connections go."""
    voice_url: str
    """The webhook configured at the number: relative URLs in its TwiML are relative to it."""
    auth_token: str | None
    http: httpx.AsyncClient | None

    async def post(self, url: str, form: Form) -> httpx.Response | None:
        """A signed form; None when there is no answer within Twilio's patience."""
        asked = webhook_url(urljoin(self.voice_url, url))
        headers = {
            "Host": asked.netloc,
            "User-Agent": "TwilioProxy/1.1",
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            **dict(self._signature(asked.geturl(), form)),
        }
        local = urlunsplit((*urlsplit(self.server)[:2], asked.path or "/", asked.query, ""))
        with trio.move_on_after(WEBHOOK_PATIENCE_S):
            try:
                async with client() if self.http is None else nullcontext(self.http) as http:
                    return await http.post(local, content=urlencode(form), headers=headers)
            except httpx.TransportError:
                return None
        return None

    def upgrade(self, url: SplitResult) -> tuple[str, Headers]:
        """The request target and the headers of a media stream's handshake."""
        target = urlunsplit(("", "", url.path or "/", url.query, ""))
        return target, [("User-Agent", "Twilio.TmeWs/1.0"), *self._signature(url.geturl(), [])]

    def stream_url(self, url: str) -> SplitResult:
        """What a `<Stream>` asks for. A relative URL means wss: nothing else is supported
        (https://www.twilio.com/docs/voice/twiml/stream)."""
        parts = urlsplit(urljoin(self.voice_url, url))
        return parts._replace(scheme={"http": "wss", "https": "wss"}.get(parts.scheme, parts.scheme), fragment="")

    def _signature(self, url: str, form: Form) -> Headers:
        if self.auth_token is None:
            return []
        return [(signature.SIGNATURE_HEADER, signature.sign(self.auth_token, url, form))]


def webhook_url(url: str) -> SplitResult:
    """A webhook's URL as Twilio asks for it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host.partition(":")[0] if parts.scheme == "https" else host, fragment="")
