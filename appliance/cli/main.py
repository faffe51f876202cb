"""One run of the program: whatever happens becomes an exit code and a message without content."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance import config, sandbox
from appliance.clean import clean_line
from appliance.cli.arguments import parser
from appliance.cli.output import Options, narrate, print_json
from appliance.errors import ApplianceError, Cancelled, UsageError, unexpected


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (the table is in README.md and errors.py)."""
    _ready_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        try:
            options = parser().parse_args(words)
        except UsageError as error:
            return _failed(error, Options(json="--json" in words))
        return _guarded(options)
    except OSError as error:  # mostly our own output: a closed pipe, a full disk
        _silence()
        if not isinstance(error, BrokenPipeError):
            narrate(f"appliance: Cannot go on: {error.strerror}.")
        return 1


def _guarded(options: Options) -> int:
    """Run the command; whatever goes wrong becomes an exit code and a message without content."""
    try:
        sandbox.harden()
        sandbox.no_network()
        settings = config.load()
        options.vault = options.vault or settings.vault
        settings.vault_folder(options.vault)
        code = int(options.run(options, settings))
        sys.stdout.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough; the next must not cut this short
        return _failed(Cancelled("Stopped."), options)
    except ApplianceError as error:
        return _failed(error, options)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a traceback could quote a document
        return _failed(ApplianceError(unexpected(error)), options)
    return code


def _failed(error: ApplianceError, options: Options) -> int:
    """Say what went wrong, with --json on stdout too, so that a script finds one JSON value a command."""
    signature = "" if isinstance(error, Cancelled) else "appliance: "
    narrate(f"{signature}{clean_line(error.message)}\n  {clean_line(error.hint)}")
    if options.json:
        said = {"name": type(error).__name__, "message": error.message, "hint": error.hint}
        print_json({"error": said | {"exit_code": error.exit_code}})
    return error.exit_code


def _ready_streams() -> None:
    """Open what the caller closed, and let no character that the terminal lacks stop the output.

    A descriptor below 3 that is free would be given to the next socket or file, and then written to.
    """
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(free)
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115 - for the whole run
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _silence() -> None:
    """Give the interpreter's last flush somewhere to go: whoever read our output is gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
            continue
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
