"""Checklist row 23, line mode: hostile names, texts and arguments in every command act on no terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.e2e.hostile_lines import COMMANDS
from tests.tui.test_hostile import ROOT, foreign


def captured(home: Path) -> bytes:
    """Run every command with stdin, stdout and stderr on one pty; return all that reached it."""
    secret = home / "secret"
    secret.write_text("a passphrase\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.hostile_lines", str(secret)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "APPLIANCE_HOME": str(home), "TERM": "xterm-256color", "COLUMNS": "100"},
        start_new_session=True,
    )
    os.close(theirs)
    raw = b""
    try:
        while piece := os.read(ours, 65536):
            raw += piece
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
        process.wait(30)
    return raw


def test_no_command_lets_data_act_on_the_terminal(tmp_path: Path) -> None:
    raw = captured(tmp_path)
    assert raw.count(b"<ended ") == 2 * len(COMMANDS), raw[-2000:]
    assert b"Traceback" not in raw
    assert foreign(raw) == []
    shown = raw.decode()
    # The words around the attacks arrived: nothing was merely withheld.
    for said in (
        "\ufffd",
        "[@click=app.quit]quit[/][red]",
        "nrecognized arguments: --",
        "why",
        "sand",
        "hea",
    ):
        assert said in shown, said
    for ended in (
        "list 0",
        "list 5",
        "show 0",
        "ask 0",
        "add 4",
        "verify 6",
        "doctor 6",
        "remove 0",
        "eval 0",
        "eval 2",
        "? 2",
    ):
        assert f"<ended {ended}>" in shown, ended
