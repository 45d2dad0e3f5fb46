"""Findings -> one page of HTML. It needs no script and nothing from elsewhere: it can be mailed, and read years later.
Whatever came out of a call is escaped by the template."""

from collections.abc import Iterator
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from .facts import UNREAD, About, Findings
from .picture import picture, strongest
from .plane import HATCHINGS
from .sentences import recovered, summary, turned, unturned
from .words import OUTCOMES, clock, plain, two

TURNS_SHOWN = 40
WIDE, NARROW = 960, 400
"""Pixels. Beneath a window of 44rem the narrow picture is shown, else the wide one."""


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("agent.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.globals.update(clock=clock, turned=turned, recovered=recovered)
    return environment.get_template("report.html")


def page(found: Findings) -> str:
    """The whole file."""
    drawn = bool(found.samples or found.voices)
    return _template().render(
        found=found,
        title=_title(found.about),
        summary=summary(found),
        about=list(_about(found)),
        curve="How loud and how quick the caller spoke" if found.voices else "Anger in the caller's voice",
        wide=Markup(picture(found, WIDE, "wide")) if drawn else "",
        narrow=Markup(picture(found, NARROW, "narrow")) if drawn else "",
        legend=list(_legend(found)) if drawn else [],
        unturned=unturned(found),
        turns_shown=TURNS_SHOWN,
        footnotes=list(_footnotes(found)),
    )


def _title(about: About) -> str:
    if about.recording:
        return about.call_sid
    return f"Call of {about.caller}" if about.caller else "Call"


def _about(found: Findings) -> Iterator[tuple[str, str]]:
    about = found.about
    if not about.recording:
        yield "Call", about.call_sid
        yield "Caller", about.caller or "not known"
        yield "Began", _instant(about.began_at)
        yield "Ended", _instant(about.ended_at) if about.outcome else "it is live, or was cut off"
        yield "Outcome", OUTCOMES.get(about.outcome, plain(about.outcome)) or "none yet"
        yield "Attached by", about.attach or "not known"
    yield "Lasted", clock(about.duration_ms)
    yield "Model", about.model or "not recorded"
    if about.profile != "acoustic":
        yield "Profile", about.profile


def _instant(at: str) -> str:
    """2026-01-31T12:00:00.000Z as a person reads it."""
    return f"{at[:10]} {at[11:19]} UTC" if len(at) >= 20 and at.endswith("Z") else plain(at) or "not known"


def _footnotes(found: Findings) -> Iterator[str]:
    yield "Times count from the beginning of the call." if not found.about.recording else "Times are the recording's."
    if found.samples:
        whose = "those of the call" if found.bar.of_the_call else "the settings of today"
        yield (
            f"Anger is P(angry) + P(frustrated), from 0 to 1, as believed from the voice alone. A reading counts from "
            f"{two(found.bar.gate)} on, and a rule that names no score acts from {two(found.bar.act_at)} on ({whose})."
        )
    yield "Spoken words are here only where the settings keep them, and of telephone numbers the last two digits."


# --- what the signs of the picture mean ---


def _legend(found: Findings) -> Iterator[tuple[Markup, str]]:
    if found.voices:
        yield _sign('<circle class="measured" cx="12" cy="7" r="3"/>'), "one measurement, of up to three seconds"
    else:
        yield from _of_readings(found)
    if found.speech:
        yield _sign('<rect class="assistant" x="1" y="3" width="22" height="8" rx="3"/>'), "the assistant speaks"
    if any(each.overlap_ms for each in found.voices):
        yield _sign('<rect class="both" x="1" y="3" width="22" height="8" rx="3"/>'), "both speak at once"
    kinds = {span.kind for span in found.states}
    for kind in HATCHINGS:
        if kind in kinds:
            yield _sign(f'<rect width="24" height="14" fill="url(#key-{kind})"/>', kind), _STATES[kind]
    if found.deeds:
        yield _sign('<rect class="mark" x="4" y="0.5" width="16" height="13" rx="6.5"/>'), "done, with its number below"
    if any(deed.failed for deed in found.deeds):
        yield _sign('<rect class="mark tried" x="4" y="1" width="16" height="12" rx="6"/>'), "tried, and failed"


def _of_readings(found: Findings) -> Iterator[tuple[Markup, str]]:
    said = [each for each in found.samples if each.says]
    thinned = len(strongest(said, WIDE // 3)) < len(said)
    one = "the angriest of several readings" if thinned else "a reading"
    yield _sign('<path class="curve" d="M1 7H23"/><circle class="point" cx="12" cy="7" r="3"/>'), one
    if any(each.state for each in said):
        yield _sign('<circle class="hollow" cx="12" cy="7" r="3"/>'), "a reading that did not count"
    yield _sign('<path class="level act" d="M1 7H23"/>'), f"rules act from {two(found.bar.act_at)} on"
    yield _sign('<path class="level gate" d="M1 7H23"/>'), f"a reading counts from {two(found.bar.gate)} on"


_STATES = {**UNREAD, "degraded": "analysis impaired", "stopped": "analysis stopped", "gap": "audio missing"}


def _sign(drawn: str, kind: str = "") -> Markup:
    """One of our own pictures; nothing of a call is in it."""
    hatching = (
        f'<defs><pattern id="key-{kind}" width="8" height="8" patternUnits="userSpaceOnUse" class="hatch">'
        f'<rect class="under" width="8" height="8"/>{HATCHINGS[kind]}</pattern></defs>'
        if kind
        else ""
    )
    return Markup(f'<svg viewBox="0 0 24 14" aria-hidden="true">{hatching}{drawn}</svg>')
