"""What the ledger keeps of a caller's number beside its last two digits: a keyed hash, to find its calls by.

Without the key (`ledger.key`, beside the ledger) the hashes of all the numbers there are could simply be tried.
"""

import contextlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from ..errors import LedgerUnavailable
from .database import own

KEY = "ledger.key"
KEY_BYTES = 32

_NUMBER = re.compile(r"[+\d][\d\s().-]*", re.ASCII)


def read_key(folder: Path, *, make: bool = False) -> bytes:
    """The key of this folder's ledger, made at the first start. Raises LedgerUnavailable, also where there is none."""
    path = own(folder / KEY)
    try:
        if make and not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as fault:
        raise LedgerUnavailable(f"{path} cannot be used ({fault.strerror}): check CALLMOOD_DATA") from None
    if len(key) != KEY_BYTES:
        raise LedgerUnavailable(f"{path} is not a key of {KEY_BYTES} bytes: put a copy back, or remove it")
    return key


def _make(path: Path) -> None:
    """Written whole under another name first: two processes may start at once, and one of them wins."""
    draft = path.with_name(f"{KEY}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def caller_hash(key: bytes, caller: str) -> bytes | None:
    """The same for every way to write one number; None where there is no number or address."""
    text = caller.strip()
    if _NUMBER.fullmatch(text):
        text = re.sub(r"\D", "", text).removeprefix("00")  # as good as a plus in most countries
    return hmac.digest(key, text.lower().encode(), "sha256") if text else None
