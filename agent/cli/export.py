"""callmood export: what is kept, for a spreadsheet or a program of your own."""

import csv
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from .private import opened

if TYPE_CHECKING:
    from ..ledger.tables import Row, Table, Value

ROWS_AT_ONCE = 10_000


def export(
    what: Annotated[str, typer.Option(help="calls, readings or decisions.")] = "calls",
    since: Annotated[str, typer.Option(metavar="WHEN", help="Calls that began since: 7d, 12h, a date.")] = "",
    out: Annotated[Path | None, typer.Option(help="Into this file instead of standard output.")] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Parquet instead of CSV; needs --out.")] = False,
) -> None:
    """Calls, readings or decisions as CSV, the newest call first. Numbers of callers are masked."""
    from ..errors import ConfigError
    from ..ledger.reading import open_ledger
    from ..ledger.tables import TABLES, rows
    from .ledger import folder
    from .moments import moment

    if what not in TABLES:
        raise ConfigError(f"--what must be one of {', '.join(TABLES)}, not {what!r}")
    if parquet and out is None:
        raise ConfigError("--parquet writes a file: name it with --out")
    table = TABLES[what]
    with open_ledger(folder()) as reader:
        found = rows(table, reader, moment(since, "--since") if since else None)
        if parquet and out is not None:
            _write_parquet(out, table, found)
            return
        with _written(out) as file:
            _write_csv(file, table, found)


def _write_csv(file: IO[str], table: "Table", found: "Iterator[Row]") -> None:
    writer = csv.writer(file)
    writer.writerow(table.columns)
    for row in found:
        writer.writerow([cell(value) for value in row])


def cell(value: "Value") -> str:
    """A value as a spreadsheet may be given it: a text that it would take for a formula begins with a quote."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


@contextmanager
def _written(out: Path | None) -> Iterator[IO[str]]:
    """Where the rows go. A reader who has seen enough is no fault."""
    if out is not None:
        with os.fdopen(opened(out), "w", encoding="utf-8", newline="") as file:
            yield file
        return
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or it would be said at exit


def _write_parquet(out: Path, table: "Table", found: "Iterator[Row]") -> None:
    from ..errors import ConfigError

    try:
        arrow: Any = importlib.import_module("pyarrow")
        files: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError("--parquet needs pyarrow, which is not installed: pip install 'callmood[parquet]'") from None
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema([(name, types[kind]) for name, kind in table.columns.items()])
    with os.fdopen(opened(out), "wb") as file, files.ParquetWriter(file, schema) as writer:
        while batch := list(islice(found, ROWS_AT_ONCE)):
            columns = list(zip(*batch, strict=True))
            writer.write_table(arrow.table([list(column) for column in columns], schema=schema))
