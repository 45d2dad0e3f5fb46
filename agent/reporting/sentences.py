"""The findings in sentences: what the call came to, when the mood turned, how long a caller took to calm down. Pure."""

from collections import Counter
from collections.abc import Iterator

from ..core.emotion import ANGER
from .deeds import counted
from .facts import Findings, Recovery, Turn
from .recovery import HALF
from .rows import between
from .words import OUTCOMES, clock, plain, seconds, two


def summary(found: Findings) -> str:
    """The call in one sentence."""
    parts = [*_caller(found), *_done(found), *_afterwards(found), _end(found)]
    said = "; ".join(part for part in parts if part)
    return said[:1].upper() + said[1:] + "."


def _caller(found: Findings) -> Iterator[str]:
    if found.voices:
        loud = between([each.loudness_db for each in found.voices], "dB")
        rate = between([each.rate for each in found.voices], "syllables a second")
        yield f"the caller spoke at {loud} and {rate}"
        if both := sum(each.overlap_ms for each in found.voices):
            yield f"both spoke at once for {seconds(both / 1000)}"
    elif found.about.profile == "off":
        yield "by its profile, nothing was listened to in this call"
    elif found.about.profile != "acoustic":
        yield "no voice was measured in this call"
    else:
        yield _mood(found)


def _mood(found: Findings) -> str:
    said = [each for each in found.samples if each.says]
    if not said:
        return "nothing could be read of the caller"
    peak = max(each.anger for each in said)
    if peak < found.bar.gate:
        mostly = Counter(each.label for each in said).most_common(1)[0][0]
        also = f", mostly {plain(mostly)}" if mostly not in ANGER else ""
        return f"the caller did not sound angry{also} (anger at most {two(peak)})"
    turned = next((turn for turn in found.turns if turn.after >= found.bar.gate > turn.before), None)
    if turned is None:
        return f"the caller sounded angry (up to {two(peak)})"
    return f"the caller turned angry at {clock(turned.from_ms)} (up to {two(peak)})"


def _done(found: Findings) -> Iterator[str]:
    if found.about.profile == "off":
        return
    counts, would = counted(found.deeds), "would have been" if found.about.recording else "was"
    told = [f"told {_times(counts['note'])}"] if counts["note"] else []
    cut = [f"cut off {_times(counts['interrupt'])}"] if counts["interrupt"] else []
    if told or cut:
        yield f"the assistant {would} {' and '.join(told + cut)}"
    if counts["transfer"]:
        yield f"the caller {would} passed on to a human"
    elif any(each.kind == "transfer" for each in found.deeds):
        yield "passing the caller on to a human failed"
    if not found.deeds:
        yield "nothing had to be done" if found.samples else "nothing was done"


def _afterwards(found: Findings) -> Iterator[str]:
    """After the first thing that was done about an angry caller."""
    for deed in found.deeds:
        after = deed.recovery
        if after is not None and after.before is not None and after.before >= found.bar.gate and after.watched_s:
            if after.below_gate_s is None:
                yield f"the anger did not fall below {two(found.bar.gate)} afterwards"
            else:
                yield f"{seconds(after.below_gate_s)} after the first of it the anger was below {two(found.bar.gate)}"
            return


def _end(found: Findings) -> str:
    about, lasted = found.about, _lasted(found.about.duration_ms)
    if about.recording:
        return f"the recording lasts {lasted}"
    if not about.outcome:
        return f"after {lasted} the call had not ended, or was cut off"
    outcome = OUTCOMES.get(about.outcome, plain(about.outcome))
    return f"after {lasted} the caller hung up" if about.outcome == "hangup" else f"end after {lasted}: {outcome}"


def _lasted(ms: int) -> str:
    minutes, rest = divmod(round(ms / 1000), 60)
    if minutes == 0:
        return seconds(ms / 1000)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def turned(turn: Turn) -> str:
    """A turn, and by how much."""
    way = "rose" if turn.after > turn.before else "fell"
    return (
        f"anger {way} from {two(turn.before)} to {two(turn.after)}, by {two(abs(turn.after - turn.before))}, within "
        f"{seconds((turn.to_ms - turn.from_ms) / 1000)}"
    )


def unturned(found: Findings) -> str:
    """Where there is no turn to tell of."""
    said = [each.anger for each in found.samples if each.says]
    if not said:
        return "Nothing could be read of the caller."
    return (
        f"None: anger stayed between {two(min(said))} and {two(max(said))}, without a lasting change of 0.30 or more."
    )


def recovered(after: Recovery, gate: float) -> str:
    """How long a caller took to calm down."""
    if after.before is None:
        return "not known: nothing had been read of the caller just before"
    if after.before < min(HALF, gate):
        return f"there was little anger then ({two(after.before)})"
    if after.last is None:
        return "not known: the caller was not read any more"
    levels = sorted({gate: after.below_gate_s, HALF: after.below_half_s}.items(), reverse=True)
    fell = [f"below {two(level)} after {seconds(s)}" for level, s in levels if s is not None and after.before >= level]
    stayed = [two(level) for level, s in levels if s is None and after.before >= level]
    heard = f"in the {seconds(after.watched_s)} still read, and was {two(after.last)} at last"
    if not stayed:
        return ", ".join(fell)
    if fell:
        return f"{fell[0]}; it did not fall below {stayed[0]} {heard}"
    return f"did not fall below {stayed[0]} {heard}"
