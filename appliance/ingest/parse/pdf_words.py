"""Words of a PDF that are cut at the end of a line, and how the document writes them elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from appliance.ingest.parse.pdf_page import Line, Page


def vocabulary(pages: Iterable[Page]) -> set[str]:
    """Collect the words of the pages where some word is cut in two: they tell how to mend it."""
    pages = list(pages)
    if not any(_is_cut(line) for page in pages for line in page.lines):
        return set()
    strip = ".,;:!?()[]\u201c\u201d\"'"
    return {word.text.strip(strip).casefold() for page in pages for line in page.lines for word in line.words}


def _is_cut(line: Line) -> bool:
    """Tell whether a line ends in the middle of a word."""
    return line.hyphen or (line.text.endswith("-") and line.text[-2:-1].isalpha())


def joined(lines: Sequence[Line], words: Collection[str]) -> str:
    """Return the text of lines that follow each other, cut words mended."""
    text = lines[0].text
    for above, line in pairwise(lines):
        if _is_cut(above):
            text = _mended(f"{text}-" if above.hyphen else text, line.text, words)
        else:
            text += f" {line.text}"
    return f"{text}-" if lines[-1].hyphen else text


def _mended(head: str, tail: str, words: Collection[str]) -> str:
    """Join a word that was cut at a line's end: with its hyphen if the document writes it so elsewhere."""
    left = re.search(r"([\w-]{1,100})-$", head[-101:])
    right = re.match(r"\w{1,100}", tail)
    if left is None or right is None:
        return head + tail
    whole, hyphened = (left[1] + right[0]).casefold(), f"{left[1]}-{right[0]}".casefold()
    keep = hyphened in words or not right[0][0].islower() or not left[1][-1].islower()
    return head + tail if keep and whole not in words else head[:-1] + tail
