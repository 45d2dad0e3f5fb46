"""The page of results: numbers in, Markdown and pictures out. It says nothing that is not in the numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .aims import aims
from .drawing import Axis, Curve, chart
from .figures import MILD, OVERALL, STRONG

Study = Mapping[str, Any]

PUBLISHED = (
    ("RAVDESS, 8 classes, 16 kHz studio audio, large self-supervised models", "UAR 75 %", "EmoBox, Interspeech 2024"),
    ("CREMA-D, 6 classes, human raters by ear alone", "40.9 % right", "Cao et al., IEEE TAC 2014"),
    ("real emergency calls, anger against neutral", "76.9 % right", "arXiv 2110.14957"),
)


def page(study: Study, command: str, model: str) -> str:
    """`model`: a sentence about what was measured."""
    about = study["about"]
    parts = [
        "# What the ear hears, and what it takes for anger",
        f"Made by `{command}`; nothing here is written by hand. {model}",
        f"{about['clips']} clips, {about['hours']:.1f} hours, {about['speakers']} known speakers, heard through 300 to "
        f"3400 Hz and G.711 mu-law as in a live call, with one setting for all: gate {about['gate']:g}, `act_at` "
        f"{about['act_at']:g}. Brackets are 95 % intervals by speaker (bootstrap over speakers). "
        f"{about['without_opinion']} clips were too short or too poor for an opinion; those raise no alarm, and their "
        "label counts as missed; where UAR is of every clip, what leads it counts, as for the yardstick, which always "
        "has to say something. The shipped rules decide on the mood: an alarm is an assistant that is cut off "
        "(anger at `act_at`), an escalation a caller who is passed to a human (that for a second, and rising).",
        "## Aims",
        wanted(study),
        *(NEW_SPEAKERS if "corpus" in study else ("## Accuracy",)),
        accuracy(study["speaker"], study.get("baseline", {}).get("speaker")),
        "![ROC curves by corpus](results/roc.svg)",
        "![Reliability](results/reliability.svg)",
        *(new_corpora(study) if "corpus" in study else ()),
        "## At the one operating point",
        "Share of clips, each by itself, without anything before it, that raise an alarm.",
        operating(study["operating"]),
        "## Lines and surroundings",
        conditions(study["conditions"], about["every"]),
        "## How much speech it takes",
        lengths(study["lengths"]),
        "## False alarms on what is nobody's anger",
        nobody(study["noise"], "noise"),
        nobody(study["talk"], "ordinary talk"),
        "## Conversations",
        conversations(study["ordinary"]),
        turns(study["turns"]),
        "![How soon](results/delay.svg)",
        "## Beside others",
        "Other data, other splits, other bandwidths: yardsticks, not competitors.",
        markdown(("what", "figure", "source"), PUBLISHED),
        f"Cost on the machine of this run: {about['cpu_ms_per_s']:.2f} ms of CPU a second of audio for a single call.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


NEW_SPEAKERS = (
    "## Speakers it never met",
    "Five models, each trained without a fifth of the speakers of every corpus and tested on them.",
)


def new_corpora(study: Study) -> tuple[str, str, str]:
    return (
        "## Corpora it never met",
        "For each corpus a model trained on all the others.",
        accuracy(study["corpus"], study.get("baseline", {}).get("corpus")),
    )


def wanted(study: Study) -> str:
    return markdown(
        ("aim", "wanted", "reached", ""),
        [
            (
                aim.what,
                f"{'at least' if aim.at_least else 'at most'} {aim.aim:g}",
                "not measured" if aim.reached is None else f"{aim.reached:.3g}",
                {True: "yes", False: "**no**", None: ""}[aim.met],
            )
            for aim in aims(study)
        ],
    )


def pictures(study: Study) -> dict[str, str]:
    """File name to SVG."""
    share = Axis("false alarms", 0.2, 0.05, percent=True)
    soon = Axis("seconds of such speech after calm", 6.0, 1.0)
    curves = [
        Curve(line["kind"], steps(line["interrupted"]["delays_ms"], line["calls"]))
        for line in study["turns"]
        if line["corpus"] == OVERALL
    ]
    bins = [(claimed, right) for claimed, right, _ in study["reliability"]]
    return {
        "roc.svg": chart(
            "Anger found, against false alarms, by corpus",
            share,
            Axis("anger found", percent=True),
            [Curve(name, [(x, y) for x, y in points if x <= share.most]) for name, points in study["roc"].items()],
        ),
        "reliability.svg": chart(
            "What is claimed, and how often it is right",
            Axis("score claimed", percent=True),
            Axis("share that is right", percent=True),
            [Curve("clips", bins, dots=True)],
            diagonal=True,
        ),
        "delay.svg": chart("Calls acted on, by what they turn to", soon, Axis("calls", percent=True), curves),
    }


def steps(delays_ms: Sequence[int], calls: int) -> list[tuple[float, float]]:
    """A cumulative share over seconds, up to six."""
    points = [(0.0, 0.0)]
    for count, delay in enumerate(delays_ms, 1):
        points += [(delay / 1000, (count - 1) / calls), (delay / 1000, count / calls)]
    return [*(point for point in points if point[0] < 6.0), (6.0, sum(d < 6000 for d in delays_ms) / calls)]


FIGURES = (
    ("AUC", "auc", False),
    ("AUC, neutral and sad", "auc_calm", False),
    ("AUC, joy", "auc_happy", False),
    ("found at 4 %", "recall_at_4", True),
    ("found at 1 %", "recall_at_1", True),
    ("UAR", "uar", True),
    ("UAR, every clip", "uar_forced", True),
    ("ECE", "ece", False),
)


def accuracy(split: Study, baseline: Study | None) -> str:
    """One line for all, and for each corpus, language and sex; the yardstick's line under its own."""
    groups = [(OVERALL, split[OVERALL])]
    groups += [(f"{by}: {name}", f) for by in ("corpus", "language", "sex") for name, f in split[by].items()]
    rows = []
    for name, found in groups:
        rows.append(
            (name, found["clips"], found["speakers"], *(figure(found[key], share) for _, key, share in FIGURES))
        )
        yardstick = (baseline or {}).get(name.removeprefix("corpus: "))
        if yardstick:
            shown = (figure([yardstick.get(key), None, None], share) for _, key, share in FIGURES)
            rows.append(("… *eGeMAPS + SVM, same split*", yardstick["clips"], "", *shown))
    return markdown(("anger against the rest", "clips", "speakers", *(name for name, _, _ in FIGURES)), rows)


