"""Asking Vapi to take a call that Twilio has just offered us (attach mode `tap`).

`POST /call` with the bypass flag makes a call at Vapi without dialling anybody, and answers with the TwiML that
connects the caller to it. Wire format: https://docs.vapi.ai/calls/call-handling-with-vapi-and-twilio
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..errors import AssistantRefused, AssistantUnavailable
from ..http import httpx

_E164 = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class BypassCall:
    """A call that waits for its caller at Vapi."""

    vapi_call_id: str
    twiml: str
    """What connects the caller to it."""
    control_url: str | None = field(repr=False)
    """A secret, and unchecked."""


class VapiCalls:
    """Makes calls at Vapi, one request each: a repeated one would make a second call."""

    def __init__(
        self, client: httpx.AsyncClient, *, base_url: str, api_key: str, assistant_id: str, phone_number_id: str
    ) -> None:
        self._client, self._url = client, f"{base_url.rstrip('/')}/call"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._body = {
            "assistantId": assistant_id,
            "phoneNumberId": phone_number_id,
            "phoneCallProviderBypassEnabled": True,
        }

    async def create(self, caller: str) -> BypassCall:
        """A call for this caller. Raises AssistantUnavailable or AssistantRefused."""
        body = dict(self._body)
        if _E164.fullmatch(caller):  # a withheld number is no number
            body["customer"] = {"number": caller}
        try:
            response = await self._client.post(self._url, json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise AssistantUnavailable(f"Vapi cannot be reached ({type(error).__name__})") from None
        if response.status_code == 429 or response.status_code >= 500:
            raise AssistantUnavailable(f"Vapi answered {response.status_code} to a new call")
        if not response.is_success:
            raise AssistantRefused(
                f"Vapi answered {response.status_code} to a new call: check VAPI_API_KEY, VAPI_ASSISTANT_ID and "
                "VAPI_PHONE_NUMBER_ID"
            )
        return read_call(response.content)


def read_call(body: bytes) -> BypassCall:
    """Vapi's answer. Raises AssistantUnavailable where it is not one we can use."""
    try:
        call = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        call = None
    details = _table(_table(call).get("phoneCallProviderDetails"))
    call_id, twiml = _table(call).get("id"), details.get("twiml")
    control_url = _table(_table(call).get("monitor")).get("controlUrl")
    if not isinstance(call_id, str) or not isinstance(twiml, str):
        raise AssistantUnavailable("Vapi's answer to a new call has no TwiML in it")
    return BypassCall(call_id, twiml, control_url if isinstance(control_url, str) else None)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
