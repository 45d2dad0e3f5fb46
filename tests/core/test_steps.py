"""What a call's decisions come from, as the first version wrote it: it is read for as long as it is kept."""

import ast
import sys
from pathlib import Path

import pytest

import agent.core
from agent.calls.stepcode import decode, encode
from agent.core.emotion import Gated
from agent.core.steps import Asked, Began, Ended, Felt, Fired, Made, Ordered, Reading, Setup, Step, Took

SETUP = Setup(0.7, 500, ("confused",), 3.0, 3, 30.0, 50, 30, 0.5, 1.0, 6, 200, 0.85)
SCORES = (0.1, 0.1, 0.1, 0.1, 0.5, 0.1)
FELT = Felt("angry", 0.9, "rising", 5, 2.5, None)
WRITTEN: dict[str, tuple[Step, str]] = {
    "began": (
        Began(0, 1.5, 1, "0.1.0", "local", "m", SETUP),
        "980000cb3ff800000000000001a5302e312e30a56c6f63616ca16d9dcb3fe6666666666666cd01f491a8636f6e6675736564cb4008000000"
        "00000003cb403e000000000000321ecb3fe0000000000000cb3ff000000000000006ccc8cb3feb333333333333",
    ),
    "asked": (Asked(2, 2.5, 3, None, None), "960202cb400400000000000003c0c0"),
    "ordered": (Ordered(3, 2.5, "interrupt", True), "950303cb4004000000000000a9696e74657272757074c3"),
    "ended": (Ended(4, 9.0), "930604cb4022000000000000"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_step_is_written_as_the_first_version_wrote_it_and_read_back(name: str) -> None:
    step, written = WRITTEN[name]
    assert encode(step).hex() == written
    assert decode(bytes.fromhex(written)) == step
    assert type(decode(bytes.fromhex(written))) is type(step)


def test_everything_a_step_can_hold_comes_back_as_what_it_was() -> None:
    reading = Reading(("sad", 1 / 3), "hume", 0, 9, 1e-9, SCORES, None, 3, 0.5, ("sad", 0.2), Gated.POOR_LINE, 0.25)
    made = Made(FELT, (Fired("cut", 1 / 3, ("interrupt",)),), "note", None, "cut", False, ("notes_per_call",))
    for step in (Took(1, 0.1 + 0.2, reading), Asked(2, 2.5, 7, "hash", made)):
        assert repr(decode(encode(step))) == repr(step)


def test_what_a_later_version_adds_to_a_step_is_left() -> None:
    assert decode(bytes.fromhex("940604cb4022000000000000c0")) == Ended(4, 9.0)


@pytest.mark.parametrize(
    "written", ["", "90", "91c0", "9107", "91c3", "91cb0000000000000000", "930604a178", "92c006", "c1"]
)
def test_what_is_no_step_is_said_to_be_none(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(bytes.fromhex(written))


def test_what_decides_again_is_made_of_the_standard_library_alone() -> None:
    found = set()
    for name in ("steps", "record", "keeping", "replay", "rules", "rulebook", "tracking", "holding"):
        for node in ast.walk(ast.parse((Path(agent.core.__path__[0]) / f"{name}.py").read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    assert found - sys.stdlib_module_names == set()
