"""Calls -> the worker process -> events: the front ends' end of the pipe.

The worker holds the key; ending it is the one reliable way to forget it. This side imports no engine.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from appliance import wire
from appliance.config import Config
from appliance.errors import ApplianceError, Cancelled, by_name
from appliance.secret import Secret, wipe
from appliance.types import (
    PASSAGES,
    Checking,
    Document,
    DocumentPage,
    Event,
    Level,
    Report,
    Rewritten,
    SlotInfo,
)

_GRACE_S = 2.0


class Client:
    """One worker process, started at once so that it can load its models while a passphrase is typed.

    One call is in flight at a time; `cancel` may come from any thread.
    """

    def __init__(self, config: Config, *, writes: Sequence[Path] = ()) -> None:
        """Start the worker. It may write to the vaults, and to where the new files `writes` shall be."""
        self._config = config
        self._writable = [config.home / "vaults", *(path.absolute().parent for path in writes)]
        self._calling = threading.Lock()
        self._sending = threading.Lock()  # of a call and its secrets: no cancel may fall between them
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [
            sys.executable,
            "-P",
            "-m",
            "appliance.worker",
            str(self._config.home),
            str(theirs.fileno()),
            *map(str, self._writable),
        ]
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # an engine's chatter could quote a document
            start_new_session=True,  # Ctrl+C is ours to hear; the worker is told by `cancel`
        )
        theirs.close()
        self._link = ours

    # Opening. The caller wipes every secret.

    def init(self, vault: str, secret: Secret, *, cipher: str = "sqlcipher") -> None:
        """Make a new vault and leave it unlocked.

        Raises:
            VaultExists: there is one of that name.
        """
        self._one("init", secrets={"secret": secret}, vault=vault, cipher=cipher)

    def unlock(self, vault: str, secret: Secret, *, accept_weaker: bool = False) -> None:
        """Open a vault; `accept_weaker` parses and generates where the kernel cannot confine, on record.

        Raises:
            VaultMissing: there is none of that name.
            WrongSecret: the secret opens no slot.
            IntegrityError: the key file, the store or the log is not what was written.
        """
        self._one("unlock", secrets={"secret": secret}, vault=vault, accept_weaker=accept_weaker)

    def repair(self, vault: str, secret: Secret) -> bool:
        """Accept a vault whose store or log was put back or lost as it is, on record; leave it unlocked.

        False where it opened as it was: then nothing was accepted.
        """
        return self._one("repair", secrets={"secret": secret}, vault=vault)  # type: ignore[no-any-return]

    # Asking, and what is stored

    def ask(
        self,
        question: str,
        *,
        passages: int = PASSAGES,
        generate: bool = True,
        level: Level | None = None,
    ) -> Iterator[Event]:
        """Yield Retrieved, EvidenceFound, Delta..., Answered; an abstention has no evidence and no delta.

        At most `passages` are shown; without `generate` the quote is the answer; `level` is how much must
        speak for an answer, the configured one where it is None.
        """
        return self._events("ask", question=question, passages=passages, generate=generate, level=level)

    def add(self, paths: Sequence[Path]) -> Iterator[Event]:
        """Yield Progress and FileDone as they come, and Added at the end."""
        return self._events("add", paths=[str(path.absolute()) for path in paths])

    def documents(self) -> tuple[Document, ...]:
        """Return every document as it was added, and behind them those whose adding was interrupted."""
        return self._one("documents")  # type: ignore[no-any-return]

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return the text of a document, page by page."""
        return self._one("pages", document_id=document_id)  # type: ignore[no-any-return]

    def remove(self, document_id: int) -> None:
        """Erase a document and everything derived from it."""
        self._one("remove", document_id=document_id)

    def verify(self, *, full: bool) -> Iterator[Checking | Report]:
        """Check the store and the log; yield how far it is, and the report last.

        `full` reads every page, chunk and vector.
        """
        return self._replies("verify", secrets={}, arguments={"full": full})

    # Keys, while the vault may be locked

    def slots(self, vault: str, *, backup: Path | None = None) -> tuple[SlotInfo, ...]:
        """Return the ways to open a vault, or the backup in a folder, as it says without a secret."""
        folder = str(backup.absolute()) if backup else ""
        return self._one("slots", vault=vault, backup=folder)  # type: ignore[no-any-return]

    def refused(self, vault: str) -> None:
        """Record that a device refused to answer for a vault: a failed unlock, though no secret was tried."""
        self._one("refused", vault=vault)

    def add_slot(self, vault: str, secret: Secret, new: Secret) -> int:
        """Let `new` open the vault too; return the number of its slot."""
        secrets = {"secret": secret, "new": new}
        return self._one("add_slot", secrets=secrets, vault=vault, officer="")  # type: ignore[no-any-return]

    def add_officer(self, vault: str, secret: Secret, public: Path) -> int:
        """Let the officer whose public key is in the file `public` open the vault too."""
        officer = str(public.absolute())
        arguments = {"vault": vault, "officer": officer, "new": None}
        return self._one("add_slot", secrets={"secret": secret}, **arguments)  # type: ignore[no-any-return]

    def remove_slot(self, vault: str, secret: Secret, number: int) -> None:
        """Let the secret of slot `number` open the vault no more."""
        self._one("remove_slot", secrets={"secret": secret}, vault=vault, number=number)

    def calibrate(self, vault: str, secret: Secret) -> tuple[int, int, int]:
        """Make the slot of `secret` as dear as suits this machine; return KiB, passes and lanes."""
        return self._one("calibrate", secrets={"secret": secret}, vault=vault)  # type: ignore[no-any-return]

    def export_key(self, vault: str, secret: Secret) -> str:
        """Return what the stock `sqlcipher` tool opens the store with. Whoever has it reads everything."""
        return self._one("export_key", secrets={"secret": secret}, vault=vault)  # type: ignore[no-any-return]

    def rotate(self, vault: str, secret: Secret, *, cipher: str | None) -> Iterator[Checking | Rewritten]:
        """Put the vault under a new data key, and under `cipher` where one is named; yield how far it is."""
        return self._replies(
            "rotate", secrets={"secret": secret}, arguments={"vault": vault, "cipher": cipher}
        )

    def backup(self, vault: str, secret: Secret, target: Path) -> Iterator[Checking | Rewritten]:
        """Write a verified backup, under its own key, to the new folder `target`; yield how far it is."""
        arguments = {"vault": vault, "target": str(target.absolute())}
        return self._replies("backup", secrets={"secret": secret}, arguments=arguments)

    def restore(self, vault: str, secret: Secret, source: Path) -> Iterator[Checking | Rewritten]:
        """Make the vault `vault` from the backup in the folder `source`; yield how far it is."""
        arguments = {"vault": vault, "source": str(source.absolute())}
        return self._replies("restore", secrets={"secret": secret}, arguments=arguments)

    def destroy(self, vault: str) -> dict[str, Any]:
        """Destroy the keys of a vault for good; return the record that stays."""
        return self._one("destroy", vault=vault)  # type: ignore[no-any-return]

    # The audit log, while the vault may be locked. `log` is a copy of one, None for the vault's own.

    def audit_verify(
        self,
        vault: str,
        *,
        log: Path | None,
        checkpoints: Sequence[Path],
        credential: Path | None,
        words: Secret | None,
    ) -> Report:
        """Check a log, as deep as the credential allows; `words` are its passphrase."""
        points = [str(point.absolute()) for point in checkpoints]
        others = {"vault": vault, "checkpoints": points}
        return self._read_log("audit_verify", words, log=log, credential=credential, **others)  # type: ignore[no-any-return]

    def audit_show(
        self, vault: str, *, log: Path | None, last: int, credential: Path | None, words: Secret | None
    ) -> tuple[dict[str, Any], ...]:
        """Return the last entries, with their content where it was sealed to the credential."""
        others = {"vault": vault, "last": last}
        return self._read_log("audit_show", words, log=log, credential=credential, **others)  # type: ignore[no-any-return]

    def audit_checkpoint(self, vault: str, target: Path) -> str:
        """Write a signed checkpoint to a file or into a folder; return where."""
        return self._one("audit_checkpoint", vault=vault, target=str(target.absolute()))  # type: ignore[no-any-return]

    def audit_export(self, vault: str, target: Path) -> None:
        """Copy the log to a file."""
        self._one("audit_export", vault=vault, target=str(target.absolute()))

    def make_credential(self, private: Path, public: Path, words: Secret | None) -> str:
        """Make a reviewer's credential; return the fingerprint."""
        paths = {"private": str(private.absolute()), "public": str(public.absolute())}
        return self._with_words("make_credential", words, paths)  # type: ignore[no-any-return]

    def add_reviewer(self, public: Path) -> str:
        """Let a reviewer into the open vault's log; return the fingerprint."""
        return self._one("add_reviewer", public=str(public.absolute()))  # type: ignore[no-any-return]

    def make_officer(self, private: Path, public: Path) -> str:
        """Make an officer's key pair; return the fingerprint."""
        paths = {"private": str(private.absolute()), "public": str(public.absolute())}
        return self._with_words("make_officer", None, paths)  # type: ignore[no-any-return]

    # This machine

    def models(self) -> Report:
        """Check every installed model against its card."""
        return self._one("models")  # type: ignore[no-any-return]

    def doctor(self, vault: str = "") -> Report:
        """Report the posture of this machine and installation, and what a locked vault shows of its own."""
        return self._one("doctor", vault=vault)  # type: ignore[no-any-return]

    def cancel(self) -> None:
        """End the call in flight with Cancelled, within a second or so."""
        with contextlib.suppress(wire.Closed), self._sending:
            wire.send(self._link, {"cancel": True})

    def lock(self) -> None:
        """End the worker, which forgets the key, and start a fresh one without it."""
        self.close()
        self._start()

    def close(self) -> None:
        """End the worker; safe at any time and more than once."""
        with contextlib.suppress(OSError):
            self._link.shutdown(
                socket.SHUT_RDWR
            )  # wakes a call that waits in another thread; close would not
        self._link.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_log(
        self, call: str, words: Secret | None, *, log: Path | None, credential: Path | None, **others: object
    ) -> Any:
        paths = {
            "log": str(log.absolute()) if log else "",
            "credential": str(credential.absolute()) if credential else "",
        }
        return self._with_words(call, words, paths | others)

    def _with_words(self, call: str, words: Secret | None, arguments: dict[str, Any]) -> Any:
        if words is None:
            return list(self._replies(call, secrets={}, arguments=arguments))[-1]
        return list(self._replies(call, secrets={"words": words}, arguments=arguments))[-1]

    def _one(self, call: str, *, secrets: dict[str, Secret] | None = None, **arguments: object) -> Any:
        return list(self._replies(call, secrets=secrets or {}, arguments=arguments))[-1]

    def _events(self, call: str, **arguments: object) -> Iterator[Event]:
        replies = self._replies(call, secrets={}, arguments=arguments)
        return (reply for reply in replies if reply is not None)

    def _replies(self, call: str, *, secrets: dict[str, Secret], arguments: dict[str, Any]) -> Iterator[Any]:
        with self._calling:
            link = self._link  # a lock in another thread may put a new one in its place
            finished = False
            try:
                with self._sending:
                    wire.send(link, {"call": call, "arguments": arguments, "secrets": list(secrets)})
                    for secret in secrets.values():
                        _send(link, secret)
                while not finished:
                    message = _receive(link)
                    finished = "event" not in message
                    yield message["event"] if not finished else _result(message)
            except wire.Closed:
                finished = True
                raise ApplianceError("The worker process ended unexpectedly.") from None
            finally:
                if not finished:  # the caller walked away: leave the pipe clean for the next call
                    _drain(link)


