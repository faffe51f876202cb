"""What a set is asked about: the vault that was named, or documents in an encrypted vault of their own."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from appliance import __version__, models, render
from appliance.cli import staging
from appliance.cli.output import Bar, Options, narrate
from appliance.client import Client
from appliance.config import Config
from appliance.errors import ApplianceError, UsageError, VaultBusy, VaultErased, VaultMissing
from appliance.evaluation import library
from appliance.evaluation.library import Library, Staged
from appliance.evaluation.sets import Question, Source
from appliance.ingest import walk
from appliance.secret import Secret
from appliance.types import Added, FileDone, FileResult, Progress

Opened = AbstractContextManager[tuple[Client, Library]]
"""A client with the documents open, and what they are called."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: `digest` is the SHA-256 of the documents. Opening it may add them first."""

    digest: str
    opened: Opened


@dataclass(frozen=True, slots=True)
class _Vault:
    """A vault made for a run, and erased when all was asked; `kept` where that is cut off."""

    name: str
    words: str
    settings: Config
    accept_weaker: bool
    kept: bool

    @property
    def folder(self) -> Path:
        """Return where it is."""
        return self.settings.vault_folder(self.name)

    @property
    def staging(self) -> Path:
        """Return where what is added lies while the vault is used."""
        return self.settings.home / "eval" / self.name


def of_vault(client: Client, questions: Sequence[Question]) -> Subject:
    """Ask about the vault that is open."""
    held = client.documents()
    digest = library.digest((document.name, document.digest) for document in held)
    return Subject(digest, nullcontext((client, library.of_vault(held, questions))))


def of_set(
    options: Options, settings: Config, sources: Sequence[Source], questions: Sequence[Question]
) -> Subject:
    """Ask about the documents that the set brings."""
    files = library.staged(sources)
    sums = [(file.name, hashlib.sha256(file.data).hexdigest()) for file in files]
    vault = _vault(options, settings, sums)

    def add(client: Client) -> Library:
        failed = _add_staged(client, vault.staging / "documents", files)
        return replace(library.of_files(files, questions), failed=len(failed))

    return Subject(library.digest(sums), _opened(vault, add))


def of_folder(options: Options, settings: Config, folder: Path, questions: Sequence[Question]) -> Subject:
    """Ask about the documents in a folder.

    Raises:
        UsageError: there are none.
    """
    sums = [(item.name, _sum(item)) for item in walk.found([folder])]
    if not sums:
        raise UsageError(f"There are no documents in {folder}.")

    def add(client: Client) -> Library:
        failed = _add(client, folder)
        return replace(library.of_vault(client.documents(), questions), failed=len(failed))

    return Subject(library.digest(sums), _opened(_vault(options, settings, sums), add))


def _sum(item: walk.Found) -> str:
    with suppress(OSError):  # it cannot be read, as its line will say
        return "" if item.problem else walk.digest(item.path, lambda: False) or ""
    return ""


def _vault(options: Options, settings: Config, sums: Sequence[tuple[str, str]]) -> _Vault:
    """Name the vault for all that it depends on, so that a run that was cut off finds it again.

    It opens for whoever has the documents: its words are their digest too, but one that is written nowhere.
    """
    embedding = models.hashes([settings.embedding], settings.model_folders)
    depends = f"{library.digest(sums)} {embedding} {settings.digest()} {__version__}"
    return _Vault(
        name=f"eval-{hashlib.sha256(depends.encode()).hexdigest()[:16]}",
        words=library.digest(sums, use="vault"),
        settings=settings,
        accept_weaker=options.accept_weaker,
        kept=options.out is not None,
    )


@contextmanager
def _opened(vault: _Vault, add: Callable[[Client], Library]) -> Iterator[tuple[Client, Library]]:
    """Open the vault, of which this run has the sole use, and add its documents.

    Raises:
        VaultBusy: another run has it.
    """
    (vault.settings.home / "vaults").mkdir(mode=0o700, parents=True, exist_ok=True)
    with staging.held(vault.staging), Client(vault.settings) as client:
        _open(client, vault)
        try:
            yield client, add(client)
        except BaseException:
            if vault.kept:
                narrate(
                    f"The vault {vault.name!r} is kept, so that the same command can go on; "
                    f"`appliance keys erase --vault {vault.name} --yes {vault.name}` gives that up."
                )
            else:
                _erase(client, vault)
            raise
        _erase(client, vault)


def _open(client: Client, vault: _Vault) -> None:
    try:
        _unlock(client, vault)
    except VaultMissing as missing:
        if isinstance(missing, VaultErased):  # a kill came between the end of the keys and that of the folder
            shutil.rmtree(vault.folder)
        with _secret(vault) as secret:
            client.init(vault.name, secret)
        if vault.accept_weaker:
            _unlock(client, vault)


def _unlock(client: Client, vault: _Vault) -> None:
    with _secret(vault) as secret:
        client.unlock(vault.name, secret, accept_weaker=vault.accept_weaker)


@contextmanager
def _secret(vault: _Vault) -> Iterator[Secret]:
    secret = Secret.passphrase(bytearray(vault.words.encode()))
    try:
        yield secret
    finally:
        secret.wipe()


def _erase(client: Client, vault: _Vault) -> None:
    """Destroy the vault's keys, then take its folder away."""
    try:
        client.destroy(vault.name)
    except VaultBusy:
        narrate(f"The vault {vault.name!r} is used by another run and stays.")
        return
    except ApplianceError:
        pass  # the worker is gone; without the documents nobody has the words
    shutil.rmtree(vault.folder, ignore_errors=True)


def _add_staged(client: Client, folder: Path, files: Sequence[Staged]) -> list[FileResult]:
    """Write the files that are not stored yet to a folder, add it, and take it away."""
    stored = {document.name for document in client.documents() if not document.lost}
    missing = [file for file in files if file.name not in stored]
    if not missing:
        return []
    # The same folder as when the run was cut off: a document that was half stored is known by its path.
    folder.mkdir(mode=0o700)
    try:
        for file in missing:
            (folder / file.name).write_bytes(file.data)
        return _add(client, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add(client: Client, folder: Path) -> list[FileResult]:
    """Add a folder by the real pipeline; return and tell what could not be added."""
    failed = []
    with closing(Bar()) as bar:
        for event in client.add([folder]):
            if isinstance(event, Progress):
                bar.show(event)
            elif isinstance(event, FileDone) and event.result.status in ("failed", "no-text"):
                bar.close()
                narrate(render.file_line(event.result))
                failed.append(event.result)
            elif isinstance(event, Added):
                bar.close()
                narrate(f"Added: {render.added(event)}")
    return failed
