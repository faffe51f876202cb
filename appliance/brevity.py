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
    r"many|much|long|short|often|frequently|far|old|high|low|big|small|large|tall|deep|wide|narrow|thick|thin|fast"
    r"|quick\w*|slow|heavy|light|strong|hot|warm|cold|soon|late|early|few|little|close|near|loud|bright|hard|tight"
    r"|full|well|steep|expensive|accurate"
)
_ASKS = r"who|whom|whose|what|which|when|where"
_ALWAYS = r"(?:am|is|are|was|were|do|does|did|has|have|had|\w+n['’]t)"
# "CAN bus", "May 2024": these ask only before a subject.
_MODAL = r"(?:can|could|will|would|shall|should|may|might|must)"
_SUBJECT = (
    r"(?:I|you|we|they|he|she|it|one|there|the|an?|this|that|these|those|my|our|any\w*|every\w*"
    r"|people|children)"
)
_YES_OR_NO = rf"(?:{_ALWAYS}|{_MODAL}\s+{_SUBJECT})\b"
_CHOICE = r"\bor\s+(?:\w+\s+)?\w+\W*$"
_REQUEST = (
    rf"(?:{_MODAL}|do|does)\s+(?:you|anyone|anybody|it|we)\s+(?:please\s+)?(?:tell|say|know|give|show|find)\b"
)
_PLURAL = r"(?!\w*(?:ss|us|is)\b|(?:series|species|lens|gas|bias|canvas)\b)\w{3,}s"
_OF_MANY = (
    r"(?:mean|power|control|show|indicate|measure|support|use|require|drive|feed|affect|cause|hold|fit|work|go"
    r"|take|get|make|give|lead|open|close|start|stop|run|connect|contain|include|exist|remain|carry|count|allow"
    r"|cover|apply|need|come|belong|are|were|do|did|don['’]t|have|can|could|must|should|may|will)\b"
)
"""Verbs that plurals have: "which runs" may be done by one, and "which sales tax" no plural at all."""
_IT_IS = r"(?:^\W*|\b(?:what|which)(?:\s+(?:is|are|was|were)|['’]s)\s+)(?:(?:the|an?|its)\s+)?(?:\w+\s+)?"
_OF_IT = r"(?=\s+(?:of|for|to|in|on|when|if|behind|between|and|by)\b|\W*$)"
_SEVERAL = (
    rf"\bhow\b(?!\s+(?:{_MEASURED})\b)",  # by which means; not how much
    r"^\W*(?:please\s+)?(?:explain|describe|compare|summari[sz]e)\b",
    rf"^\W*(?:please\s+)?(?:list|name|give|tell|show)\s+(?:\w+\s+){{0,3}}{_PLURAL}\b",
    r"\b(?:what|which)\s+(?:are|were)\b(?!.*\b(?:called|named|known)\b)",
    rf"\b(?:what|which)\s+(?:\w+\s+){{0,3}}{_PLURAL}\s+(?:and|of|are|were|do|does|did|have|apply|need|come|belong|{_MODAL})\b",
    rf"^\W*(?:and\s+)?which\s+(?:of\s+(?:the|these|those|my|your|our)\s+)?{_PLURAL}\s+{_OF_MANY}",
    r"\bwhat\s+to\s+(?:do\b|(?!(?:call|name)\b|.*\b(?:be|to|at)\W*$)\w)",  # "what to set it to" is a figure
    r"\bwhat\s+(?:should|must)\b(?!.*\bbe\W*$)",
    r"\bwhat\s+(?:do|does|did)\b.*\b(?:cover|include|contain|offer|provide|involve)\b(?!\s+\w+\W*$)",
    r"\bwhat\s+(?:do|does|did)\b.*\b(?:need|have)\s+to\b",
    r"\bwhat\s+(?:is|comes)\s+(?:included|in|inside|with)\b|\bwhat\s+causes\b",
    rf"{_IT_IS}(?:process|procedure|steps|advantages?){_OF_IT}",
)
_NOT_ASKED = r"(?:(?!(?:who|whom|whose|what|which|when|where|why)\b)[\w'’-]+\s+){0,4}"
_WAY = (
    rf"(?:^|[,.;:?!]\s)\W*{_NOT_ASKED}how\s+(?:(?:exactly|best|else|then)\s+)?"
    rf"(?:to|do|does|{_MODAL}|(?:is|are)\s+(?:the|an?|my|our|this|that|these|those|it|they))\b",
    rf"{_IT_IS}(?:process|procedure|steps|(?:protocol|method)(?=\s+(?:for|to)\b)){_OF_IT}",
    r"^\W*(?:the\s+)?(?:procedure|steps|instructions)\b",
    r"\b(?:what|which)\s+(?:\w+\s+){0,2}steps\b",
    rf"^(?!.*\b(?:{_ASKS}|why|how|is|are|do|does)\b).*\b(?:procedure|steps|instructions)\W*$",
    r"\bwhat\s+(?:to\s+do\b|(?:should|must|shall|can|may|do|does)\s+"
    r"(?:I|you|we|one|they|people|someone|users?|members|employees|operators?|(?:the|an?)\s+\w+)\s+"
    r"(?:(?:have|has|need|needs)\s+to\s+)?do\b)",
    rf"^\W*(?:please\s+)?(?:explain|describe|compare)\b|{_IT_IS}differences?{_OF_IT}",
)
_REASONED = (
    r"\bwhy\b",
    rf"^\W*(?:[^,?]{{1,40}},\s+)?(?!{_REQUEST}){_YES_OR_NO}(?!.*{_CHOICE})",  # "left or right?" is a thing
    r"\bwhat\s+(?:if|happens|happened)\b",
    r"\bwhat\s+(?:do|does|did)\b.*\b(?:mean|do)\b(?!\s+\w+\W*$)",
    rf"{_IT_IS}(?:differences?|purpose|reasons?|meaning|definition){_OF_IT}",
    rf"\band\s+(?:{_ASKS})\s+(?:\w+\s+)?(?:{_ALWAYS}|{_MODAL})\b",  # two questions in one
)
_ASKS_FOR_SEVERAL, _ASKS_FOR_A_REASON, _ASKS_FOR_A_WAY = (
    re.compile("|".join(f"(?:{form})" for form in forms), re.IGNORECASE)
    for forms in (_SEVERAL, _REASONED, _WAY)
)
_READ = 600
"""Characters of a question that are looked at: the forms take time that grows with the square."""

