"""What is done to one open vault -> entries of its audit log, on the disk before the effect is shown.

The log's seed, its reviewers and how far it had come stand in one setting of the store: nobody can exchange
them while the vault is locked, and a log that was put back together with its state is noticed.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from appliance.errors import ApplianceError, AuditDamaged, Cancelled, VaultBusy
from appliance.retrieve.sections import chunks
from appliance.types import (
    Added,
    Answered,
    Check,
    Delta,
    Document,
    Event,
    EvidenceFound,
    FileDone,
    Passage,
    Report,
    Retrieved,
)
from appliance.vault.access.keys import Clock
from appliance.vault.audit.auditlog import SEED_BYTES, AuditLog, verify
from appliance.vault.audit.entry import At
from appliance.vault.audit.reviewer import ReviewerPublic
from appliance.vault.seal.contents import AUDIT
from appliance.vault.store import Store


@dataclass(frozen=True, slots=True)
class Memory:
    """What the store remembers of its log; `at` is None as long as the log is not begun."""

    seed: str
    reviewers: tuple[str, ...] = ()
    at: tuple[int, str] | None = None
    config: str = ""
    models: Mapping[str, str] | None = None

    @classmethod
    def of(cls, store: Store) -> Self:
        """Return what `store` remembers, a new seed where it is nothing."""
        kept = store.setting(AUDIT)
        if kept is None:
            return cls(secrets.token_hex(SEED_BYTES))
        fields = json.loads(kept)
        at = fields["at"] and (int(fields["at"][0]), str(fields["at"][1]))
        return cls(**fields | {"reviewers": tuple(fields["reviewers"]), "at": at})

    def position(self) -> At | None:
        """Return the number and the line's hash of the last entry that was there."""
        return (self.at[0], bytes.fromhex(self.at[1])) if self.at else None

    def public_keys(self) -> tuple[ReviewerPublic, ...]:
        """Return the reviewers' public keys."""
        return tuple(ReviewerPublic(base64.b64decode(each)) for each in self.reviewers)


