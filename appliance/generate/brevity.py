"""Question -> whether a word or two may answer it, or a whole sentence has to.

A word is no answer to "why", "how do I", "is it allowed" or "which steps are there": it is half of a reason,
or a name out of a list. Such questions are known by their form: of SQuAD's training questions half of those
with an answer of ten words or more, and a tenth of those with five or less (scripts/LOG.md).
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


def asks_for_more(question: str) -> bool:
    """Tell whether the question asks for more than one thing that can be named or counted."""
    return _ASKS_FOR_MORE.search(question) is not None
