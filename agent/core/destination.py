"""Whom a caller can be passed on to: a telephone number (E.164) or a SIP address; and how numbers are shown. Pure."""

import re

_E164 = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)
_SIP = re.compile(
    r"(?i:sips?):[\w.!~*'()%&=+$,;?/-]{1,128}@[\w.:\[\]-]{1,128}(;[\w=;.-]{1,64})?(\?[\w.!~*'()%&=+$,;-]{1,256})?",
    re.ASCII,
)
"""With the parameters behind `;` and the headers behind `?` that Twilio passes on
(https://www.twilio.com/docs/voice/twiml/sip)."""
_CONTROL = re.compile(r"%[01][0-9a-f]|%7f", re.ASCII | re.IGNORECASE)
"""Escaped line ends would be headers of their own."""


def is_number(text: str) -> bool:
    return _E164.fullmatch(text) is not None


def is_sip_address(text: str) -> bool:
    return _SIP.fullmatch(text) is not None and _CONTROL.search(text) is None


_IN_TEXT = re.compile(r"(?<![\w*])\+?\d[\d ()./-]{5,}\d(?!\w)")
"""What may be a telephone number, or another that is nobody's to read, in what somebody says."""


def masked_in(text: str) -> str:
    """A text with the long numbers in it hidden, but for their last two digits."""
    return _IN_TEXT.sub(lambda found: f"***{found[0][-2:]}", text)


def masked(number: str) -> str:
    """A telephone number or address with everything but its last two digits hidden."""
    return f"***{number[-2:]}" if number[-2:].isdigit() else "***" if number else ""
