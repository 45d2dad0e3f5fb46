"""Who sent a server message: a shared secret in a header, the same as a bearer token, or a signature over the body.

https://docs.vapi.ai/server-url/server-authentication. An unset secret proves nothing, whatever is offered. A signature
covers the raw body and the time of sending: what is older or newer than the tolerance is refused, so that a message
which was overheard cannot be sent again later. Comparisons take the same time whatever is offered.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..core.sameness import same
from ..errors import ConfigError

MILLISECONDS_FROM = 100_000_000_000
"""Vapi does not say whether its timestamps are seconds or milliseconds: from here on they are milliseconds. In seconds
this is the year 5138, in milliseconds 1973."""

_DIGITS = re.compile(r"\d{1,15}", re.ASCII)
_PLACEHOLDER = re.compile(r"(\{[a-z]+\})")


Body = bytes | Iterable[bytes]
"""A raw body, or its pieces, which may be asked for again."""


class WebhookAuth(Protocol):
    """One way of proving it. Header names come in lower case."""

    @property
    def advice(self) -> str:
        """What to check when it fails."""

    @property
    def signs_body(self) -> bool:
        """Whether the body has to be read before anything is proved."""

    def plausible(self, headers: Mapping[str, str], now: float) -> bool:
        """Whether the headers can prove it at all; `now` in seconds since the epoch. Asked before the body is read."""

    def proves(self, headers: Mapping[str, str], body: Body, *, url: str) -> bool:
        """Whether this message is from whoever knows the secret. `url`: where it was posted to, as the sender sees
        it. Takes time in proportion to the body where that is signed."""


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """The secret itself, in a header."""

    secret: str = field(repr=False)
    header: str = "x-vapi-secret"
    advice: str = "X-Vapi-Secret is missing or wrong: check VAPI_SECRET."
    signs_body: bool = False

    def plausible(self, headers: Mapping[str, str], now: float) -> bool:
        return bool(self.secret) and same(headers.get(self.header, ""), self.secret)

    def proves(self, headers: Mapping[str, str], body: Body, *, url: str) -> bool:
        return self.plausible(headers, 0.0)


@dataclass(frozen=True, slots=True)
class Bearer:
    """The secret as a bearer token."""

    secret: str = field(repr=False)
    advice: str = "The bearer token is missing or wrong: check VAPI_SECRET and [vapi] auth."
    signs_body: bool = False

    def plausible(self, headers: Mapping[str, str], now: float) -> bool:
        scheme, _, offered = headers.get("authorization", "").partition(" ")
        return bool(self.secret) and scheme.lower() == "bearer" and same(offered.strip(), self.secret)

    def proves(self, headers: Mapping[str, str], body: Body, *, url: str) -> bool:
        return self.plausible(headers, 0.0)


@dataclass(frozen=True, slots=True)
class Signature:
    """An HMAC of the raw body and the time, under the secret. Names and defaults are those of Vapi's credential."""

    secret: bytes = field(repr=False)
    algorithm: str = "sha256"
    signature_header: str = "x-signature"
    timestamp_header: str = "x-timestamp"
    signature_prefix: str = ""
    include_timestamp: bool = True
    payload_format: str = "{timestamp}.{body}"
    encoding: str = "hex"
    tolerance_s: float = 300.0
    """How far the time of sending may lie from ours."""
    advice: str = "The signature is missing, wrong or too old: check VAPI_SECRET, [vapi] and this machine's clock."
    signs_body: bool = True

    def plausible(self, headers: Mapping[str, str], now: float) -> bool:
        return bool(self.secret and self._offered(headers)) and self._fresh(headers, now)

    def _fresh(self, headers: Mapping[str, str], now: float) -> bool:
        if not self.include_timestamp:
            return True
        stamp = headers.get(self.timestamp_header.lower(), "").strip()
        if not _DIGITS.fullmatch(stamp):
            return False
        sent_at = int(stamp) / (1000 if int(stamp) >= MILLISECONDS_FROM else 1)
        return abs(now - sent_at) <= self.tolerance_s

    def proves(self, headers: Mapping[str, str], body: Body, *, url: str) -> bool:
        offered = self._offered(headers)
        return bool(self.secret and offered) and same(offered, self.sign(headers, body, url=url))

    def sign(self, headers: Mapping[str, str], body: Body, *, url: str) -> str:
        """What the signature header should say behind its prefix."""
        mac = hmac.new(self.secret, digestmod=getattr(hashlib, self.algorithm))
        known = {
            "{timestamp}": headers.get(self.timestamp_header.lower(), "").strip().encode("latin-1", "replace"),
            "{method}": b"POST",
            "{url}": url.encode(),
        }
        for part in _PLACEHOLDER.split(self.payload_format):
            pieces = (known.get(part, part.encode()),) if part != "{body}" else body
            for piece in (pieces,) if isinstance(pieces, bytes) else pieces:  # a large body is not copied
                mac.update(piece)
        return mac.hexdigest() if self.encoding == "hex" else base64.b64encode(mac.digest()).decode()

    def _offered(self, headers: Mapping[str, str]) -> str:
        offered = headers.get(self.signature_header.lower(), "").strip()
        if not offered.startswith(self.signature_prefix):
            return ""
        offered = offered.removeprefix(self.signature_prefix).strip()
        return offered.lower() if self.encoding == "hex" else offered


def signing_key(secret: str, *, is_base64: bool) -> bytes:
    """The bytes that sign. Raises ConfigError where the secret is said to be base64 and is not."""
    if not is_base64:
        return secret.encode()
    try:
        return base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError("VAPI_SECRET is not base64, as [vapi] secret_is_base64 says: correct one of them") from None
