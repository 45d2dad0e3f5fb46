"""Asking Vapi to take a call that Twilio has just offered us (attach modes `tap` and `bridge`).

`POST /call` with the bypass flag makes a call at Vapi without dialling anybody, and answers with the TwiML that
connects the caller to it (https://docs.vapi.ai/calls/call-handling-with-vapi-and-twilio). With a websocket transport
the answer names a socket instead, on which the call's audio goes both ways: here as the telephone has it, mu-law at
8 kHz, so that nothing need be encoded anew (https://docs.vapi.ai/calls/websocket-transport).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.destination import is_number
from ..errors import AssistantRefused, AssistantUnavailable
from ..http import asked, httpx, json_object
from .vapi_ids import table


@dataclass(frozen=True, slots=True)
class BypassCall:
    """A call that waits for its caller at Vapi."""

    vapi_call_id: str
    twiml: str
    """What connects the caller to it."""
    control_url: str | None = field(repr=False)
    """A secret, and unchecked."""


@dataclass(frozen=True, slots=True)
class SocketCall:
    """A call that waits for somebody to dial its socket. Both addresses are secrets, and unchecked."""

    vapi_call_id: str
    socket_url: str = field(repr=False)
    control_url: str | None = field(repr=False)


TRANSPORT = {
    "provider": "vapi.websocket",
    "audioFormat": {"format": "mulaw", "container": "raw", "sampleRate": 8000},
}


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
        if is_number(caller):  # a withheld number is no number
            body["customer"] = {"number": caller}
        return read_call(await self._post(body, "VAPI_API_KEY, VAPI_ASSISTANT_ID and VAPI_PHONE_NUMBER_ID"))

    async def create_socket(self) -> SocketCall:
        """A call whose audio goes over a socket. Raises AssistantUnavailable or AssistantRefused."""
        body = {"assistantId": self._body["assistantId"], "transport": TRANSPORT}
        return read_socket_call(await self._post(body, "VAPI_API_KEY and VAPI_ASSISTANT_ID"))

    async def _post(self, body: Mapping[str, Any], suspects: str) -> bytes:
        """Vapi's answer. `suspects`: the settings that are wrong where it refuses."""
        try:
            response = await asked(self._client, self._url, json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise AssistantUnavailable(f"Vapi cannot be reached ({type(error).__name__})") from None
        if response.status_code == 429 or response.status_code >= 500:
            raise AssistantUnavailable(f"Vapi answered {response.status_code} to a new call")
        if not response.is_success:
            raise AssistantRefused(f"Vapi answered {response.status_code} to a new call: check {suspects}")
        return response.content


def read_call(body: bytes) -> BypassCall:
    """Vapi's answer. Raises AssistantUnavailable where it is not one we can use."""
    call = json_object(body)
    details = table(call.get("phoneCallProviderDetails"))
    call_id, twiml = call.get("id"), details.get("twiml")
    control_url = table(call.get("monitor")).get("controlUrl")
    if not isinstance(call_id, str) or not isinstance(twiml, str):
        raise AssistantUnavailable("Vapi's answer to a new call has no TwiML in it")
    return BypassCall(call_id, twiml, control_url if isinstance(control_url, str) else None)


def read_socket_call(body: bytes) -> SocketCall:
    """The same for a call over a socket."""
    call = json_object(body)
    call_id, socket_url = call.get("id"), table(call.get("transport")).get("websocketCallUrl")
    control_url = table(call.get("monitor")).get("controlUrl")
    if not isinstance(call_id, str) or not isinstance(socket_url, str):
        raise AssistantUnavailable("Vapi's answer to a new call names no socket for its audio")
    return SocketCall(call_id, socket_url, control_url if isinstance(control_url, str) else None)
