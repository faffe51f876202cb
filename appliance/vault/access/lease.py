"""The right to have a vault open: shared by all who have it open, or one process's alone."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import VaultBusy

LOCK: Final = "open.lock"


class Lease:
    """A lock on the file `open.lock` of a vault's folder; the system drops it with the process."""

    def __init__(self, folder: Path) -> None:
        """Share the vault.

        Raises:
            VaultBusy: another process has it alone.
        """
        durable.set_aside(folder / LOCK)
        self._descriptor = durable.open_regular(folder / LOCK, os.O_RDONLY | os.O_CREAT)
        if not self._lock(fcntl.LOCK_SH):
            self.close()
            raise VaultBusy("Another process is rewriting the vault.")

    def alone(self) -> bool:
        """Become the only one, or else share on and return False.

        Raises:
            VaultBusy: another process became the only one meanwhile.
        """
        if self._lock(fcntl.LOCK_EX):
            return True
        self.share()  # a conversion that fails may have lost what was held
        return False

    def share(self) -> None:
        """Let others in again.

        Raises:
            VaultBusy: another process has it alone.
        """
        if not self._lock(fcntl.LOCK_SH):
            raise VaultBusy("Another process is rewriting the vault.")

    def close(self) -> None:
        """Let go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def sole(folder: Path) -> Lease:
    """Return a lease that nobody shares.

    Raises:
        VaultBusy: the vault is open somewhere.
    """
    lease = Lease(folder)
    if lease.alone():
        return lease
    lease.close()
    raise VaultBusy(
        "The vault is open in another window or process.", hint="Close it there first; nothing was changed."
    )