def _send(link: socket.socket, secret: Secret) -> None:
    frame = secret.pack()
    try:
        wire.send_secret(link, frame)
    finally:
        wipe(frame)


def _receive(link: socket.socket) -> dict[str, Any]:
    message = wire.receive(link)
    if isinstance(message, bytearray):
        raise ApplianceError("The worker sent something unexpected.")
    return message


def _drain(link: socket.socket) -> None:
    """Cancel the call in flight and throw away what is still said of it.

    Ctrl+C can fall before the call was sent, and behind its last reply: that nothing more comes is known from
    the answer to a call of our own behind it.
    """
    echo = os.urandom(8).hex()
    try:
        wire.send(link, {"cancel": True})
        wire.send(link, {"call": "caught_up", "arguments": {"echo": echo}, "secrets": []})
        while _receive(link).get("result") != echo:
            pass
    except (wire.Closed, ApplianceError):
        pass
    except ValueError:  # Ctrl+C fell into the middle of a frame: nothing more can be understood
        link.shutdown(socket.SHUT_RDWR)


def _result(message: dict[str, Any]) -> Any:
    if "error" not in message:
        return message["result"]
    kind = by_name(message["error"]["name"])
    if kind is Cancelled:
        raise Cancelled("Stopped.")
    raise kind(message["error"]["message"], hint=message["error"]["hint"])
