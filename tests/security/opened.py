"""A box's vault, opened inside this process: for what only the key holder can look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from appliance.secret import Secret
from appliance.vault.access import keys
from appliance.vault.access.keys import DataKey
from appliance.vault.database.engine import Database
from tests.security.box import PASSPHRASE


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def secret(words: bytes = PASSPHRASE) -> Secret:
    """A passphrase, in a buffer that whoever opens a vault with it wipes."""
    return Secret.passphrase(bytearray(words))


def data_key(folder: Path, words: bytes = PASSPHRASE) -> DataKey:
    """Unlock the key file of the vault in `folder`."""
    return keys.unlock(folder, secret(words))


@contextmanager
def database(folder: Path, words: bytes = PASSPHRASE) -> Iterator[Database]:
    """Yield the raw database, below all checks of the seal."""
    key = data_key(folder, words)
    opened = Database(folder / "store.db", cipher=key.cipher, key=key.page_key(), salt=key.page_salt())
    try:
        yield opened
    finally:
        opened.close()
        key.wipe()
