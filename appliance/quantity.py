"""Question -> the quantity it asks for; a sentence -> how much speaks for its stating one, in log-odds.

"How many" is hardly ever answered by a sentence without a number, and "how high" seldom by one without a
length. Measured on the reader's training questions by `python -m scripts.quantities`; scripts/LOG.md has the
figures. They only weigh beside the reader: quantities are written in more ways than anybody can list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from appliance.sentences import CELL, ITEM

_READ: Final = 600
"""Characters of a question that are looked at."""
_FEW: Final = 80
"""Characters of one that names a measure without asking in a sentence: "PBKDF2 iteration count"."""
IN_UNITS: Final = 1.5
"""What it is worth that a figure has a unit that fits;"""
UNITLESS: Final = -1.0
"""that it has none, of a measure that has one, outside a table's row, whose header has it;"""
UNSTATED: Final = -1.5
"""that there is no figure."""

_COUNTED = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|[mb]illions?|trillions?|dozens?"
    r"|half|halves|thirds?|quarters?|couple|pair|single"
)
_FIGURE = rf"(?:(?<![A-Za-z_\d])\d|[½¼¾⅓⅔⅛]|\b(?:{_COUNTED})\b|\b(?:EUR|USD|GBP|CHF)\d)"
_TIME = (
    r"(?:milli|micro)?seconds?|secs?|m?s|min(?:ute)?s?|hours?|hrs?|h|days?|nights?|fortnights?|weeks?|months?|years?"
    r"|yrs?|decades?|centur(?:y|ies)"
)
_LENGTH = (
    r"(?:kilo|centi|milli|nano|micro)?met(?:er|re)s?|[kcmn]?m|inch(?:es)?|feet|foot|ft|yards?|yd|miles?|mi"
    r"|(?<=\d)[\"″′']"
)
_WRITTEN = r"characters?|digits?|words?|letters?|pages?|bits?|bytes?|[kmg]b"
_MASS = r"(?:kilo|milli|micro)?gram(?:me)?s?|[kmµ]?g|tons?|tonnes?|t|pounds?|lbs?|ounces?|oz|grains?|carats?"
_MONEY = r"[$€£¥]|dollars?|cents?|pence|euros?|pounds?|francs?|yen|yuan|rupees?|usd|eur|gbp|chf"
_HEAT = r"[°º]|degrees?|deg|celsius|fahrenheit|kelvins?|[cfk]"

_MEASURES = (
    r"percentage|percent|number|amount|quantity|population|height|weight|length|width|depth|distance|temperature"
    r"|temp|speed|voltage|frequency|pressure|price|cost|fee|size|capacity|duration|count|ratio|dose|dosage|mass"
    r"|diameter|torque|thickness|altitude|elevation|volume|density|wavelength|lifetime|limit|interval|timeout|rate"
    r"|range"
)
_OF_IT = r"(?=\s+(?:of|for|at|in|on|to|when|if|between|with|per|is|are|allowed|required|\S*\d)\b|\W*$)"
"""What follows a measure that is asked for, not one that is a part of a name: "pressure relief valve"."""
_IS = r"(?:\s+(?:is|was|are|were)|['’]s)\s+"
_A_MEASURE = (
    rf"\b(?:what|which)(?:{_IS}(?:\w+\s+){{0,4}}?|\s+(?:\w+\s+)?)(?P<asked>{_MEASURES})\b{_OF_IT}"
    r"|^\W*(?:the\s+|required\s+|default\s+)?(?:max|min)(?:imum|\.)?\s"
    rf"|^(?=.{{1,{_FEW}}}$)(?!.*\b(?:who|whom|whose|what|which|when|where|why|how|am|is|are|was|were|do|does|did"
    rf"|can|could|will|would|shall|should|must|may)\b).*?\b(?P<named>{_MEASURES})\b{_OF_IT}"
)
_ASKED = r"(?:^|[,.;:?!]|\b(?:in|for|at|to|by|of|from|with|about|within|over|and|or)\s)\W*how\s+"
"""Where "how many" is the question itself: "where do I see how much is left?" asks for a place."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a question asks for, stated in `units`, None for any; a figure without them is worth `bare`."""

    units: re.Pattern[str] | None = None
    bare: float = 0.0

    def stated(self, sentence: str) -> float:
        """Return the log-odds that a sentence states it; the number of a list's item is no figure of it."""
        item = ITEM.match(sentence)
        told = sentence[item.end() :] if item else sentence
        if self.units and self.units.search(told):
            return IN_UNITS
        if _SOME_FIGURE.search(told):
            return 0.0 if CELL in told else self.bare
        return UNSTATED


def asked_for(question: str) -> Quantity | None:
    """Return the quantity that a question asks for, None where it asks for none."""
    told = question[:_READ]
    for form, quantity in FORMS:
        if form.search(told):
            return quantity
    found = MEASURE.search(told)
    if found is None:
        return None
    name = (found["asked"] or found["named"] or "").lower()
    return next((quantity for names, quantity in NAMED if re.fullmatch(names, name)), Quantity())


def _in(units: str, bare: float = 0.0) -> Quantity:
    unit = rf"(?<![A-Za-z'’])(?:{units})(?![A-Za-z])"
    before = rf"|{unit}\s?\d" if units == _MONEY else ""
    stated = rf"{_FIGURE}[^.;:!?\n]{{0,24}}?{unit}{before}"
    return Quantity(re.compile(stated, re.IGNORECASE), bare)


_SOME_FIGURE = re.compile(_FIGURE, re.IGNORECASE)
FORMS: Final = tuple(
    (re.compile(f"{_ASKED}(?:{form})\\b", re.IGNORECASE), quantity)
    for form, quantity in (
        (r"much\b.*\b(?:costs?|price|pay|paid|charged?|fees?|worth|earn\w*)", _in(_MONEY, UNITLESS)),
        ("many|much", Quantity()),
        ("far|high|tall|deep|wide|thick|broad", _in(_LENGTH)),
        ("heavy", _in(_MASS)),
        ("hot|cold|warm", _in(_HEAT)),
        ("old", _in(_TIME)),
        ("long", _in(f"{_TIME}|{_LENGTH}|{_WRITTEN}")),
        ("fast|large|big|small|strong|loud|steep", Quantity()),
    )
)
"""The forms of such questions."""
MEASURE: Final = re.compile(_A_MEASURE, re.IGNORECASE)
"""A question that names a measure."""
NAMED: Final = (
    ("price|cost|fee", _in(_MONEY, UNITLESS)),
    ("weight|mass", _in(_MASS)),
    ("temp(?:erature)?", _in(_HEAT, UNITLESS)),
    ("length", _in(f"{_LENGTH}|{_WRITTEN}")),
    ("height|width|depth|distance|diameter|thickness|altitude|elevation", _in(_LENGTH, UNITLESS)),
    ("duration|timeout|lifetime", _in(_TIME)),
    ("interval", _in(f"{_TIME}|{_LENGTH}")),
)
"""The measures of which the units are known."""
