"""Question -> whether a word or two may answer it, or a whole sentence has to.

A word is no answer to "why", "how do I", "is it allowed" or "which steps are there": it is half of a reason,
or a name out of a list. Such questions are known by their form: of SQuAD's training questions half of those
with an answer of ten words or more, and a tenth of those with five or less (scripts/LOG.md). Nor is a word
that is half of what its sentence says: "6 months" of "5,000 miles or 6 months", "ten metres" of
"at least ten metres".
"""

from __future__ import annotations

import re

_MEASURED = (
    r"many|much|long|often|frequently|far|old|high|low|big|small|large|tall|deep|wide|thick|fast|quick\w*|slow"
    r"|heavy|strong|hot|warm|cold|soon|late|early|few|little|close|near|loud|bright|hard|expensive|accurate"
)
_AUXILIARY = (
    r"am|is|are|was|were|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must"
    r"|isn't|aren't|don't|doesn't|didn't|can't|won't"
)
_ASKS = r"who|whom|whose|what|which|when|where"
_PLURAL = r"(?!\w*(?:ss|us|is)\b)\w{3,}s"
_FORMS = (
    r"\bwhy\b",
    rf"\bhow\b(?!\s+(?:{_MEASURED})\b)",  # by which means; not how much
    rf"^\W*(?:{_AUXILIARY})\b(?!.*\b(?:or|{_ASKS}|how)\b)",  # yes or no: neither a choice nor a thing
    r"^\W*(?:please\s+)?(?:explain|describe|compare|summari[sz]e|list|tell|show)\b",
    r"\b(?:what|which)\s+(?:are|were)\b(?!.*\b(?:called|named|known)\b)",
    rf"\b(?:what|which)\s+(?:\w+\s+){{0,3}}{_PLURAL}\s+(?:and|of|{_AUXILIARY})\b",  # several things
    r"\bwhat\s+(?:if|happens|happened|should|must)\b",
    r"\bwhat\s+(?:do|does|did)\b.*\b(?:cover|include|contain|offer|provide|involve|mean|do)\b",
    r"\b(?:differences?|purpose|process|procedure|reasons?|steps|meaning|definition|advantages?)\b",
    rf"\band\s+(?:{_ASKS})\s+(?:\w+\s+)?(?:{_AUXILIARY})\b",  # two questions in one
)
_ASKS_FOR_MORE = re.compile("|".join(f"(?:{form})" for form in _FORMS), re.IGNORECASE)


_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty"
    r"|ninety|hundred|thousand|million|dozen|half|quarter)\b",
    re.IGNORECASE,
)
_ARTICLE = r"(?:(?:the|an?)\s+)?$"
_ONE_OF = re.compile(
    rf"\b(?:or|nor|either|neither|(?:not|never|except|without|unless)(?:\s+\w+)?)\s+{_ARTICLE}", re.IGNORECASE
)
_OR_ANOTHER = re.compile(r"[^\w\n]{0,3}(?:or|unless|except)\b", re.IGNORECASE)
_BOUND = re.compile(
    r"(?:\b(?:least|most|up to|than|under|over|above|below|about|around|approximately|approx\.?|roughly|nearly"
    r"|almost|between|from|within|exceeding|maximum|minimum|max\.?|min\.?)\s+(?:of\s+)?"
    rf"|\d\S*\s+(?:to|and)\s+){_ARTICLE}"
    r"|[<>≤≥±~]\s*$",
    re.IGNORECASE,
)
_OF_A_RANGE = re.compile(r"\s*(?:(?:to|and|-|–|±)\s*\S*\d|at (?:least|most)\b|max|min)", re.IGNORECASE)
_NEARBY = 24
"""Characters about the words that are looked at."""


def is_half(text: str, words: tuple[int, int]) -> bool:
    """Tell whether the `words` of `text` (start, end) alone say less or other than it does where they stand.

    They are one of two, or denied; or a figure that is a bound, a rounding, or the end of a range.
    """
    start, end = words
    before, after = text[max(0, start - _NEARBY) : start], text[end : end + _NEARBY]
    if _ONE_OF.search(before) or _OR_ANOTHER.match(after):
        return True
    return bool(_NUMBER.search(text, start, end) and (_BOUND.search(before) or _OF_A_RANGE.match(after)))


def asks_for_more(question: str) -> bool:
    """Tell whether the question asks for more than one thing that can be named or counted."""
    return _ASKS_FOR_MORE.search(question) is not None
