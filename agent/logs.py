"""Structured logs on standard error: JSON lines, with the call's id bound once per tree.

Logs carry counts, spans and ids; never audio, words, full numbers, addresses of control, or tokens. Libraries are held
to warnings, because some of them log the addresses they request.
"""

import logging
import sys

import structlog

WARNING = logging.WARNING

NOISY = ("httpx2", "httpcore2", "hypercorn.access", "trio-websocket")


def configure(level: int = logging.INFO) -> None:
    """Set the log up for a process. Call it once, from the command line."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
