"""The command line is what the README says it is, and asks for secrets safely."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.assistant import UNFINISHED
from appliance.cli import asking
from appliance.cli import commands as called
from appliance.cli import main as cli
from appliance.cli.arguments import parser
from appliance.cli.asking import first_line, ways
from appliance.cli.output import followed, print_json
from appliance.config import Config
from appliance.errors import UsageError
from appliance.models import parse_card
from appliance.secret import Secret
from appliance.types import Checking, Document

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands(
    made: argparse.ArgumentParser | None = None, name: str = ""
) -> dict[str, argparse.ArgumentParser]:
    """Return every command that does something, by its words: "keys add", not "keys"."""
    made = made or parser()
    groups = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        return {name: made}
    found = {}
    for word, command in groups[0].choices.items():
        found |= commands(command, f"{name} {word}".strip())
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_its_summary_stand_in_the_readme(name: str) -> None:
    beginnings = tuple(f"| `appliance {name}{end}" for end in "` ")  # `add` is not `address`
    row = next((line for line in README.splitlines() if line.startswith(beginnings)), "")
    assert commands()[name].description in row.replace("\\|", "|")


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_stands_in_the_readme(name: str) -> None:
    for action in commands()[name]._actions:
        for option in action.option_strings:
            if option.startswith("--") and option != "--help":
                shown = re.search(rf"[` ]{option}[` ]", README)  # alone, or in the row of its command
                assert shown, option


def test_the_threshold_in_the_readme_is_that_of_the_card() -> None:
    settings = Config(home=Path("/nowhere"))
    card = parse_card((ROOT / "models" / f"{settings.reader}.toml").read_bytes())
    (threshold,) = (entry.threshold for entry in card.refusal if entry.level == settings.refusal)
    assert re.findall(r"(\w+) asks for ([\d.]+)", README) == [(settings.refusal, f"{threshold:.2f}")]


def test_no_secret_can_be_given_on_the_command_line_or_in_the_environment() -> None:
    options = {o for made in commands().values() for action in made._actions for o in action.option_strings}
    named = {option for option in options if "pass" in option or "secret" in option}
    assert named == {"--passphrase-file", "--new-passphrase-file", "--no-passphrase"}
    given = [a for made in commands().values() for a in made._actions if a.option_strings and a.nargs != 0]
    kept = {a.dest: a.type for a in given if any(word in a.dest for word in ("pass", "key", "credential"))}
    assert set(kept.values()) == {Path}, "a file's name, never the secret itself"


@pytest.mark.parametrize("word", ["keys", "audit"])
def test_a_group_without_a_command_says_which_there_are(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([word]) == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-3", "two", "\u0663", "1000000000"])
def test_how_many_entries_is_a_number_from_one_on(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "show", "--last", number]) == 2
    assert "is not a number from 1 on" in capsys.readouterr().err or number == "-3"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("kind", ["key-file", "two-factor", "escrow"])
def test_what_a_slot_is_made_of_is_asked_for_before_a_secret_is(
    kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "vaults" / "main").mkdir(parents=True)
    assert cli.main(["keys", "add", kind, "--passphrase-file", "/nowhere"]) == 2
    assert "needs --" in capsys.readouterr().err


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Leave Ctrl+C to the test runner again."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_long_call_waits_for_what_came_of_it() -> None:
    stops: list[str] = []

    def rotating() -> Iterator[Checking | str]:
        yield Checking("copy", 1, 2)
        signal.raise_signal(signal.SIGINT)  # too late: the new key is in place
        yield "rotated"

    assert followed(rotating(), lambda: stops.append("cancel")) == "rotated"
    assert stops == ["cancel"]
    signal.raise_signal(signal.SIGINT)  # while the worker ends: what was done must still be told


@pytest.mark.usefixtures("ctrl_c")
def test_the_second_ctrl_c_does_not_wait() -> None:
    def hanging() -> Iterator[Checking]:
        yield Checking("copy", 1, 2)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield Checking("copy", 2, 2)

    with pytest.raises(KeyboardInterrupt):
        followed(hanging(), lambda: None)


def test_progress_is_drawn_on_a_terminal_and_taken_away_before_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", written)

    def failing() -> Iterator[Checking]:
        yield Checking("copy", 3, 2)
        raise UsageError("no")

    with pytest.raises(UsageError):
        followed(failing(), lambda: None)
    assert written.getvalue() == "\r\x1b[Kcopy 100%\r\x1b[K"


@pytest.mark.parametrize("words", [["--vault", "x", "list"], ["list", "--vault", "x"]])
def test_common_options_stand_before_or_after_the_command(words: list[str]) -> None:
    assert parser().parse_args(words).vault == "x"


def test_a_passphrase_file_gives_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"two words\r\nmore\n")
    assert first_line(tmp_path / "p") == b"two words"


def test_a_missing_passphrase_file_is_a_clear_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read"):
        first_line(tmp_path / "absent")


def test_json_holds_no_control_byte(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "".join(map(chr, range(0xA0))) + "\u202e"})
    printed = capsys.readouterr().out
    assert all(32 <= ord(char) < 127 or char == "\n" for char in printed)


def test_no_command_at_all_means_the_terminal_ui_which_needs_a_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([]) == 2
    assert "terminal" in capsys.readouterr().err


def run(*words: str, redirect: str = "", environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the program through a shell, which can close and redirect its streams."""
    line = " ".join(
        ["exec", shlex.quote(sys.executable), "-m", "appliance.cli", *map(shlex.quote, words), redirect]
    )
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, env=dict(os.environ) | (environment or {}), timeout=60
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.usefixtures("home")
def test_an_error_with_json_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--json", "--vault", "absent"]) == 2
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert error["name"] == "VaultMissing"
    assert error["exit_code"] == 2
    assert error["message"] in printed.err


