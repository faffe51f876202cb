"""Text -> what must be true of it: its numbers with units, identifiers, names, content words, negations.

A word of direction, comparison or order ("off", "before", "more") is an identifier: with another in its place
a sentence says the opposite, and unlike a name it must stand in the very sentence. A bound ("more than 300")
is part of its number.

Both sides of the check, a generated sentence and a passage, are read by the same rules, so a rule that is
crude is crude on both sides alike. Every pattern is linear: no quantifier can match the same text two ways.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal

from appliance.generate.units import known

_TOKEN = re.compile(r"[^\W_]+(?:(?:(?<=\d)[,:/](?=\d)|[-‐‑–.'’_])[^\W_]+)*|[%‰$€£¥°]")
_PART = re.compile(r"[^\W_]+")
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_PLAIN = re.compile(_NUMBER)
_WITH_UNIT = re.compile(rf"({_NUMBER})-?([^\W\d_]+)")
_RANGE = re.compile(rf"({_NUMBER})-({_NUMBER})([^\W\d_]*)")
_DASHES = str.maketrans("‐‑–−’", "----'")
_CURRENCY = {"$": "$", "€": "€", "£": "£", "¥": "¥"}
_REACH = 4  # tokens after a number in which its unit may stand: "40 to 60 days", "5 (five) days"

_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen"""
_VALUE = {word: value for value, word in enumerate(_SMALL.split())}
_DECADES = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_DECADES.split(), 2)}
_NEGATIONS = frozenset("not no never none neither nor without cannot nobody nothing nowhere".split())
_TURNS = frozenset(
    """above after before below down during few if into more most off on out over since than under until up
    when while""".split()
)
"""Words of direction, comparison, order and condition."""
_STOP = frozenset(
    """a about again all also am an and any are as at be because been being between both but by can could
    did do does doing each either for from further had has have having he her here hers him his how however
    i in is it its itself just may me might must my of once or other our own per same shall she should so
    some such that the their them then there these they this those through thus to too upon us very was we
    were what where which who whom whose why will with would you your yes one""".split()
)
_FUNCTION = _STOP | _TURNS | _NEGATIONS
_NOT_COUNTED = frozenset("no this that the each every any which another".split())
"""What stands before a "one" that is a pronoun."""
_BEYOND = "more greater higher larger longer older later".split()
_SHORT_OF = "less fewer lower smaller shorter younger earlier".split()
_BOUNDS = (
    dict.fromkeys((*(f"{word} than" for word in _BEYOND), "over", "above", "exceeding", ">"), ">")
    | dict.fromkeys((*(f"{word} than" for word in _SHORT_OF), "under", "below", "<"), "<")
    | {"at least": "≥", "≥": "≥", ">=": "≥", "at most": "≤", "up to": "≤", "≤": "≤", "<=": "≤"}
)
"""What stands before a number that is a limit;"""
_BOUNDS_BEHIND = dict.fromkeys((*_BEYOND, "above", "over"), "≥") | dict.fromkeys(
    (*_SHORT_OF, "below", "under"), "≤"
)
"""and behind it, after an "or"."""
_BOUND_SIGN = re.compile(r"(?<![-=>])(?:[<>]=?|[≤≥])\s*$")
_ROMAN = re.compile(r"(?=..)X{0,3}(?:IX|IV|V?I{0,3})")
_NO_INCH = frozenset(
    """a all an any both each every her his its my one our some that the their these this those what
    which""".split()
)
_YEAR = re.compile(r"1\d{3}|20\d\d")
_AFTER_PARTICLE = frozenset("after and before by if or then till to until when while".split())


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text states. Keys are canonical, so that equal means the same.

    `numbers` maps a value, with its bound before it (">300"), to the units it stands with; `denied` holds
    what directly follows a negation, `around` what follows within three words; `negations` lists each
    negation's first word, "" at the end; `order` is every key in the order of the text, as often as it
    stands there.
    """

    numbers: dict[str, set[str]] = field(default_factory=dict)
    identifiers: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    around: set[str] = field(default_factory=set)
    negations: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Tell whether the text states nothing that could be checked."""
        return not (self.numbers or self.identifiers or self.names or self.words)


