"""Twilio's REST API, as far as a live call needs it: other TwiML for it, its end, and a stream beside it.

Form bodies, HTTP basic auth, errors as `{"code", "message", "status"}`. One request each and no patience of its own:
callers write `trio.move_on_after`. https://www.twilio.com/docs/voice/api/call-resource, .../stream-resource
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ..errors import CallGone, CarrierRefused, CarrierUnavailable
from ..http import asked, httpx, json_object, retry_after

_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}", re.ASCII)
_STREAM_SID = re.compile(r"MZ[0-9a-fA-F]{32}", re.ASCII)

_NOT_IN_PROGRESS = 21220
"""The error code of a call that is over, or not begun (https://www.twilio.com/docs/api/errors/21220)."""
_NO_KEY = "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"


def is_call_sid(text: str) -> bool:
    """Whether Twilio could have given a call this id."""
    return _CALL_SID.fullmatch(text) is not None


class TwilioRest:
    """Live calls of one account. Methods raise CarrierUnavailable (try again), CarrierRefused (do not), CallGone."""

    def __init__(self, client: httpx.AsyncClient, *, account_sid: str, auth_token: str, base_url: str) -> None:
        account = quote(account_sid, safe="")
        self._client = client
        self._calls = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account}/Calls"
        self._auth = httpx.BasicAuth(account_sid, auth_token)

    async def update_call(self, call_sid: str, twiml: str) -> None:
        """Go on with this TwiML instead: what the call is executing ends, streams under <Connect> included."""
        await self._post(call_sid, "", {"Twiml": twiml})

    async def complete(self, call_sid: str) -> None:
        """Hang up. A call that is over already raises CallGone."""
        await self._post(call_sid, "", {"Status": "completed"})

    async def start_stream(
        self, call_sid: str, *, url: str, name: str, parameters: Mapping[str, str], status_callback: str
    ) -> str:
        """Have the caller's voice sent to `url` (wss) beside whatever the call does; the stream's id.

        `name`: unique within the call. `parameters`: what `start` brings us, as a <Parameter> would.
        """
        form = {
            "Url": url,
            "Name": name,
            "Track": "inbound_track",
            "StatusCallback": status_callback,
            "StatusCallbackMethod": "POST",
        }
        for number, (key, value) in enumerate(parameters.items(), 1):
            form |= {f"Parameter{number}.Name": key, f"Parameter{number}.Value": value}
        stream_sid = (await self._post(call_sid, "/Streams", form)).get("sid")
        if not isinstance(stream_sid, str) or not _STREAM_SID.fullmatch(stream_sid):
            raise CarrierUnavailable("Twilio's answer names no stream")
        return stream_sid

    async def _post(self, call_sid: str, below: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """One request about one call; the answer's JSON. The id becomes part of a path, so it has to be an id."""
        if not is_call_sid(call_sid):
            raise CarrierRefused("this call is none of Twilio's")
        try:
            url = f"{self._calls}/{call_sid}{below}.json"
            response = await asked(self._client, url, data=form, auth=self._auth)
        except httpx.HTTPError as error:
            raise CarrierUnavailable(f"Twilio cannot be reached ({type(error).__name__})") from None
        answer = json_object(response.content)
        _check(response, answer.get("code"))
        return answer


def _check(response: httpx.Response, code: object) -> None:
    """Any 2xx is accepted; redirects are not followed. Messages are not repeated: they may hold numbers."""
    status = response.status_code
    if response.is_success:
        return
    said = f"Twilio answered {status}" + (f" (error {code})" if isinstance(code, int) else "")
    if status in (404, 410) or code == _NOT_IN_PROGRESS:
        raise CallGone(said)
    if status in (408, 429) or status >= 500:
        raise CarrierUnavailable(said, retry_after=retry_after(response))
    raise CarrierRefused(f"{said}: {_NO_KEY}" if status in (401, 403) else said)
