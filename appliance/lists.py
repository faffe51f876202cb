"""Text + the span of a sentence -> the whole list that it is an item of: one step of many helps nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from appliance.instructions import to_assistant
from appliance.sentences import ITEM, split
from appliance.types import Span

_NUMBER = re.compile(r"\(?(\d{1,3})[.)]")


@dataclass(slots=True)
class _List:
    """What announces it, if anything does, its items, their first number and their last, 0 for none."""

    announced: int | None
    first: int
    items: list[Span] = field(default_factory=list)
    number: int = 0

    @property
    def start(self) -> int:
        return self.items[0][0] if self.announced is None else self.announced

    def ends(self, number: int) -> bool:
        """Tell whether an item of that number, 0 for a bullet, begins another list."""
        if not number:
            return self.first > 1
        return number <= self.number or (number > 1 and not self.number)

    def has(self, at: int) -> bool:
        return len(self.items) > 1 and self.start <= at < self.items[-1][1]

    def cut(self, at: int, most: int) -> Span:
        """Return the list, or where it is too long what fits of it from the item at `at` on."""
        start, end = self.start, self.items[-1][1]
        if end - start <= most:
            return start, end
        here = next(number for number, (_, last) in enumerate(self.items) if at < last)
        start = min(at, self.items[here][0])
        ends = [last for _, last in self.items[here:] if last - start <= most]
        return start, max(ends, default=self.items[here][1])


def whole_list(text: str, sentence: Span, most: int) -> Span:
    """Return the span of the list that holds `sentence`, or that it announces; else `sentence` itself.

    Of a list of more than `most` characters it is what fits, from that sentence on: the sentence alone where
    its item does not, or where something in it speaks to the assistant, which is no part of any quote.
    """
    found = next((each for each in _lists(text) if each.has(sentence[0])), None)
    if found is None:
        return sentence
    start, end = found.cut(sentence[0], most)
    spoken = any(to_assistant(text[a:b]) for a, b in split(text) if a < end and b > start)
    if spoken or end - start > most:
        return sentence
    return min(start, sentence[0]), max(end, sentence[1])


def _lists(text: str) -> list[_List]:
    """Return the lists of a text: one ends where a line that is no item begins a sentence, or the count anew.

    What begins to count above 1 is the rest of a list, or a heading with its number: no whole list. A list of
    bullets beneath such a heading is one by itself, and the next such heading ends it.
    """
    found: list[_List] = []
    current: _List | None = None
    before: Span | None = None
    for sentence in split(text):
        begins = not text[text.rfind("\n", 0, sentence[0]) + 1 : sentence[0]].strip()
        if begins and ITEM.match(text, sentence[0]):
            counted = _NUMBER.match(text, sentence[0])
            number = int(counted[1]) if counted else 0
            if current is None or current.ends(number):
                announced = before is not None and text[before[1] - 1] == ":"
                current = _List(before[0] if announced and before else None, number)
                if number <= 1:
                    found.append(current)
            current.items.append(sentence)
            current.number = number or current.number
        elif begins:
            current = None
        elif current is not None:
            current.items[-1] = (current.items[-1][0], sentence[1])
        before = sentence
    return found
