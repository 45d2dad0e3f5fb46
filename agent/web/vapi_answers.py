"""The server messages that Vapi waits for an answer to: a tool call, who takes a call, where it goes.

Shapes: https://docs.vapi.ai/server-url/events
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..assistants.vapi_messages import ServerMessage, ToolCall
from ..calls.call import Call
from ..settings import Settings

STOP_ANALYSIS = "stop_analysis"
"""The one tool of ours: the caller does not want to be analysed."""

STOPPED = "Done: the caller's voice is not analysed any more. Tell the caller so in one short sentence."
NOT_OURS = "not a tool of Callmood's: give the tool a server URL of its own"
"""What comes to our server URL has no server of its own, and would wait for its answer in vain."""
NO_ASSISTANT = "I'm sorry, nobody can take this call at the moment. Please try again later."
NOBODY_TO_TRANSFER_TO = "There is nobody to transfer the call to."

Json = dict[str, Any]


def answer(call: Call | None, message: ServerMessage, settings: Settings) -> Json | None:
    """What Vapi is told; None: it does not wait for anything. `call`: the live call it speaks of, if there is one."""
    answering = ANSWERS.get(message.type)
    return None if answering is None else answering(call, message, settings)


def _tools(call: Call | None, message: ServerMessage, settings: Settings) -> Json:
    return {"results": [_tool(call, tool) for tool in message.tool_calls]}


def _tool(call: Call | None, tool: ToolCall) -> Json:
    """One line each: Vapi passes over a result with line breaks."""
    told: Json = {"toolCallId": tool.id, "name": tool.name}
    if tool.name != STOP_ANALYSIS:
        return {**told, "error": NOT_OURS}
    if call is not None:
        call.withdraw_consent("tool")
    return {**told, "result": STOPPED}


def _assistant(call: Call | None, message: ServerMessage, settings: Settings) -> Json:
    """Who takes a call of a number that has no assistant. An error is spoken to the caller."""
    assistant_id = settings.vapi_assistant_id
    return {"assistantId": assistant_id} if assistant_id else {"error": NO_ASSISTANT}


def _destination(call: Call | None, message: ServerMessage, settings: Settings) -> Json:
    to = settings.transfer_to
    if not to:
        return {"error": NOBODY_TO_TRANSFER_TO}
    sip = to.lower().startswith(("sip:", "sips:"))
    return {"destination": {"type": "sip", "sipUri": to} if sip else {"type": "number", "number": to}}


ANSWERS: Mapping[str, Callable[[Call | None, ServerMessage, Settings], Json]] = {
    "tool-calls": _tools,
    "assistant-request": _assistant,
    "transfer-destination-request": _destination,
}
