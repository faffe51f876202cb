"""Words on the command line -> calls on the worker -> data on stdout, narration on stderr, an exit code."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from appliance import __version__, config, render, sandbox
from appliance.clean import clean_line
from appliance.client import Client
from appliance.config import Config
from appliance.errors import ApplianceError, Cancelled, UsageError, unexpected
from appliance.ingest.walk import readable
from appliance.types import Added, Answer, Answered, Document, EvidenceFound, FileDone, Progress, Report

NOT_IN_DOCUMENTS = 3
SOME_FAILED = 4
CHECK_FAILED = 6
SHORTEST_PASSPHRASE = 8
Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (the table is in README.md and errors.py)."""
    _ready_streams()
    options = _parser().parse_args(arguments)
    try:
        return _guarded(options)
    except OSError as error:  # mostly our own output: a closed pipe, a full disk
        _silence()
        if not isinstance(error, BrokenPipeError):
            _narrate(f"appliance: Cannot go on: {error.strerror}.")
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
    _narrate(f"{signature}{clean_line(error.message)}\n  {clean_line(error.hint)}")
    if options.json:
        said = {"name": type(error).__name__, "message": error.message, "hint": error.hint}
        _print_json({"error": said | {"exit_code": error.exit_code}})
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


# --- the commands, in the order in which a newcomer meets them


def _init(options: Options, settings: Config) -> int:
    with Client(settings) as client:
        passphrase = _new_passphrase(options)
        client.init(options.vault, passphrase)
    folder = settings.vault_folder(options.vault)
    if options.json:
        _print_json({"vault": options.vault, "folder": str(folder)})
    _narrate(
        f"Made the vault {options.vault!r} in {folder}.\nNobody can open it without the passphrase: keep it."
    )
    return 0


def _add(options: Options, settings: Config) -> int:
    with _unlocked(options, settings) as client:
        done = _finished(client.add(options.paths), options)
    if options.json:
        _print_json(render.added_json(done))
    _narrate(render.added(done))
    return SOME_FAILED if any(item.status in ("failed", "no-text") for item in done.files) else 0


def _ask(options: Options, settings: Config) -> int:
    with _unlocked(options, settings) as client:
        if options.question == "-":
            answers = [_ask_one(client, line.strip(), options) for line in sys.stdin if line.strip()]
        else:
            # What is not UTF-8 in an argument reaches Python as half characters, which no JSON may hold.
            question = os.fsencode(options.question).decode("utf-8", "replace")
            answers = [_ask_one(client, question, options)]
    return NOT_IN_DOCUMENTS if any(given.abstained for given in answers) else 0


def _ask_one(client: Client, question: str, options: Options) -> Answer:
    width = min(shutil.get_terminal_size().columns, 100)
    given = shown = None
    for event in client.ask(question):
        if isinstance(event, EvidenceFound) and not options.json:
            shown = event.evidence
            print(render.evidence(shown, width), flush=True)
        elif isinstance(event, Answered):
            given = event.answer
    if given is None:
        raise ApplianceError("The worker sent no answer.")
    if options.json:
        _print_json(render.answer_json(given))
    else:
        print(render.answer(given, width, shown=shown), flush=True)
        _narrate(
            f"evidence after {given.timings.first_evidence_ms:.0f} ms, all in {given.timings.total_ms:.0f} ms"
        )
    return given


def _list(options: Options, settings: Config) -> int:
    with _unlocked(options, settings) as client:
        stored = client.documents()
    if options.json:
        _print_json({"documents": [render.document_json(item) for item in stored]})
    else:
        print(render.documents(stored), end="")
    return 0


def _show(options: Options, settings: Config) -> int:
    with _unlocked(options, settings) as client:
        document = _find(client.documents(), options.document)
        shown = client.pages(document.id)
    if options.page is not None:
        shown = tuple(page for page in shown if page.page == options.page)
        if not shown:
            raise UsageError(f"{clean_line(document.name)} has no page {options.page}.")
    if options.json:
        texts = [{"page": page.page, "text": page.text} for page in shown]
        _print_json(render.document_json(document) | {"text": texts})
    else:
        print(render.pages(shown), end="")
    return 0


def _remove(options: Options, settings: Config) -> int:
    with _unlocked(options, settings) as client:
        stored = client.documents()
        chosen = [_find(stored, wanted) for wanted in options.documents]
        for document in chosen:
            client.remove(document.id)
            _narrate(f"Removed {clean_line(document.name)} and everything derived from it.")
    if options.json:
        _print_json({"removed": [document.name for document in chosen]})
    return 0


def _verify(options: Options, settings: Config) -> int:
    with _unlocked(options, settings) as client:
        return _show_report(client.verify(full=options.full), options)


def _models(options: Options, settings: Config) -> int:
    with Client(settings) as client:
        return _show_report(client.models(), options)


def _doctor(options: Options, settings: Config) -> int:
    with Client(settings) as client:
        return _show_report(client.doctor(), options)


def _tui(options: Options, settings: Config) -> int:
    # Imported here: Textual costs a quarter of a second that no other command should pay.
    from tui.app import run

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The terminal UI needs a terminal.", hint="Use `appliance ask`, `add`, `list` in scripts."
        )
    with Client(settings) as client:
        if options.passphrase_file is not None:
            client.unlock(options.vault, _read_passphrase(options.passphrase_file))
        unlocked = options.passphrase_file is not None
        return run(client, vault=options.vault, unlocked=unlocked, lock_minutes=settings.lock_minutes)


