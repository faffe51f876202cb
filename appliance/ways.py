"""Text + the span of a sentence -> what tells how something is done: steps take more than a sentence.

A reader trained on short answers points at the last step, or at a sentence about the steps. So the quote
begins where the way begins, and goes on for as long as it may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from appliance.instructions import to_assistant
from appliance.lists import whole_list
from appliance.sentences import CELL, ITEM, split
from appliance.types import Span

MOST = 1_400
"""Characters of a way that are quoted: a screen."""
BEFORE = 2_000
"""Characters from the first step to the end of the sentence that answers: if no more, both are quoted."""
_NEAR = 900
"""Characters from the beginning of a section to the end of that sentence, where it is quoted from there."""
_PROSE, _FEW = 800, 400
"""Characters that are quoted where neither steps nor the headings say that this is the way; and of prose that
names several things."""
_REST = 150
"""Characters more of such prose that are quoted for the sake of its end."""
STEP = re.compile(r"\(?(\d{1,3})[.)]\s|step\s+(\d{1,3})\b", re.IGNORECASE)
"""What begins a numbered step: "3. " or "Step 3"."""
_CUT = re.compile(r"[ \t]*\S")
"""What goes on in the same line."""
_STOPPED = re.compile(r"[.!?][\"”’)\]]*\Z")
_PARAGRAPH = re.compile(r"(?:^|\n[ \t]*\n|\n(?=[ \t]*step[ \t]\d))\s*(?=\S)", re.IGNORECASE)


def way(text: str, sentence: Span, *, whole: bool) -> Span:
    """Return the span of the way that `sentence` is a part of, whole sentences of `text`.

    It begins with the `whole` text, where that is a section about the way and not too far off; else with the
    first of the steps that the sentence is one of, else with its paragraph. What speaks to the assistant ends
    it, and nothing about a sentence that does is quoted.
    """
    listed = whole_list(text, sentence, MOST)
    spans = _unspoken(text, listed)
    starts = _paragraphs(text, listed, spans)
    step = _first_step(text, starts, listed)
    if whole and listed[1] - starts[0] <= _NEAR:
        start, most = starts[0], MOST
    elif step is not None:
        start, most = step, max(MOST, listed[1] - step)
    else:
        start = _near(starts, listed)
        most = MOST if whole or any(_numbered(text[start : start + _PROSE])) else _PROSE
    return start, _end(spans, start, most, listed)


def goes_on(quote: str, behind: str, beyond: str, *, whole: bool) -> bool:
    """Tell whether the way that is quoted goes on in its section: `behind` it on its page, or `beyond` that.

    Of numbered steps the next one says so, wherever it is, or that the last one is cut, or that the page ends
    with the quote. Else an item does that comes next, and in a section about the way anything.
    """
    told, rest = [*_numbered(quote)], f"{behind}\n{beyond}".strip()
    if told:
        cut = _CUT.match(behind) or not behind.strip()
        return told[-1] + 1 in _numbered(rest) or (bool(cut) and bool(rest))
    return bool(rest) if whole else ITEM.match(rest) is not None


def _numbered(text: str) -> Iterator[int]:
    """Yield the numbers of the steps that begin a line."""
    steps = (STEP.match(line.strip()) for line in text.splitlines())
    return (int(found[1] or found[2]) for found in steps if found)


def several(text: str, sentence: Span) -> Span:
    """Return the span of the several things that `sentence` names: its list, or a paragraph from it on.

    Prose goes on to the end of the text where that is near, and does not end between a thing and what is said
    of it.
    """
    listed = whole_list(text, sentence, MOST)
    spans = _unspoken(text, listed)
    start = _near(_paragraphs(text, listed, spans), listed)
    end = _end(spans, start, max(_FEW, listed[1] - start), listed)
    return start, end if listed[1] - start > _FEW else _ended(text, spans, listed, end)


def _ended(text: str, spans: Sequence[Span], listed: Span, end: int) -> int:
    """Return where the quote of prose ends that `end` would cut, not before the list does."""
    behind = [each for each in spans if each[0] >= end]
    if not behind:
        return end
    if behind[-1][1] - end <= _REST:
        return behind[-1][1]
    if not any(each[1] == end and _is_told_of(text, each, behind[0]) for each in spans):
        return end
    if behind[0][1] - end <= _REST:
        return behind[0][1]
    return max([listed[1], *(each[1] for each in spans if each[1] < end)])


def _is_told_of(text: str, line: Span, sentence: Span) -> bool:
    """Tell whether `line` names a thing of which the `sentence` tells that begins the next line."""
    told = text[slice(*sentence)]
    apart = "\n" in text[line[1] : sentence[0]] and not ITEM.match(told) and CELL not in told
    return apart and not _STOPPED.search(text[slice(*line)]) and _STOPPED.search(told) is not None


def _paragraphs(text: str, listed: Span, spans: Sequence[Span]) -> list[int]:
    """Return where paragraphs begin up to the list, the first where `spans` do."""
    first = min(spans[0][0], listed[0]) if spans else listed[0]
    found = (max(each.end(), first) for each in _PARAGRAPH.finditer(text, 0, listed[1]))
    return [first, *(start for start in found if first < start <= listed[0])]


def _near(starts: Sequence[int], listed: Span) -> int:
    """Return where the last paragraph begins that is not too long to be quoted with the list."""
    start = starts[-1]
    return start if listed[1] - start <= _NEAR else listed[0]


def _end(spans: Iterable[Span], start: int, most: int, listed: Span) -> int:
    """Return where the last of the sentences from `start` on ends that `most` characters hold."""
    ends = (end for begin, end in spans if begin >= start and end - start <= most)
    return max([listed[1], *ends])  # a sentence that is too long for a chunk is one in the whole text


def _first_step(text: str, starts: Sequence[int], listed: Span) -> int | None:
    """Return where the first of the steps begins that the list is one of, stands in one of, or soon follows.

    None where that is too far off: from there on it would not be quoted.
    """
    steps = [(start, int(found[1] or found[2])) for start in starts if (found := STEP.match(text, start))]
    first = next((start for start, number in reversed(steps) if number == 1), None)
    if first is None:
        return None
    within = steps[-1][0] == starts[-1] or _follows(text, listed[1], steps[-1][1])
    return first if listed[1] - first <= (BEFORE if within else _NEAR) else None


def _follows(text: str, end: int, number: int) -> bool:
    """Tell whether a step after the one of that number begins one of the paragraphs behind `end`."""
    steps = (STEP.match(text, found.end()) for found in _PARAGRAPH.finditer(text, end))
    return any(int(found[1] or found[2]) > number for found in steps if found)


def _unspoken(text: str, span: Span) -> list[Span]:
    """Return the sentences about `span`, up to those on either side that speak to the assistant.

    None where `span` stands in one: a row that is too long for a chunk is one sentence in the whole text.
    """
    found: list[Span] = []
    for each in split(text):
        if not to_assistant(text[slice(*each)]):
            found.append(each)
        elif each[1] <= span[0]:
            found.clear()
        elif each[0] >= span[1]:
            break
        else:
            return []
    return found
