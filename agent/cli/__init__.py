"""The command line. One small file a command; what is heavy to import is imported inside the command that needs it.

Exit codes: 0 done, 1 it ran and something is wrong, 2 usage or configuration. Errors are one sentence, on standard
error.
"""

import sys
from collections.abc import Callable

import typer

from ..errors import AudioUnreadable, CallmoodError, ConfigError
from ..groups import alone
from . import (
    analyze,
    bench,
    call,
    demo,
    dev,
    doctor,
    export,
    init,
    ledger,
    purge,
    replay,
    report,
    rules,
    serve,
    train,
    tune,
)
from . import eval as eval_

app = typer.Typer(
    name="callmood",
    help="Reads emotion from the caller's voice while the call is live, and tells the voice assistant in time.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("call")(call.call)
app.command("analyze")(analyze.analyze)
app.command("eval")(eval_.evaluate)
app.command("bench")(bench.bench)
app.command("tune")(tune.tune)
app.command("train")(train.train)
app.command("calls")(ledger.calls)
app.command("show")(ledger.show)
app.command("tail")(ledger.tail)
app.command("report")(report.report)
app.command("replay")(replay.replay)
app.command("purge")(purge.purge)
app.command("export")(export.export)
app.command("doctor")(doctor.doctor)
app.add_typer(rules.app, name="rules")
app.command("init")(init.init)
app.command("dev")(dev.dev)


def main() -> None:
    """Run the command named by the arguments, and leave with its exit code."""
    run(app)


def run(command: Callable[[], object]) -> None:
    """Run it, and leave with an exit code and one sentence where it fails."""
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        known = alone(error)
        if isinstance(known, KeyboardInterrupt):
            sys.exit(130)
        if not isinstance(known, CallmoodError):
            raise
        print(f"callmood: {known}", file=sys.stderr)
        sys.exit(2 if isinstance(known, ConfigError | AudioUnreadable) else 1)
