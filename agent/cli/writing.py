"""Results that a command writes where its user says."""

from pathlib import Path

from ..errors import CallmoodError, ConfigError


def check_writable(path: Path) -> None:
    """Before the work whose result it is, and not behind it. Raises ConfigError."""
    import os

    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"{path} cannot be written: name another file")


def save(path: Path, data: bytes) -> None:
    """Raises CallmoodError."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CallmoodError(f"{path} cannot be written ({error.strerror}): name another file") from None


def save_json(path: Path, found: object) -> None:
    """The same, for people to read as well."""
    import msgspec

    save(path, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