_FIGURE = re.compile(
    r"\W{0,2}(?:\d|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty"
    r"|fifty|sixty|ninety|hundred|thousand|dozen|half)\b)",
    re.IGNORECASE,
)
_ARTICLE = r"(?:(?:the|an?)\s+)?$"
_ONE_OF = re.compile(
    r"\b(?:or|nor|either|neither|no|avoid|(?:\w+n['’]t|not|never|except|without|unless)(?:\s+\w+)?)\s+"
    + _ARTICLE,
    re.IGNORECASE,
)
_ASIDE = r"(?:\s*\([^)\n]{0,24}\))?"
_OR_ANOTHER = re.compile(
    rf"{_ASIDE}[^\w\n]{{0,3}}\s*(?:or|unless|except)\b|\s+(?:is|are|was|were|must|may|should|can)\s+(?:not|never)\b"
    r"|,\s[^.;:\n]{1,30}\s(?:and|or)\b|['’]s\b|\s?/\s?\w",
    re.IGNORECASE,
)
_LIMIT = r"max(?:imum|\.)?|min(?:imum|\.)?|limit"
_BOUND = re.compile(
    r"(?:\b(?:least|most|up to|than|equal to|under|over|above|below|about|around|approximately|approx\.?"
    r"|roughly|nearly|almost|between|from|within|until|including|exceed(?:s|ed|ing)?)\s+"
    rf"|\b(?:{_LIMIT})(?!\w)[^;:\n]{{0,16}}\s|\d\S*\s+(?:to|and)\s+){_ARTICLE}|(?:[<>≤≥±~]|\d\s?(?:[-–…]|\.\.+))\s*$",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})
