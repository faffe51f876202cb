"""Two rankings -> one, by a weighted sum of scores scaled to [0, 1].

Reciprocal ranks lose what the scores know; see scripts/LOG.md for both on our sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from appliance.types import Finder, Hit, Passage

WEIGHT = 0.7
"""The share of the vectors in the sum; chosen in scripts/LOG.md."""
NEIGHBOUR = 0.2
"""What a chunk gains from the better of its two neighbours, as a share of that one's score."""
NAMED = 0.6
"""What a chunk gains that holds every identifier of the question, where 1 is the best score there is."""
CROWDING = 0.9
"""What is left of a passage's score for each better one on its page: five of one page are one place."""


def fuse(
    words: Mapping[int, float],
    vectors: Mapping[int, float],
    *,
    near: Mapping[int, float],
    weight: float = WEIGHT,
) -> tuple[Hit, ...]:
    """Return every chunk of either ranking, best first; equal scores are ordered by chunk.

    `words` and `vectors` map chunks to scores, higher is better; `near` holds the cosines of chunks that only
    the words found, where known, so that they are not judged as if they were the farthest.
    """
    cosines = {**near, **vectors}
    said, meant = scaled(words), scaled(cosines)
    hits = [
        Hit(
            chunk,
            weight * meant.get(chunk, 0.0) + (1 - weight) * said.get(chunk, 0.0),
            _found_by(chunk, words, vectors),
        )
        for chunk in {**words, **vectors}
    ]
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.chunk)))


def supported(hits: Sequence[Hit], *, share: float = NEIGHBOUR) -> tuple[Hit, ...]:
    """Return the hits ranked anew, each raised by the better of the chunks before and after it, if found.

    An answer seldom stands alone: what was found beside it says that the place is right. Chunk ids run on
    through a document, so a neighbour is the next number. Scores stay in [0, 1].
    """
    scores = {hit.chunk: hit.score for hit in hits}
    raised = [
        replace(hit, score=(hit.score + share * _beside(hit.chunk, scores)) / (1 + share)) for hit in hits
    ]
    return tuple(sorted(raised, key=lambda hit: (-hit.score, hit.chunk)))


def named(hits: Sequence[Hit], holders: Sequence[Collection[int]], *, gain: float = NAMED) -> tuple[Hit, ...]:
    """Return the hits ranked anew: `holders` are, for each identifier that was asked for, the chunks with it.

    No vector knows what E04 or P-101 is; who asks for one by name wants the place where it stands. Scores
    stay in [0, 1].
    """
    if not any(holders):
        return tuple(hits)
    known = [chunks for chunks in holders if chunks]
    share = {hit.chunk: sum(hit.chunk in chunks for chunks in known) / len(known) for hit in hits}
    raised = [replace(hit, score=(hit.score + gain * share[hit.chunk]) / (1 + gain)) for hit in hits]
    return tuple(sorted(raised, key=lambda hit: (-hit.score, hit.chunk)))


def spread(passages: Sequence[Passage], *, left: float = CROWDING) -> tuple[Passage, ...]:
    """Return the passages, given best first, ranked anew: each better one on the same page costs a share."""
    better: Counter[tuple[int, int]] = Counter()
    lowered = []
    for passage in passages:
        place = (passage.document_id, passage.page or 0)
        lowered.append(replace(passage, score=passage.score * left ** better[place]))
        better[place] += passage.page is not None
    return tuple(sorted(lowered, key=lambda passage: -passage.score))


def _beside(chunk: int, scores: Mapping[int, float]) -> float:
    return max(scores.get(chunk - 1, 0.0), scores.get(chunk + 1, 0.0))


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
