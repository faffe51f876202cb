"""The states a store may be in, kept beside it: an older store is recognised by them.

One file with two slots, written in place by turns, so that a write cut off by the power leaves the other. A
slot is found authentic or is as if it were not there.
"""

from __future__ import annotations

import errno
import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import RolledBack
from appliance.vault.seal.macs import MAC_BYTES, Sealer

MAX_STATES: Final = 8
_MAGIC: Final = b"APLANCH\n"
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">8sHHQ")
_STATE: Final = struct.Struct(">Q32s")
_SLOT_BYTES: Final = 512
_SLOTS_AT: Final = (0, 4096)  # a block each: no device writes both at once
_FILE_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class State:
    """What a store is known by: its sequence and its head, 32 bytes."""

    sequence: int
    head: bytes


UNSEALED: Final = State(0, bytes(MAC_BYTES))
"""A store from before there were seals."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a slot says: the store is in one of `states`. `count` goes up with every write."""

    count: int
    states: tuple[State, ...]


class Anchor:
    """The anchor file at one path. Only who holds the vault's write lock may write it."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        self._path = path
        self._sealer = sealer

    def exists(self) -> bool:
        """Tell whether there is anything at its place."""
        return os.path.lexists(self._path)

    def read(self) -> Record:
        """Return the newest authentic record.

        Raises:
            RolledBack: there is none; what state the store should be in cannot be told.
        """
        found = [record for record in self.slots() if record is not None]
        if not found:
            what = "cannot be read or is not authentic" if self.exists() else "is missing"
            raise RolledBack(f"The vault's anchor {what}: an older store could not be told from the newest.")
        return max(found, key=lambda record: record.count)

    def slots(self) -> tuple[Record | None, ...]:
        """Return what each slot says, None for one that is not authentic."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return (None, None)
        try:
            return tuple(self._parse(os.pread(descriptor, _SLOT_BYTES, at)) for at in _SLOTS_AT)
        except OSError:
            return (None, None)
        finally:
            os.close(descriptor)

    def write(self, states: Sequence[State]) -> None:
        """Say durably that the store is in one of `states`; what was said before is no longer true.

        The slot with the older record is overwritten. A missing file is made.

        Raises:
            StorageFull: no room.
        """
        slots = self.slots()
        counts = [-1 if record is None else record.count for record in slots]
        data = self._encode(Record(max(counts) + 1, tuple(states[-MAX_STATES:])))
        made = not self.exists()
        with durable.translated():
            self._put(data, _SLOTS_AT[counts.index(min(counts))])
            if made:
                durable.sync(self._path.parent)

    def _put(self, data: bytes, at: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            if os.fstat(descriptor).st_size < _FILE_BYTES:
                os.ftruncate(descriptor, _FILE_BYTES)
            if os.pwrite(descriptor, data, at) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def _encode(self, record: Record) -> bytes:
        head = _HEAD.pack(_MAGIC, _VERSION, len(record.states), record.count)
        states = b"".join(_STATE.pack(state.sequence, state.head) for state in record.states)
        body = (head + states).ljust(_SLOT_BYTES - MAC_BYTES, b"\0")
        return body + self._sealer.mac("anchor", body)

    def _parse(self, data: bytes) -> Record | None:
        body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
        if len(data) != _SLOT_BYTES or not hmac.compare_digest(mac, self._sealer.mac("anchor", body)):
            return None
        _, _, number, count = _HEAD.unpack_from(body)
        at = (_HEAD.size + _STATE.size * index for index in range(number))
        return Record(count, tuple(State(*_STATE.unpack_from(body, place)) for place in at))
