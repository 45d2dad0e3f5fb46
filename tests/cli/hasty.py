"""`callmood` as a process, if need be with less patience than it has: for tests of what comes when that is over."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

NO_LESS: Mapping[str, float] = {}
MAIN = """
import importlib, json, sys
for name, seconds in json.loads(sys.argv.pop(1)).items():
    module, _, constant = name.rpartition(".")
    found = importlib.import_module(module)
    assert seconds < getattr(found, constant), name
    setattr(found, constant, seconds)
importlib.import_module("agent.__main__").main()
"""


def callmood(*args: str, patience: Mapping[str, float] = NO_LESS) -> list[str]:
    """The command `callmood ARGS…`. `patience`: seconds instead of those in the code, by their dotted names."""
    if not patience:
        return [sys.executable, "-m", "agent", *args]
    return [sys.executable, "-c", MAIN, json.dumps(patience), *args]
