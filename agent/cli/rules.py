"""callmood rules: is the rules file right, and what would a mood fire?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..core.emotion import Mood
    from ..core.rulebook import RuleBook
    from ..core.rules import Decision
    from ..settings import Settings

app = typer.Typer(no_args_is_help=True, help="Check the rules file, and try it.")

STEP_S = 0.1
LONGEST_S = 3600.0

File = Annotated[Path | None, typer.Argument(help="Default: the file in force, config/rules.toml or the packaged one.")]


@app.command("check")
def check(file: File = None) -> None:
    """Say whether the file is right; what is wrong is named with its file, line and key."""
    where, book, _ = opened(file)
    count = len(book.rules)
    typer.echo(f"ok   {where}: {count} rule{'' if count == 1 else 's'}")
    for rule in book.rules:
        typer.echo(f"     {rule.name}: {', '.join(rule.actions)}")


@app.command("test")
def try_mood(
    emotion: Annotated[str, typer.Option(help="As readings name it: angry, frustrated, sad, …")],
    score: Annotated[float, typer.Option(min=0, max=1, help="Of the mood.")],
    seconds: Annotated[float, typer.Option("--for", min=0, max=LONGEST_S, help="How long it holds, in seconds.")],
    file: File = None,
    trend: Annotated[str, typer.Option(help="rising, falling or steady.")] = "rising",
    speaking: Annotated[bool, typer.Option(help="Whether the assistant speaks meanwhile.")] = True,
    quality: Annotated[float | None, typer.Option(min=0, max=1, help="Of the line. Default: unknown.")] = None,
) -> None:
    """Say which rules such a mood would fire in a call, and what each would do then; one line each."""
    from ..core.emotion import Emotion, Mood, Trend
    from ..errors import ConfigError

    if trend not in [each.value for each in Trend]:
        raise ConfigError(f"--trend must be rising, falling or steady, not {trend!r}")
    _, book, settings = opened(file)
    mood = Mood(Emotion(emotion.lower(), score), Trend(trend), 5, 0.0, {emotion.lower(): 1.0}, quality)
    lines = list(tried(book, settings, mood, seconds, speaking))
    for line in lines or ["no rule fires: the built-in note goes out where the caller's state changes"]:
        typer.echo(line)


def opened(file: Path | None) -> "tuple[str, RuleBook, Settings]":
    """The rules to look at, and the settings they stand beside. Raises ConfigError."""
    from ..config_sources import load
    from ..rulefile import read, shipped

    settings = load()
    path = file or settings.rules_file
    if path is None or (file is None and not path.exists()):
        return "the packaged rules", shipped(settings.act_at), settings
    return str(path), read(path, act_at=settings.act_at), settings


def tried(book: "RuleBook", settings: "Settings", mood: "Mood", seconds: float, speaking: bool) -> list[str]:
    """One line for each rule, when it first fires in a call in which this mood holds from the start."""
    from ..core.rules import Rules

    rules, transferred = Rules(book, update_every_s=settings.update_every_s), False
    fired: dict[str, str] = {}
    moments = [step * STEP_S for step in range(int(seconds / STEP_S + 1e-9) + 1)]
    for now in [*moments, seconds]:
        decision = rules.decide(mood, now, assistant_speaking=speaking, may_transfer=not transferred)
        transferred = transferred or bool(decision and decision.transfer)
        for line in lines_of(decision, now, book):
            fired.setdefault(line[0], line[1])
    return list(fired.values())


def lines_of(decision: "Decision | None", now: float, book: "RuleBook") -> list[tuple[str, str]]:
    """The rules that fired, each with what it did, and what it could not do just then."""
    wanted = {rule.name: rule.actions for rule in book.rules}
    lines = []
    for each in decision.fired if decision is not None else ():
        missed = [action for action in wanted[each.rule] if action not in each.did]
        but = f"  (not just then: {', '.join(missed)})" if missed else ""
        lines.append((each.rule, f"{now:6.1f} s  {each.rule}: {', '.join(each.did)}{but}"))
    return lines
