"""What an operator may do to a live call. Orders take the ways that decisions take, through the call's own actors."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Literal

import msgspec
import trio
from quart import Blueprint, Response, request

from ..actors.incoming import Order
from ..attach.transfers import checked_destination
from ..calls.call import Call
from ..calls.handover import OPERATOR
from ..errors import AssistantRefused, BadRequest, CallGone
from .house import house
from .listing import find
from .replies import fitted, json_reply, read_body

routes = Blueprint("actions", __name__)

ACTION_LIMIT = 16 * 1024
OBEYED_S = 2.0
"""How long the call may take to take an order; it has nothing else to do."""


class Action(msgspec.Struct, forbid_unknown_fields=True):
    action: Literal["interrupt", "transfer", "context", "stop_analysis", "wrong"]
    to: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None
    t: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] | None = None


_action = msgspec.json.Decoder(Action)
_USES = {"transfer": "to", "context": "text", "wrong": "t"}


@routes.post("/calls/<call_sid>/actions")
async def act(call_sid: str) -> Response:
    """Accepted is not done: what came of it is in the call's timeline. An interruption of an assistant that is silent
    by then does nothing."""
    rooms = house()
    rooms.access.require(request.headers, request.cookies)
    wanted = read_action(await read_body(ACTION_LIMIT))
    call = rooms.directory.find(call_sid)
    if call is None:
        await find(call_sid)  # 404 where there never was one
    if call is None or call.outcome is not None:
        raise gone()
    try:
        await ACTIONS[wanted.action](call, wanted)
    except CallGone:
        raise gone() from None
    return json_reply({"status": "accepted"}, 202)


def read_action(body: bytes) -> Action:
    """Raises BadRequest 400 with one sentence saying what is wrong with the body."""
    wanted = fitted(_action, body)
    for name in ("to", "text", "t"):
        if getattr(wanted, name) is not None and _USES.get(wanted.action) != name:
            raise BadRequest(f"The action {wanted.action} takes no {name}.")
    if wanted.action == "context" and not (wanted.text or "").strip():
        raise BadRequest("The action context needs a text.")
    if wanted.to is not None:
        try:
            checked_destination(wanted.to)
        except AssistantRefused:
            raise BadRequest("to must be a number like +15550100100 or a SIP address like sip:a@b.") from None
    return wanted


def gone() -> BadRequest:
    return BadRequest("This call has ended.", status=409, code="ended")


def among_machines(call: Call) -> None:
    """Raises BadRequest 409 where the caller speaks with a human, and there is no assistant to act on."""
    if call.handed_over:
        raise BadRequest("This call has been passed on to a human.", status=409, code="transferred")


async def order(call: Call, what: Order) -> None:
    with trio.move_on_after(OBEYED_S):
        await call.obey(what)
        return
    raise BadRequest("The call does not take orders just now: try again.", status=503, code="busy")


async def _interrupt(call: Call, wanted: Action) -> None:
    among_machines(call)
    await order(call, Order("interrupt"))


async def _context(call: Call, wanted: Action) -> None:
    among_machines(call)
    await order(call, Order("context", wanted.text or ""))


async def _transfer(call: Call, wanted: Action) -> None:
    """Claimed here, so that of two who ask at once one hears that the other was first. That there is nobody to take the
    call is in the timeline once."""
    if call.handover.has_failed and not (wanted.to or house().settings.transfer_to):
        message = "Nobody is set to take the call: name somebody with to, or set CALLMOOD_TRANSFER_TO."
        raise BadRequest(message, status=409, code="nobody")
    if not call.claim_transfer(OPERATOR):
        raise BadRequest("This call is being passed on already.", status=409, code="transferred")
    try:
        await order(call, Order("transfer", wanted.to or ""))
    except BadRequest:
        call.transfer_unwanted()
        raise


async def _stop_analysis(call: Call, wanted: Action) -> None:
    call.withdraw_consent("action")


async def _wrong(call: Call, wanted: Action) -> None:
    """Somebody says that a decision was wrong: the one made at `t`, else the latest."""
    call.timeline.record("decision.wrong", **({} if wanted.t is None else {"decidedT": wanted.t}))


ACTIONS: Mapping[str, Callable[[Call, Action], Awaitable[None]]] = {
    "interrupt": _interrupt,
    "context": _context,
    "transfer": _transfer,
    "stop_analysis": _stop_analysis,
    "wrong": _wrong,
}
