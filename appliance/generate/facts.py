"""Text -> what must be true of it: its numbers with units, identifiers, names, content words, negations.

Both sides of the check, a generated sentence and a passage, are read by the same rules, so a rule that is
crude is crude on both sides alike. Every pattern is linear: no quantifier can match the same text two ways.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal

_TOKEN = re.compile(r"[^\W_]+(?:(?:(?<=\d)[,:/](?=\d)|[-‐‑–.'’_])[^\W_]+)*|[%‰$€£¥°]")
_PART = re.compile(r"[^\W_]+")
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_PLAIN = re.compile(_NUMBER)
_WITH_UNIT = re.compile(rf"({_NUMBER})-?([^\W\d_]+)")
_RANGE = re.compile(rf"({_NUMBER})-({_NUMBER})([^\W\d_]*)")
_DASHES = str.maketrans("‐‑–−’", "----'")
_CURRENCY = {"$": "$", "€": "€", "£": "£", "¥": "¥"}
_REACH = 4  # tokens after a number in which its unit may stand: "40 to 60 days", "5 (five) days"

_UNITS = """
second seconds sec secs s|minute minutes min mins|hour hours hr hrs h|day days|week weeks|month months
year years yr yrs|millisecond milliseconds ms|percent % pct percentage|permille ‰
kg kilogram kilograms kilogramme kilogrammes|gram grams g|mg milligram milligrams|tonne tonnes|ton tons
pound pounds lb lbs|ounce ounces oz|stone stones
m metre metres meter meters|km kilometre kilometres kilometer kilometers|cm centimetre centimetres centimeter
centimeters|mm millimetre millimetres millimeter millimeters|mile miles mi|foot feet ft|inch inches in
yard yards
litre litres liter liters l L|ml millilitre millilitres milliliter milliliters|gallon gallons gal|gpm|cfs|mgd
acre acres|hectare hectares ha|psi|bar bars|kpa|mpa|pa|rpm|hz|khz|mhz|ghz|hp horsepower
v volt volts V|kv|mv|a amp amps ampere amperes A|ma|w watt watts W
kw kilowatt kilowatts|mw megawatt megawatts|kwh|va|kva
j joule joules J|kj|n newton newtons N|nm|ohm ohms|db|lux|lumen lumens|mph|kmh|knot knots
°c °C celsius centigrade|°f °F fahrenheit|k kelvin K|° degree degrees
kb|mb|gb|tb|kib|mib|gib|bit bits|byte bytes|bps|kbps|mbps|gbps|px pixel pixels|dpi
dozen dozens|hundred hundreds|thousand thousands|million millions|billion billions|trillion trillions
$ dollar dollars usd|€ euro euros eur|£ gbp sterling|¥ yen|cent cents
"""
_UNIT = {
    word: group.split()[0]
    for line in _UNITS.split("\n")
    for group in line.split("|")
    for word in group.split()
}
_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen"""
_VALUE = {word: value for value, word in enumerate(_SMALL.split())}
_DECADES = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_DECADES.split(), 2)}
_NEGATIONS = frozenset("not no never none neither nor without cannot nobody nothing nowhere".split())
_STOP = frozenset(
    """a about above after again all also am an and any are as at be because been being below between both
    but by can could did do does doing down during each either few for from further had has have having
    he her here hers him his how however i if in into is it its itself just may me might more most must
    my of off on once or other our out over own per same shall she should since so some such than that
    the their them then there these they this those through thus to too under until up upon us very was
    we were what when where which while who whom whose why will with would you your yes one""".split()
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a text states. Keys are canonical, so that equal means the same.

    `numbers` maps a value to the units it stands with; `denied` holds what directly follows a negation,
    `around` what follows within three words; `negations` lists each negation's first word, "" at the end;
    `order` is every key in the order of the text, as often as it stands there.
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
    breaks: bool  # a sentence ends before it


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    last = 0
    text = "".join(_digit(char) for char in text)
    for match in _TOKEN.finditer(text):
        gap = text[last : match.start()]
        opens = not found or any(mark in gap for mark in '.!?:;•\n"“')
        minus = gap[-1:] in ("-", "−") and not gap[-2:-1].isalnum() and (len(gap) > 1 or last == 0)
        currency = found[-1].text if found and not gap and found[-1].text in _CURRENCY else ""
        breaks = bool(found) and any(mark in gap for mark in ".!?;")
        found.append(_Token(match.group().translate(_DASHES), "-" * minus, currency, opens, breaks))
        last = match.end()
    return found


def _digit(char: str) -> str:
    """Write any decimal digit in ASCII; other numeric characters (², ½, Ⅷ) stay what they are."""
    return char if char.isascii() else str(unicodedata.decimal(char, char))


def _take(facts: Facts, tokens: list[_Token], index: int, reach: int) -> list[str]:
    """Enter one token into `facts`; return its keys."""
    token = tokens[index]
    if any(char.isnumeric() for char in token.text if not _is_word_numeral(char)):
        return _take_figure(facts, token, _units_after(tokens, index, reach))
    spelled = _spelled(token.text)
    if spelled and spelled != "1":  # "one" is nearly always a pronoun
        return _enter(facts, [spelled], _units_after(tokens, index, reach))
    if index and _counts(tokens[index - 1].text) and _known(token.text):
        return []  # a unit belongs to its number; "110 dollars" needs no word "dollars" beside "$110"
    return _take_words(facts, token)


def _counts(text: str) -> bool:
    return any(char.isnumeric() for char in text) or bool(_spelled(text))


def _is_word_numeral(char: str) -> bool:
    """Tell whether `char` is a letter that also counts (一, 十): a word, like "one"."""
    return unicodedata.category(char) == "Lo"


def _take_figure(facts: Facts, token: _Token, units: set[str]) -> list[str]:
    text = token.text
    if _PLAIN.fullmatch(text):
        return _enter(facts, [token.sign + text], units)
    if (both := _RANGE.fullmatch(text)) and (not both[3] or both[3].lower() in _UNIT):
        return _enter(facts, [both[1], both[2]], units | _known(both[3]))
    joined = _WITH_UNIT.fullmatch(text)
    if joined and _known(joined[2]):
        return _enter(facts, [token.sign + joined[1]], units | _known(joined[2]))
    if joined and "-" in text and joined[2].islower():  # "4-wheel"
        facts.words.add(stem(joined[2]))
        return [*_enter(facts, [joined[1]], units), stem(joined[2])]
    facts.identifiers.add(text.casefold())
    return [text.casefold()]


def _enter(facts: Facts, numbers: list[str], units: set[str]) -> list[str]:
    values = [canonical(number) for number in numbers]
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
        degree = tokens[at].text == "°" and at + 1 < len(tokens) and tokens[at + 1].text
        found = _known(f"°{degree}") if degree and degree in "CF" else _known(tokens[at].text)
        if found:
            return found
    return set()


def _known(unit: str) -> set[str]:
    """Return the canonical unit; single letters count only as written, so that "a" stays an article."""
    key = unit if len(unit) == 1 or unit in _UNIT else unit.lower()
    return {_UNIT[key]} if key in _UNIT and key not in ("in", "a") else set()


def _take_words(facts: Facts, token: _Token) -> list[str]:
    low = token.text.lower()
    if low in _NEGATIONS or low.endswith("n't"):
        return ["!"]
    keys = []
    for part in _PART.findall(token.text.removesuffix("'s").removesuffix("'S")):
        if part.lower() in _STOP or (len(part) == 1 and part.isascii()):
            continue
        key = stem(part)
        (facts.names if _named(part, token) else facts.words).add(key)
        keys.append(key)
    return keys


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
