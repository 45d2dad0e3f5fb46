"""The timeline as a person reads it in a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from .visible import visible

_STYLES = {
    "angry": "bold red",
    "frustrated": "yellow",
    "sad": "blue",
    "fearful": "magenta",
    "happy": "green",
    "neutral": "white",
}
_LOUD = {"tts.cancelled", "context.updated", "escalation.started", "analyzer.degraded", "context.failed"}


def print_event(console: Console, event: Mapping[str, Any], *, with_call: bool = False) -> None:
    """One event on one line."""
    console.print(event_text(event, with_call=with_call), soft_wrap=True, highlight=False)


def event_text(event: Mapping[str, Any], *, with_call: bool = False) -> Text:
    name = visible(str(event["event"]))
    text = Text(f"{event['t'] / 1000:7.1f} s  ")
    if with_call:
        text.append(f"{visible(str(event['callSid'])[-6:])}  ", "dim")
    if name == "audio.chunk":
        return text.append(_reading(event))
    text.append(f"{name:<19}", "bold reverse" if name in _LOUD else "bold")
    text.append(" " + _details(event))
    return text


def _reading(event: Mapping[str, Any]) -> Text:
    if "physical" in event:
        return _measured(event)
    label, score = visible(event["emotion"]["label"]), event["emotion"]["score"]
    style = "dim" if "gated" in event else _STYLES.get(label, "cyan")
    bar = "█" * round(20 * score)
    text = Text(f"{label:<11} {score:4.2f} {bar:<20}", style)
    if "gated" in event:
        text.append(f"  {visible(event['gated'])}", "dim italic")
    if event["source"] != "local":
        text.append(f"  from {visible(event['source'])}", "dim")
    return text


def _measured(event: Mapping[str, Any]) -> Text:
    """A voice where nobody's feelings are judged."""
    physical = event["physical"]
    text = Text(f"voice       {physical['loudnessDb']:5.1f} dB  {physical['rate']:4.1f} syllables/s")
    if physical["overlapMs"]:
        text.append(f"  {physical['overlapMs']} ms at once", "yellow")
    if "gated" in event:
        text.append(f"  {visible(event['gated'])}", "dim italic")
    return text


def _details(event: Mapping[str, Any]) -> str:
    known = ("t", "at", "callSid", "event", "summary", "why")
    return "  ".join(visible(f"{name}={_value(value)}") for name, value in event.items() if name not in known)


def _value(value: Any) -> str:
    return (
        {True: "yes", False: "no", None: "-"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)
    )
