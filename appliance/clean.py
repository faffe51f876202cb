"""Text of documents, models and file names -> text that cannot act on a terminal.

What acts, hides or reorders (escape sequences, control characters, bidirectional controls, tag characters,
private and unassigned code points) shows as one U+FFFD, so that the reader sees that something was there.
What only joins or parts letters (zero-width characters, variation selectors) vanishes: ordinary documents
are full of it. A markup language is not this module's business: front ends turn it off for such text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

REPLACEMENT = "\ufffd"
MAX_MARKS = 4
"""Combining marks kept on one letter; real scripts stay below, a flood covers the lines around it."""

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, erase
    # OSC (clipboard, title, links), DCS, SOS, PM, APC. The body excludes every introducer: linear time.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"  # everything shorter, and the introducer of a string that never ends
)
_RUN = re.compile(f"{REPLACEMENT}{{2,}}")
_BREAKS = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_VANISH = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff"
)
_BULLETS = frozenset("\uf0a7\uf0b7\uf0a8\uf0d8")  # what word processors' symbol fonts leave in a PDF
_VARIATIONS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x180B, 0x1810))


def clean(text: str) -> str:
    """Return `text` without anything that could act on a terminal; lines stay lines.

    Idempotent, linear in the length, and the identity on ordinary printable text. In the result only line
    feeds are control characters, and no combining mark stands on a space or begins a line.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCE.sub(REPLACEMENT, text).replace("\r\n", "\n")
    text = text.translate({ord(char): _fate(char) for char in set(text) if not " " <= char <= "~"})
    return _RUN.sub(REPLACEMENT, _thin_marks(text))


def clean_line(text: str) -> str:
    """Return `text` cleaned for a field of one line: breaks become spaces, runs of spaces one."""
    return " ".join(clean(text).split())


@lru_cache(maxsize=4096)
def _fate(char: str) -> str:
    if char == "\n":
        return char
    if char == "\t":
        return "    "
    if char in _BREAKS:
        return "\n"
    if char in _VANISH or any(ord(char) in span for span in _VARIATIONS):
        return ""
    if char in _BULLETS:
        return "\u2022"
    category = unicodedata.category(char)
    if category[0] == "C":
        return REPLACEMENT
    # Odd spaces are measured differently by every terminal; the ideographic one is two cells in all of them.
    return " " if category == "Zs" and char != "\u3000" else char


def _thin_marks(text: str) -> str:
    marks = "".join(sorted(char for char in set(text) if unicodedata.category(char) in ("Mn", "Me")))
    if not marks:
        return text
    group = f"[{re.escape(marks)}]"
    text = re.sub(rf"(?:^|(?<=\s)){group}+", "", text)
    return re.sub(f"({group}{{{MAX_MARKS}}}){group}+", r"\1", text)
