"""An open store -> its content in a new file under another key, held against the seal that came with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from appliance.errors import RolledBack
from appliance.secret import wipe
from appliance.vault.access.keys import DataKey
from appliance.vault.database.engine import Database
from appliance.vault.seal import contents
from appliance.vault.seal.anchor import Record
from appliance.vault.seal.ledger import Ledger


def copy(database: Database, ledger: Ledger, path: Path, key: DataKey, *, tick: Callable[[], None]) -> str:
    """Write what `database` holds now as `path` under `key` and return its content digest.

    Other processes may go on writing: the copy is of one moment. Every row of it is then read and verified,
    by the MACs of the vault it came from: a copy that has lost something is never taken for the vault.

    Raises:
        RolledBack, StoreDamaged: the copy is not what was stored.
        StorageFull: no room. Whatever it raises, the caller removes `path`.
    """
    with ledger.reading():
        oldest = ledger.state.sequence
    page_key, salt = key.page_key(), key.page_salt()
    try:
        database.copy_to(path, cipher=key.cipher, key=page_key, salt=salt, tick=tick)
        copied = Database(path, cipher=key.cipher, key=page_key, salt=salt)
    finally:
        wipe(page_key)
    try:
        seen = _Copied(ledger, copied, oldest=oldest)
        with seen.reading():
            seen.check_words()
            return contents.digest(seen)
    finally:
        copied.close()


class _Copied(Ledger):
    """The trusted view of a copy. No anchor knows its moment; its head must add up and not be too old."""

    def __init__(self, original: Ledger, copied: Database, *, oldest: int) -> None:
        super().__init__(copied, original._sealer, original._anchor)
        self._oldest = oldest

    def _follow(self, _: Record | None) -> Record | None:
        state = self._stored()
        if state.sequence < self._oldest:
            raise RolledBack("The copy is older than the store it was made from.")
        if state != self._state:
            self._adopt(state)
        return None
