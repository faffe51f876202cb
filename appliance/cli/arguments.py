"""The arguments: every command, in the order in which a newcomer meets them."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, get_args

from appliance import __version__
from appliance.clean import clean_line
from appliance.cli import audit, commands, copies, keys
from appliance.cli.output import Options
from appliance.config import Config
from appliance.errors import UsageError
from appliance.types import Level

_DIGITS = 9
"""Of a number that is typed: a run file holds none that is larger."""

_ELSEWHERE = {
    "ls": "list",
    "rm": "remove",
    "delete": "remove",
    "cat": "show",
    "search": "ask",
    "check": "verify",
}
"""What the commands are called in other programs."""
CIPHERS = ("sqlcipher", "aegis", "chacha20")
Command = Callable[[Options, Config], int]


class _Parser(argparse.ArgumentParser):
    """Repeats arguments cleaned: `add *` on somebody's medium passes file names that begin with "--"."""

    def error(self, message: str) -> NoReturn:
        said = clean_line(message)
        raise UsageError(f"{said[:1].upper()}{said[1:]}.", hint=f"{_meant(said)}{self._how()}")

    def _how(self) -> str:
        return f"See `{self.prog} --help`. Nothing was done."


def _meant(said: str) -> str:
    """Return which command argparse's error may mean, "" where that is anybody's guess."""
    wrong, _, known = said.partition("invalid choice: ")[2].partition(" (choose from ")
    names = re.findall(r"'([a-z]+)'", known)
    typed = wrong.strip("'")
    near = [_ELSEWHERE[typed]] if typed in _ELSEWHERE else difflib.get_close_matches(typed, names, 1)
    return f"Is it `{near[0]}`? " if near and near[0] in names else ""


def parser() -> argparse.ArgumentParser:
    """Return the parser; what it returns has `run`, the command to call."""
    made = _Parser(
        prog="appliance",
        description="Answers from your own documents, offline, citing the page. Alone: the terminal UI.",
        epilog="Exit codes: 0 done, 2 usage, 3 not in the documents, 4 some files failed, 5 wrong secret, "
        "6 integrity failure, 7 refused by policy, 130 interrupted, 1 anything else.",
    )
    made.add_argument("--version", action="version", version=f"appliance {__version__}")
    _common(made, None)
    made.set_defaults(run=commands.tui)
    group = made.add_subparsers(title="commands", metavar="COMMAND")
    _documents(group)
    _keys(_subcommands(group, "keys", "list, add, remove and renew what opens a vault"))
    _copies(group)
    _audit(
        _subcommands(group, "audit", "verify, show and export the audit log, also while the vault is locked")
    )
    _machine(group)
    return made


def _documents(group: Any) -> None:
    init = _command(group, "init", commands.init, "make a new, empty vault")
    init.add_argument(
        "--cipher", choices=CIPHERS, default=CIPHERS[0], help="the cipher profile (default: sqlcipher)"
    )
    add = _command(group, "add", commands.add, "put documents or folders of them into the vault")
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    ask = _command(
        group,
        "ask",
        commands.ask,
        "ask one question; '-' reads questions from stdin, one a line (exit code 3 if any was refused)",
    )
    ask.add_argument(
        "question", nargs="+", help="single quotation marks only for what the shell would take, as in '$22'"
    )
    _refusal(ask)
    _command(group, "list", commands.listing, "list the documents")
    show = _command(group, "show", commands.show, "print the stored text of a document")
    show.add_argument("document", help="its name or id")
    show.add_argument("--page", type=int, help="only this page, from 1")
    remove = _command(group, "remove", commands.remove, "erase documents and everything derived from them")
    remove.add_argument("documents", nargs="+", metavar="DOCUMENT", help="names or ids")
    verify = _command(group, "verify", commands.verify, "check that the store is what was written")
    verify.add_argument("--full", action="store_true", help="read every page, chunk and vector")
    _evaluation(group)


def _evaluation(group: Any) -> None:
    made = _command(group, "eval", _evaluate, "ask a set of questions and print how good the answers are")
    made.add_argument(
        "set", type=Path, metavar="SET", help="a folder in BEIR's layout, SQuAD's .json, or a .jsonl"
    )
    made.add_argument(
        "--documents", type=Path, metavar="FOLDER", help="ask about this folder, in a vault of its own"
    )
    made.add_argument(
        "--split", metavar="NAME", help="which judgements of a BEIR folder (default: dev, test)"
    )
    made.add_argument(
        "--out", type=Path, metavar="RUN", help="write each question's figures here; go on where it stopped"
    )
    made.add_argument("--against", type=Path, metavar="RUN", help="compare with an earlier run")
    made.add_argument("--limit", type=_count, metavar="N", help="ask only N questions, drawn by the seed")
    made.add_argument("--seed", type=_count, default=1, metavar="S", help="what draws them (default: 1)")
    _refusal(made)
    made.add_argument("--quotes-only", action="store_true", help="let the quote be the answer: much quicker")


def _refusal(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--refusal",
        choices=get_args(Level),
        help="how much must speak for an answer (default: config.toml's refusal, or balanced)",
    )


def _evaluate(options: Options, settings: Config) -> int:
    # Imported here: NumPy costs 70 ms of start-up that no other command should pay.
    from appliance.cli.evaluating import evaluate

    return evaluate(options, settings)