class Journal:
    """The record of one open vault. What cannot be recorded is refused: the error goes to the caller."""

    def __init__(self, folder: Path, store: Store, clock: Clock, models: Mapping[str, str]) -> None:
        self._folder = folder
        self._store = store
        self._clock = clock
        self._models = models
        self._log = AuditLog.open(folder, clock)

    @classmethod
    def open(
        cls,
        folder: Path,
        store: Store,
        *,
        clock: Clock,
        config: str,
        models: Mapping[str, str],
        accept: bool = False,
        restored: bool = False,
    ) -> Self:
        """Begin the log, or go on with it, and record that the vault was opened, and by what program.

        `config` is the SHA-256 of the settings in hex, `models` names and SHA-256 of the configured models.
        With `accept` a log that is not the one the store knows is gone on with: that leaves a mark for good.
        A vault that was just `restored` from a backup has a log without its state, which is made anew.

        Raises:
            AuditDamaged: the log is not the one that this store knows.
            StorageFull: it cannot be written.
        """
        journal = cls(folder, store, clock, models)
        if Memory.of(store).at is None:
            journal._begin()
        journal._go_on(Memory.of(store), accept=accept, restored=restored)
        journal._changed(config)
        journal.record("unlock", "ok")
        journal.remember()
        return journal

    def record(
        self,
        action: Any,
        outcome: str,
        *,
        chunks: Sequence[bytes] = (),
        content: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one entry with the store's state; it is on the disk when this returns."""
        # Another process may have brought in a reviewer.
        self._log.reviewers = Memory.of(self._store).public_keys()
        at = (self._store.sequence, self._store.head)
        self._log.record(action, outcome, models=self._models, chunks=chunks, store=at, content=content)

    def asking(self, question: str, events: Iterator[Event]) -> Iterator[Event]:
        """Yield `events`; the question is on record before its passages are seen, the answer before it is."""
        seen = {"question": question}
        with self._failing("ask", seen):
            for event in events:
                # Shown before the answer is checked: on record with the question where it is stopped halfway.
                if isinstance(event, EvidenceFound):
                    seen["quote"] = event.evidence.quote
                elif isinstance(event, Delta):
                    seen["draft"] = seen.get("draft", "") + event.text
                if isinstance(event, Retrieved):
                    leaves = self._leaves(event.passages)
                    self.record("ask", "ok", chunks=leaves, content={"question": question})
                elif isinstance(event, Answered):
                    given = event.answer
                    cited = [given.passages[n - 1] for n in sorted({c.n for c in given.citations})]
                    outcome = "not in documents" if given.abstained else "answered"
                    self.record(
                        "answer", outcome, chunks=self._leaves(cited), content={"answer": given.answer}
                    )
                yield event

    def adding(self, paths: Sequence[Path], events: Iterator[Event]) -> Iterator[Event]:
        """Yield `events`; the attempt is on record before anything is stored, each file before it is told."""
        self.record("add", "begun", content={"paths": [str(path) for path in paths[:_MOST_PATHS]]})
        with self._failing("add", None):
            for event in events:
                if isinstance(event, FileDone):
                    self.record("add", event.result.status, content={"path": event.result.path})
                elif isinstance(event, Added):
                    self.record("add", "done")
                yield event

    @contextmanager
    def removing(self, document: Document) -> Iterator[None]:
        """Record a removal before it begins, and its receipt when nothing of the document is left."""
        content = {"id": document.id, "name": document.name, "sha256": document.digest}
        self.record("remove", "begun", content=content)
        with self._failing("remove", content):
            yield
        self.record("remove", "erased", content=content)

    def shown(self, document: Document) -> None:
        """Record that a document is about to be read."""
        self.record("show", "ok", content={"id": document.id, "name": document.name})

    def verified(self, report: Report, *, full: bool) -> None:
        """Record what a verification found."""
        outcome = ("ok" if report.ok else "failed") + (" full" if full else " quick")
        self.record("verify", outcome, content={"failed": [c.name for c in report.checks if not c.ok]})

    def add_reviewer(self, public: ReviewerPublic) -> None:
        """Let a reviewer check the log's MACs and read its content from now on."""
        with self._store.writing():
            now = Memory.of(self._store)
            self._log.reviewers = now.public_keys()
            self._log.add_reviewer(public)
            self._keep(replace(now, reviewers=(*now.reviewers, base64.b64encode(public.raw).decode())))

    def check(self, *, checkpoints: Sequence[bytes] = ()) -> Iterator[Check]:
        """Yield what a verification of every MAC of the log finds."""
        now = Memory.of(self._store)
        yield from verify(
            self._folder, seed=bytes.fromhex(now.seed), known=now.position(), checkpoints=checkpoints
        )

    def remember(self) -> None:
        """Keep in the store how far the log has come. Another process that is writing does it as well."""
        with suppress(VaultBusy), self._store.writing():
            self._keep(Memory.of(self._store))

    def close(self) -> None:
        """Record that the vault is closed, as far as it still can be; the key goes in any case."""
        with suppress(ApplianceError):
            self.record("lock", "ok")
            self.remember()

    def _begin(self) -> None:
        """Begin the log, its seed being safe first: a crash in between begins it anew."""
        with self._store.writing():
            known = Memory.of(self._store)
            if known.at is not None:
                return  # another process did, meanwhile
            self._store.set_setting(AUDIT, json.dumps(asdict(known)))
            AuditLog.clear(self._folder)
            AuditLog.create(self._folder, bytes.fromhex(known.seed), self._clock, vault=self._store.vault)
            self._keep(known)

    def _go_on(self, known: Memory, *, accept: bool, restored: bool) -> None:
        position = known.position()
        if accept:
            self._log.repair(bytes.fromhex(known.seed), vault=self._store.vault, known=position)
            self.record("repair", "accepted")
        elif position is not None and not self._log.holds(position):
            raise AuditDamaged("The audit log is not the one that this vault knows: entries are missing.")
        else:
            seed, vault = bytes.fromhex(known.seed), self._store.vault
            self._log.repair(seed, vault=vault, restored=restored, known=position)

    def _changed(self, config: str) -> None:
        """Record that program or settings are others than last time: before that is forgotten by a crash."""
        before = Memory.of(self._store)
        if before.config == config and before.models == self._models:
            return
        if before.models not in (None, self._models):
            self.record("model", "changed")
        if before.config not in ("", config):
            self.record("config", "changed", content={"sha256": config})
        with suppress(VaultBusy), self._store.writing():  # or else it is recorded at the next opening again
            self._keep(replace(Memory.of(self._store), config=config, models=dict(self._models)))

    def _keep(self, memory: Memory) -> None:
        last = self._log.last()
        if last is not None:  # a line of rubbish at its end is no reason to forget how far it had come
            memory = replace(memory, at=(last[0], last[1].hex()))
        self._store.set_setting(AUDIT, json.dumps(asdict(memory)))

    @contextmanager
    def _failing(self, action: str, content: Mapping[str, Any] | None) -> Iterator[None]:
        """Record an action that comes to no good end, whatever stops it."""
        try:
            yield
        except (Cancelled, GeneratorExit):  # the front end stopped it, or is gone
            self.record(action, "stopped", content=content)
            raise
        except BaseException:
            self.record(action, "failed", content=content)
            raise

    def _leaves(self, passages: Sequence[Passage]) -> list[bytes]:
        """Return the MACs of all chunks that are shown: a quote may run over several."""
        shown = (chunk for passage in passages for chunk in chunks(self._store, passage))
        return [self._store.leaf(chunk) for chunk in dict.fromkeys(shown)]


_MOST_PATHS: Final = 16
"""An entry holds 128 KiB, and a path has up to 4 KiB; every file gets an entry of its own."""
