"""Imports point one way, from what starts it all to what decides, so that each part is understood without the next."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent

ROOT = Path(agent.__file__).parent
ORDER = (
    *("errors", "core", "ports", "actors", "calls", "ingress", "attach", "web"),
    *("workers", "wiring", "service", "process", "cli"),
)
"""Each may import those before it. Workers are whole services: what begins one stands above all, and is left out."""
BEGINS_A_WORKER = ("workers/__main__.py", "workers/worker.py")
PROVIDERS = ("telephony", "engines", "assistants", "ledger")
FOR_PROVIDERS = {"errors", "core", "ports", "http", "dialling", "groups", "rounds"}


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """The dotted names that a module imports, relative ones in full."""
    package = path.relative_to(ROOT.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(name.name.split(".")) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from [module] if node.module else [(*module, name.name) for name in node.names]


def parts_used(part: str) -> dict[str, set[str]]:
    """By module of a part of ours, the other parts that it imports."""
    paths = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").exists() else list((ROOT / part).rglob("*.py"))
    assert paths, part
    used: dict[str, set[str]] = {}
    for path in paths:
        ours = {name[1] for name in imported(path) if name[0] == "agent" and len(name) > 1}
        used[str(path.relative_to(ROOT))] = ours - {part}
    return used


@pytest.mark.parametrize("part", ORDER)
def test_a_part_imports_only_what_comes_before_it(part: str) -> None:
    later = set(ORDER[ORDER.index(part) :])
    for module, used in parts_used(part).items():
        assert module in BEGINS_A_WORKER or not used & later, module


@pytest.mark.parametrize("part", PROVIDERS)
def test_providers_know_the_core_and_the_ports_and_not_each_other(part: str) -> None:
    for module, used in parts_used(part).items():
        assert used <= FOR_PROVIDERS, module


def test_the_core_needs_the_standard_library_and_numpy_alone() -> None:
    for path in (ROOT / "core").rglob("*.py"):
        foreign = {name[0] for name in imported(path)} - sys.stdlib_module_names - {"agent", "numpy"}
        assert not foreign, path.name
    assert set().union(*parts_used("core").values()) == {"errors"}
