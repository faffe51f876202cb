"""A question -> the same question with misspelt words mended from the words that the documents use.

Only a word that no document holds, and that is no word of the language either, is taken for a slip of the
keys; never an identifier, an abbreviation, a name (a capital inside a sentence) or what stands in quotes: an
answer about another pump, or another person, would be wrong and look right.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence

Frequency = Callable[[Sequence[str]], Mapping[str, int]]
"""In how many chunks each word occurs, in any inflection."""

_SHORTEST = 5
"""Letters below which a word has too many neighbours to guess which was meant."""
_MOST = 3
"""Words mended in one question: each costs some four hundred look-ups."""
_ENDS, _BETWEEN = ".!?:;", " \t\n\"“”'‘’(["
_CONTRACTED = re.compile(
    r"(?:are|could|did|does|had|has|have|must|need|should|was|were|would)nt"
    r"|(?:what|that|there|where|here)s|(?:you|they)(?:re|ve|ll)",
    re.IGNORECASE,
)
"""Written without their apostrophe: "doesnt" is no slip for a word, and nothing is searched for by it."""
_WORD = re.compile(r"(?<![\w\"“/.-])[A-Za-z]{5,24}(?![\w\"”/-]|\.\w)")


def mended(question: str, frequency: Frequency, known: Callable[[str], bool]) -> str:
    """Return `question` with each misspelt word replaced by the commonest that is one slip away.

    `known` tells whether a word, in lower case, belongs to the language.
    """
    slips = itertools.islice(_slips(question, frequency, known), _MOST)
    meant = {word: found for word in slips if (found := _meant(word, frequency, known))}
    return _WORD.sub(lambda word: meant.get(word[0], word[0]), question) if meant else question


def _slips(question: str, frequency: Frequency, known: Callable[[str], bool]) -> Iterator[str]:
    named = {found[0] for found in _WORD.finditer(question) if _is_name(question, found)}
    words = [
        word
        for word in dict.fromkeys(_WORD.findall(question))
        if word not in named and not word[1:].isupper() and not _CONTRACTED.fullmatch(word)
    ]
    held = frequency([word.lower() for word in words])
    return (word for word in words if not held[word.lower()] and not known(word.lower()))


def _is_name(question: str, found: re.Match[str]) -> bool:
    """Tell whether a word has its capital for itself, and not because a sentence begins with it."""
    before = question[: found.start()].rstrip(_BETWEEN)
    return found[0][0].isupper() and before != "" and before[-1] not in _ENDS


def _meant(word: str, frequency: Frequency, known: Callable[[str], bool]) -> str | None:
    """Return the commonest word one slip away, of the language before any other; None where none is held.

    Frequencies are of stems: without that order "techniqus" would be as good as "techniques".
    """
    held = {found: count for found, count in frequency(sorted(one_slip(word.lower()))).items() if count}
    if not held:
        return None
    best = max(held, key=lambda found: (known(found), held[found], found))
    return best.capitalize() if word[0].isupper() else best


def one_slip(word: str) -> set[str]:
    """Return what one letter left out, added, exchanged or swapped with the next makes of `word`.

    Source: Damerau, "A technique for computer detection and correction of spelling errors" (1964): four in
    five misspellings are one of these. The first letter is seldom wrong, and is kept.
    """
    cuts = [(word[:at], word[at:]) for at in range(1, len(word) + 1)]
    left = {before + after[1:] for before, after in cuts}
    swapped = {before + after[1] + after[0] + after[2:] for before, after in cuts if len(after) > 1}
    changed = {f"{before}{letter}{after[1:]}" for before, after in cuts for letter in string.ascii_lowercase}
    added = {f"{before}{letter}{after}" for before, after in cuts for letter in string.ascii_lowercase}
    return {found for found in left | swapped | changed | added if len(found) >= _SHORTEST - 1} - {word}
