"""What a slot says in public, and a device -> the Secret that opens the slot.

A device turns 32 bytes of salt into 32 bytes that only it can make. The front end asks it; the worker, which
holds the key, never touches a device. Each module here names one optional package and is imported on use.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from appliance.secret import ANSWER_BYTES, DEVICE_SALT_BYTES, LONGEST_HANDLE, DeviceKind, Secret, wipe
from appliance.types import SlotInfo


class Asked(NamedTuple):
    """What a device is asked: its answer to `salt`, made with the key that it knows by `handle`."""

    salt: bytes
    handle: bytes

    @classmethod
    def new(cls, handle: bytes) -> Self:
        """Return a question never asked before.

        Raises:
            ValueError: no slot could keep this handle.
        """
        if not 1 <= len(handle) <= LONGEST_HANDLE:
            raise ValueError(f"a handle has 1 to {LONGEST_HANDLE} bytes")
        return cls(secrets.token_bytes(DEVICE_SALT_BYTES), handle)

    @classmethod
    def read(cls, device: str) -> Self:
        """Undo the hexadecimal of a SlotInfo."""
        asked = bytes.fromhex(device)
        return cls(asked[:DEVICE_SALT_BYTES], asked[DEVICE_SALT_BYTES:])


@dataclass(frozen=True, slots=True)
class Person:
    """Who sits before the device: `pin` asks for its PIN, `told` says what to do."""

    pin: Callable[[], bytearray]
    told: Callable[[str], None]

    def pin_text(self) -> str:
        """Return the PIN as the packages want it: text that nobody can wipe. Alone it opens nothing."""
        pin = self.pin()
        try:
            return pin.decode("utf-8", "replace")
        finally:
            wipe(pin)


def asked_by(slots: Iterable[SlotInfo], kind: DeviceKind) -> list[Asked]:
    """Return what the slots of one kind ask, in their order. Nothing of it is authenticated."""
    return [Asked.read(slot.device) for slot in slots if slot.kind == kind and slot.device]


def answered(kind: DeviceKind, asked: Asked, answer: bytes) -> Secret:
    """Return the secret that opens the slot which asked this.

    Raises:
        ValueError: this is not what such a device answers.
    """
    if len(answer) != ANSWER_BYTES:
        raise ValueError(f"an answer has {ANSWER_BYTES} bytes")
    return Secret.device(kind, asked.salt + asked.handle, bytearray(answer))