def read(text: str, *, reach: int = 1) -> Facts:
    """Return the facts of `text`; a number's units are looked for in the `reach` tokens after it."""
    facts = Facts()
    tokens = _tokens(text)
    order: list[str] = []  # the keys in order, "!" for a negation
    for index in range(len(tokens)):
        order += _take(facts, tokens, index, reach)
    _read_negations(facts, order)
    facts.order.extend(key for key in order if key != "!")
    return facts


def read_passage(text: str) -> Facts:
    """Return the facts of a passage, where the unit of a number may stand a few words after it."""
    return read(text, reach=_REACH)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    sign: str
    currency: str
    opens: bool  # the first word of its sentence: a capital there says nothing
    gap: str  # what stands between it and the token before

    @property
    def breaks(self) -> bool:
        """Tell whether a sentence ends before it."""
        return any(mark in self.gap for mark in ".!?;")

    @property
    def joined(self) -> bool:
        """Tell whether nothing but space parts it from the token before."""
        return not self.gap.strip()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    last = 0
    text = "".join(_digit(char) for char in text)
    for match in _TOKEN.finditer(text):
        gap = text[last : match.start()]
        opens = not found or any(mark in gap for mark in '.!?:;•\n"“')
        minus = gap[-1:] in ("-", "−") and not gap[-2:-1].isalnum() and (len(gap) > 1 or last == 0)
        currency = found[-1].text if found and not gap and found[-1].text in _CURRENCY else ""
        found.append(_Token(match.group().translate(_DASHES), "-" * minus, currency, opens, gap))
        last = match.end()
    return found


def _digit(char: str) -> str:
    """Write any decimal digit in ASCII; other numeric characters (², ½, Ⅷ) stay what they are."""
    return char if char.isascii() else str(unicodedata.decimal(char, char))


def _take(facts: Facts, tokens: list[_Token], index: int, reach: int) -> list[str]:
    """Enter one token into `facts`; return its keys."""
    token = tokens[index]
    if _is_figure(token.text):
        return _take_figure(facts, tokens, index, _units_after(tokens, index, reach))
    spelled = _spelled(token.text)
    if spelled and (spelled != "1" or _counts_one(tokens, index)):
        units = _units_after(tokens, index, reach if spelled != "1" else 1)
        return _enter(facts, [spelled], units, _bound(tokens, index))
    if index and _counts(tokens[index - 1].text) and _unit_at(tokens, index):
        return []  # a unit belongs to its number; "110 dollars" needs no word "dollars" beside "$110"
    return _take_words(facts, tokens, index)


def _counts(text: str) -> bool:
    return any(char.isnumeric() for char in text) or bool(_spelled(text))


def _counts_one(tokens: list[_Token], index: int) -> bool:
    """Tell whether a "one" is a number: before a unit or a noun. Else it is nearly always a pronoun."""
    after = _next(tokens, index)
    if after is None or not after.joined:
        return False
    if _unit_at(tokens, index + 1):
        return True
    before = tokens[index - 1].text.lower() if index else ""
    return after.text.islower() and after.text not in _FUNCTION and before not in _NOT_COUNTED


def _is_figure(text: str) -> bool:
    return any(char.isnumeric() and not _is_word_numeral(char) for char in text)


def _is_word_numeral(char: str) -> bool:
    """Tell whether `char` is a letter that also counts (一, 十): a word, like "one"."""
    return unicodedata.category(char) == "Lo"


