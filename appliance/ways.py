"""Text + the span of a sentence -> what tells how something is done: steps take more than a sentence.

A reader trained on short answers points at the last step, or at a sentence about the steps. So the quote
begins where the way begins, and goes on for as long as it may.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from appliance.instructions import to_assistant
from appliance.lists import whole_list
from appliance.sentences import split
from appliance.types import Span

MOST = 1_400
"""Characters of a way that are quoted: a screen."""
BEFORE = 1_400
"""Characters in front of the sentence that answers in which the first step is looked for."""
_NEAR = 900
"""Characters from the beginning of a section to the end of that sentence, where it is quoted from there."""
_PROSE, _FEW = 800, 400
"""Characters that are quoted where neither steps nor the headings say that this is the way; and of prose that
names several things."""
_STEP = re.compile(r"\(?(\d{1,3})[.)]\s|step\s+(\d{1,3})\b", re.IGNORECASE)
_PARAGRAPH = re.compile(r"(?:^|\n[ \t]*\n)\s*(?=\S)")


def way(text: str, sentence: Span, *, whole: bool) -> Span:
    """Return the span of the way that `sentence` is a part of, whole sentences of `text`.

    It begins with the `whole` text, where that is a section about the way and not too far off; else with the
    first of the steps that lead to the sentence, else with its paragraph. What speaks to the assistant ends
    it. Where the first step is far off, the sentence is not in it.
    """
    listed = whole_list(text, sentence, MOST)
    spans = _unspoken(text, listed)
    starts = _paragraphs(text, listed, spans)
    step = next((start for start in reversed(starts) if _is_first(text, start)), None)
    if whole and listed[1] - starts[0] <= _NEAR:
        start, most = starts[0], MOST
    elif step is not None:
        start, most = step, MOST
    else:
        start, most = _near(starts, listed), MOST if whole else _PROSE
    return start, _end(spans, start, most, listed)


def several(text: str, sentence: Span) -> Span:
    """Return the span of the several things that `sentence` names: its list, or a paragraph from it on."""
    listed = whole_list(text, sentence, MOST)
    spans = _unspoken(text, listed)
    start = _near(_paragraphs(text, listed, spans), listed)
    return start, _end(spans, start, max(_FEW, listed[1] - start), listed)


def _paragraphs(text: str, listed: Span, spans: Sequence[Span]) -> list[int]:
    """Return where paragraphs begin up to the list, the first where `spans` do."""
    first = min(spans[0][0], listed[0]) if spans else listed[0]
    found = (max(each.end(), first) for each in _PARAGRAPH.finditer(text, 0, listed[0] + 1))
    return [first, *(start for start in found if first < start <= listed[0])]


def _near(starts: Sequence[int], listed: Span) -> int:
    """Return where the last paragraph begins that is not too long to be quoted with the list."""
    start = starts[-1]
    return start if listed[1] - start <= _NEAR else listed[0]


def _end(spans: Iterable[Span], start: int, most: int, listed: Span) -> int:
    """Return where the last of the sentences from `start` on ends that `most` characters hold."""
    return max((end for begin, end in spans if begin >= start and end - start <= most), default=listed[1])


def _is_first(text: str, start: int) -> bool:
    """Tell whether a count of steps begins with the paragraph at `start`."""
    found = _STEP.match(text, start)
    return found is not None and int(found[1] or found[2]) == 1


def _unspoken(text: str, span: Span) -> list[Span]:
    """Return the sentences about `span`, up to those on either side that speak to the assistant."""
    found: list[Span] = []
    for each in split(text):
        if not to_assistant(text[slice(*each)]):
            found.append(each)
        elif each[0] < span[0]:
            found.clear()
        else:
            break
    return found
