"""The tokens by which a socket proves that it answers a TwiML of ours: each good once, and in order of issue."""

import secrets

from ..core.sameness import same

TOKENS_KEPT = 8
"""Webhooks may be repeated; so many tokens of one call can be good at once, the oldest giving way."""


class Tokens:
    """One call's. A token's serial number is its place in the order of issue."""

    def __init__(self) -> None:
        self._good: dict[str, int] = {}
        self._issued = 0

    def issue(self) -> str:
        """A new one. Those issued before stay good."""
        self._issued += 1
        token = secrets.token_urlsafe(24)
        self._good[token] = self._issued
        while len(self._good) > TOKENS_KEPT:
            del self._good[next(iter(self._good))]
        return token

    def redeem(self, token: str) -> int | None:
        """Its serial number, once; None: it is not, or no longer, good."""
        for known in self._good:
            if same(token, known):
                return self._good.pop(known)
        return None

    def newer_than(self, serial: int) -> bool:
        """Whether one issued after this one may still come."""
        return any(each > serial for each in self._good.values())
