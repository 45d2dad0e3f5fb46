"""What else there is to know of how a call was heard, in sentences: second opinions, outages, gaps. Pure."""

from collections.abc import Iterable, Sequence

from .facts import Sample, Span
from .words import VENDORS, clock, many, seconds, two


def opinions(samples: Sequence[Sample]) -> list[str]:
    """What others than our own engine said of the caller, in sentences."""
    said = []
    ours = any(each.source == "local" for each in samples)
    for vendor in VENDORS:
        answers = [each for each in samples if each.source == vendor]
        if answers and ours:
            said.append(
                f"{many(len(answers), 'answer')} of {vendor} as a second opinion, from {clock(answers[0].t_ms)} to "
                f"{clock(answers[-1].t_ms)}."
            )
        elif answers:
            said.append(f"The voice was judged by {vendor}.")
    moved = [each for each in samples if each.own is not None]
    if moved:
        most = max(moved, key=lambda each: abs(each.anger - (each.own or 0.0)))
        changed = f"from {two(most.own)} to {two(most.anger)} at {clock(most.t_ms)}"
        said.append(f"A second opinion moved {many(len(moved), 'reading')} of ours, the furthest {changed}.")
    if outside := sum(each.source == "webhook" for each in samples):
        said.append(f"{many(outside, 'reading')} came from outside, over the webhook.")
    return said


def troubles(spans: Iterable[Span]) -> list[str]:
    """Outages, gaps, and stretches without an opinion, in sentences."""
    said, gaps = [], [span for span in spans if span.kind == "gap"]
    for span in spans:
        if span.kind == "degraded":
            said.append(f"The analysis was impaired from {clock(span.from_ms)} to {clock(span.to_ms)} ({span.words}).")
        elif span.kind == "stopped":
            said.append(f"From {clock(span.from_ms)} on nothing was read any more: {span.words}.")
    for cause in sorted({span.words for span in gaps}):
        of = [span for span in gaps if span.words == cause]
        lost = sum(span.to_ms - span.from_ms for span in of) / 1000
        longest = max(of, key=lambda span: span.to_ms - span.from_ms)
        several = f"{len(of)} gaps, the longest " if len(of) > 1 else ""
        said.append(f"{seconds(lost)} of audio {cause} ({several}at {clock(longest.from_ms)}).")
    for kind, words in (("poor_line", "The line was too poor to judge"), ("fallback", "The engine gave no answer")):
        of = [span for span in spans if span.kind == kind]
        if of:
            whole = sum(span.to_ms - span.from_ms for span in of) / 1000
            said.append(f"{words} for {seconds(whole)}, first at {clock(of[0].from_ms)}.")
    return said
