"""The table `[ledger]`: how long what is kept of calls is kept."""

from pathlib import Path

import pytest

from agent import wiring
from agent.config_sources import load
from agent.errors import ConfigError
from agent.settings import LedgerSettings, Settings


def loaded(tmp_path: Path, table: str) -> Settings:
    file = tmp_path / "callmood.toml"
    file.write_text(table)
    return load({}, folder=tmp_path, file=file)


def test_readings_are_kept_for_a_month_and_calls_for_a_year(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").ledger == LedgerSettings(readings_days=30, calls_days=365)
    assert loaded(tmp_path, "[ledger]\nreadings_days = 7").ledger == LedgerSettings(readings_days=7, calls_days=365)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("[ledger]\nreadings_days = 0", "readings_days"),
        ("[ledger]\ncalls_days = 0.5", "calls_days"),
        ("[ledger]\ncalls_days = nan", "calls_days"),
        ("[ledger]\ncalls_days = 1e9", "calls_days"),
        ("[ledger]\nreadings_days = 30\ncalls_days = 29", "readings_days must not be larger"),
        ("[ledger]\nreadings_days = '30'", "readings_days"),
        ("[ledger]\ndays = 30", "days"),
    ],
)
def test_days_that_make_no_sense_stop_the_start_with_their_name(tmp_path: Path, table: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        loaded(tmp_path, table)


async def test_the_service_keeps_calls_as_long_as_is_set(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path), ledger=LedgerSettings(readings_days=2, calls_days=3))
    async with wiring.ledger(settings) as ledger:
        assert ledger._sweep.keywords == {"readings_days": 2, "calls_days": 3}
