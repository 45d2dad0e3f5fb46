"""A ledger's folder in which things are not what they should be: `doctor` says so, and comes to its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.ledger_check import ledger_check
from agent.ledger.database import DATABASE
from agent.ledger.keys import KEY
from agent.ledger.store import Store
from agent.settings import Settings

if TYPE_CHECKING:
    from conftest import Run


def found(folder: Path) -> list[tuple[str, str]]:
    return list(ledger_check(Settings(data=str(folder))))


def test_a_folder_behind_links_that_lead_round_in_a_circle_is_said_to_be_unusable(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    [(_, fix)] = found(tmp_path / "round" / "data")
    assert fix.startswith("mkdir")


def test_a_link_that_leads_nowhere_is_not_a_folder_that_is_made_at_the_first_start(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("nowhere")
    [(_, fix)] = found(tmp_path / "data")
    assert fix.startswith("mkdir")


def test_a_pipe_in_the_place_of_the_ledger_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / DATABASE)
    [(what, fix)] = found(tmp_path)
    assert what == f"{tmp_path / DATABASE} is not a file"
    assert fix.startswith("mv ")


def test_a_pipe_in_the_place_of_the_key_is_not_waited_for(tmp_path: Path) -> None:
    Store(tmp_path).close()
    (tmp_path / KEY).unlink()
    os.mkfifo(tmp_path / KEY)
    [_, (what, fix)] = found(tmp_path)
    assert what == f"{tmp_path / KEY} is not a file"
    assert fix.startswith("mv ")


def test_the_name_of_a_folder_is_no_command_to_the_terminal(run_here: Run) -> None:
    done = run_here("doctor", CALLMOOD_DATA="a\x1b]0;a title\x07\u202e")
    assert "ledger in a\\u001b]0;a title\\u0007\\u202e" in done.out
    assert not set(done.out) & {"\x1b", "\x07", "\u202e"}