def figure(found: Sequence[float | None], share: bool) -> str:
    value, low, high = found

    def text(number: float) -> str:
        return f"{100 * number:.0f}" if share else f"{number:.3f}"

    if value is None:
        return "-"
    unit = " %" if share else ""
    return f"{text(value)}{unit}" + (f" [{text(low)}, {text(high)}]" if low is not None and high is not None else "")


def operating(lines: Sequence[Study]) -> str:
    kinds = list(dict.fromkeys(line["kind"] for line in lines))
    order = [kind for kind in (STRONG, MILD, "neutral", "sad", "happy", "fearful", "all but anger") if kind in kinds]
    by_corpus: dict[str, dict[str, str]] = {}
    for line in lines:
        shown = f"{percent(line['share'][0])} of {line['clips']}"
        by_corpus.setdefault(line["corpus"], {})[line["kind"]] = shown
    return markdown(
        ("corpus", *order), [(corpus, *(cells.get(k, "") for k in order)) for corpus, cells in by_corpus.items()]
    )


def conditions(lines: Sequence[Study], every: int) -> str:
    table = markdown(
        ("condition", "AUC", "found at 4 %", "strong anger", "neutral", "all but anger", "noise"),
        [
            (
                f"`{line['name']}`: {line['means']}",
                figure(line["auc"], False),
                figure(line["recall_at_4"], True),
                *(percent(line[key][0]) for key in ("strong", "neutral", "other", "noise")),
            )
            for line in lines
        ],
    )
    note = f" All but the first on every {every}. clip." if every > 1 else ""
    return f"The last four columns are shares of clips that alarm at the one operating point.{note}\n\n{table}"


def lengths(lines: Sequence[Study]) -> str:
    return (
        "The newest window by itself, when so much had been spoken; whether it would have been acted on or not.\n\n"
        + (
            markdown(
                ("speech heard", "clips", "AUC", "found at 4 %"),
                [
                    (
                        f"{line['spoken_ms'] / 1000:g} s",
                        line["clips"],
                        number(line["auc"]),
                        percent(line["recall_at_4"]),
                    )
                    for line in lines
                ],
            )
        )
    )


def nobody(lines: Sequence[Study], what: str) -> str:
    alarmed, minutes = sum(line["alarmed"] for line in lines), sum(line["minutes"] for line in lines)
    if not minutes:
        return ""
    head = (
        f"Of {sum(line['clips'] for line in lines)} clips of {what} ({minutes:.0f} minutes) {alarmed} raise an alarm, "
    )
    return f"{head}{60 * alarmed / minutes:.1f} an hour.\n\n" + markdown(
        ("corpus", "what or who", "clips", "minutes", "alarmed"),
        [(line["corpus"], line["kind"], line["clips"], f"{line['minutes']:.1f}", line["alarmed"]) for line in lines],
    )


def conversations(found: Study) -> str:
    if not found:
        return ""
    rows = [
        (
            name,
            line["calls"],
            f"{line['hours']:.1f}",
            f"{line['unique_hours']:.1f}",
            *(f"{c} ({r:.2f}; at most {u:.2f})" for c, r, u in (line["escalated"], line["interrupted"])),
        )
        for name, line in found.items()
    ]
    return (
        "Stitched from calm speech of one voice (or one channel of ordinary calls), pauses, and noises in them: "
        "hours in which nobody is angry. In brackets: per hour, and its 95 % upper bound if alarms come independently "
        "of each other; the unique hours say how much really different sound there was.\n\n"
        + markdown(("voices of", "calls", "hours", "unique", "false escalations", "false alarms"), rows)
    )


def turns(lines: Sequence[Study]) -> str:
    return (
        "Calls that are calm for 24 s and then turn; times are seconds of such speech (not of pauses) until the first "
        "alarm and the first escalation.\n\n"
        + markdown(
            ("turns to", "corpus", "calls", "voices", "alarm", "median", "p95", "escalated", "median", "p95"),
            [
                (
                    line["kind"],
                    line["corpus"],
                    line["calls"],
                    line["voices"],
                    *when(line["interrupted"]),
                    *when(line["escalated"]),
                )
                for line in lines
            ],
        )
    )


def when(found: Study) -> tuple[str, str, str]:
    return percent(found["share"]), seconds(found["median_ms"]), seconds(found["p95_ms"])


def seconds(ms: float | None) -> str:
    return "-" if ms is None else f"{ms / 1000:.1f}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines: list[str] = [" | ".join(head), "|".join("---" for _ in head)]

    lines += [" | ".join(str(value).replace("|", "/") for value in row) for row in rows]
    return "\n".join(f"| {line} |" if at != 1 else f"|{line}|" for at, line in enumerate(lines))
