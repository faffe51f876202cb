"""Rows 23 and 31: what reaches the terminal, and what is left of it after a lock."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata

import pyte

from tests.security.box import ROOT, Box, Terminal, box, offspring
from tests.security.registry import Scale, Tried, row

# Each acts on a terminal that lets it through; the letters around it are there to be found again.
ATTACKS = (
    *(
        "\x1b]52;c;ZXZpbA==\x07",
        "\x1b[2J\x1b[H",
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "\x1bc",
        "\x1bP1$q\x1b\\",
        "\x1b[1;4mX\x1b[22;24m",
    ),
    *(
        "\x1b]8;;http://192.0.2.1\x07link\x1b]8;;\x07",
        "\x1b[?1049l",
        "\x1b[6n",
        "\x1b]50;x\x07",
        "\x1b#8",
        "\x1b(0",
    ),
    *(
        "\x9b31m",
        "\x9d52;c;eA==\x9c",
        "\x85",
        "\x90q\x9c",
        "\x07",
        "\x08\x08\x08",
        "\x0b\x0c",
        "\x7f",
        "\r overwritten",
    ),
    *(
        "\u202e reversed",
        "\u2066isolate",
        "\u200bzero\u200d",
        "\ufeff",
        "\U000e0041\U000e0042",
        "\u2028line",
        "\u00ad",
    ),
)
_FINE_IN_LINES = "\n"
_BAR = re.compile(r"\r\x1b\[K[^\r\x1b]*")
_MARK = re.compile(r"\x1b\[1;4m([^\x00-\x1f\x7f-\x9f]+)\x1b\[22;24m")
"""The one thing that a line is given for a terminal: the words of the quote that answer, set off."""


def foreign(raw: bytes, *, allowed: str = _FINE_IN_LINES, answer: bool = False) -> list[str]:
    """Return each control or format character in what a command wrote, with what stands around it.

    An `answer` has words of its own set off, once; a second time or elsewhere a document does it.
    """
    text = _BAR.sub("", raw.decode("utf-8", "replace")).replace("\r\n", "\n")
    text = _MARK.sub(r"\1", text, count=answer) if answer else text
    return [
        repr(text[max(0, at - 15) : at + 15])
        for at, char in enumerate(text)
        if char not in allowed and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


@row(23, "Terminal output is clean")
def clean(scale: Scale) -> Tried:
    """Put attacks into names, titles, headings, text and errors; read what a real terminal would get."""
    tried = Tried()
    attacks = ATTACKS[:: 1 if scale.factor >= 1 else 7]
    for each in attacks:
        tried.case(foreign(f"x{each}y".encode()), f"the grammar would not notice {each!r}")
    with box() as owner:
        for number, each in enumerate(attacks):
            name = each.replace("/", "_").replace("\0", "")
            body = (
                f"# T{each}t\n\n## H{each}h\n\nThe pump {number} delivers {number} litres{each} each hour.\n"
            )
            owner.write(f"docs/n{number}{name}.md", body)
        owner.init()
        total = 0
        for words in _commands(owner):
            for secret in (owner.argv(*words),):
                out = _on_a_pty(owner, secret)
                total += len(out)
                bad = foreign(out, answer=words[0] == "ask")
                tried.case(
                    re.search(rb"litres|\bn\d", out) or words[0] == "verify", f"{words[0]} showed nothing"
                )
                tried.cases += len(attacks)
                tried.case(not bad, f"{words[0]}: {bad[:3]}")
        for each in attacks[:6]:
            for words in (
                ("show", each),
                ("remove", each),
                ("ask", f"What{each}?"),
                ("--vault", each, "list"),
            ):
                out = _on_a_pty(owner, owner.argv(*words))
                bad = foreign(out, answer=words[0] == "ask")
                tried.case(not bad, f"{words}: {bad[:3]}")
    command = [sys.executable, "-m", "pytest", "-q", "tests/tui/test_hostile.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    tried.case(done.returncode == 0, f"the screens: {done.stdout[-300:]}")
    tried.note = f"{len(attacks)} attacks, {total} bytes captured from a pty"
    return tried


def _commands(owner: Box) -> list[tuple[object, ...]]:
    return [
        ("add", owner.luggage / "docs"),
        ("add", "--json", owner.luggage / "docs"),
        ("list",),
        ("show", 1),
        ("show", 3),
        ("ask", "How many litres does pump 1 deliver?"),
        ("ask", "--json", "How many litres does pump 1 deliver?"),
        ("list", "--json"),
        ("verify", "--full"),
    ]


def _on_a_pty(owner: Box, argv: list[str]) -> bytes:
    """Run a command with a terminal as its output and return all bytes of it."""
    code = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    argv = [
        each.encode("utf-8", "surrogateescape").replace(b"\0", b"").decode("utf-8", "surrogateescape")
        for each in argv
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=owner.environment,
        check=False,
    )
    return done.stdout + done.stderr


@row(31, "Auto-lock ends the worker and clears the screen")
def auto_lock(_: Scale) -> Tried:
    """Leave the terminal alone for a minute; then read screen, scrollback and process table."""
    tried = Tried()
    with box() as owner:
        owner.init()
        owner.write("docs/secret-plan.md", "# Plan\n\nThe brassgate valve opens at midnight.\n")
        owner.add(owner.luggage / "docs")
        owner.state.joinpath("config.toml").write_text('lock_minutes = 1\ngenerator = ""\n')
        with Terminal(owner, "tui") as screen:
            tried.case(screen.wait("Ask your documents"), "the screen never opened")
            screen.type("When does the brassgate valve open?\r")
            tried.case(screen.wait("midnight"), "the answer never came")
            tried.case(
                any("midnight" in line for line in _display(screen.raw)), "the emulator does not show it"
            )
            before = {each.pid for each in offspring(screen.process.pid)[1:]}
            tried.case(screen.wait("Passphrase", seconds=90), "it never locked")
            screen.wait("nothing more", seconds=2)
            after = {each.pid for each in offspring(screen.process.pid)[1:]}
            tried.case(not before & after, "the process that held the key still runs")
            left = [line for line in _display(screen.raw) if "brassgate" in line or "midnight" in line]
            tried.case(not left, f"still on the screen: {left}")
            erased = screen.raw.rfind(b"\x1b[3J")
            tried.case(erased >= 0, "the scrollback was not erased")
            late = screen.raw[erased:].decode("utf-8", "replace")
            tried.case("brassgate" not in late and "midnight" not in late, "content came after the erasure")
            screen.type("\x11")
            screen.wait(lambda: screen.process.poll() is not None, seconds=10)
            shown = _display(screen.raw)
            tried.case(not any("brassgate" in line for line in shown), "content on the screen after the end")
    tried.note = "after one idle minute"
    return tried


def _display(raw: bytes) -> list[str]:
    """Return the 24 lines, and 500 lines of history, of an emulated terminal that got these bytes."""
    screen = pyte.HistoryScreen(80, 24, history=500)
    stream = pyte.ByteStream(screen)
    # The emulator does not know kitty's keyboard sequences, nor erasing the scrollback.
    for piece in re.split(
        rb"(\x1b\[3J)", re.sub(rb"\x1b\[[<>=][0-9;]*u|\x1b\[\?u|\x1b\[\?[0-9;]+\$p", b"", raw)
    ):
        if piece == b"\x1b[3J":
            screen.history.top.clear()
        else:
            stream.feed(piece)
    history = ["".join(line[x].data for x in range(80)) for line in screen.history.top]
    return [*history, *screen.display]
