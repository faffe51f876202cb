"""What the appliance would quote of passages and mark in them, and what a generator drafts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from appliance.generate.prompt import enough
from appliance.retrieve import cross
from appliance.types import Evidence, Passage, Prompt, Span

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
        best = readings[at]
        evidence = Evidence(at + 1, start, end, said, "", None, "", 1.0, mark=best.mark, choices=best.choices)
        return evidence, [(reading.span, *reading.others) for reading in readings]

    return quote


class Writer(Protocol):
    """Writes an answer; `brief` as appliance.generate.llm.Generator has it."""

    brief: bool

    def stream(self, prompt: Prompt, *, max_tokens: int, stop: threading.Event) -> Iterator[str]:
        """Yield the answer as it is written."""


def drafted(writer: Writer, prompt: Prompt, *, most: int) -> str:
    """Return a draft of at most so many tokens, ended where the appliance ends one."""
    draft = ""
    for piece in writer.stream(prompt, max_tokens=most, stop=threading.Event()):
        draft += piece
        if enough(draft):
            break
    return draft
