"""What holds for all tests."""

import pytest
from hypothesis import HealthCheck, settings

# Times are never asserted: a busy machine draws slowly, and is no failure. The same examples every time, so that a
# change is judged by what it changed; `--hypothesis-profile=wide` looks for new ones.
settings.register_profile(
    "callmood", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None
)
settings.register_profile("wide", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=1000)
settings.load_profile("callmood")

LONGEST_FIRST = (
    "security/test_attacks.py",
    "cli/test_dev.py",
    "soak/test_soak.py",
    "faults/test_vendor_table.py",
    "faults/test_chaos_on_loopback.py",
    "engines/test_hume.py",
    "engines/test_contract.py",
    "cli/test_doctor.py",
    "cli/test_cli_serve.py",
    "cli/test_cli_commands.py",
    "cli/test_workers.py",
    "web/test_wall_in_browser.py",
    "web/test_call_in_browser.py",
    "web/test_bridge_faults.py",
    "web/test_bridge.py",
    "web/test_hybrid.py",
    "faults/test_fault_table.py",
    "faults/test_vendor_on_loopback.py",
    "cli/test_tune.py",
    "evaluation/test_page.py",
    "bench/test_bench_run.py",
)
"""Files of more than ten seconds: several run at a time, and one that began last would be waited for by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}

    def place(item: pytest.Item) -> int:
        return places.get("/".join(item.path.parts[-2:]), len(places))

    items.sort(key=place)
