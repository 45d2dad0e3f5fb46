"""Which part of the service a piece of code belongs to.

A look at a running program finds a stack of functions. What is being done is said by the innermost function of ours in
it: numpy, SQLite or a JSON library work for whoever called them. Where there is none of ours, the library says what it
is about; and what Trio does between two steps of a task is the loop's own.
"""

from collections.abc import Iterable
from pathlib import PurePath

Place = tuple[str, str]
"""A stage, and where in the code."""
NOWHERE: Place = ("loop", "trio")

STAGES = ("ingress", "features", "model", "tree", "ledger", "web", "loop")
MEANING = {
    "ingress": "sockets, frames, Twilio's messages",
    "features": "what is measured of the voice",
    "model": "networks, belief, batches",
    "tree": "actors, channels, rules, timeline",
    "ledger": "keeping it, with its thread",
    "web": "webhooks and pages",
    "loop": "the event loop between two steps",
}

OURS: tuple[tuple[str, str], ...] = (
    ("ingress/", "ingress"),
    ("telephony/", "ingress"),
    ("calls/mailbox.py", "ingress"),
    ("engines/local/model.py", "model"),
    ("engines/local/belief.py", "model"),
    ("engines/local/batch.py", "model"),
    ("engines/local/baseline.py", "model"),
    ("engines/local/session.py", "model"),
    ("engines/", "features"),
    ("core/speech.py", "features"),
    ("core/voicing.py", "features"),
    ("core/frames.py", "features"),
    ("core/windowing.py", "features"),
    ("core/assembly.py", "features"),
    ("core/mulaw.py", "features"),
    ("core/misread.py", "features"),
    ("core/sameness.py", "web"),
    ("core/physical.py", "features"),
    ("core/pitch.py", "features"),
    ("core/matrix.py", "features"),
    ("actors/decoder.py", "features"),
    ("actors/line_check.py", "features"),
    ("ledger/", "ledger"),
    ("calls/stepcode.py", "ledger"),
    ("web/", "web"),
    ("attach/", "web"),
    ("http.py", "web"),
    ("actors/", "tree"),
    ("calls/", "tree"),
    ("core/", "tree"),
)
"""The first that fits; everything else of ours is the tree's."""

LIBRARIES = {
    "trio_websocket": "ingress",
    "wsproto": "ingress",
    "hypercorn": "web",
    "quart": "web",
    "quart_trio": "web",
    "werkzeug": "web",
    "httpx2": "web",
}

FRAMING = ("cli/", "__main__.py", "__init__.py", "bench/", "process.py", "service.py", "watchdog.py")
"""At the bottom of every stack, or looking on: they say nothing."""


def stage_of(path: str) -> str | None:
    """The stage of code in this file; None: it says nothing."""
    parts = PurePath(path).parts
    if "site-packages" in parts:
        library = parts[parts.index("site-packages") + 1 :][:1]
        return LIBRARIES.get(library[0]) if library else None
    if "agent" not in parts:
        return None
    inside = "/".join(parts[len(parts) - parts[::-1].index("agent") :])
    if inside.startswith(FRAMING):
        return None
    return next((stage for start, stage in OURS if inside.startswith(start)), "tree")


def judged(stack: Iterable[tuple[str, str]]) -> Place:
    """Stage and place of a stack of (file, function), the innermost first."""
    for path, function in stack:
        if (stage := stage_of(path)) is not None:
            return stage, f"{short(path)} {function}"
    return NOWHERE


def short(path: str) -> str:
    """A path without what comes before the package."""
    parts = PurePath(path).parts
    for top in ("site-packages", "agent"):
        if top in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(top) :])
    return parts[-1]
