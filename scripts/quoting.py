"""A question, passages and the trained reader -> what the appliance would quote of them, and mark in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from appliance.retrieve import cross
from appliance.types import Evidence, Passage, Span

Telling = Sequence[Sequence[Span]]
Quote = Callable[[str, Sequence[Passage]], tuple[Evidence, Telling]]
"""Question and passages -> the evidence, and of each passage the sentences that tell most, best first."""


def quoting(reader: cross.CrossReader) -> Quote:
    """Return what quotes of the passage that `reader` finds most relevant, and tells where it points."""

    def quote(question: str, passages: Sequence[Passage]) -> tuple[Evidence, Telling]:
        readings = [
            cross.reading(judged, (), reader.calibration) for judged in reader.judge(question, passages)
        ]
        at = max(range(len(readings)), key=lambda number: readings[number].relevance)
        start, end = readings[at].span
        said = passages[at].text[start:end]
        evidence = Evidence(at + 1, start, end, said, "", None, "", 1.0, mark=readings[at].mark)
        return evidence, [(reading.span, *reading.others) for reading in readings]

    return quote
