"""Bit vectors of all chunks -> the ids that lie nearest by Hamming distance: the first of two passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from appliance.types import Matrix, Vector

Bits = npt.NDArray[np.uint8]
_LANES = np.dtype("<u8")


def quantize(vectors: Matrix) -> Bits:
    """Return one bit a dimension, 1 where it is positive; shape (n, d / 8), least significant bit first."""
    return np.packbits(vectors > 0, axis=-1, bitorder="little")


class CoarseIndex:
    """The signs of every searchable vector in memory: 48 bytes a chunk at d = 384, 4.8 MB at 100k."""

    def __init__(self, ids: npt.NDArray[np.int64], bits: Bits) -> None:
        """Take `ids`, shape (n,), and their `bits`, shape (n, d / 8) with d a multiple of 64."""
        self._ids = ids
        # One row for each 64 dimensions, so that each step runs over one long stretch of memory.
        self._lanes = np.ascontiguousarray(bits.view(_LANES).T)

    def nearest(self, vector: Vector, limit: int) -> Sequence[int]:
        """Return the ids of the `limit` smallest Hamming distances, in no order."""
        wanted = quantize(vector).view(_LANES)
        distances = np.zeros(len(self._ids), dtype=np.uint16)
        for lane, bits in zip(self._lanes, wanted, strict=True):
            distances += np.bitwise_count(lane ^ bits)
        if limit >= len(distances):
            return [int(found) for found in self._ids]
        return [int(found) for found in self._ids[np.argpartition(distances, limit)[:limit]]]
