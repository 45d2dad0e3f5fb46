"""Is this request really from Twilio? (https://www.twilio.com/docs/usage/security, "Validating requests")

Twilio signs the URL it asked for, followed by the names and values of the form, with the account's auth token:
HMAC-SHA1, base64, in `X-Twilio-Signature`. Where webhooks have a shared key, it is HMAC-SHA256 with the key's secret,
and `X-Twilio-Webhooks-Signature-Settings` says so. JSON bodies are not appended: their SHA-256 is in the query, as
`bodySHA256`. The upgrade of a media stream is signed as `wss://`, sometimes with a slash behind the path.

The hard part is the URL "as Twilio asked for it": proxies change the scheme and the host, and Twilio itself is not
consistent about ports. So the configured public origin decides where there is one, and the signature may match any
of the few forms that URL can have taken. Every form is compared, in constant time.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from urllib.parse import parse_qsl

from ..errors import BadRequest, ConfigError

SIGNATURE_HEADER = "X-Twilio-Signature"
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"
"""Names a shared key and its algorithm (https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys)."""

_SIGNATURE_LENGTHS = {"sha1": 28, "sha256": 44}
"""Characters of base64 for a digest of 20 and of 32 bytes."""
_ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_MAX_FIELDS = 1_000
_DEFAULT_PORT = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_WEBSOCKET = {"http": "ws", "https": "wss"}
_PORT = re.compile(r":[0-9]*\Z")


def sign(key: str, url: str, params: Iterable[tuple[str, str]] = (), digest: str = "sha1") -> str:
    """The signature of a request for `url` with these form fields; `digest` is "sha256" with a shared key."""
    return _digest(key, url + _tail(params), digest)


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form-encoded body, blank values and white space kept: all of them are signed."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise BadRequest("The form in the body cannot be read: send it URL-encoded, in UTF-8.") from None


def candidates(origins: Sequence[str], path: str, query: str, *, websocket: bool) -> list[str]:
    """The URLs Twilio may have signed for a request, given the origins it may have asked.

    `path` and `query` are as they stood in the request line, percent-encoding included. Each origin is taken as it
    is, without its port, and with the scheme's own port; an upgrade's path with a slash at its end and without.
    """
    without_slash = path.removesuffix("/")
    paths = [without_slash, without_slash + "/"] if websocket else [path]
    tail = f"?{query}" if query else ""
    urls = [
        f"{base}{path_form}{tail}"
        for origin in origins
        for base in _origin_forms(origin, websocket=websocket)
        for path_form in paths
    ]
    return list(dict.fromkeys(urls))


class SignatureCheck:
    """Checks requests against one auth token, and one shared key where there is one."""

    def __init__(self, auth_token: str | None, public_origin: str | None, *, shared_key: str | None = None) -> None:
        """`auth_token` None accepts everything. `public_origin`, e.g. https://calls.example.com, is the only origin
        used when it is set; otherwise the request's own headers say where Twilio thinks we are. `shared_key` is the
        secret behind HMAC_SHA256; without one, that algorithm is checked with the auth token like the other."""
        if auth_token == "":
            raise ConfigError("TWILIO_AUTH_TOKEN is empty: anybody can sign with an empty key, so set or remove it.")
        self._auth_token = auth_token
        self._keys = {"sha1": auth_token or "", "sha256": shared_key or auth_token or ""}
        self._public_origin = public_origin

    def plausible(self, signature: str | None) -> bool:
        """Whether a signature header could be one: what has none is not worth reading any further."""
        return self._auth_token is None or (signature is not None and len(signature) in _SIGNATURE_LENGTHS.values())

    def verify(
        self,
        headers: Mapping[str, str],
        path: str,
        query: str,
        *,
        form: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        websocket: bool = False,
    ) -> bool:
        """Whether Twilio signed this request. Pass `form` for form-encoded bodies, else the raw `body` if any."""
        if self._auth_token is None:
            return True
        return self.signed_origin(headers, path, query, form=form, body=body, websocket=websocket) is not None

    def signed_origin(
        self,
        headers: Mapping[str, str],
        path: str,
        query: str,
        *,
        form: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        websocket: bool = False,
    ) -> str | None:
        """Where Twilio believes to have sent a request it signed; None: it did not, or nothing is checked."""
        known = {name.lower(): value for name, value in headers.items()}
        signature = known.get(SIGNATURE_HEADER.lower(), "")
        digest = _digest_named(known.get(SETTINGS_HEADER.lower(), ""))
        if self._auth_token is None or digest is None:
            return None
        if len(signature) != _SIGNATURE_LENGTHS[digest] or not signature.isascii():
            return None
        if body is not None and not _hash_matches(query, body):
            return None
        tail, found = _tail(form), None
        for origin in self._origins(known):
            for url in candidates([origin], path, query, websocket=websocket):
                if hmac.compare_digest(_digest(self._keys[digest], url + tail, digest), signature):
                    found = found or origin
        return found

    def _origins(self, headers: Mapping[str, str]) -> list[str]:
        if self._public_origin is not None:
            return [self._public_origin]
        forwarded = headers.get("x-forwarded-host", "").partition(",")[0].strip()
        hosts = [host for host in (headers.get("host", ""), forwarded) if host]
        return [f"{scheme}://{host}" for host in hosts for scheme in ("https", "http")]


def _tail(params: Iterable[tuple[str, str]]) -> str:
    """What follows the URL: fields by name in ASCII order, the distinct values of a repeated name in order too."""
    return "".join(name + value for name, value in sorted(set(params)))


def _digest(key: str, text: str, digest: str) -> str:
    # What is not Unicode cannot have come from Twilio; "surrogatepass" makes it a mismatch and not an exception.
    signed = hmac.digest(key.encode(), text.encode("utf-8", "surrogatepass"), digest)
    return b64encode(signed).decode()


def _origin_forms(origin: str, *, websocket: bool) -> list[str]:
    scheme, _, rest = origin.partition("://")
    scheme = _WEBSOCKET.get(scheme, scheme) if websocket else scheme
    host, slash, prefix = rest.partition("/")
    below = (slash + prefix).rstrip("/")
    bare = _PORT.sub("", host)
    return [f"{scheme}://{name}{below}" for name in (host, bare, f"{bare}:{_DEFAULT_PORT.get(scheme, '80')}")]


def _digest_named(settings: str) -> str | None:
    """What a request says it is signed with: SHA-1 where it names nothing; None for what is unknown, or two at once."""
    parts = [part.partition("=") for part in settings.split(",")]
    named = {value.strip().upper() for name, _, value in parts if name.strip().lower() == "algorithm" and value.strip()}
    return _ALGORITHMS.get(named.pop()) if len(named) == 1 else None if named else "sha1"


def _hash_matches(query: str, body: bytes) -> bool:
    """Whether `bodySHA256` is in the query, once, and is the body's. Twilio always sends it with a body not a form."""
    claimed = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "bodySHA256"]
    if len(claimed) != 1 or not claimed[0].isascii():
        return False
    return hmac.compare_digest(sha256(body).hexdigest(), claimed[0])
