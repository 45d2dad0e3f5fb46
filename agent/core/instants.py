"""Moments of the calendar, as they are said everywhere. Pure."""

from datetime import UTC, datetime


def instant(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds: the form in which moments are kept and shown, and sort."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def second(epoch_s: int) -> str:
    """The same without milliseconds and Z, of so many seconds since the epoch."""
    return datetime.fromtimestamp(epoch_s, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
