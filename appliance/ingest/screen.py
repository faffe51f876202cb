"""Parsed -> Parsed whose text is safe to store and compare: normalised, and honest about what was hidden.

Everything that a reader cannot see but a model or a search can is taken out or named: control characters
(they act on terminals), zero-width characters (they part words unseen), bidirectional controls (they show
text in another order than it is read, CVE-2021-42574) and tag characters (whole invisible sentences).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from appliance.types import Block, Parsed

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff]")
_SOFT_HYPHEN = "\u00ad"
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_BREAKS = re.compile("\r\n?|[\u0085\u2028\u2029]")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# The joiners mean something in Persian, Hindi and emoji: there they stay.
_JOINERS = re.compile(
    "(?<![\u0600-\u0dff\u200d\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u0dff\U0001f000-\U0001faff\u2640\u2642\u2600-\u27bf])"
)
_ZERO_WIDTH = re.compile("[\u200b\u2060-\u2064\ufeff\u180e\u034f\u115f\u1160\u3164\uffa0]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069\u061c\u200e\u200f]")
_TAGS = re.compile("[\U000e0000-\U000e007f]+")
_OVERRIDES = re.compile("[\u202d\u202e]")
_FEW_ZERO_WIDTH = 20
"""Characters in a document: word processors leave a few behind; a hidden message needs more."""


def screen(parsed: Parsed) -> Parsed:
    """Return `parsed` with every text normalised and cleaned; what was hidden in it is named in `flags`.

    Pure; applying it twice changes nothing more. Blocks that held nothing else are dropped.
    """
    texts = [block.text for block in parsed.blocks]
    found = [flag for flag in _suspicions("\n".join([parsed.title, *texts])) if flag not in parsed.flags]
    blocks = tuple(_cleaned(block) for block in parsed.blocks)
    return replace(
        parsed,
        title=" ".join(normal(parsed.title).split()),
        blocks=tuple(block for block in blocks if block.text.strip()),
        lost=tuple(" ".join(normal(item).split()) for item in parsed.lost),
        flags=tuple(" ".join(normal(item).split()) for item in (*parsed.flags, *found)),
    )


def normal(text: str) -> str:
    """Return `text` in NFC with plain newlines and spaces, without what cannot be seen."""
    if text.isascii() and not _CONTROLS.search(text) and "\r" not in text:
        return text
    text = _BREAKS.sub("\n", text).translate(_LIGATURES)
    text = _SPACES.sub(" ", text).replace(_SOFT_HYPHEN, "").replace("\f", "\n").replace("\v", "\n")
    for pattern in (_CONTROLS, _TAGS, _BIDI, _ZERO_WIDTH, _JOINERS):
        text = pattern.sub("", text)
    return unicodedata.normalize("NFC", text)


def _cleaned(block: Block) -> Block:
    text = normal(block.text)
    return block if text is block.text else replace(block, text=text)


def _suspicions(text: str) -> list[str]:
    if text.isascii():
        return []
    found = []
    if _TAGS.search(text):
        found.append("invisible tag characters, removed")
    if _OVERRIDES.search(text):
        found.append("characters that reverse the direction of text, removed")
    if len(_ZERO_WIDTH.findall(text)) > _FEW_ZERO_WIDTH:
        found.append("many zero-width characters, removed")
    return found
