"""Checklist row 23: hostile text in every widget, on a real pty, acts on nothing.

The bytes that reach the terminal are read with a strict grammar: printable text and the few sequences that
Textual itself writes. Anything else, or a sequence with the attack's own number in it, came from the data.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.hostile_app import MARK

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30
# What Textual writes: styles, cursor, erase, private modes, kitty keys, mode queries.
OWN = re.compile(r"\x1b\[(?:[0-9;]*[mHJK]|\?[0-9;]+(?:[hlu]|\$p)|[<>=][0-9;]*u|\?u|[0-9]*[ABCD]|6n)")


class Terminal:
    """A pty of 80 by 24 with the application on it, all bytes kept."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.raw = b""
        self._end, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tui.hostile_app"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        os.close(theirs)

    def send(self, keys: str, until: str) -> None:
        """Send keys, then read until the screen has said `until`."""
        seen = len(self.raw)
        os.write(self._end, keys.encode())
        self._read(lambda: until in _text(self.raw[seen:]), f"{until!r} after {keys!r}")

    def wait(self, until: str) -> None:
        """Read until the screen has said `until`."""
        self._read(lambda: until in _text(self.raw), repr(until))

    def finish(self, keys: str) -> int:
        """Send keys, read to the end, return the exit code."""
        os.write(self._end, keys.encode())
        self._read(lambda: self.process.poll() is not None, "the end")
        return self.process.wait()

    def _read(self, done, what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not done():
            left = deadline - time.monotonic()
            assert left > 0, f"never saw {what}; the end of the output: {self.raw[-2000:]!r}"
            if select.select([self._end], [], [], min(left, 0.2))[0]:
                try:
                    self.raw += os.read(self._end, 65536)
                except OSError:  # the other end is closed
                    self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """End the process whatever happened."""
        self.process.kill()
        self.process.wait()
        os.close(self._end)


def _text(raw: bytes) -> str:
    return OWN.sub("", raw.decode("utf-8", "replace"))


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal({})
    yield opened
    opened.close()


def journey(terminal: Terminal) -> int:
    """Visit every screen and widget that shows text from outside."""
    terminal.wait("Ask your documents")
    terminal.send("head\r", until="Answer, checked")
    terminal.send("u", until="Not supported")
    terminal.send("\x1b[B", until="page 3")
    terminal.send("\r", until="page 2 of 2")
    terminal.send("/seal\r", until="Enter goes to the next place")
    terminal.send("\x1b", until="n Next")
    terminal.send("\x1b", until="document and heading")
    terminal.send("\x1bOQ", until="Chunks")
    terminal.send("x", until="y Yes")
    terminal.send("n", until="Chunks")
    terminal.send("a/tmp\r", until="1 failed")
    terminal.send("\x1b", until="document and heading")
    terminal.send("\x1bOR", until="1 check, 1 failed")
    terminal.send("v", until="damaged")
    return terminal.finish("\x11")


def foreign(raw: bytes) -> list[str]:
    """Return what Textual did not write: controls, format characters, sequences with the attack's number."""
    shown = raw.decode("utf-8")  # a byte that is no UTF-8 would raise here
    own = OWN.findall(shown)
    found = [sequence for sequence in own if MARK in sequence]
    rest = OWN.sub("", shown)
    bad = ("Cc", "Cf", "Cs", "Co", "Cn")
    return found + [
        repr(rest[at : at + 20])
        for at, char in enumerate(rest)
        if unicodedata.category(char) in bad and char not in "\r\n"
    ]


def test_nothing_from_the_data_acts_on_the_terminal(terminal: Terminal) -> None:
    assert journey(terminal) == 0
    assert foreign(terminal.raw) == []
    assert "[@click=app.quit]quit[/][red]" in _text(terminal.raw)
    assert b"Traceback" not in terminal.raw


def test_the_grammar_would_notice() -> None:
    for attack in ("\x1b]52;c;x\x07", f"\x1b[{MARK}m", "\x9b1m", "\u202e", "\x07", "\x1bc", "\x1bP1\x1b\\"):
        assert foreign(f"text {attack} text".encode()) != [], repr(attack)
    assert foreign(b"\x1b[1;31mred\x1b[0m\r\n\x1b[?1049h") == []


def test_a_lock_erases_screen_and_scrollback(terminal: Terminal) -> None:
    terminal.wait("Ask your documents")
    terminal.send("head\r", until="Answer, checked")
    terminal.send("\x0c", until="Passphrase")
    assert terminal.finish("\x11") == 0
    erased = terminal.raw.rindex(b"\x1b[3J")
    after = _text(terminal.raw[erased:])
    assert "Passphrase" in after
    assert "shut-off" not in after


def test_with_no_colour_nothing_is_coloured() -> None:
    terminal = Terminal({"NO_COLOR": "1"})
    try:
        terminal.wait("Ask your documents")
        terminal.send("head\r", until="Answer, checked")
        assert terminal.finish("\x11") == 0
        styles = re.findall(r"\x1b\[([0-9;]*)m", terminal.raw.decode())
        assert {code for style in styles for code in style.split(";")} <= {
            "",
            "0",
            "1",
            "2",
            "4",
            "7",
            "39",
            "49",
        }
    finally:
        terminal.close()