@pytest.mark.usefixtures("home")
def test_what_nobody_foresaw_is_said_without_content(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise LookupError("the secret text")

    monkeypatch.setattr(cli.config, "load", broken)
    assert cli.main(["list"]) == 1
    said = capsys.readouterr().err
    assert "LookupError" in said
    assert "secret text" not in said


@pytest.mark.usefixtures("home")
def test_ctrl_c_is_130_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.config, "load", stopped)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    assert cli.main(["list"]) == 130
    assert "Stopped" in capsys.readouterr().err


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_stream_the_caller_closed_stops_nothing(redirect: str) -> None:
    # Its number would go to the worker's socket, and the next line printed would break the talk with it.
    assert run("models", "--json", redirect=redirect)[0] in (0, 6)


@pytest.mark.usefixtures("home")
def test_a_full_disk_under_our_output_is_no_traceback() -> None:
    code, _, said = run("models", redirect=">/dev/full")
    assert code == 1
    assert said == "appliance: Cannot go on: No space left on device.\n"


@pytest.mark.usefixtures("home")
def test_a_terminal_that_lacks_a_letter_gets_its_number() -> None:
    code = "from appliance.cli import main as cli; cli._ready_streams(); print('“caf\\u00e9” ·')"
    environment = dict(os.environ) | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout == b"\\u201ccaf\\xe9\\u201d \\xb7\n"


def stored(number: int, name: str) -> Document:
    return Document(number, name, name, f"/{name}", "", 1, None, 1, datetime.now(UTC))


def test_a_name_that_is_another_documents_id_is_refused() -> None:
    both = [stored(3, "a"), stored(7, "3")]
    assert called._find(both, "7").name == "3"
    assert called._find(both, "a").id == 3
    with pytest.raises(UsageError, match="one document and the name of another"):
        called._find(both, "3")
    assert called._find([stored(3, "3")], "3").id == 3


def test_a_name_that_two_documents_have_is_a_mistake_and_nothing_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twins = [stored(3, "manual.txt"), stored(5, "b"), replace(stored(7, "manual.txt"), lost=(UNFINISHED,))]
    removed: list[int] = []
    client = argparse.Namespace(documents=lambda: twins, remove=removed.append)
    monkeypatch.setattr(called, "unlocked", lambda *_: contextlib.nullcontext(client))
    with pytest.raises(UsageError, match=r"'manual\.txt' is the name of 2 documents") as caught:
        called.remove(parser().parse_args(["remove", "b", "manual.txt"]), Config(home=Path("/none")))
    assert caught.value.hint == f"Name one by its id: 3 (/manual.txt) or 7 (/manual.txt; {UNFINISHED})."
    assert removed == []
    called.remove(parser().parse_args(["remove", "7", "b"]), Config(home=Path("/none")))
    assert removed == [7, 5]


def test_a_file_name_that_is_not_utf8_finds_its_document() -> None:
    assert called._find([stored(1, "caf\\xe9")], os.fsdecode(b"caf\xe9")).id == 1


