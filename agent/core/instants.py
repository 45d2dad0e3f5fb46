"""Moments of the calendar, as they are said everywhere. Pure."""

from datetime import UTC, datetime


def instant(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds: the form in which moments are kept and shown, and sort."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
