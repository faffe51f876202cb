"""Question vector -> the nearest chunks, and the exact cosines of chunks that only the words found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from appliance.types import Matrix, Vector


class Index(Protocol):
    """What this module asks of the store."""

    def nearest(self, vector: Vector, limit: int) -> Sequence[tuple[int, float]]:
        """Return (chunk, cosine), best first."""
        ...

    def vectors(self, ids: Sequence[int]) -> Matrix:
        """Return the vectors of the chunks, in their order, shape (n, d)."""
        ...


def nearest(vector: Vector, index: Index, limit: int) -> dict[int, float]:
    """Return the cosines of the `limit` nearest chunks."""
    return dict(index.nearest(vector, limit))


def cosines(vector: Vector, index: Index, ids: Collection[int]) -> dict[int, float]:
    """Return the exact cosines of the chunks `ids`."""
    if not ids:
        return {}
    ordered = sorted(ids)
    return dict(zip(ordered, (index.vectors(ordered) @ vector).tolist(), strict=True))