# --- the arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="appliance",
        description="Answers from your own documents, offline, citing the page. Alone: the terminal UI.",
        epilog="Exit codes: 0 done, 2 usage, 3 not in the documents, 4 some files failed, 5 wrong secret, "
        "6 integrity failure, 7 refused by policy, 130 interrupted, 1 anything else.",
    )
    parser.add_argument("--version", action="version", version=f"appliance {__version__}")
    _common(parser, None)
    parser.set_defaults(run=_tui)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Callable[[Options, Config], int], summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=summary)
        _common(made, argparse.SUPPRESS)
        made.set_defaults(run=run)
        return made

    command("init", _init, "make a new, empty vault")
    add = command("add", _add, "put documents or folders of them into the vault")
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    ask = command("ask", _ask, "ask one question; '-' reads questions from stdin, one a line")
    ask.add_argument("question")
    command("list", _list, "list the documents")
    show = command("show", _show, "print the stored text of a document")
    show.add_argument("document", help="its name or id")
    show.add_argument("--page", type=int, help="only this page, from 1")
    remove = command("remove", _remove, "erase documents and everything derived from them")
    remove.add_argument("documents", nargs="+", metavar="DOCUMENT", help="names or ids")
    verify = command("verify", _verify, "check that the store is what was written")
    verify.add_argument("--full", action="store_true", help="read every page, chunk and vector")
    command("models", _models, "list the installed models and check their hashes")
    command("doctor", _doctor, "report the posture of this machine and installation")
    command("tui", _tui, "open the terminal UI")
    return parser


def _common(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add what may stand before or after the command; SUPPRESS keeps the second from undoing the first."""
    parser.add_argument("--vault", default=default, metavar="NAME", help="which vault (default: main)")
    parser.add_argument("--json", action="store_true", default=default or False, help="print JSON to stdout")
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        default=default,
        metavar="FILE",
        help="read the passphrase from FILE's first line",
    )


# --- secrets


def _new_passphrase(options: Options) -> bytearray:
    passphrase = _passphrase(options, "New passphrase: ")
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise UsageError(
            f"A passphrase has at least {SHORTEST_PASSPHRASE} characters; several words are better."
        )
    if options.passphrase_file is None and passphrase != _passphrase(options, "Again, to be sure: "):
        raise UsageError("The two passphrases differ; no vault was made.")
    return passphrase


def _passphrase(options: Options, prompt: str = "Passphrase: ") -> bytearray:
    if options.passphrase_file is not None:
        return _read_passphrase(options.passphrase_file)
    if not sys.stdin.isatty():
        raise UsageError("No terminal to ask for the passphrase.", hint="Give --passphrase-file FILE.")
    try:
        return bytearray(getpass.getpass(prompt, stream=sys.stderr).encode("utf-8", "surrogateescape"))
    except EOFError:
        raise UsageError("No passphrase was typed.") from None
    except UnicodeDecodeError:
        raise UsageError("What was typed is not UTF-8 text, as a passphrase must be.") from None


def _read_passphrase(path: Path) -> bytearray:
    try:
        with path.open("rb", buffering=0) as file:
            buffer = bytearray(4096)
            length = file.readinto(buffer) or 0
    except OSError as error:
        raise UsageError(f"Cannot read the passphrase file {path}: {error.strerror}.") from error
    return buffer[:length].split(b"\n")[0].rstrip(b"\r")


@contextlib.contextmanager
def _unlocked(options: Options, settings: Config) -> Iterator[Client]:
    if not settings.vault_folder(options.vault).is_dir():
        raise UsageError(f"There is no vault {options.vault!r}.", hint="Make it with `appliance init`.")
    with Client(settings) as client:
        secret = _passphrase(options)
        client.unlock(options.vault, secret)
        secret[:] = bytes(len(secret))
        yield client


# --- what is printed


def _finished(events: Iterator[Any], options: Options) -> Added:
    done = None
    bar = _Bar()
    for event in events:
        if isinstance(event, Progress):
            bar.show(event)
        elif isinstance(event, FileDone):
            bar.clear()
            line = render.file_line(event.result)
            _narrate(line) if options.json else print(line, flush=True)
        elif isinstance(event, Added):
            done = event
    bar.clear()
    if done is None:
        raise ApplianceError("The worker sent no result.")
    return done


class _Bar:
    """One line of progress on a terminal's stderr, redrawn in place; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._drawn = False

    def show(self, progress: Progress) -> None:
        if not sys.stderr.isatty():
            return
        eta = "" if progress.eta_s is None else f", {_duration(progress.eta_s)} left"
        line = f"{progress.files_done}/{progress.files_total} files, {progress.chunks_done} chunks{eta}  "
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\x1b[K" + (line + clean_line(progress.current))[:room])
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            self._drawn = False


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _find(stored: Sequence[Document], wanted: str) -> Document:
    by_id = [item for item in stored if str(item.id) == wanted]
    found = [item for item in stored if item.name == readable(wanted)] or by_id
    if by_id and by_id != found:  # a wrong guess would erase the wrong document
        raise UsageError(
            f"{clean_line(wanted)!r} is the id of one document and the name of another.",
            hint=f"By id it is {found[0].id}; the other is called {clean_line(by_id[0].name)!r}.",
        )
    if not found:
        raise UsageError(
            f"No document {clean_line(wanted)!r} in the vault.", hint="`appliance list` shows them."
        )
    return found[0]


def _show_report(found: Report, options: Options) -> int:
    if options.json:
        _print_json(render.report_json(found))
    else:
        print(render.report(found), end="")
    return 0 if found.ok else CHECK_FAILED


def _print_json(value: dict[str, Any]) -> None:
    # ASCII only, DEL too: escapes keep a document's control characters off the terminal.
    print(json.dumps(value).replace("\x7f", "\\u007f"), flush=True)


def _narrate(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
