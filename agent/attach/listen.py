"""Attach mode `listen`: no Twilio at all. We dial the address at which Vapi lets a call be listened to.

The call begins with the first message of Vapi's that carries that address. It is only dialled once the message has
proved itself and its host has been checked, for whoever could have us dial anywhere would have a way into our network.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import structlog
import trio

from ..apart import start_apart
from ..assistants.vapi import BadControlUrl
from ..assistants.vapi_dial import checked_socket_url
from ..assistants.vapi_listen import ListenShape
from ..assistants.vapi_messages import ServerMessage
from ..calls.call import Call
from ..calls.directory import CallDirectory
from ..ingress.listen import ListenLine
from ..telephony.twiml import Fallback, fallback_only
from .at_vapi import VapiBegun, over
from .mode import Offer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Listening:
    """How Vapi's calls are listened to."""

    shape: ListenShape
    extra_hosts: frozenset[str]
    """Hosts beside vapi.ai that may be dialled; these alone without TLS."""
    public_key: str
    heartbeat_s: float
    """Seconds between pings."""
    engine: str
    """Who is degraded where no audio comes."""
    takes_audio: bool = True

    def __repr__(self) -> str:
        return "Listening()"


class Listen:
    """Begins a call with what Vapi tells of it, and dials where it can be heard."""

    name = "listen"
    begins_here = False

    def __init__(
        self, directory: CallDirectory, errands: trio.Nursery, fallback: Fallback, listening: Listening
    ) -> None:
        self._errands, self._fallback, self._listening = errands, fallback, listening
        self._begun = VapiBegun(directory)

    async def answer(self, offer: Offer, call: Call | None) -> str:
        log.warning("listen.called_here", do="give the number's voice webhook to Vapi: nothing of Twilio is needed")
        return fallback_only(self._fallback)

    def knows(self, ids: Collection[str]) -> bool:
        return self._begun.knows(ids)

    def learn(self, message: ServerMessage) -> None:
        if over(message):
            self._begun.remember(message)
        elif message.listen_url is not None and self._begun.unknown(message):
            self._begin(message, message.listen_url)

    def _begin(self, message: ServerMessage, listen_url: str) -> None:
        try:
            address = checked_socket_url(listen_url, self._listening.extra_hosts)
        except BadControlUrl as error:
            log.warning("vapi.bad_listen_url", reason=str(error))
            return
        call_sid = next(iter(message.call_sids), None) or message.vapi_call_id
        call = self._begun.begin(call_sid, message) if call_sid else None
        if call is None:
            return
        if not self._listening.takes_audio:
            call.awaits_audio = False
            return
        line = ListenLine(
            call,
            address,
            self._listening.shape,
            public_key=self._listening.public_key,
            heartbeat_s=self._listening.heartbeat_s,
        )
        start_apart(self._errands, partial(line.run, engine=self._listening.engine))
