"""Moments as a user writes them."""

import re
from datetime import UTC, datetime, timedelta

from ..core.instants import instant
from ..errors import ConfigError

_AGO = re.compile(r"(\d{1,6})([dh])", re.ASCII)


def moment(text: str, option: str) -> str:
    """`7d` or `24h` ago, or an ISO date or instant (UTC where it does not say): as the ledger keeps instants. Raises
    ConfigError naming the option."""
    try:
        if ago := _AGO.fullmatch(text.strip()):
            span = timedelta(**{"d": {"days": int(ago[1])}, "h": {"hours": int(ago[1])}}[ago[2]])
            found = datetime.now(UTC) - span
        else:
            found = datetime.fromisoformat(text.strip())
        return instant(found.replace(tzinfo=found.tzinfo or UTC))
    except (ValueError, OverflowError):
        raise ConfigError(f"{option} must be an ISO date like 2026-01-31, or 7d or 24h, not {text!r}") from None
