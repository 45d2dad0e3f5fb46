"""The rules file: found, read, and read again when it changes. A bad edit keeps the rules that were in force.

It lies beside the settings file. Where there is none the packaged rules hold, until there is one. What tells an edit is
the file's time, size and identity, looked at once a second: editors write in many ways, and this sees all of them.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import structlog
import trio

from .core.rulebook import RuleBook, parse
from .errors import ConfigError
from .packaged import default_text

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
LARGEST = 256 * 1024
"""Bytes of a rules file."""

Stamp = tuple[int, int, int]


@cache
@cache
def shipped(act_at: float) -> RuleBook:
    """The packaged rules. Raises ConfigError where the installation lacks them."""
    text = default_text("rules.toml")
    if text is None:
        raise ConfigError("the packaged rules.toml is missing: install Callmood again")
    return parse(text, act_at=act_at, file="the packaged rules.toml")


class RuleFile:
    """The rules in force in this process."""

    def __init__(self, path: Path | None, *, act_at: float) -> None:
        """Reads them. `path` may not exist yet; None: there will never be one. Raises ConfigError."""
        self._path, self._act_at = path, act_at
        self._stamp = self._look()
        self.book = shipped(act_at) if self._stamp is None else self._read()

    def current(self) -> RuleBook:
        """The rules in force now."""
        return self.book

    async def watch(self, noted: Callable[[str], None]) -> None:
        """Until cancelled, take over what is written. `noted` hears `ok` or `bad` of each edit."""
        while self._path is not None:
            await trio.sleep(LOOK_EVERY_S)
            if (result := await trio.to_thread.run_sync(self.refresh, abandon_on_cancel=True)) is not None:
                noted(result)

    def refresh(self) -> str | None:
        """Take over what has been written since the last look: `ok` or `bad`; None: nothing has."""
        stamp = self._look()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        if stamp is None:
            log.warning("rules.gone", keeping=len(self.book.rules))
            return "bad"
        try:
            self.book = self._read()
        except ConfigError as error:
            log.error("rules.bad", reason=f"{error}; the rules that were in force stay")
            return "bad"
        except Exception as bug:  # the calls go on with the rules they have
            log.error("rules.failed", exc_info=bug)
            return "bad"
        log.info("rules.read", rules=len(self.book.rules))
        return "ok"

    def _look(self) -> Stamp | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> RuleBook:
        assert self._path is not None
        return read(self._path, act_at=self._act_at)


def read(path: Path, *, act_at: float) -> RuleBook:
    """The rules in a file. Raises ConfigError naming file, line and key."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        text = raw.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no rules file {path}: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}): make it a UTF-8 text file") from None
    if len(raw) > LARGEST:
        raise ConfigError(f"{path} is larger than {LARGEST} bytes: name a rules file")
    return parse(text, act_at=act_at, file=str(path))
