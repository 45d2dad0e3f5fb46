"""Calls that begin at Vapi (`fork`, `listen`): which of its messages begin one here.

Vapi repeats nothing and promises no order, so any message of a call under way may be the first we see of it, and one
may still come when the call is over: an id that has begun or ended here once never begins again.
"""

from collections import OrderedDict
from collections.abc import Collection

import structlog

from ..assistants.vapi_messages import FINAL_TRANSCRIPT, ServerMessage
from ..calls.call import CALL_SID, Call
from ..calls.directory import CallDirectory

log = structlog.get_logger()

REMEMBERED = 10_000
"""Ids of calls that have begun or ended here, two a call; long before one is forgotten Vapi has said all there is."""

_UNDER_WAY = frozenset(
    {
        *("speech-update", "transcript", FINAL_TRANSCRIPT, "conversation-update", "user-interrupted", "model-output"),
        *("assistant.started", "assistant.speechStarted", "voice-input", "hang", "tool-calls", "function-call"),
    }
)
"""Types of messages that only come while caller and assistant are connected."""


def under_way(message: ServerMessage) -> bool:
    """It speaks of a call whose caller and assistant are connected."""
    if message.type == "status-update":
        return message.status == "in-progress"
    return message.type in _UNDER_WAY and message.call_status in (None, "in-progress")


def over(message: ServerMessage) -> bool:
    """It says that the call has ended."""
    ended = message.type == "status-update" and message.status == "ended"
    return ended or message.type == "end-of-call-report" or message.call_status == "ended"


class VapiBegun:
    """Lets each call of Vapi's begin once."""

    def __init__(self, directory: CallDirectory) -> None:
        self._directory = directory
        self._known: OrderedDict[str, None] = OrderedDict()

    def knows(self, ids: Collection[str]) -> bool:
        """One of these ids has begun or ended here."""
        return not self._known.keys().isdisjoint(ids)

    def unknown(self, message: ServerMessage) -> bool:
        """It is under way, and the first we see of its call."""
        return under_way(message) and not over(message) and self._known.keys().isdisjoint(_ids(message))

    def begin(self, call_sid: str, message: ServerMessage) -> Call | None:
        """The new call; None where there is no slot, which is not asked again: the caller is served without us."""
        self.remember(message)
        if not CALL_SID.fullmatch(call_sid):
            return None
        call = self._directory.register(call_sid, caller=message.caller or "")
        if call is None:
            log.warning("call.not_admitted", draining=self._directory.draining, live=len(self._directory))
            return None
        call.vapi_call_id = message.vapi_call_id
        call.announce()
        return call

    def remember(self, message: ServerMessage) -> None:
        """Its call has begun here, or is over: whatever comes of it now begins nothing."""
        for known in _ids(message):
            self._known[known] = None
            self._known.move_to_end(known)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _ids(message: ServerMessage) -> tuple[str, ...]:
    return (*message.call_sids, *((message.vapi_call_id,) if message.vapi_call_id else ()))
