"""Whether a vendor would serve us now: a session is opened as for a call, and closed before any audio. That is free."""

import trio
from trio_websocket import ConnectionClosed

from ...dialling import DialFailed, dialled
from ...errors import EngineUnavailable
from .dialect import Over, Ready, Send, Vendor
from .engine import CONNECT_S, MESSAGE_LIMIT


async def knock(vendor: Vendor) -> None:
    """Returns once the vendor has opened a session. Raises EngineUnavailable or EngineRefused."""
    try:
        with trio.fail_after(CONNECT_S):
            await _open_a_session(vendor)
    except trio.TooSlowError:
        raise EngineUnavailable(f"{vendor.title} did not open a session within {CONNECT_S:g} s") from None
    except DialFailed as failure:
        if failure.status is not None:
            raise vendor.refused(failure.status) from None
        raise EngineUnavailable(f"{vendor.title} cannot be used now: {failure}") from None


async def _open_a_session(vendor: Vendor) -> None:
    dialect = vendor.dialect()
    async with dialled(
        vendor.url, headers=vendor.headers, subprotocols=vendor.subprotocols, message_limit=MESSAGE_LIMIT
    ) as socket:
        while True:
            try:
                message = await socket.get_message()
            except ConnectionClosed as closed:
                raise dialect.closed(closed.reason.code if closed.reason is not None else 1006) from None
            for fact in dialect.feed(message):
                if isinstance(fact, Send):
                    await socket.send_message(fact.text)
                elif isinstance(fact, Over):
                    raise fact.error
                elif isinstance(fact, Ready):
                    await socket.send_message(vendor.goodbye)
                    return
