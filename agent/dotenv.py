"""Writing `.env`: values go in where their names stand, everything else stays as it is, and nobody else may read it."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from .errors import ConfigError

_PLAIN = re.compile(r"[\w@%+=:,./~-]*", re.ASCII)
"""What needs no quotes, neither here nor in a shell that reads the file."""


def with_values(text: str, values: Mapping[str, str]) -> str:
    """The text of a `.env` with these values: the last line of each name is rewritten, new names come at the end."""
    lines = text.splitlines()
    for name, value in values.items():
        line = f"{name}={quoted(name, value)}"
        known = [at for at, old in enumerate(lines) if _name(old) == name]
        if known:
            exported = "export " if lines[known[-1]].strip().startswith("export ") else ""
            lines[known[-1]] = exported + line
        else:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def quoted(name: str, value: str) -> str:
    """A value so that it is read back as it is. Raises ConfigError where that cannot be."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value) or len(value.splitlines()) > 1:
        raise ConfigError(f"{name} has a line break or a control character in it: give one line of text")
    if _PLAIN.fullmatch(value):
        return value
    quote = next((quote for quote in ("'", '"') if quote not in value), None)
    if quote is None:
        raise ConfigError(f"{name} has both kinds of quotes in it: set it in the environment instead")
    return f"{quote}{value}{quote}"


def _name(line: str) -> str:
    """The setting a line is about; empty: none."""
    bare = line.strip().removeprefix("export ").strip()
    return "" if bare.startswith("#") else bare.partition("=")[0].strip()


def replace_file(path: Path, text: str) -> None:
    """Put a private file (0600) in place of another at once, on the disk before this returns. Raises OSError."""
    path = path.resolve()  # a link stays a link
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(file, "w", encoding="utf-8") as writing:
            writing.write(text)
            writing.flush()
            os.fsync(writing.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
