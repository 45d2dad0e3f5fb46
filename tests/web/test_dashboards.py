"""`config/grafana.json` and `config/alerts.yml` ask for what a running service really exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.workers.pages import RESTARTS, together

if TYPE_CHECKING:
    from .conftest import Callmood

CONFIG = Path(__file__).parents[2] / "config"
DASHBOARD, ALERTS = CONFIG / "grafana.json", CONFIG / "alerts.yml"
FUNCTIONS = {"sum", "max", "rate", "increase", "histogram_quantile", "vector"}
WORDS = {"by", "and", "or", "up"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
ADDED_BY_PROMETHEUS = {"instance", "job"}

# One line of the alerts file, which keeps to a small part of YAML: what is not one of these is a slip.
LINE = re.compile(
    r"""groups:|\ \ -\ name:\ callmood|\ {4}rules:|\s*\#.*|
    \ {6}-\ alert:\ (?P<alert>\w+)|
    \ {8}expr:\ (?P<expr>[^|"].*|\|)|\ {10,12}(?P<more>\S.*)|
    \ {8}for:\ (?P<for_>\d+[smh])|
    \ {8}labels:\ {severity:\ (?P<severity>page|ticket)}|
    \ {8}annotations:""",
    re.VERBOSE,
)
NOTE = re.compile(r' {10}(?P<name>summary|action): "(?P<text>[^"\\]+)"')


def alerts() -> list[dict[str, str]]:
    """The rules. Fails on a line that is not understood."""
    rules: list[dict[str, str]] = []
    in_block = False
    for number, line in enumerate(ALERTS.read_text("utf-8").splitlines(), 1):
        if not line:
            continue
        if note := NOTE.fullmatch(line):
            rules[-1][note["name"]] = note["text"]
            continue
        found = LINE.fullmatch(line)
        assert found, f"line {number} of alerts.yml: {line}"
        was_in_block, in_block = in_block, bool(found["more"]) or found["expr"] == "|"
        if found["alert"]:
            rules.append({"alert": found["alert"]})
        elif found["expr"]:
            rules[-1]["expr"] = "" if found["expr"] == "|" else found["expr"]
        elif found["more"]:
            assert was_in_block, f"line {number} of alerts.yml: {line}"
            rules[-1]["expr"] += " " + found["more"]
        elif known := {key: value for key, value in found.groupdict().items() if value}:
            rules[-1] |= known
    return rules


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The numbers it asks for, and the labels by which it picks them."""
    for name, labels in re.findall(r"\b(callmood_\w+)(?:\{([^}]*)\})?", expression):
        yield name, {label for label, _ in re.findall(r"(\w+)\s*(=~|!~|!=|=)\s*\"[^\"]*\"", labels)}


def test_every_expression_is_built_of_what_prometheus_knows() -> None:
    for where, expression in expressions():
        check_expression(where, expression)


def check_expression(where: str, expression: str) -> None:
    """As far as a simple check can."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    for opening, closing in ("()", "{}", "[]"):
        assert plain.count(opening) == plain.count(closing), where
    assert re.fullmatch(r"[\w\s(){}\[\],.=~!<>*/+\-\"$:]+", plain), where
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([\w, ]*\)", " ", plain)
    called = set(re.findall(r"\b([a-z_]+)\s*\(", bare)) - WORDS
    assert called <= FUNCTIONS, where
    words = set(re.findall(r"[A-Za-z_]\w*", bare)) - called
    assert {word for word in words if not word.startswith("callmood_")} <= WORDS, where
    for window in re.findall(r"callmood_\w+(?:_total|_bucket)\b(?:\{[^}]*\})?(\[)?", plain):
        assert window, f"{where}: a counter says nothing but how fast it grows"


async def test_every_number_that_is_asked_for_is_one_that_the_service_exports(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        for _ in range(3):
            await callmood.emotion(line.call_sid, "sad", 0.9)
        await callmood.event(line.call_sid, "context.updated")
        call = callmood.ready.directory.find(line.call_sid)
        assert call is not None
        call.timeline.record("audio.gap", ms=20, cause="lost")
        assert (await callmood.get("/calls/unknown")).status_code == 404
        page = (await callmood.get("/metrics")).text
    page = together({0: (page + RESTARTS.format(count=0)).encode()}, 1).decode()  # as one of several workers says it
    exported: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for suffix in SUFFIXES[family.type]:
            name = family.name + suffix
            exported[name] = {label for sample in family.samples if sample.name == name for label in sample.labels}
    asked = [(where, name, labels) for where, expression in expressions() for name, labels in selectors(expression)]
    assert len(asked) > 40
    for where, name, labels in asked:
        assert name in exported, f"{where} asks for {name}"
        assert labels - ADDED_BY_PROMETHEUS <= exported[name], f"{where} picks {name} by a label it does not have"


def test_every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() -> None:
    rules = alerts()
    assert len(rules) >= 15
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert {"alert", "expr", "severity", "summary", "action"} <= set(rule) <= {*rule, "for_"}
        assert "$labels.instance" in rule["summary"]
        assert rule["summary"].count("{{") == rule["summary"].count("}}")
        assert rule.get("for_") or "increase(" in rule["expr"], f"{rule['alert']} would flap"


def test_the_dashboard_has_no_two_panels_in_one_place_and_none_that_asks_nothing() -> None:
    known = panels()
    places = {(each["gridPos"]["x"], each["gridPos"]["y"]) for each in known}
    assert len(places) == len({each["id"] for each in known}) == len(known)
    for each in known:
        assert each["title"]
        assert each["description"]
        assert each["gridPos"]["x"] + each["gridPos"]["w"] <= 24
        assert all(target["expr"] and target["datasource"]["uid"] == "${datasource}" for target in each["targets"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_itself_accepts_the_rules_and_the_dashboards_expressions(tmp_path: Path) -> None:
    groups = [
        {"record": f"panel:number_{number}", "expr": re.sub(r"\$__rate_interval", "1m", expression)}
        for number, (_, expression) in enumerate(expressions())
    ]
    (tmp_path / "all.json").write_text(json.dumps({"groups": [{"name": "panels", "rules": groups}]}))
    for file in (ALERTS, tmp_path / "all.json"):
        done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
