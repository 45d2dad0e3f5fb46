"""What `callmood doctor` looks at in the ledger: that it can be read, and would be written. Nothing is changed."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings import Settings
    from .checks import Check


def ledger_check(settings: "Settings") -> "Iterator[Check]":
    """The ledger's folder can be written, or made, and what is in it can be read."""
    from ..ledger.database import DATABASE

    folder = Path(settings.data).expanduser()
    parent = next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))
    named = shlex.quote(str(folder))
    if not (os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK)):
        yield f"ledger in {folder}", f"mkdir -p {named} && chmod u+wx {named}"
        return
    file = folder / DATABASE
    if not file.exists():
        yield f"ledger in {folder}, made at the first start", ""
        return
    if not file.is_file():  # reading a pipe would wait for ever
        yield f"{file} is not a file", f"mv {shlex.quote(str(file))} {shlex.quote(f'{file}.damaged')}"
        return
    if not os.access(file, os.R_OK | os.W_OK):
        yield f"{file} cannot be read and written", f"chmod u+rw {shlex.quote(str(file))}"
        return
    yield from _looked_into(folder)


def _looked_into(folder: Path) -> "Iterator[Check]":
    from ..errors import LedgerUnavailable
    from ..ledger.database import DATABASE, Damaged, Newer
    from ..ledger.keys import KEY, read_key
    from ..ledger.reading import looked_into

    file, key = shlex.quote(str(folder / DATABASE)), shlex.quote(str(folder / KEY))
    try:
        calls = looked_into(folder)
    except Newer as error:
        yield str(error), "pip install --upgrade callmood"
        return
    except Damaged as error:
        yield str(error), f"mv {file} {file}.damaged"
        return
    except LedgerUnavailable as error:
        yield str(error), f"ls -l {shlex.quote(str(folder))}"
        return
    yield f"ledger in {folder}, {calls} calls", ""
    if (folder / KEY).exists():
        try:
            if not (folder / KEY).is_file():
                raise LedgerUnavailable(f"{folder / KEY} is not a file")
            read_key(folder)
        except LedgerUnavailable as error:
            yield str(error), f"mv {key} {key}.damaged"
