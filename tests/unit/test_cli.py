"""The command line is what the README says it is, and asks for secrets safely."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from appliance import cli
from appliance.errors import UsageError

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = cli._parser()._actions
    return next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction))


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_its_summary_stand_in_the_readme(name: str) -> None:
    row = next((line for line in README.splitlines() if line.startswith(f"| `appliance {name}")), "")
    assert commands()[name].description in row.replace("\\|", "|")


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_stands_in_the_readme(name: str) -> None:
    for action in commands()[name]._actions:
        for option in action.option_strings:
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in README, option


def test_no_secret_can_be_given_on_the_command_line_or_in_the_environment() -> None:
    options = {
        o for parser in commands().values() for action in parser._actions for o in action.option_strings
    }
    assert {option for option in options if "pass" in option} == {"--passphrase-file"}


@pytest.mark.parametrize("words", [["--vault", "x", "list"], ["list", "--vault", "x"]])
def test_common_options_stand_before_or_after_the_command(words: list[str]) -> None:
    assert cli._parser().parse_args(words).vault == "x"


def test_a_passphrase_file_gives_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"two words\r\nmore\n")
    assert cli._read_passphrase(tmp_path / "p") == b"two words"


def test_a_missing_passphrase_file_is_a_clear_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read"):
        cli._read_passphrase(tmp_path / "absent")


def test_json_holds_no_control_byte(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_json({"text": "".join(map(chr, range(0xA0))) + "\u202e"})
    printed = capsys.readouterr().out
    assert all(32 <= ord(char) < 127 or char == "\n" for char in printed)


def test_no_command_at_all_means_the_terminal_ui_which_needs_a_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([]) == 2
    assert "terminal" in capsys.readouterr().err
