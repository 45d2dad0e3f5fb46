"""The error family. Each message is one sentence that says what to do.

Foreign exceptions are translated once, at the edge.
"""


class CallmoodError(Exception):
    """Anything Callmood itself reports."""


class ConfigError(CallmoodError):
    """A setting, file or argument is wrong. The command line ends with exit code 2."""


class BadRequest(CallmoodError):
    """What came in over HTTP cannot be used. Carries the status and code of its answer."""

    def __init__(self, message: str, *, status: int = 400, code: str = "bad_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BadMessage(CallmoodError):
    """A carrier's message that cannot be read."""


class CallGone(CallmoodError):
    """The call ended elsewhere: stop telling."""


class EngineUnavailable(CallmoodError):
    """An engine does not answer, or answers nonsense. Worth trying again."""


class EngineRefused(CallmoodError):
    """An engine will not serve us: credentials, quota. Not worth trying again."""


class AssistantUnavailable(CallmoodError):
    """The assistant's platform does not answer. Worth trying again, after `retry_after` seconds where it said so."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AssistantRefused(CallmoodError):
    """The assistant's platform understood, and will not. Not worth trying again."""


class CarrierUnavailable(CallmoodError):
    """The carrier's API does not answer. Worth trying again, after `retry_after` seconds where it said so."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CarrierRefused(CallmoodError):
    """The carrier's API understood, and will not: credentials, a wrong value. Not worth trying again."""


class TunnelUnavailable(CallmoodError):
    """The tunnel from the public network to this machine does not come up, or has gone."""


class LedgerUnavailable(CallmoodError):
    """The ledger cannot be written or read now."""


class AudioUnreadable(CallmoodError):
    """A file that is not audio we can read."""
