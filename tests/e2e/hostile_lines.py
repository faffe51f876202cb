"""Every command in line mode, on a client that says hostile things everywhere; test_lines.py has the pty."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from appliance.cli import asking, audit, commands, copies, keys
from appliance.cli.main import main
from appliance.errors import WrongSecret
from appliance.types import Checking, Report
from tests.tui.hostile_app import HOSTILE, HostileClient, hostile_client

NAME = f"name{HOSTILE}.pdf"
# What a shell makes of `add *` on somebody's medium: names that look like options too.
ARGUMENT = HOSTILE.replace("\x00", "")
QUESTIONS = "tests/vectors/hostile_questions.jsonl"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("list",),
    ("list", "--json"),
    ("show", NAME.replace("\x00", "")),
    ("show", "1"),
    ("show", "1", "--page", "77"),
    ("show", "1", "--json"),
    ("show", f"no such {ARGUMENT}"),
    ("ask", f"question {ARGUMENT}"),
    ("ask", "question", "--json"),
    ("add", f"/media/{ARGUMENT}"),
    ("add", "/media", "--json"),
    ("add", f"--{ARGUMENT}"),
    ("verify",),
    ("verify", "--full", "--json"),
    ("models",),
    ("doctor",),
    ("doctor", "--json"),
    ("remove", f"no such {ARGUMENT}"),
    ("remove", "1"),
    ("remove", "2", "--json"),
    ("eval", QUESTIONS),
    ("eval", QUESTIONS, "--json"),
    ("eval", f"/media/{ARGUMENT}.jsonl"),
    ("list", "--vault", ARGUMENT),
    (ARGUMENT,),
    ("list", f"--{ARGUMENT}"),
    ("show", "1", "--page", ARGUMENT),
)  # fmt: skip


class LineClient(HostileClient):
    """The hostile client as the commands know it; where `refuses`, no secret opens a vault."""

    refuses = False

    def __enter__(self) -> LineClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def unlock(self, *_: Any, **__: Any) -> None:
        if self.refuses:
            raise WrongSecret(f"No slot of {HOSTILE} opens.", hint=f"Try {HOSTILE} again.")

    def verify(self, *, full: bool) -> Iterator[Checking | Report]:
        yield Checking(f"pages {HOSTILE}", 1, 2)
        yield HostileClient.doctor(self)

    def doctor(self, *_: Any) -> Report:
        return HostileClient.doctor(self)

    def models(self) -> Report:
        return HostileClient.doctor(self)


def client(*_: Any) -> LineClient:
    """Stand in for the real client."""
    made = hostile_client()
    return LineClient(**{name: getattr(made, name) for name in made.__dataclass_fields__})


def run(arguments: tuple[str, ...]) -> None:
    """Run one command and say on the terminal which and how it ended."""
    for refuses in (False, True):
        LineClient.refuses = refuses
        try:
            code = main([*arguments, "--passphrase-file", sys.argv[1]])
        except SystemExit as stopped:
            code = stopped.code
        print(f"<ended {arguments[0][:6] if arguments[0].isalpha() else '?'} {code}>", flush=True)


if __name__ == "__main__":
    for module in (asking, audit, commands, copies, keys):
        vars(module)["Client"] = client
    vars(asking)["must_exist"] = lambda *_: None
    for command in COMMANDS:
        run(command)
