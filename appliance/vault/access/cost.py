"""This machine's speed -> the cost of its key derivation, as dear as an unlock in .5 to 1 s allows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from appliance.vault.access.keyfile import CEILING, DEFAULT_KDF, FLOOR, Kdf
from appliance.vault.access.slots import argon2id

TARGET_S: Final = 0.7
_SHARE: Final = 8
"""At most an eighth of the machine's memory, so that unlocking never makes it swap."""
_STEP: Final = 1024


def calibrate(target_s: float = TARGET_S, *, measure: Callable[[Kdf], float] | None = None) -> Kdf:
    """Return the cost that takes about `target_s` seconds here; `measure` gives the seconds of a cost.

    It is never cheaper than the default, unless there is no memory for that: a busy machine measures slow
    (seen: 67 MiB at a load of 24), and a cost that was cheap once stays cheap.
    """
    seconds = measure or _measured
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024 // _SHARE
    guess = choose(FLOOR, seconds(FLOOR), target_s=target_s, most=most)
    # From the neighbourhood once more: small blocks fit into caches and run faster than large ones.
    found = choose(guess, seconds(guess), target_s=target_s, most=most)
    least = replace(DEFAULT_KDF, memory=max(FLOOR.memory, min(DEFAULT_KDF.memory, most // _STEP * _STEP)))
    return max(found, least, key=lambda kdf: kdf.memory * kdf.passes)


def choose(measured: Kdf, seconds: float, *, target_s: float, most: int) -> Kdf:
    """Return the cost nearest to `target_s` by what `measured` took; `most` KiB of memory are there for it.

    Memory is what makes guessing dear (RFC 9106, 4): it grows first, the passes only where it cannot.
    """
    wanted = target_s / seconds * measured.memory * measured.passes
    ceiling = max(FLOOR.memory, min(CEILING.memory, most))
    memory = int(min(max(wanted / FLOOR.passes, FLOOR.memory), ceiling)) // _STEP * _STEP
    passes = min(max(int(wanted / memory), FLOOR.passes), CEILING.passes)
    return Kdf(max(memory, FLOOR.memory), passes, FLOOR.lanes)


def _measured(kdf: Kdf) -> float:
    """Return the shortest of three runs: whatever else the machine does only makes one longer."""
    return min(_once(kdf) for _ in range(3))


def _once(kdf: Kdf) -> float:
    began = time.perf_counter()
    argon2id(bytearray(32), kdf, bytes(16))
    return time.perf_counter() - began
