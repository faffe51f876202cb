"""Two rankings -> one, by a weighted sum of scores scaled to [0, 1].

Reciprocal ranks lose what the scores know; see scripts/LOG.md for both on our sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from appliance.types import Finder, Hit, Passage

WEIGHT = 0.5
"""The share of the vectors in the sum; chosen in scripts/LOG.md."""
NAMED = 2.5
"""What a passage gains that holds every name of a question which is nothing but names."""
CROWDING = 0.9
"""What is left of a passage's score for each better one on its page: five of one page are one place."""


def fuse(
    words: Mapping[int, float],
    vectors: Mapping[int, float],
    *,
    near: Mapping[int, float],
    rated: Mapping[int, float] | None = None,
    weight: float = WEIGHT,
) -> tuple[Hit, ...]:
    """Return every chunk of either ranking, best first; equal scores are ordered by chunk.

    `words` and `vectors` map chunks to scores, higher is better. `near` holds the cosines of chunks that only
    the words found, `rated` what the words say of all, where known: so none is judged as if it were the last.
    """
    cosines = {**near, **vectors}
    said, meant = scaled(words if rated is None else rated), scaled(cosines)
    hits = [
        Hit(
            chunk,
            weight * meant.get(chunk, 0.0) + (1 - weight) * said.get(chunk, 0.0),
            _found_by(chunk, words, vectors),
        )
        for chunk in {**words, **vectors}
    ]
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.chunk)))


def named(
    passages: Sequence[Passage], holders: Sequence[Mapping[int, float]], *, share: float = 1.0
) -> tuple[Passage, ...]:
    """Return the passages ranked anew: `holders` say, for each name asked for, how surely a chunk has it.

    No vector knows what E04 or P-101 is; who asks for one by name wants the place where it stands. `share`
    is what of the question is names: one among many words is only one of them. Scores stay in [0, 1].
    """
    gain = NAMED * share**3
    known = [chunks for chunks in holders if chunks]
    if not known:
        return tuple(passages)
    held = {
        passage.chunk: sum(chunks.get(passage.chunk, 0.0) for chunks in known) / len(known)
        for passage in passages
    }
    raised = [
        replace(passage, score=(passage.score + gain * held[passage.chunk]) / (1 + gain))
        for passage in passages
    ]
    return _ranked(raised)


def spread(passages: Sequence[Passage], *, left: float = CROWDING) -> tuple[Passage, ...]:
    """Return the passages, given best first, ranked anew: each better one on the same page costs a share."""
    better: Counter[tuple[int, int]] = Counter()
    lowered = []
    for passage in passages:
        place = (passage.document_id, passage.page or 0)
        lowered.append(replace(passage, score=passage.score * left ** better[place]))
        better[place] += passage.page is not None
    return tuple(sorted(lowered, key=lambda passage: -passage.score))


def _ranked(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    return tuple(sorted(passages, key=lambda passage: (-passage.score, passage.chunk)))


def scaled(scores: Mapping[int, float]) -> dict[int, float]:
    """Map the lowest score to 0 and the highest to 1; where all are equal, to 1."""
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    if high <= low:
        return dict.fromkeys(scores, 1.0)
    return {chunk: min((score - low) / (high - low), 1.0) for chunk, score in scores.items()}


def _found_by(chunk: int, words: Mapping[int, float], vectors: Mapping[int, float]) -> tuple[Finder, ...]:
    found: list[Finder] = []
    if chunk in words:
        found.append("words")
    if chunk in vectors:
        found.append("vectors")
    return tuple(found)
