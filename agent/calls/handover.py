"""Whether a call is being passed on to a human, has been, or could not be: said in its timeline, each thing once.

A call is passed on once at most. It is asked for by a rule or by an operator; whoever is first has claimed it, and the
claim ends with success, with failure, or because a second opinion would rather not. A rule asks once a call; after a
failure only an operator may ask again. News comes in any order: the platform that accepted a transfer may tell minutes
later that nobody answered, and an assistant may pass the caller on without being asked by us.
"""

from enum import Enum

from ..core.destination import masked
from .timeline import Record


class Stage(Enum):
    NONE = "nobody has asked"
    CLAIMED = "asked for, or under way"
    DONE = "the platform has accepted"
    FAILED = "it came to nothing"


OPERATOR = "operator"
"""In the place of a rule's name, where an operator asked."""
ASSISTANT = "assistant"
"""The same, where the assistant passed the caller on by itself."""


def shown(destination: str) -> str:
    """A destination as it may be seen: a number's last two digits, or the host of a SIP address."""
    scheme, colon, address = destination.partition(":")
    if colon and scheme.lower() in ("sip", "sips"):
        host = address.rpartition("@")[2]
        for mark in ";?":
            host = host.partition(mark)[0]
        return f"{scheme.lower()}:{host}"
    return masked(destination)


class Handover:
    """One call's. Plain state, changed from one thread."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._stage = self._before = Stage.NONE
        self._rule, self._destination, self._begun = ASSISTANT, "", False

    @property
    def open_to_rules(self) -> bool:
        return self._stage is Stage.NONE

    @property
    def under_way(self) -> bool:
        """Asked for, and neither done nor failed."""
        return self._stage is Stage.CLAIMED

    @property
    def has_failed(self) -> bool:
        """The last attempt came to nothing, and the timeline says why."""
        return self._stage is Stage.FAILED

    @property
    def done(self) -> bool:
        """The caller speaks with a human, or soon will."""
        return self._stage is Stage.DONE

    def claim(self, rule: str) -> bool:
        """Ask for it in the name of a rule, or of the operator. False: it is under way or done, or a rule's turn is
        over."""
        allowed = (Stage.NONE, Stage.FAILED) if rule == OPERATOR else (Stage.NONE,)
        if self._stage not in allowed:
            return False
        self._before, self._stage = self._stage, Stage.CLAIMED
        self._rule, self._destination, self._begun = rule, "", False
        return True

    def release(self) -> None:
        """What was claimed is not wanted any more, and nothing has been done about it."""
        if self._stage is Stage.CLAIMED and not self._begun:
            self._stage = self._before

    def begin(self, destination: str, why: str = "") -> None:
        """The platform is being asked; `why` in plain words."""
        self._destination, self._begun = shown(destination), True
        self._event("started", **({"why": why} if why else {}))

    def succeeded(self) -> bool:
        """The platform has accepted, or says that it happened. True: that is news."""
        if self._stage is Stage.DONE:
            return False
        if self._stage is not Stage.CLAIMED or not self._begun:  # the assistant passed the caller on by itself
            self._rule, self._destination, self._begun = ASSISTANT, "", True
        self._stage = Stage.DONE
        self._event("done")
        return True

    def failed(self, reason: str) -> None:
        """It came to nothing, or nobody answered where the caller was sent. Said once a transfer."""
        if self._stage is Stage.FAILED:
            return
        if self._stage is Stage.NONE:
            self._rule, self._destination = ASSISTANT, ""
        self._stage = Stage.FAILED
        self._event("failed", reason=reason)

    def _event(self, what: str, **more: object) -> None:
        self._record(f"escalation.{what}", rule=self._rule, action="transfer", destination=self._destination, **more)
