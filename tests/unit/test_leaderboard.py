"""The verdicts of the gate stay as they were written, or nothing is read from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import PolicyRefused
from scripts import leaderboard
from tests.trials import a_trial, rows


def an_entry(when: str = "2026-11-28T00:00:00+00:00", *why: str) -> leaderboard.Entry:
    return leaderboard.Entry(when, a_trial(known=(rows(), rows())), why)


def test_verdicts_come_back_in_their_order_and_as_a_table(tmp_path: Path) -> None:
    board = tmp_path / "board.jsonl"
    first, second = an_entry(), an_entry("2026-11-29T00:00:00+00:00", "it is worse")
    leaderboard.append(board, first)
    leaderboard.append(board, second)
    assert leaderboard.read(board) == (first, second)
    told = leaderboard.table((first, second))
    assert "passed" in told
    assert "- it is worse" in told


def test_a_line_that_a_kill_cut_off_is_taken_away(tmp_path: Path) -> None:
    board = tmp_path / "board.jsonl"
    leaderboard.append(board, an_entry())
    whole = board.read_bytes()
    board.write_bytes(whole + whole[:100])
    assert leaderboard.read(board) == (an_entry(),)
    leaderboard.append(board, an_entry())
    assert leaderboard.read(board) == (an_entry(), an_entry())


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [lines[0].replace(b'"refused"', b'"passed"'), *lines[1:]],
        lambda lines: lines[1:],  # a refusal taken out
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [*lines[:2], lines[2].replace(b'"n": 160', b'"n": 1600')],
        lambda lines: [*lines, b"{}"],
        lambda lines: [*lines, b"no JSON"],
        lambda lines: [*lines, lines[2]],
    ],
)
def test_an_edited_leaderboard_is_not_read_and_not_added_to(
    tmp_path: Path, edit: Callable[[list[bytes]], list[bytes]]
) -> None:
    board = tmp_path / "board.jsonl"
    for entry in (an_entry("2026-11-28", "it is worse"), an_entry(), an_entry()):
        leaderboard.append(board, entry)
    edited = b"".join(line + b"\n" for line in edit(board.read_bytes().splitlines()))
    board.write_bytes(edited)
    with pytest.raises(PolicyRefused, match="not as the gate wrote it"):
        leaderboard.read(board)
    with pytest.raises(PolicyRefused):
        leaderboard.append(board, an_entry())
    assert board.read_bytes() == edited
