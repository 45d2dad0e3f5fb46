"""Which call Vapi speaks of: its own id, and the carrier's in every place where that may stand.

`phoneCallProviderId` is deprecated and still sent, `transport.callSid` is its successor; a call that came over SIP has
the carrier's id only in a header of ours (`x-callsid`), which Vapi shows among the variables of the call. Ids are
looked up, never acted upon, so an id too many does no harm. Server messages and requests to the gateway are read alike.
"""

from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 2048
"""Characters of any text that we take from Vapi whole."""
MOST_KEYS = 200
"""Keys looked through in a table whose keys are the user's own."""

_OWN_NAMES = frozenset({"callsid", "xcallsid", "twiliocallsid"})


def carrier_ids(call: Mapping[str, Any], *others: object) -> tuple[str, ...]:
    """The carrier's ids that a call carries, the likeliest first, each once. `others`: further tables of variables."""
    transport, overrides = table(call.get("transport")), table(call.get("assistantOverrides"))
    found = [text(call.get("phoneCallProviderId")), text(transport.get("callSid"))]
    details = table(call.get("phoneCallProviderDetails"))
    for place in (
        *(overrides.get("variableValues"), overrides.get("metadata"), call.get("metadata")),
        *(transport.get("sipHeaders"), transport.get("headers"), table(details.get("sip")).get("headers")),
        *(table(call.get("assistant")).get("metadata"), *others),
    ):
        found += named_ids(table(place))
    return tuple(dict.fromkeys(sid for sid in found if sid))


def named_ids(variables: Mapping[str, Any]) -> Iterator[str | None]:
    """What stands under a name such as `callSid`, `call_sid` or `X-CallSid`."""
    for name, value in list(variables.items())[:MOST_KEYS]:
        if name.lower().replace("-", "").replace("_", "") in _OWN_NAMES:
            yield text(value)


def table(value: object) -> Mapping[str, Any]:
    """An object of JSON; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """A text that is not empty and not too long to be an id or an address; anything else is None."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST else None
