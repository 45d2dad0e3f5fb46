"""callmood tune --ledger: thresholds for the decisions that somebody marked wrong."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..core.replay import Moods
    from ..core.rulebook import RuleBook
    from ..evaluation.suggesting import Suggestion
    from ..evaluation.weighing import Change, Tally
    from ..ledger.reading import Reader
    from ..ledger.rows import CallRow
    from ..settings import Settings

SHOWN = 10
"""Sentences about calls that were left out, at the most; --json has more of them."""
LEFT_OUT_AT_MOST = 1000
"""The same for --json: the others are counted."""


@dataclass
class Weighed:
    """What came of many calls."""

    tallies: "Mapping[Change, Tally]"
    calls: int = 0
    skipped: int = 0
    """Calls of these that were left out."""
    left_out: list[str] = field(default_factory=list)
    """A sentence for each of the first of them."""
    strayed: int = 0
    """Marks that mean nothing that rules decided."""


def tune_ledger(since: str, *, as_json: bool, write: bool) -> None:
    """Weigh the changes, say what came of it, and set what was suggested where that is asked for."""
    from ..config_sources import load
    from ..errors import CallmoodError
    from ..evaluation.suggesting import suggested
    from ..ledger.reading import open_ledger
    from .ledger import folder
    from .moments import moment
    from .visible import visible

    settings = load()
    with open_ledger(folder()) as ledger:
        weighed = weigh(ledger, moment(since, "--since") if since else None)
    suggestion = suggested(weighed.tallies)
    values = Values.after(settings, suggestion.change)
    if as_json:
        typer.echo(visible(_object(weighed, suggestion, values)))
    else:
        _show(weighed, suggestion, values)
    if write and not suggestion.sure:
        raise CallmoodError("nothing was written: no setting is surely better for these calls")
    if write and values is not None:
        values.write(settings)


def weigh(ledger: "Reader", since: str | None) -> Weighed:
    """Every complete call, decided again with every change. Raises LedgerUnavailable."""
    from ..evaluation.weighing import CHANGES, Tally

    weighed = Weighed({change: Tally() for change in CHANGES})
    for row in ledger.calls(since):
        weighed.calls += 1
        why = _weigh_call(ledger, row, weighed)
        if why is None:
            continue
        weighed.skipped += 1
        if len(weighed.left_out) < LEFT_OUT_AT_MOST:
            weighed.left_out.append(why)
    return weighed


def _weigh_call(ledger: "Reader", row: "CallRow", weighed: Weighed) -> str | None:
    """Why it was left out; None: it was not."""
    from ..evaluation.weighing import acts_only, ends_in_anger
    from ..reporting.marks import marks
    from ..whatif import events_of, try_call, try_change

    tried = try_call(ledger, row)
    if tried.incomplete is not None or tried.replay is None:
        return tried.incomplete or row.call_sid
    if tried.replay.differences:
        return f"call {row.call_sid} was decided by another version, which decided otherwise"
    decisions = acts_only(tried.replay.recorded)
    marked = marks(events_of(ledger, row), decisions)
    weighed.strayed += marked.strayed
    missed = row.outcome == "hangup" and ends_in_anger(tried.record, decisions)
    moods: dict[float, Moods] = defaultdict(dict)
    for change, tally in weighed.tallies.items():
        result = try_change(ledger, tried.record, change, moods[change.gate])
        tally.add(decisions, marked.wrong, result, missed=missed)
    return None


@dataclass(frozen=True)
class Values:
    """The settings of this folder, with a change."""

    gate: float
    act_at: float
    text: str
    """The rules file as it is."""
    book: "RuleBook"
    changed: tuple[bool, bool]
    """Whether the settings file would be another, and whether the rules file would."""

    @classmethod
    def after(cls, settings: "Settings", change: "Change | None") -> "Values | None":
        """None: there is no change. Raises ConfigError where the rules file is not right."""
        from ..evaluation.weighing import raised
        from ..rulefile import read, shipped

        if change is None:
            return None
        file = settings.rules_file
        own = read(file, act_at=settings.act_at) if file is not None and file.exists() else shipped(settings.act_at)
        gate, act_at = raised(settings.gate, change.gate), raised(settings.act_at, change.at_least)
        return cls(
            gate,
            act_at,
            own.text or "",
            change.book(own),
            (bool(change.gate or change.at_least), bool(change.at_least or change.for_s)),
        )

    def lines(self) -> Iterator[str]:
        """What to set, as it stands in the files."""
        from ..evaluation.rule_values import values

        if self.changed[0]:
            yield f"gate = {self.gate:g}"
            yield f"act_at = {self.act_at:g}"
        for rule, named in zip(self.book.rules, values(self.text, self.book), strict=True):
            if self.changed[1] and named:
                said = ", ".join(f"{name} = {value:g}" for name, value in named.items())
                yield f'[[rule]] name = "{rule.name}": {said}'

    def write(self, settings: "Settings") -> None:
        """Raises ConfigError, CallmoodError."""
        from ..errors import CallmoodError
        from ..evaluation.rule_values import with_values
        from ..evaluation.tuning import Point
        from .tune import written

        file = settings.from_file or Path("config/callmood.toml")
        text = with_values(self.text, self.book, self.act_at)
        if self.changed[0]:
            written(file, Point(self.gate, self.act_at))
        if text != self.text:
            rules = settings.rules_file or file.with_name("rules.toml")
            try:
                rules.parent.mkdir(parents=True, exist_ok=True)
                rules.write_text(text, "utf-8")
            except OSError as error:
                raise CallmoodError(f"{rules} cannot be changed ({error.strerror}): set the values by hand") from None
            typer.echo(f"written to {rules}")


def _show(weighed: Weighed, suggestion: "Suggestion", values: Values | None) -> None:
    from .tune_ledger_said import lines_of

    for line in lines_of(weighed, suggestion, SHOWN):
        typer.echo(line)
    if suggestion.sure and values is not None:
        typer.echo("")
        for line in values.lines():
            typer.echo(line)


def _object(weighed: Weighed, suggestion: "Suggestion", values: Values | None) -> str:
    import msgspec

    from .tune_ledger_said import fields_of

    fields: dict[str, Any] = fields_of(weighed, suggestion)
    if values is not None:
        rules = [{"name": rule.name, "at_least": rule.at_least, "for_s": rule.for_s} for rule in values.book.rules]
        fields["values"] = {"gate": values.gate, "act_at": values.act_at, "rules": rules}
    return msgspec.json.encode(fields).decode()