SECRETS = {
    "--key-file": ["f"],
    "--recovery-code": [],
    "--escrow-key": ["f"],
    "--fido2": [],
    "--pkcs11": ["m.so"],
}


def test_who_names_a_place_that_is_taken_is_told_of_a_free_one(tmp_path: Path) -> None:
    def hint(path: Path) -> str:
        with pytest.raises(UsageError, match="nothing was overwritten") as refused:
            asking.refuse_taken(path, what="folder", name="main")
        return refused.value.hint

    asking.refuse_taken(tmp_path / "main", what="folder", name="main")
    assert hint(tmp_path) == f"Name a folder that is not there yet, such as {tmp_path}/main."
    (tmp_path / "main").write_text("")
    assert hint(tmp_path) == hint(tmp_path / "main") == "Name a folder that is not there yet."


def test_a_passphrase_that_is_too_short_is_asked_for_again_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[str] = []
    said = iter(["short", "seven c", "long enough", "long enough", "1", "2", "3", "long enough"])

    def answer(prompt: str, **_: object) -> str:
        asked.append(prompt)
        return next(said)

    monkeypatch.setattr(sys, "stdin", argparse.Namespace(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", answer)
    assert asking.chosen(None) == b"long enough"
    new = "New passphrase (at least 8 characters): "
    assert asked == [new, new, new, "Again, to be sure: "]
    assert capsys.readouterr().err.count("has at least 8 characters") == 2
    with pytest.raises(UsageError, match="at least 8"):
        asking.chosen(None)
    assert len(asked) == 7
    (tmp_path / "words").write_text("short\n")
    with pytest.raises(UsageError, match="at least 8"):
        asking.chosen(tmp_path / "words")


@pytest.mark.parametrize("first", SECRETS)
def test_a_vault_is_opened_with_one_thing_and_none_is_ignored(first: str) -> None:
    assert ways(parser().parse_args(["list", first, *SECRETS[first]])) == [first]
    for second in SECRETS.keys() - {first}:
        options = parser().parse_args([first, *SECRETS[first], "list", second, *SECRETS[second]])
        with pytest.raises(UsageError, match="opens with one of"):
            ways(options)


def _on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(sys, stream, argparse.Namespace(isatty=lambda: True))


@pytest.mark.parametrize("words", [["tui", "--accept-weaker"], ["tui"]])
def test_the_terminal_ui_is_told_that_a_weaker_sandbox_is_accepted(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(called, "Client", lambda _: contextlib.nullcontext())
    monkeypatch.setattr("tui.app.Appliance", lambda *_, accept_weaker, **__: told.append(accept_weaker))
    monkeypatch.setattr("tui.app.run", lambda _: 0)
    _on_a_terminal(monkeypatch)
    assert called.tui(parser().parse_args(words), Config(home=Path("nowhere"))) == 0
    assert told == ["--accept-weaker" in words]


@pytest.mark.parametrize("option", [*SECRETS, "--passphrase-file"])
def test_the_terminal_ui_opens_with_what_was_named(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, shown = [], []
    client = argparse.Namespace(unlock=lambda name, secret, **_: opened.append((name, secret.kind)))
    monkeypatch.setattr(called, "Client", lambda _: contextlib.nullcontext(client))
    monkeypatch.setattr(called, "must_exist", lambda *_: None)
    given = Secret.passphrase(bytearray(b"p"))
    monkeypatch.setattr(called, "given", lambda *_: contextlib.nullcontext(given))
    monkeypatch.setattr("tui.app.Appliance", lambda *_, unlocked, **__: shown.append(unlocked))
    monkeypatch.setattr("tui.app.run", lambda _: 0)
    _on_a_terminal(monkeypatch)
    options = parser().parse_args(["tui", "--vault", "v", option, *SECRETS.get(option, ["f"])])
    assert called.tui(options, Config(home=Path("nowhere"))) == 0
    assert (opened, shown) == ([("v", "passphrase")], [True])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ls", "list"),
        ("aks", "ask"),
        ("rm", "remove"),
        ("keys lst", "list"),
        ("xyzzy", ""),
        ("models ls", ""),
    ],
)
def test_a_mistyped_command_is_met_with_the_one_that_is_meant(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as refused:
        parser().parse_args(typed.split())
    assert refused.value.hint.startswith(f"Is it `{meant}`? See" if meant else "See")
