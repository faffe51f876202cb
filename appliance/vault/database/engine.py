"""A path and a page key -> an open encrypted database. The only file that names the SQLite driver."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw
import sqlite_vec

from appliance import durable
from appliance.errors import ApplianceError, StorageFull, StoreDamaged, UsageError, VaultBusy
from appliance.vault.access.keyfile import Cipher

Row = tuple[Any, ...]

Tick = Callable[[], None]

PAGE_BYTES: Final = 4096
# Holds the vectors' pages of a coarse search at 100k chunks and what FTS5 touches; the default of 2 MiB made
# searches 1.6 to 10 times slower under encryption (security.md, decision 2).
_CACHE_KIB: Final = 128 * 1024
_BUSY_MS: Final = 5000
_OPEN: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
_PROFILES: Final[dict[Cipher, str]] = {
    "sqlcipher": "cipher=sqlcipher&legacy=4",  # as in _configure
    "aegis": "cipher=aegis",
    "chacha20": "cipher=chacha20",
}
_TICK_STEPS: Final = 10_000
_OLDEST_SQLITE: Final = 3054000  # FTS5 memory corruption up to 3.53 (CVE-2026-119373, CVE-2026-119374)
_TOKENIZER: Final = ("unicode61", "remove_diacritics", "2")


@dataclass(frozen=True, slots=True)
class Change:
    """A changed row: what it was and what it is, None where it was not there; in place only what it was."""

    table: str
    rowid: int
    before: Row | None
    after: Row | None
    in_place: bool


class Database:
    """One connection, for one thread at a time. What it raises is ours and quotes no data."""

    def __init__(self, path: Path, *, cipher: Cipher, key: bytearray, salt: bytearray) -> None:
        """Open the existing file `path`, which may be empty.

        Raises:
            StoreDamaged: not a store of this key, or damaged.
            VaultBusy: another process keeps it locked.
        """
        with _translated():
            # Absolute: no path of ours is then taken for a URI, which `copy_to` needs.
            self._connection = apsw.Connection(str(path.absolute()), flags=_OPEN)
        try:
            with _translated(self._connection):
                _configure(self._connection, cipher=cipher, key=key, salt=salt)
                self._split = self._connection.fts5_tokenizer(_TOKENIZER[0], list(_TOKENIZER[1:]))
                self._stem = self._connection.fts5_tokenizer("porter", list(_TOKENIZER))
        except ApplianceError:
            self._connection.close(force=True)
            raise

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and return all its rows."""
        with _translated(self._connection):
            return self._connection.execute(sql, values).fetchall()

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Run one statement and yield its rows as they are read."""
        with _translated(self._connection):
            yield from self._connection.execute(sql, values)

    def row(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """Run one statement and return its first row, None where there is none."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Run one statement that always has a row and return its first column."""
        return self.rows(sql, values)[0][0]

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement and return the id of the row that was inserted last."""
        with _translated(self._connection):
            self._connection.execute(sql, values)
            return self._connection.last_insert_rowid()

    def run_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement once for each of `rows`."""
        with _translated(self._connection):
            self._connection.executemany(sql, rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make what happens inside one durable transaction: all of it or nothing.

        Raises:
            VaultBusy: another process is writing.
            StorageFull: no room; nothing of it was kept.
        """
        with self._transaction("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let all that is read inside come from one moment, whatever other processes write meanwhile."""
        with self._transaction("BEGIN"):
            yield

    def changes(self) -> tuple[int, int]:
        """Return a pair that differs whenever this or another connection has committed a change."""
        with _translated(self._connection):
            return self._connection.data_version(), self._connection.total_changes()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._connection.in_transaction)

    def watch(self, tables: Collection[str], seen: Callable[[Change], None]) -> None:
        """Tell `seen` each change of a row of `tables`, also those that FTS5 makes in its own tables.

        Told before the change is made; of a transaction that is given up, nobody tells.
        """

        def told(update: apsw.PreUpdate) -> None:
            if update.table_name in tables:
                seen(Change(update.table_name, update.rowid, update.old, update.new, update.blob_write >= 0))

        with _translated(self._connection):
            self._connection.preupdate_hook(told)

    def words(self, text: str) -> list[str]:
        """Split `text` as the full-text index does: folded to lower case without accents, not stemmed."""
        return _tokens(self._split, text)

    def stems(self, text: str) -> list[str]:
        """Split and stem `text` as the full-text index does."""
        return _tokens(self._stem, text)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and cut it to nothing, unless a reader still needs it."""
        try:
            with _translated(self._connection):
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except VaultBusy:
            return

    def copy_to(self, path: Path, *, cipher: Cipher, key: bytearray, salt: bytearray, tick: Tick) -> None:
        """Write what is committed now as a new file at `path` under another key, and make it durable.

        It is of one moment, whatever other processes write meanwhile. Rowids stay, free pages do not. `tick`
        is called every few milliseconds; what it raises stops the copy.

        Raises:
            StorageFull: no room. Whatever it raises, the caller removes `path`.
        """
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        # The one way in for a new file's key is a parameter of its URI. SQLite keeps that in memory.
        target = f"file:{quote(str(path.absolute()))}?{_PROFILES[cipher]}&key=x'{key.hex()}{salt.hex()}'"

        def never_stop() -> bool:
            tick()
            return False

        self._connection.set_progress_handler(never_stop, _TICK_STEPS)
        try:
            self.run("VACUUM INTO ?", (target,))
        finally:
            self._connection.set_progress_handler(None)
        durable.sync(path)

    def image(self) -> bytes:
        """Return the decrypted pages, free ones included: what a thief with the key would see."""
        with _translated(self._connection):
            return self._connection.serialize("main")

    def close(self) -> None:
        """Close the connection; the last one moves the write-ahead log into the file.

        Where that fails the log stays, and with it whatever was committed.
        """
        with contextlib.suppress(apsw.Error):
            self._connection.close(force=True)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.run(begin)
        try:
            yield
            self.run("COMMIT")
        finally:
            if self._connection.in_transaction:
                self.run("ROLLBACK")


def _configure(connection: apsw.Connection, *, cipher: Cipher, key: bytearray, salt: bytearray) -> None:
    if apsw.SQLITE_VERSION_NUMBER < _OLDEST_SQLITE:
        raise StoreDamaged("This SQLite is too old to be trusted with a store.")
    connection.set_busy_timeout(_BUSY_MS)
    connection.pragma("cipher", cipher)
    if cipher == "sqlcipher":
        connection.pragma("legacy", 4)  # the SQLCipher 4 file format, so that the stock tool can audit it
    # Key and salt both, always: no second key derivation, and no salt that only the file knows (decision 3).
    connection.pragma("key", f"x'{key.hex()}{salt.hex()}'")
    connection.row_trace = None
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the first read: is it our key?
    for name, value in _PRAGMAS:
        connection.pragma(name, value)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.enable_load_extension(enable=True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(enable=False)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)


_PRAGMAS: Final[tuple[tuple[str, str | int], ...]] = (
    ("journal_mode", "wal"),
    ("synchronous", "full"),  # in WAL, NORMAL may lose the last commits with the power
    ("secure_delete", "on"),
    ("foreign_keys", "on"),
    ("temp_store", "memory"),  # a temporary file would not be encrypted
    ("mmap_size", 0),
    ("cache_size", -_CACHE_KIB),
)


def _tokens(tokenizer: apsw.FTS5Tokenizer, text: str) -> list[str]:
    data = text.encode("utf-8", "replace")
    found = tokenizer(data, apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False)
    return [str(token) for token in found]


@contextmanager
def _translated(connection: apsw.Connection | None = None) -> Iterator[None]:
    """Turn the driver's errors into ours. Their texts can quote a statement's data, so they are dropped."""
    try:
        yield
    except apsw.Error as error:
        raise _ours(error, connection) from None
    except UnicodeDecodeError:
        raise _damaged("text that is not UTF-8") from None


def _ours(error: apsw.Error, connection: apsw.Connection | None) -> ApplianceError:
    for kinds, make in _TRANSLATIONS:
        if isinstance(error, kinds):
            return make(_name(error))
    system = connection.system_errno if connection is not None else 0
    if isinstance(error, apsw.IOError) and system in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _full(_name(error))
    return _damaged(_name(error))


def _name(error: apsw.Error) -> str:
    return f"{type(error).__name__} {getattr(error, 'extendedresult', 0)}"


def _damaged(name: str) -> ApplianceError:
    return StoreDamaged(f"The store cannot be read: it is damaged, or not of this key ({name}).")


def _full(name: str) -> ApplianceError:
    return StorageFull(f"No room left to write the store ({name}).")


def _busy(name: str) -> ApplianceError:
    return VaultBusy(f"Another process is writing to the vault ({name}).")


def _unopened(name: str) -> ApplianceError:
    return UsageError(
        f"The store cannot be opened for writing ({name}).", hint="Check the folder's permissions."
    )


def _starved(name: str) -> ApplianceError:
    return ApplianceError(f"There is not enough memory for this ({name}).")


_TRANSLATIONS: Final[tuple[tuple[tuple[type[apsw.Error], ...], Callable[[str], ApplianceError]], ...]] = (
    ((apsw.FullError,), _full),
    ((apsw.NoMemError,), _starved),
    ((apsw.BusyError, apsw.LockedError), _busy),
    ((apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError), _unopened),
)