def _take_figure(facts: Facts, tokens: list[_Token], index: int, units: set[str]) -> list[str]:
    token, text, bound = tokens[index], tokens[index].text, _bound(tokens, index)
    if _PLAIN.fullmatch(text):
        return _enter(facts, [token.sign + text], units, bound)
    if (both := _RANGE.fullmatch(text)) and (not both[3] or known(both[3])):
        return _enter(facts, [both[1], both[2]], units | known(both[3]), bound)
    joined = _WITH_UNIT.fullmatch(text)
    if joined and (own := known(joined[2]) or ({"inch"} if joined[2] == "in" else set())):
        return _enter(facts, [token.sign + joined[1]], units | own, bound)
    if joined and "-" in text and joined[2].islower():  # "4-wheel"
        facts.words.add(stem(joined[2]))
        return [*_enter(facts, [joined[1]], units, bound), stem(joined[2])]
    facts.identifiers.add(text.casefold())
    return [text.casefold()]


def _bound(tokens: list[_Token], index: int) -> str:
    """Return what makes a number a limit: ">" for "more than 300", "≥" for "300 or more", "" for none."""
    if sign := _BOUND_SIGN.search(tokens[index].gap):
        return _BOUNDS[sign.group().strip()]
    first = index - bool(tokens[index].currency)  # "more than $300"
    if not first or tokens[first].gap.strip(" -−"):
        return _bound_behind(tokens, index)
    last = tokens[first - 1].text.lower()
    pair = f"{tokens[first - 2].text.lower()} {last}" if first > 1 and tokens[first - 1].joined else last
    return _BOUNDS.get(pair) or _BOUNDS.get(last) or _bound_behind(tokens, index)


def _bound_behind(tokens: list[_Token], index: int) -> str:
    at = index + 1 + bool(index + 1 < len(tokens) and _unit_at(tokens, index + 1))
    after = [token.text.lower() for token in tokens[at : at + 3]]
    if after[:1] not in (["or"], ["and"]) or (len(after) > 2 and _counts(after[2])):
        return ""  # "5 bar or above 30 °C" is no limit of the 5
    return _BOUNDS_BEHIND.get(after[1], "") if len(after) > 1 else ""


def _next(tokens: list[_Token], index: int) -> _Token | None:
    return tokens[index + 1] if index + 1 < len(tokens) else None


def _enter(facts: Facts, numbers: list[str], units: set[str], bound: str) -> list[str]:
    values = [bound + canonical(number) for number in numbers]
    for value in values:
        facts.numbers.setdefault(value, set()).update(units)
    return values


def canonical(number: str) -> str:
    """Return one spelling for equal numbers: 1,000 and 1000, 2.50 and 2.5."""
    value = Decimal(number.replace(",", ""))
    return format(value.normalize() if len(number) < 28 else value, "f")


def _spelled(text: str) -> str:
    """Return the value of a number word ("twelve", "twenty-five"), "" for any other."""
    first, _, second = text.lower().partition("-")
    if first in _TENS and (not second or 0 < _VALUE.get(second, 0) < 10):
        return str(_TENS[first] + _VALUE.get(second, 0))
    return str(_VALUE[first]) if first in _VALUE and not second else ""


def _units_after(tokens: list[_Token], index: int, reach: int) -> set[str]:
    """Return the first known unit in the `reach` tokens after a number, within its sentence."""
    if tokens[index].currency:
        return {tokens[index].currency}
    for at in range(index + 1, min(index + 1 + reach, len(tokens))):
        if tokens[at].breaks:
            break
        if found := _unit_at(tokens, at):
            return found
    return set()


def _unit_at(tokens: list[_Token], at: int) -> set[str]:
    """Return the unit that a token is where it stands."""
    text, after = tokens[at].text, _next(tokens, at)
    if text.lower() == "in":
        return {"inch"} if _is_inch(tokens, at) else set()
    if text == "°" and after is not None and after.text in ("C", "F"):
        return known(f"°{after.text}")
    return known(text)


