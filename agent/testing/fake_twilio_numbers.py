"""The telephone numbers of a Twilio account, on this machine: listed, looked at and changed as over its REST API.

    async with FakeTwilioNumbers.serve() as twilio:
        twilio.add("+15550100100", voice_url="https://old.example.com/voice")
        … TWILIO_BASE_URL=twilio.url, twilio.account_sid, twilio.auth_token …
        assert twilio.numbers["PN…"]["voice_url"] == …

It is strict: wrong credentials are 401, unknown fields 400, methods other than GET and POST for webhooks 400
(https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource).
"""

import json
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from time import time
from urllib.parse import parse_qs, parse_qsl, urlsplit

import trio

from .http_server import HttpRequest, HttpResponse, HttpServer, Misbehaviour

_FIELDS = {
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
}
_ERRORS = {
    400: (21620, "Invalid parameter"),
    401: (20003, "Authenticate"),
    404: (20404, "The requested resource was not found"),
    429: (20429, "Too Many Requests"),
    503: (20503, "Service unavailable"),
}


class FakeTwilioNumbers:
    """Open one with `FakeTwilioNumbers.serve`."""

    def __init__(self) -> None:
        self.account_sid = "AC" + "5a" * 16
        self.auth_token = "0123456789abcdef" * 2
        self.numbers: dict[str, dict[str, str | None]] = {}
        """By sid, as Twilio describes them."""
        self.changes: deque[dict[str, str]] = deque(maxlen=1_000)
        """The forms of accepted changes, with the number's `sid`."""
        self.fail_with: int | None = None
        """Every request is answered with this status."""
        self.stalls = False
        """Nothing is answered."""
        self.changes_fail = False
        """Changes are answered 503; everything else works."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when a change has come, before it is made."""
        self.clock_offset_s = 0.0
        self._server = HttpServer(self._answer)

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> "AsyncIterator[FakeTwilioNumbers]":
        """Serve on a free loopback port until the end of the block."""
        twilio = cls()
        async with trio.open_nursery() as nursery:
            await nursery.start(twilio._server.run)
            yield twilio
            nursery.cancel_scope.cancel(reason="the fake Twilio is no longer needed")

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def environment(self) -> dict[str, str]:
        """What a Callmood has to be told to use it."""
        return {
            "TWILIO_BASE_URL": self.url,
            "TWILIO_ACCOUNT_SID": self.account_sid,
            "TWILIO_AUTH_TOKEN": self.auth_token,
        }

    def add(self, number: str, **known: str) -> str:
        """Give the account a number; its sid. Keywords are its properties."""
        sid = f"PN{len(self.numbers) + 1:032x}"
        empty = dict.fromkeys(("voice_application_sid", "trunk_sid"), None)
        self.numbers[sid] = {
            **empty,
            "sid": sid,
            "account_sid": self.account_sid,
            "phone_number": number,
            "voice_url": "",
            "voice_method": "POST",
            "status_callback": "",
            "status_callback_method": "POST",
            **known,
        }
        return sid

    async def _answer(self, request: HttpRequest) -> HttpResponse | Misbehaviour:
        if self.stalls:
            return Misbehaviour.STALL
        status, body = self._serve(request)
        headers = (
            ("Content-Type", "application/json"),
            ("Date", formatdate(time() + self.clock_offset_s, usegmt=True)),
        )
        if status != 200:
            code, message = _ERRORS[status]
            body = {"code": code, "message": message, "more_info": "", "status": status}
        return HttpResponse(status, json.dumps(body).encode(), headers)

    def _serve(self, request: HttpRequest) -> tuple[int, object]:
        wanted = b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if self.fail_with is not None:
            return self.fail_with, None
        if request.header("authorization") != f"Basic {wanted}":
            return 401, None
        account = f"/2010-04-01/Accounts/{self.account_sid}"
        if request.path == f"{account}.json":
            return 200, {"sid": self.account_sid, "status": "active", "type": "Full"}
        if request.path == f"{account}/IncomingPhoneNumbers.json":
            return self._list(request)
        sid = request.path.removeprefix(f"{account}/IncomingPhoneNumbers/").removesuffix(".json")
        if sid not in self.numbers:
            return 404, None
        return self._change(sid, request.body) if request.method == "POST" else (200, self.numbers[sid])

    def _list(self, request: HttpRequest) -> tuple[int, object]:
        query = parse_qs(urlsplit(request.target).query)
        part, size = query.get("PhoneNumber", [""])[0], int(query.get("PageSize", ["50"])[0])
        found = [number for number in self.numbers.values() if part in str(number["phone_number"])]
        return 200, {"incoming_phone_numbers": found[:size], "page": 0, "page_size": size, "next_page_uri": None}

    def _change(self, sid: str, body: bytes) -> tuple[int, object]:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        self.on_change()
        if self.changes_fail:
            return 503, None
        methods = {form.get(name, "POST") for name in ("VoiceMethod", "StatusCallbackMethod")}
        if not form.keys() <= _FIELDS.keys() or not methods <= {"GET", "POST"}:
            return 400, None
        self.numbers[sid] |= {_FIELDS[name]: value for name, value in form.items()}
        self.changes.append({"sid": sid, **form})
        return 200, self.numbers[sid]
