"""Commands are data: help, footer and keys come from one class each, and agree."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tui
from tests.fakes import FakeClient
from tui import commands
from tui.screens.checks import Checks
from tui.screens.help import Help, page

GROUPS = {
    "ask": (*commands.EVERYWHERE, *commands.ASK),
    "library": (*commands.EVERYWHERE, *commands.LIBRARY),
    "reader": (*commands.EVERYWHERE, *commands.READER),
    "checks": (*commands.EVERYWHERE, *commands.CHECKS),
    "unlock": commands.UNLOCK,
    "confirm": (commands.Lock, commands.Quit, *commands.CONFIRM),
}
SOURCES = sorted(Path(tui.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("name", GROUPS)
def test_no_key_means_two_things_on_a_screen(name: str) -> None:
    keys = [key for each in GROUPS[name] for key in each.key.split(",")]
    assert sorted(keys) == sorted(set(keys))


def test_every_command_is_in_the_help() -> None:
    text = page().plain
    shown = {each for _, group in commands.SECTIONS for each in group}
    assert shown == set(commands.Command.__subclasses__()) - {commands.SayYes, commands.SayNo}
    for each in shown:
        assert each.help() in text
        assert each.help().endswith(".")


@pytest.mark.parametrize(
    "shown",
    [(*commands.ASK, *commands.EVERYWHERE)]
    + [(*group, *commands.ALWAYS_SHOWN) for group in (commands.LIBRARY, commands.READER, commands.CHECKS)],
)
def test_the_keys_fit_into_80_columns(shown) -> None:
    assert len(commands.footer(shown, typing=False)) < 80


def test_letters_are_not_offered_while_one_is_typing() -> None:
    typing = commands.footer(commands.LIBRARY, typing=True)
    assert typing == "Esc Stop/Back"


async def test_help_screen(stage, golden) -> None:
    async with stage() as on:
        await on.press("f1")
        on.screen(Help)
        golden("help", on.shown())
        await on.press("f1", "escape")
        assert len(on.app.screen_stack) == 2


async def test_checks_screen(stage, golden) -> None:
    async with stage(FakeClient()) as on:
        await on.press("f3")
        await on.settle()
        assert on.screen(Checks).status.text == "2 checks, 1 failed."
        golden("checks", on.shown())
        await on.press("v", "f")
        await on.settle()
        assert on.client.calls.count("verify full=False") == 1
        await on.press("f")
        await on.settle()
        assert "verify full=True" in on.client.calls


async def test_nothing_reaches_the_clipboard_of_the_terminal(stage) -> None:
    async with stage() as on:
        written: list[str] = []
        on.app._driver.write = written.append
        await on.type("secret question")
        await on.press("ctrl+shift+a", "ctrl+x")
        assert on.app.clipboard == "secret question"
        assert "]52;" not in "".join(written)


def test_no_source_reads_text_as_markup() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert name not in ("from_markup", "notify", "Markdown", "Label", "eval"), (
                    f"{path.name}:{node.lineno}"
                )
                if name in ("Static", "OptionList"):
                    off = [
                        each for each in node.keywords if each.arg == "markup" and each.value.value is False
                    ]
                    assert off, f"{path.name}:{node.lineno} leaves markup on"


def test_importing_the_ui_loads_no_engine() -> None:
    code = (
        "import sys, tui.app; "
        "print([m for m in ('apsw', 'onnxruntime', 'llama_cpp', 'cryptography', 'pypdfium2', "
        "'rich.traceback', 'textual.widgets._markdown', 'textual.widgets._text_area') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