def _is_inch(tokens: list[_Token], at: int) -> bool:
    """Tell whether an "in" is a unit: behind a figure that is no year, and no place or thing follows."""
    before, after = tokens[at - 1].text if at else "", _next(tokens, at)
    if not _is_figure(before) or _YEAR.fullmatch(before) or not tokens[at].joined:
        return False
    if after is None or not after.joined:
        return True
    return not (after.text in _NO_INCH or after.text[0].isupper() or _is_figure(after.text))


def _take_words(facts: Facts, tokens: list[_Token], index: int) -> list[str]:
    token = tokens[index]
    low = token.text.lower()
    if low in _NEGATIONS or low.endswith("n't"):
        return ["!"]
    if low == "in" and _is_particle(tokens, index):
        facts.identifiers.add(low)
        return [low]
    parts = _PART.findall(token.text.removesuffix("'s").removesuffix("'S"))
    if parts and all(len(part) == 1 and "A" <= part <= "Z" for part in parts):  # "B"; "U.S", which is "US"
        return _take_letters(facts, tokens, index, "".join(parts).lower())
    keys = []
    for part in parts:
        key = part.lower()
        if (
            key in _TURNS
            or _ROMAN.fullmatch(part)
            or (len(part) == 1 and part.isupper() and part == parts[-1])
        ):
            facts.identifiers.add(key)
        elif (key in _STOP and part != "US" and (key != "one" or part == token.text)) or _is_letter(part):
            continue
        else:
            key = stem(part)
            (facts.names if _named(part, token) else facts.words).add(key)
        keys.append(key)
    return keys


def _is_letter(part: str) -> bool:
    return len(part) == 1 and part.isascii()


def _take_letters(facts: Facts, tokens: list[_Token], index: int, key: str) -> list[str]:
    """Enter capitals: a name ("US"), one alone as an identifier ("valve B"), but no article or pronoun."""
    if len(key) > 1:
        facts.names.add(key)
    elif _is_label(tokens, index):
        facts.identifiers.add(key)
    else:
        return []
    return [key]


def _is_label(tokens: list[_Token], index: int) -> bool:
    """Tell whether a capital says which one: no article, and no pronoun."""
    token, after = tokens[index], _next(tokens, index)
    if after is None or not after.joined or token.text not in ("A", "I"):
        return True
    if token.text == "A":  # a line's end inside a sentence is not seen in the sentence that was generated
        return bool(index) and not any(mark in token.gap for mark in '.!?:;•"“')
    before = tokens[index - 1].text.lower() if index else ""
    return bool(before) and token.joined and before not in _FUNCTION


def _is_particle(tokens: list[_Token], index: int) -> bool:
    """Tell whether an "in" says where to: "Push the lever in.", and not "in Ohio"."""
    after = _next(tokens, index)
    if after is None or after.gap.strip()[:1] in tuple(".,;:!?)|"):
        return True
    return after.joined and after.text.lower() in _AFTER_PARTICLE


def _named(part: str, token: _Token) -> bool:
    return part[0].isupper() and (not token.opens or (len(part) > 1 and part.isupper()))


def stem(word: str) -> str:
    """Return `word` in lower case without its commonest English endings."""
    low = word.casefold()
    for ending, minimum in (("ies", 5), ("ing", 6), ("ed", 5), ("es", 5), ("ly", 6), ("s", 4)):
        if low.endswith(ending) and len(low) >= minimum and not low.endswith("ss"):
            low = low.removesuffix(ending) + ("y" if ending == "ies" else "")
            break
    if len(low) > 3 and low[-1] == low[-2] and low[-1] in "bdgmnprt":
        low = low[:-1]  # stopped, stop
    return low.removesuffix("e") if len(low) > 3 else low


def _read_negations(facts: Facts, order: list[str]) -> None:
    for index, key in enumerate(order):
        if key == "!":
            after = [other for other in order[index + 1 : index + 4] if other != "!"]
            facts.negations.append(after[0] if after else "")
            facts.denied.update(after[:1])
            facts.around.update(after)
