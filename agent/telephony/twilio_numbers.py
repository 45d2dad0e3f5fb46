"""The account's telephone numbers at Twilio: where each sends its calls, and sending them elsewhere.

`GET /2010-04-01/Accounts/{AC…}/IncomingPhoneNumbers.json` lists them, `POST …/IncomingPhoneNumbers/{PN…}.json` changes
what is named in its form and leaves the rest. A number with a TwiML application or a SIP trunk ignores its own
addresses (https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource). One request each and no
patience of its own: callers write `trio.fail_after`. Raises CarrierUnavailable (try again) and CarrierRefused (do not).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from ..errors import CarrierRefused, CarrierUnavailable
from ..http import asked, httpx, json_object

PAGE = 50
"""Numbers asked for at once, and looked at: who has more, names one."""

NUMBER_SID = re.compile(r"PN[0-9a-fA-F]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Where a number's calls go, and where their ends are told. Empty: nowhere."""

    voice_url: str
    voice_method: str
    """GET or POST."""
    status_callback: str
    status_callback_method: str

    def form(self) -> dict[str, str]:
        """As Twilio takes them; an empty address takes the one that was there away."""
        return {
            "VoiceUrl": self.voice_url,
            "VoiceMethod": self.voice_method,
            "StatusCallback": self.status_callback,
            "StatusCallbackMethod": self.status_callback_method,
        }


@dataclass(frozen=True, slots=True)
class Number:
    """One telephone number of the account."""

    sid: str
    number: str = field(repr=False)
    """E.164."""
    webhooks: Webhooks
    overruled_by: str
    """The application or trunk whose addresses are used instead of the number's own; mostly empty."""


@dataclass(frozen=True, slots=True)
class Account:
    """What Twilio says of the account itself."""

    status: str
    """active, suspended, closed."""
    clock: float | None
    """Twilio's time, in seconds since the epoch, from the answer's Date; whole seconds."""


class TwilioNumbers:
    """The numbers of one account."""

    def __init__(self, client: httpx.AsyncClient, *, account_sid: str, auth_token: str, base_url: str) -> None:
        self._client = client
        self._account = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{quote(account_sid, safe='')}"
        self._auth = httpx.BasicAuth(account_sid, auth_token)

    async def account(self) -> Account:
        """The account, which shows whether the credentials are good."""
        response = await self._request("GET", ".json")
        return Account(_text(json_object(response.content), "status"), clock_of(response.headers.get("date")))

    async def find(self, number: str = "") -> tuple[Number, ...]:
        """The account's numbers, the first fifty; or those that are exactly this one (E.164)."""
        query = {"PageSize": str(PAGE), **({"PhoneNumber": number} if number else {})}
        response = await self._request("GET", "/IncomingPhoneNumbers.json", params=query)
        listed = json_object(response.content).get("incoming_phone_numbers")
        if not isinstance(listed, list):
            raise CarrierUnavailable("Twilio's answer is no list of numbers: try again")
        found = [read_number(item) for item in listed]
        # The filter of the query matches parts of numbers too.
        return tuple(item for item in found if not number or item.number == number)

    async def get(self, sid: str) -> Number:
        """One number by its id (PN…)."""
        response = await self._request("GET", self._path(sid))
        return read_number(json_object(response.content))

    async def point(self, sid: str, webhooks: Webhooks) -> Number:
        """Send a number's calls there from now on; the number as it is then."""
        response = await self._request("POST", self._path(sid), data=webhooks.form())
        return read_number(json_object(response.content))

    def _path(self, sid: str) -> str:
        """The id becomes part of a path, so it has to be an id."""
        if not NUMBER_SID.fullmatch(sid):
            raise CarrierRefused(f"{sid!r} is not the id of a number: it looks like PN and 32 digits")
        return f"/IncomingPhoneNumbers/{sid}.json"

    async def _request(self, method: str, below: str, **more: Any) -> httpx.Response:
        try:
            response = await asked(self._client, self._account + below, method=method, auth=self._auth, **more)
        except httpx.HTTPError as error:
            raise CarrierUnavailable(
                f"Twilio cannot be reached ({type(error).__name__}): check the network and TWILIO_BASE_URL"
            ) from None
        status = response.status_code
        if status in (401, 403):
            raise CarrierRefused(f"Twilio answered {status}: correct TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
        if status == 404:
            raise CarrierRefused("Twilio knows no such number or account: check TWILIO_ACCOUNT_SID")
        if status in (408, 429) or status >= 500:
            raise CarrierUnavailable(f"Twilio answered {status}: try again in a moment")
        if not response.is_success:
            raise CarrierRefused(f"Twilio answered {status} and changed nothing: look at the number in its console")
        return response


def read_number(item: object) -> Number:
    """One number as Twilio describes it. Raises CarrierUnavailable where it does not."""
    table = item if isinstance(item, dict) else {}
    sid, number = _text(table, "sid"), _text(table, "phone_number")
    if not NUMBER_SID.fullmatch(sid) or not number:
        raise CarrierUnavailable("Twilio's answer is not a number: try again")
    webhooks = Webhooks(
        _text(table, "voice_url"),
        _text(table, "voice_method") or "POST",
        _text(table, "status_callback"),
        _text(table, "status_callback_method") or "POST",
    )
    return Number(sid, number, webhooks, _text(table, "voice_application_sid") or _text(table, "trunk_sid"))


def clock_of(date: str | None) -> float | None:
    """An HTTP Date as seconds since the epoch; None where there is none that can be read."""
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError):
        return None


def _text(table: Mapping[str, Any], name: str) -> str:
    """Twilio writes what is not set as null."""
    value = table.get(name)
    return value if isinstance(value, str) else ""
