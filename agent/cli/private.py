"""Files that a command writes for its owner's eyes: how callers felt is nobody else's to read."""

import os
import stat
from pathlib import Path

_OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR


def opened(path: Path) -> int:
    """A descriptor to write it anew, readable by its owner alone whatever it was before. Raises ConfigError."""
    from ..errors import ConfigError

    try:
        found = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}): name another file") from None
    if stat.S_ISREG(os.fstat(found).st_mode):  # and no terminal or pipe
        os.fchmod(found, _OWNER_ONLY)
    return found


def write(path: Path, text: str) -> None:
    """A whole text, in UTF-8. Raises ConfigError."""
    with os.fdopen(opened(path), "w", encoding="utf-8") as file:
        file.write(text)