_OR = re.compile(r"\b(?:or|and)\b|[/,]", re.IGNORECASE)
_EXAMPLE = re.compile(r"\b(?:[eE]\.\s?g\b|[fF]or (?:example|instance)\b)\.?(?:(?![.!?]\s+[A-Z])[^);\n])*\Z")
_OF_A_RANGE = re.compile(
    r"(?!\s*\n[ \t]*[-–]\s)"  # the next item's bullet
    r"\s*(?:(?:to|and|-|–|±|…|\.\.+)\s*\S*\d|at (?:least|most)\b|and (?:above|below|over|more|less)\b"
    r"|(?:\(|is the )?(?:max(?:imum|\.)?|minimum|limit)(?!\w))"
    r"|[^.;!?\n]{0,40}\b(?:or|whichever|unless|except)\b",
    re.IGNORECASE,
)
_DATED = re.compile(r"\b(?:when|years?|date|since)\b", re.IGNORECASE)
_COUNT = re.compile(
    r"(?<![\w.,])(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\s+([A-Za-z]{4,})",
    re.IGNORECASE,
)
_AS_LEAST = re.compile(r"\s*\(?min(?:imum|\.|\))", re.IGNORECASE)
_NEARBY = 48
"""Characters about the words that are looked at."""


def is_half(text: str, words: tuple[int, int]) -> bool:
    """Tell whether the `words` of `text` (start, end) alone say less or other than it does where they stand.

    They are one of two, or denied; or a figure that is a bound, a rounding, or the end of a range.
    """
    start, end = words
    before, after = text[max(0, start - _NEARBY) : start], text[end : end + _NEARBY]
    if _ONE_OF.search(before) or _OR_ANOTHER.match(after) or before[-1:] in {"/", "=", "@", "_"}:
        return True  # behind such a sign it is a piece of an address or a path
    if not _FIGURE.match(text, start, end):
        return False
    # "5 bar min." is a bound, "15 min." a time: there the unit is not among the words.
    least = _AS_LEAST.match(after) and any(map(str.isalpha, text[start:end]))
    return bool(_BOUND.search(before) or _OF_A_RANGE.match(after) or least)


def says_nothing(question: str, text: str, words: tuple[int, int]) -> bool:
    """Tell whether the `words` of `text` are the question's own or its initials, a sign, or an example.

    Of two things that the question names ("Is it A or B?") one may be the answer.
    """
    told = text[slice(*words)].strip()
    asked = [word.casefold() for word in _WORD.findall(question)]
    said = [word.casefold() for word in _WORD.findall(told)]
    own = _ARTICLES.union(asked).issuperset(said) and not _OR.search(question)
    short = 2 < len(told) <= len(asked) and told.casefold() in "".join(word[0] for word in asked)
    sign = len(told) == 1 and not (told.isascii() and told.isalnum())
    return own or (short and told.isupper()) or sign or bool(_EXAMPLE.search(text[: words[0]]))


def counts_another(question: str, text: str, words: tuple[int, int]) -> bool:
    """Tell whether `text` counts what the question names, and the figure in the `words` is not that count.

    Asked for the drops of bleach, "5.25 percent" is no answer where two drops of it are told to be taken.
    """
    start, end = words
    if not _FIGURE.match(text, start, end) or _DATED.search(question[:_READ]):
        return False
    asked = {_singular(word) for word in re.findall(r"[A-Za-z]{4,}", question[:_READ])}
    counted = [found for found in _COUNT.finditer(text) if _singular(found[1]) in asked]
    return bool(counted) and all(found.end() <= start or found.start() >= end for found in counted)


def _singular(word: str) -> str:
    return word.lower().removesuffix("s")


def asks_for_more(question: str) -> bool:
    """Tell whether the question asks for more than one thing that can be named or counted."""
    told = question[:_READ]
    return (
        asks_for_several(question) or asks_for_a_way(question) or _ASKS_FOR_A_REASON.search(told) is not None
    )


def asks_for_several(question: str) -> bool:
    """Tell whether the question asks for a way or for several things: for what may stand in a list."""
    return _ASKS_FOR_SEVERAL.search(question[:_READ]) is not None


def asks_for_a_way(question: str) -> bool:
    """Tell whether the question asks how something is done: for steps, which take more than a sentence."""
    return _ASKS_FOR_A_WAY.search(question[:_READ]) is not None
