"""The calls a front end may make -> events and results. It lives in the process that holds the key."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from appliance import config, custody, review, supply
from appliance.assistant import Assistant
from appliance.engines import Engines
from appliance.errors import IntegrityError, UsageError
from appliance.posture import models_report, posture_report
from appliance.secret import Secret
from appliance.types import Checking, Level, Report
from appliance.vault.access.cost import calibrate
from appliance.vault.access.keyfile import Cipher

Reply = Any
Replies = Generator[Any, None, Reply]
"""The events of a call as they happen, and its result."""
_TELL_S = 0.1


class Session:
    """The calls of one front end. Secrets are wiped when the call that brought them ends (worker.py)."""

    def __init__(self, settings: config.Config) -> None:
        self._config = settings
        self._engines = Engines(settings)
        self._open: Assistant | None = None
        self._name = settings.vault

    # Opening

    def init(self, _: threading.Event, *, vault: str, secret: Secret, cipher: Cipher) -> Reply:
        """Make a vault, as dear to open as suits this machine, and open it."""
        self.close()
        self._open = Assistant.create(
            self._config, vault, secret, self._engines, cipher=cipher, kdf=calibrate()
        )
        self._name = vault

    def unlock(self, stop: threading.Event, *, vault: str, secret: Secret, accept_weaker: bool) -> Reply:
        """Open a vault."""
        self.close()
        self._engines.accept_weaker = accept_weaker
        self._open = Assistant.unlock(self._config, vault, secret, self._engines, stop=stop)
        self._name = vault

    def repair(self, stop: threading.Event, *, vault: str, secret: Secret) -> Reply:
        """Accept a vault that was put back as it is, and leave it open; tell whether that was needed."""
        self.close()
        again = secret.copy()
        try:
            self._open = Assistant.unlock(self._config, vault, secret, self._engines, stop=stop)
            needed = False
        except IntegrityError:
            self._open = Assistant.repair(self._config, vault, again, self._engines, stop=stop)
            needed = True
        finally:
            again.wipe()
        self._name = vault
        return needed

    # Asking, and what is stored

    def ask(
        self, stop: threading.Event, *, question: str, passages: int, generate: bool, level: Level | None
    ) -> Replies:
        """Answer one question, at the configured level of refusal where it names none."""
        level = level or self._config.refusal
        yield from self._vault.ask(question, stop=stop, passages=passages, generate=generate, level=level)

    def add(self, stop: threading.Event, *, paths: tuple[str, ...]) -> Replies:
        """Store documents."""
        yield from self._vault.add([Path(path) for path in paths], stop=stop)

    def documents(self, _: threading.Event) -> Reply:
        """List the documents."""
        return self._vault.documents()

    def pages(self, _: threading.Event, *, document_id: int) -> Reply:
        """Give a document's text."""
        return self._vault.pages(document_id)

    def remove(self, _: threading.Event, *, document_id: int) -> Reply:
        """Erase a document."""
        self._vault.remove(document_id)

    def verify(self, stop: threading.Event, *, full: bool) -> Replies:
        """Check the store and the log."""
        return (yield from _told(lambda tell: self._vault.verify(full=full, stop=stop, tell=tell)))

    # Keys, while the vault may be locked

    def slots(self, _: threading.Event, *, vault: str, backup: str = "") -> Reply:
        """List the ways to open a vault, or a backup."""
        return custody.slots(Path(backup) if backup else self._folder(vault))

    def refused(self, stop: threading.Event, *, vault: str) -> Reply:
        """Record that a device refused to answer for a vault."""
        custody.refused(self._folder(vault), stop=stop)

    def add_slot(
        self, stop: threading.Event, *, vault: str, secret: Secret, new: Secret | None, officer: str
    ) -> Reply:
        """Let another secret, or an officer, open the vault too."""
        public = review.read_small(Path(officer)) if new is None else b""
        return custody.add_slot(self._folder(vault), secret, public if new is None else new, stop=stop)

    def remove_slot(self, stop: threading.Event, *, vault: str, secret: Secret, number: int) -> Reply:
        """Let a slot's secret open the vault no more."""
        custody.remove_slot(self._folder(vault), secret, number, stop=stop)

    def calibrate(self, stop: threading.Event, *, vault: str, secret: Secret) -> Reply:
        """Make a slot as dear to open as suits this machine."""
        kdf = custody.recalibrate(self._folder(vault), secret, stop=stop)
        return (kdf.memory, kdf.passes, kdf.lanes)

    def export_key(self, stop: threading.Event, *, vault: str, secret: Secret) -> Reply:
        """Give the page key for the stock tool."""
        return custody.export_key(self._folder(vault), secret, stop=stop)

    def rotate(self, stop: threading.Event, *, vault: str, secret: Secret, cipher: Cipher | None) -> Replies:
        """Put a vault under a new data key."""
        self.close()
        folder = self._folder(vault)
        return (
            yield from _told(lambda tell: custody.rotate(folder, secret, cipher=cipher, tell=tell, stop=stop))
        )

    def backup(self, stop: threading.Event, *, vault: str, secret: Secret, target: str) -> Replies:
        """Write a backup to a new folder."""
        folder = self._folder(vault)
        return (
            yield from _told(lambda tell: custody.backup(folder, secret, Path(target), tell=tell, stop=stop))
        )

    def restore(self, stop: threading.Event, *, vault: str, secret: Secret, source: str) -> Replies:
        """Make a vault from a backup."""
        folder, again = self._folder(vault), secret.copy()
        try:
            done = yield from _told(
                lambda tell: custody.restore(Path(source), secret, folder, tell=tell, stop=stop)
            )
            # Once, so that the log goes on where the backup's ended, and says why.
            whole = threading.Event()  # it is there, so a stop comes too late
            Assistant.unlock(self._config, vault, again, self._engines, stop=whole, restored=True).close()
            return done
        finally:
            again.wipe()

    def make_officer(self, _: threading.Event, *, private: str, public: str) -> Reply:
        """Make an officer's key pair; return the fingerprint."""
        return custody.make_officer(Path(private), Path(public))

    def destroy(self, _: threading.Event, *, vault: str) -> Reply:
        """Destroy a vault's keys."""
        self.close()
        return custody.destroy(self._folder(vault))

    # The audit log, while the vault may be locked. `log` is the path of a copy, "" for the vault's own.

    def audit_verify(
        self,
        _: threading.Event,
        *,
        vault: str,
        log: str,
        checkpoints: tuple[str, ...],
        credential: str,
        words: Secret | None = None,
    ) -> Reply:
        """Check a log, as deep as a reviewer's credential allows."""
        who = review.load_credential(Path(credential), words) if credential else None
        points = [Path(point) for point in checkpoints]
        return review.verify(self._log(vault, log), checkpoints=points, who=who)

    def audit_show(
        self,
        _: threading.Event,
        *,
        vault: str,
        log: str,
        last: int,
        credential: str,
        words: Secret | None = None,
    ) -> Reply:
        """Read the last entries, with their content where it was sealed to the credential."""
        who = review.load_credential(Path(credential), words) if credential else None
        return review.show(self._log(vault, log), last=last, who=who)

    def audit_checkpoint(self, _: threading.Event, *, vault: str, target: str) -> Reply:
        """Write a signed checkpoint to a file or a medium."""
        return str(review.checkpoint(self._folder(vault), Path(target)))

    def audit_export(self, _: threading.Event, *, vault: str, target: str) -> Reply:
        """Copy the log to a file."""
        review.export(self._folder(vault), Path(target))

    def make_credential(
        self, _: threading.Event, *, private: str, public: str, words: Secret | None = None
    ) -> Reply:
        """Make a reviewer's credential; return the fingerprint."""
        return review.make_credential(Path(private), Path(public), words)

    def add_reviewer(self, _: threading.Event, *, public: str) -> Reply:
        """Bring a reviewer in; return the fingerprint of the key."""
        key = review.load_public(Path(public))
        self._vault.add_reviewer(key)
        return key.fingerprint

    def caught_up(self, _: threading.Event, *, echo: str) -> Reply:
        """Give `echo` back: whatever was asked before is answered."""
        return echo

    # This machine

    def models(self, _: threading.Event) -> Reply:
        """Check the installed models."""
        return models_report(self._config)

    def doctor(self, _: threading.Event, *, vault: str) -> Reply:
        """Report the posture, and the vault's as far as it can be seen without opening it."""
        folder = self._folder(vault or self._name)
        packages = supply.check(supply.verify_installed(supply.load()))
        found = (posture_report(self._config), review.vault_report(folder), models_report(self._config))
        return Report((*(check for report in found for check in report.checks), packages))

    @property
    def _vault(self) -> Assistant:
        if self._open is None:
            raise UsageError("The vault is locked.", hint="Unlock it first.")
        return self._open

    def _log(self, vault: str, log: str) -> Path:
        return Path(log) if log else self._folder(vault)

    def _folder(self, vault: str) -> Path:
        return self._config.vault_folder(vault)

    def close(self) -> None:
        """Close the vault, if one is open."""
        if self._open is not None:
            self._open.close()
            self._open = None


CALLS: dict[str, Callable[..., Reply | Replies]] = {
    name: call for name, call in vars(Session).items() if not name.startswith("_") and name != "close"
}


def _told(run: Callable[[Callable[[Checking], None]], Any]) -> Replies:
    """Run a long call in a thread of its own; yield how far it is, ten times a second; return its result."""
    told: queue.SimpleQueue[Checking | None] = queue.SimpleQueue()
    last = float("-inf")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(run, told.put)
        result.add_done_callback(lambda _: told.put(None))
        for progress in iter(told.get, None):
            if time.monotonic() - last >= _TELL_S:
                last = time.monotonic()
                yield progress
        return result.result()
