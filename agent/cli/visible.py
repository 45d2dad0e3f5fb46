"""Text from elsewhere on its way to a terminal, which would obey some of it."""

import re

_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, and what ends lines or turns their direction round."""


def visible(text: str) -> str:
    """The same with what a terminal would obey written as JSON writes it, so that JSON stays what it was."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
