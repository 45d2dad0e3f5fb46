"""Structured logs on standard error: JSON lines, with the call's id bound once per tree.

Logs carry counts, spans and ids; never audio, words, full numbers, addresses of control, or tokens. Libraries are held
to warnings, because some of them log the addresses they request.
"""

import logging
import sys
import traceback
from collections.abc import Iterator

import structlog
from structlog.typing import EventDict

WARNING = logging.WARNING

FRAMES = 12
"""Innermost frames of a traceback that are kept."""

NOISY = ("httpx2", "httpcore2", "hypercorn.access", "trio-websocket")
TALKATIVE = ("opentelemetry", "urllib3")
"""They put addresses, headers with keys in them, and answers of strangers into what they say."""


def without_what_was_said(logger: object, method: str, event: EventDict) -> EventDict:
    """An exception as its kind and where it happened. Its text and the local variables may hold what a caller said."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = list(_places(error))
    return event


def _places(error: BaseException) -> Iterator[dict[str, object]]:
    """One entry for each exception in a group, and for what caused it."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _places(inner)
        return
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    yield {"kind": type(error).__name__, "at": [f"{f.filename}:{f.lineno} {f.name}" for f in frames]}
    if error.__cause__ is not None:
        yield from _places(error.__cause__)


class Libraries(logging.Handler):
    """What libraries log, as lines like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        said = str(record.msg) if record.name.partition(".")[0] in TALKATIVE else record.getMessage()
        structlog.get_logger().warning("library", name=record.name, said=said, exc_info=error)


def configure(level: int = logging.INFO) -> None:
    """Set the log up for a process. Call it once, from the command line."""
    logging.basicConfig(level=logging.WARNING, handlers=[Libraries()])
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_what_was_said,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line at once: several processes may write
        cache_logger_on_first_use=True,
    )