def _keys(group: Any) -> None:
    _command(group, "list", keys.listing, "list the slots; needs no secret")
    add = _command(group, "add", keys.add, "let one more secret open the vault")
    add.add_argument("kind", choices=keys.KINDS)
    add.add_argument(
        "--new-passphrase-file", type=Path, metavar="FILE", help="the new passphrase, or the new device's PIN"
    )
    add.add_argument("--new-key-file", type=Path, metavar="FILE", help="the new key file; made where absent")
    add.add_argument("--public", type=Path, metavar="FILE", help="the officer's public key, for escrow")
    add.add_argument(
        "--module", type=Path, metavar="FILE", help="the PKCS#11 module that speaks to the token"
    )
    add.add_argument("--token", metavar="LABEL", help="the token's label, for pkcs11")
    add.add_argument("--label", metavar="LABEL", help="the key's label on the token; made where absent")
    remove = _command(group, "remove", keys.remove, "let one secret open the vault no more")
    remove.add_argument("number", type=int, metavar="SLOT")
    rotate = _command(group, "rotate", keys.rotate, "write the vault anew under a new data key")
    rotate.add_argument("--cipher", choices=CIPHERS, help="and under this cipher profile")
    _command(group, "calibrate", keys.calibrate, "make guessing as dear as this machine can afford")
    export = _command(group, "export", keys.export, "write the page key for the stock sqlcipher tool")
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help="the new file")
    officer = _command(group, "officer", keys.officer, "make an officer's key pair for escrow")
    _pair(officer)
    erase = _command(group, "erase", keys.erase, "destroy the vault's keys for good")
    erase.add_argument("--yes", metavar="NAME", help="the vault's name again: this cannot be undone")


def _copies(group: Any) -> None:
    backup = _command(group, "backup", copies.backup, "write a verified, encrypted copy to a new folder")
    backup.add_argument("target", type=Path, metavar="FOLDER")
    _command(group, "repair", copies.repair, "accept a vault whose store or log was put back or lost")
    restore = _command(group, "restore", copies.restore, "make a vault from a backup")
    restore.add_argument("source", type=Path, metavar="FOLDER")


def _audit(group: Any) -> None:
    verify = _command(group, "verify", audit.verify, "check the log, with a credential every MAC of it")
    _log(verify)
    verify.add_argument(
        "--checkpoint",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="checkpoints that were kept outside",
    )
    show = _command(group, "show", audit.show, "print the last entries, with a credential their content")
    _log(show)
    show.add_argument("--last", type=_count, default=20, metavar="N", help="how many (default: 20)")
    checkpoint = _command(group, "checkpoint", audit.checkpoint, "write a signed checkpoint to a medium")
    checkpoint.add_argument("--to", type=Path, required=True, metavar="PATH", help="a file, or a folder")
    export = _command(group, "export", audit.export, "copy the log to a file")
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help="the new file")
    credential = _command(group, "credential", audit.credential, "make a reviewer's credential")
    _pair(credential)
    credential.add_argument("--no-passphrase", action="store_true", help="leave it open, as on a token")
    reviewer = _command(group, "reviewer", audit.reviewer, "let a reviewer read the log from now on")
    reviewer.add_argument("public", type=Path, metavar="FILE", help="the public half of the credential")


def _log(made: argparse.ArgumentParser) -> None:
    made.add_argument("--log", type=Path, metavar="FILE", help="a copy of a log, not the vault's own")
    made.add_argument("--credential", type=Path, metavar="FILE", help="the reviewer's private file")


def _pair(made: argparse.ArgumentParser) -> None:
    made.add_argument("--private", type=Path, required=True, metavar="FILE", help="the new private file")
    made.add_argument("--public", type=Path, required=True, metavar="FILE", help="the new public file")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on, of at most {_DIGITS} digits")
    return int(text)


def _subcommands(group: Any, name: str, summary: str) -> Any:
    made = group.add_parser(name, help=summary, description=summary)
    return made.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _machine(group: Any) -> None:
    _command(group, "models", commands.models, "list the installed models and check their hashes")
    _command(group, "doctor", commands.doctor, "report the posture of this machine and installation")
    _command(group, "tui", commands.tui, "open the terminal UI")


def _command(group: Any, name: str, run: Command, summary: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = group.add_parser(name, help=summary, description=summary)
    _common(made, argparse.SUPPRESS)
    made.set_defaults(run=run)
    return made


def _common(made: argparse.ArgumentParser, default: str | None) -> None:
    """Add what may stand before or after the command; SUPPRESS keeps the second from undoing the first."""
    made.add_argument("--vault", default=default, metavar="NAME", help="which vault (default: main)")
    made.add_argument("--json", action="store_true", default=default or False, help="print JSON to stdout")
    made.add_argument(
        "--passphrase-file",
        type=Path,
        default=default,
        metavar="FILE",
        help="read the passphrase (or recovery code, or PIN) from FILE's first line",
    )
    made.add_argument(
        "--accept-weaker",
        action="store_true",
        default=default or False,
        help="go on where the kernel cannot confine parsers and models; it is recorded",
    )
    made.add_argument("--key-file", type=Path, default=default, metavar="FILE", help="open with a key file")
    made.add_argument(
        "--recovery-code", action="store_true", default=default or False, help="open with the recovery code"
    )
    made.add_argument(
        "--escrow-key",
        type=Path,
        default=default,
        metavar="FILE",
        help="open with the officer's private key",
    )
    made.add_argument(
        "--fido2", action="store_true", default=default or False, help="open with a FIDO2 security key"
    )
    made.add_argument(
        "--pkcs11",
        type=Path,
        default=default,
        metavar="MODULE",
        help="open with a PKCS#11 token, through this module",
    )
