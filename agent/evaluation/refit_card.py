"""The card beside a refitted model: what it was made from, what it was refitted on, and what that was worth."""

from collections import Counter
from collections.abc import Mapping, Sequence

from .manifest import Row
from .tuning import Point


def refit_card(
    name: str,
    checksum: str,
    base: str,
    bias: Mapping[str, float],
    rows: Sequence[Row],
    figures: Sequence[str],
    point: Point,
) -> str:
    """`base`: the checksum of the model it was made from. `bias`: what was added for each label. No recording and no
    speaker is named."""
    counts = Counter((row.corpus, row.label or "other") for row in rows)
    return "\n".join(
        (
            "# A refitted model of the local engine",
            "",
            f"`{name}`, sha256 `{checksum}`, made by `callmood tune --refit` from the model with sha256",
            f"`{base}`. What that one may be used for holds for this one too.",
            "",
            "Only how readily it says each label has changed, in log-probability:",
            ", ".join(f"{label} {value:+.2f}" for label, value in bias.items()) + ".",
            "",
            f"## Refitted on {len(rows)} recordings of {len({row.voice for row in rows})} speakers",
            "",
            "| corpus | label | recordings |",
            "|---|---|---|",
            *(f"| {corpus} | {label} | {count} |" for (corpus, label), count in sorted(counts.items())),
            "",
            "## On speakers left out, before and after",
            "",
            *(f"    {line}".rstrip() for line in figures),
            "",
            f"Thresholds that suit it here: gate {point.gate:g}, act_at {point.act_at:g}.",
            "",
        )
    )
