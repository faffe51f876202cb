"""Parsed -> Parsed whose text is safe to store and compare: normalised, and honest about what was hidden.

Everything that a reader cannot see but a model or a search can is taken out or named: control characters
(they act on terminals), zero-width characters (they part words unseen), bidirectional controls (they show
text in another order than it is read, CVE-2021-42574) and tag characters (whole invisible sentences).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from appliance.instructions import to_assistant
from appliance.types import Block, Parsed

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff]")
_SOFT_HYPHEN = "\u00ad"
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]")
_BREAKS = re.compile("\r\n?|[\u0085\u2028\u2029]")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# The joiners mean something in Persian, Hindi and emoji: there they stay.
_JOINERS = re.compile(
    "(?<![\u0600-\u0dff\u200d\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u0dff\U0001f000-\U0001faff\u2640\u2642\u2600-\u27bf])"
)
_ZERO_WIDTH = re.compile("[\u200b\u2060-\u2064\ufeff\u180e\u034f\u115f\u1160\u3164\uffa0]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069\u061c\u200e\u200f]")
_TAGS = re.compile("[\U000e0000-\U000e007f]+")
# Format characters of music, shorthand and hieroglyphs, and those that Unicode has given up: none is seen.
_FORMATS = re.compile("[\u206a-\u206f\U0001d173-\U0001d17a\U0001bca0-\U0001bca3\U00013430-\U0001345f]")
_OVERRIDES = re.compile("[\u202d\u202e]")
_TURNS = re.compile("[\u202a-\u202c\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
# A selector chooses a glyph; a second one, or one on a letter that has no variants, can only carry bytes.
_SELECTORS = re.compile(
    "(?<=[\ufe00-\ufe0f\U000e0100-\U000e01ef])[\ufe00-\ufe0f\U000e0100-\U000e01ef]+"
    "|(?<![\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]+"
)
_RUN = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff]{6}")
_FEW_ZERO_WIDTH = 20
"""Characters in a document: word processors leave a few behind; a hidden message needs more."""
_FEW_TURNS = 2
_WORD = re.compile(r"[^\W\d_]{4,}")
# Greek in Latin words is physics, unless it is a letter that looks Latin.
_GREEK_TWINS = frozenset(
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
)
_MIXED = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "LISU", "COPTIC")
_SHOWN = 3
"""Examples named in a flag."""


def screen(parsed: Parsed) -> Parsed:
    """Return `parsed` with every text normalised and cleaned; what was hidden in it is named in `flags`.

    Pure; applying it twice changes nothing more. Blocks that held nothing else are dropped.
    """
    texts = [block.text for block in parsed.blocks]
    found = [flag for flag in _suspicions([parsed.title, *texts]) if flag not in parsed.flags]
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
    for pattern in (_CONTROLS, _TAGS, _BIDI, _ZERO_WIDTH, _FORMATS, _SELECTORS, _JOINERS):
        text = pattern.sub("", text)
    return unicodedata.normalize("NFC", text)


def _cleaned(block: Block) -> Block:
    text = normal(block.text)
    return block if text is block.text else replace(block, text=text)


def _suspicions(texts: Sequence[str]) -> list[str]:
    text = "\n".join(text for text in texts if not text.isascii())
    found = []
    if _TAGS.search(text):
        found.append("invisible tag characters, removed")
    if _OVERRIDES.search(text):
        found.append("characters that reverse the direction of text, removed")
    elif len(_TURNS.findall(text)) > _FEW_TURNS and not _RIGHT_TO_LEFT.search(text):
        found.append("characters that turn the direction of text where no text runs that way, removed")
    if len(_ZERO_WIDTH.findall(text)) > _FEW_ZERO_WIDTH or _RUN.search(text):
        found.append("many zero-width characters, removed")
    if _SELECTORS.search(text):
        found.append("variation selectors that select nothing, removed")
    if words := _mixed_words(normal(text)):
        found.append(f"words that mix alphabets, as look-alikes do: {', '.join(words)}")
    if any(to_assistant(normal(text)) for text in texts):
        found.append("sentences that give orders to an assistant, never quoted as an answer")
    return found


def _mixed_words(text: str) -> list[str]:
    """Return the first few words in which a letter of another alphabet passes for a Latin one."""
    found = (word for word in dict.fromkeys(_WORD.findall(text)) if not word.isascii() and _is_mixed(word))
    return list(itertools.islice(found, _SHOWN))


def _is_mixed(word: str) -> bool:
    scripts = {_script(char) for char in word}
    if "LATIN" not in scripts:
        return False
    if scripts == {"LATIN", "GREEK"}:
        return any(char in _GREEK_TWINS for char in word)
    return any(script in scripts for script in _MIXED)


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """Return the alphabet of a letter: the first word of its name in Unicode's table."""
    return unicodedata.name(char, "").partition(" ")[0]
