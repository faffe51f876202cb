"""Question -> the quantity it asks for; a sentence -> how much speaks for its stating one, in log-odds.

"How many" is hardly ever answered by a sentence without a number, and "how high" seldom by one without a
length. Numbers to call and addresses to write to are told in the same way. Measured on the reader's training
questions by `python -m scripts.quantities`; scripts/LOG.md has the figures. They only weigh beside the
reader: quantities are written in more ways than anybody can list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from appliance.sentences import CELL, ITEM, NUMBERS

_READ: Final = 600
"""Characters of a question that are looked at."""
_FEW: Final = 80
"""Characters of one that names a measure without asking in a sentence: "PBKDF2 iteration count"."""
IN_UNITS: Final = 1.5
"""What it is worth that a figure has a unit that fits;"""
UNITLESS: Final = -1.0
"""that it has none, of a measure that has one, outside a table's row, whose header has it;"""
UNSTATED: Final = -1.5
"""that there is no figure;"""
OTHERWISE: Final = -1.5
"""where the question names the unit ("how many litres"), that a figure has not got it, and of any measure
that all figures have units of another kind, of which -2.3 was counted;"""
NOWHERE: Final = -2.0
"""and that there is none. Counted were -3.5 and -4; manuals write quantities in more ways than Wikipedia."""

_COUNTED = (
    rf"{NUMBERS}|hundreds?|thousands?|[mb]illions?|trillions?|dozens?|half|halves|thirds?|quarters?|couple|pair"
    r"|single"
)
_FIGURE = rf"(?:(?<![A-Za-z_\d])\d|[½¼¾⅓⅔⅛]|\b(?:{_COUNTED})\b|\b(?:EUR|USD|GBP|CHF)\d)"
_TIME = (
    r"(?:milli|micro)?seconds?|secs?|m?s|min(?:ute)?s?|hours?|hrs?|h|days?|nights?|fortnights?|weeks?|months?|years?"
    r"|yrs?|mos?|decades?|centur(?:y|ies)"
)
_LENGTH = (
    r"(?:kilo|centi|milli|nano|micro)?met(?:er|re)s?|[kcmn]?m|inch(?:es)?|feet|foot|ft|yards?|yd|miles?|mi"
    r"|(?<=\d)[\"″′']|(?<=\d-)in\b"
)
_LASTING = (
    r"\b(?:a?round the clock|permanent(?:ly)?|indefinitely|for life|life-?long|midnight|noon|weekdays?)\b"
    r"|24/7"
)
_WRITTEN = r"characters?|digits?|words?|letters?|pages?|bits?|bytes?|[kmg]b"
_MASS = (
    r"(?:kilo|milli|micro)?gram(?:me)?s?|[kmµ]?g|mcg|kgs|kilos?|tons?|tonnes?|t|pounds?|lbs?|ounces?|oz|grains?"
    r"|carats?"
)
_MONEY = r"[$€£¥]|dollars?|cents?|pence|euros?|pounds?|francs?|yen|yuan|rupees?|usd|eur|gbp|chf"
_PAID = (
    r"\b(?:free|waived|no\s(?:\w+\s)?charge)\b|(?:[$€£¥]|\b(?:eur|usd|gbp|chf))\s?\d"
    r"|\d\s?%(?=\s*(?:$|[.,;:)|]|(?:of|off|per|and|or|plus|fees?|charges?|discount|tax|vat|interest|deposit)\b))"
)
"""Not every percentage is a price: "5% alcohol"."""
_HEAT = r"[°º]|degrees?|deg|celsius|fahrenheit|kelvins?|[cfk]"
_SHARE = r"%|per\s?cent|pct|percentage"
_PARTS = (
    r"\b(?:third|quarter|half|halves|fifth|tenth)s?\b|\b(?:all|most|none|nobody|everybody|majority|minority)\b|\d/\d"
    rf"|\b(?:{_COUNTED}|\d+)[\s-](?:in|of|out\sof)[\s-](?:the\s)?(?:{_COUNTED}|\d)"
)
_VOLUME = (
    r"(?:milli)?lit(?:er|re)s?|m?l|cc|gallons?|gal|quarts?|qt|pints?|cups?|canteens?|(?:tea|table)spoons?|tsp|tbsp"
    r"|drops?|barrels?|[dc]m3|c\."
)
_TENSION, _POWER, _CURRENT = (
    r"(?:kilo|milli)?volts?|(?-i:[kM]?V)(?:[AD]C)?",
    r"(?:kilo|mega|giga)?watts?|(?-i:[kMG]?W|k?VA)|horsepower|hp|ps",
    r"(?:milli)?amp(?:ere)?s?|(?<=\d)(?-i:m?AT?)|(?<=\d[\s-])(?-i:m?A)",
)
_PRESSURE = (
    r"psi[ag]?|m?bars?|[hkm]?pa|(?:kilo|mega)?pascals?|atmospheres?|atm|torr|mm\s?hg|inches of mercury"
)
_SPEED = (
    r"mph|kph|kmh|km/h|rpm|[km]?m/s|knots?|kn|fps|[kmg]?bps|baud|[a-z]{1,20}\s(?:per|an|a)\s(?:hour|minute|second)"
    r"|[a-z]{1,20}/(?:h(?:our|r)?|min(?:ute)?|s(?:ec(?:ond)?)?)"
)
_TORQUE = (
    r"(?:[kdcm]?n|newton|kgf|kg|kp)[\s·•∙⋅.*-]{0,3}[cm]?m(?:et(?:er|re)s?)?"
    r"|(?:ft|in|foot|inch)[\s·•∙⋅.*-]{0,3}(?:lbs?|pounds?|oz)"
    r"|(?:lbf?s?|pounds?)[\s·•∙⋅.*-]{0,3}(?:ft|feet|foot|in|inch(?:es)?)"
)
_CYCLE = r"[kmg]?hz|(?:kilo|mega|giga)?hertz"
_OFTEN = (
    r"\b(?:every|once|twice|thrice|daily|hourly|yearly|(?:bi-?|semi-?|fort)?(?:weekly|monthly|annually|nightly)|annual"
    r"|quarterly|\d+\s?(?:x|times)|an?\s(?:hour|day|week|month|year)|per\s(?:hour|day|week|month|year)|continu\w+"
    r"|constantly|each|ongoing|q\d+h|frequently|regularly|rarely|seldom|periodic\w*|intervals?"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?)\b"
)
_CALLED = (
    r"(?<![\d.-])(?!\d{5}-\d{4}\b)(?:\+?\d{1,3}[ -])?(?:\(\d{2,5}\)|\d{2,5})[ /-](?:\d{3,}|[A-Z]{4})"
    r"|\b\d{3}\.\d{3}\.\d{4}\b|(?<!\d)\+?\d{7,12}(?!\d)|\d\d(?: \d\d){3,}"
    r"|(?:call|dial|ring|tel|telephone|phone|emergency|extension|ext)\b\D{0,12}\d{2}|\bx\d{3,5}\b"
)
"""Not "MD 20899-2000", where a letter goes."""
_WRITTEN_TO = r"\S@\S|[(\[]at[)\]]"
_TO_CALL = (
    r"\b(?:what|which)(?:\s+is|\s+are|['’]s)?\s+(?:\w+\s+){0,4}?(?:phone|telephone|fax|hotline)\s+numbers?\b"
    r"|^\W*(?:phone|telephone|fax|hotline)\s+(?:number|of|for)\b"
    r"|\bnumber\s+(?:do|can|should)\s+(?:i|we|you)\s+(?:call|dial|ring)\b"
)
_TO_WRITE_TO = (
    r"\b(?:what|which)(?:\s+is|['’]s)?\s+(?:\w+\s+){0,4}?e-?mail\s+address\b"
    r"|^\W*e-?mail(?:\s+address)?\s+(?:of|for)\b"
)
_STORED = r"(?:kilo|mega|giga|tera)?bytes?|[kmgt]i?b|bits?"

_MEASURES = (
    r"percentage|percent|number|amount|quantity|population|height|weight|length|width|depth|distance|temperature"
    r"|temp|speed|voltage|frequency|pressure|price|cost|fee|size|capacity|duration|count|ratio|dose|dosage|mass"
    r"|diameter|torque|thickness|altitude|elevation|volume|density|wavelength|lifetime|limit|interval|timeout|rate"
    r"|range"
)
_UNITS = (
    (r"(?:milli)?seconds|minutes|hours|days|nights|weeks|months|years|decades|centuries", _TIME),
    (r"(?:kilo|centi|milli)?met(?:er|re)s|km|cm|mm|inches|feet|yards|miles", _LENGTH),
    (r"(?:kilo|milli)?grams?|kg|mg|tons|tonnes|lbs?|ounces", _MASS),
    (r"(?:milli)?lit(?:er|re)s|ml|gallons|quarts|pints|cups|(?:tea|table)spoons|drops|barrels", _VOLUME),
    (r"percent|per\scent|percentage", _SHARE),
    (r"dollars|euros|cents|francs", _MONEY),
    (r"(?:kilo)?volts", _TENSION),
    (r"(?:kilo|mega)?watts|kw|hp|horsepower", _POWER),
    (r"(?:milli)?amp(?:ere)?s", _CURRENT),
    (r"psi|bar|[hkm]?pa|pascals?", _PRESSURE),
    (r"mph|kph|km/h|rpm|m/s|knots", _SPEED),
    (r"[kmg]?hz|(?:kilo|mega|giga)?hertz", _CYCLE),
    (r"(?:kilo|mega|giga)?bytes|[kmgt]i?b", _STORED),
)
"""How a question names a unit, and what an answer in it has."""
_OF_IT = r"(?=\s+(?:of|for|at|in|on|to|when|if|between|with|per|is|are|allowed|required|\S*\d)\b|\W*$)"
"""What follows a measure that is asked for, not one that is a part of a name: "pressure relief valve"."""
_IS = r"(?:\s+(?:is|was|are|were)|['’]s)\s+"
_A_MEASURE = (
    rf"\b(?:what|which)(?:{_IS}(?:\w+\s+){{0,4}}?|\s+(?:\w+\s+)?)(?P<asked>{_MEASURES})\b{_OF_IT}"
    r"|\b(?:what|which)\s+(?:\w+\s+)?(?P<done>voltage|pressure|temperature|frequency|weight|price)\s+"
    r"(?:does|do|did|should|must|can|will)\b"
    r"|^\W*(?:the\s+|required\s+|default\s+)?(?:max|min)(?:imum|\.)?\s"
    rf"|^(?=.{{1,{_FEW}}}$)(?!.*\b(?:who|whom|whose|what|which|when|where|why|how|am|is|are|was|were|do|does|did"
    rf"|can|could|will|would|shall|should|must|may)\b).*?\b(?P<named>{_MEASURES})\b{_OF_IT}"
)
_NO_TOPIC = (
    r"who\w*|what|which|when|where|why|how|am|is|are|was|were|do|does|did|can|could|will|would|shall|should|must|may"
    r"|if|that|see|seen|say|says|know|knows|tells?|told|shows?|shown|find|finds|counts?|checks?|decides?|depends?"
    r"|explains?|learn|determines?|set|sets|limits?|on|of"
)
_ASKED = re.compile(
    r"(?:^|[,.;:?!]|\b(?:in|for|at|to|by|of|from|with|about|within|over|after|before|per|and|or)\s"
    rf"|^(?:(?!\b(?:{_NO_TOPIC})\b)\S+\s+){{1,8}})\W{{0,8}}how\s+",
    re.IGNORECASE,
)
"""Where "how many" is the question itself: "where do I see how much is left?" asks for a place.

What stands before it may be the thing that it is asked of: "pen flare how many seconds".
"""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a question asks for, stated as the pattern `units` has it, "" for any figure.

    A figure without them is worth `bare`, no figure `none`, and figures that all have other units `other`,
    in a table's row too; where that is None, such are as good as bare ones. The pattern is compiled when it
    is first asked for: all of them together would take 40 ms whenever the worker starts.
    """

    units: str = ""
    bare: float = 0.0
    none: float = UNSTATED
    other: float | None = None

    def stated(self, sentence: str) -> float:
        """Return the log-odds that a sentence states it; an item's or clause's number is no figure of it."""
        item = ITEM.match(sentence)
        told = sentence[item.end() :] if item else sentence
        told = _CLAUSE.sub("", told)
        if self.units and re.search(self.units, told, re.IGNORECASE):
            return IN_UNITS
        if not _SOME_FIGURE.search(told):
            return self.none
        if self.other is not None and not _SOME_FIGURE.search(re.sub(_IN_A_UNIT, "", told)):
            return self.other
        return 0.0 if CELL in told else self.bare


@dataclass(frozen=True, slots=True)
class Form:
    """How questions ask for a quantity: what stands behind a "how" that asks, else anywhere."""

    pattern: re.Pattern[str]
    quantity: Quantity
    behind_how: bool

    def asks(self, told: str, begun: Sequence[int]) -> bool:
        """Tell whether a question asks in this form; `begun` are the places behind each "how" that asks."""
        if self.behind_how:
            return any(self.pattern.match(told, place) for place in begun)
        return self.pattern.search(told) is not None


def asked_for(question: str) -> Quantity | None:
    """Return the quantity that a question asks for, None where it asks for none."""
    told = question[:_READ]
    begun = [found.end() for found in _ASKED.finditer(told)]
    for form in FORMS:
        if form.asks(told, begun):
            return form.quantity
    found = MEASURE.search(told)
    if found is None:
        return None
    name = (found["asked"] or found["done"] or found["named"] or "").lower()
    return next((quantity for names, quantity in NAMED if re.fullmatch(names, name)), Quantity())


def _in(units: str, bare: float = 0.0, none: float = UNSTATED) -> Quantity:
    unit = rf"(?<![A-Za-z'’])(?:{units})(?![A-Za-z])"
    beside = {
        _TIME: rf"|{_LASTING}",
        _MONEY: rf"|{_PAID}",
        _SHARE: rf"|{_PARTS}",
    }.get(units, "")
    stated = rf"{_FIGURE}[^.;:!?\n]{{0,24}}?{unit}|\b(?:an?|half\san?|every|several|few)\s{unit}{beside}"
    return Quantity(stated, bare, none, min(bare, OTHERWISE))


_CLAUSE = re.compile(r"^\s*\d{1,3}(?:\.\d{1,3}){2,}\.?\s|^\s*\d{1,3}\.\d{1,3}\.\s+(?=[A-Z])")
_SOME_FIGURE = re.compile(_FIGURE, re.IGNORECASE)
_KNOWN = "|".join(
    (
        *(_TORQUE, _SPEED, _PRESSURE, _TIME, _LENGTH, _MASS, _MONEY, _HEAT, _SHARE),
        *(_VOLUME, _TENSION, _POWER, _CURRENT, _CYCLE, _STORED),
    )
)
_WITH_ITS_DIGITS = rf"{_FIGURE}\d{{0,12}}(?:[.,/]\d{{1,6}}){{0,4}}"
_IN_A_UNIT: Final = (
    rf"(?i)[$€£¥]\s?{_WITH_ITS_DIGITS}"
    rf"|{_WITH_ITS_DIGITS}(?:\s?(?:[-–~±]|to|and|or)\s?{_WITH_ITS_DIGITS}){{0,2}}[\s-]?(?:{_KNOWN})(?![A-Za-z])"
)
"""Figures whose unit is known, ranges of them too: what is left of a sentence without them is bare."""
_BARE: Final = {_TIME: UNITLESS}
"""Of a time the unit is left out now and then: "from 1990 to 1998"."""
_IN_ITS_UNIT: Final = tuple(
    (named, _in(units, _BARE.get(units, OTHERWISE), NOWHERE)) for named, units in _UNITS
)


def _form(pattern: str, quantity: Quantity, *, behind_how: bool) -> Form:
    return Form(re.compile(pattern, re.IGNORECASE), quantity, behind_how)


FORMS: Final = (
    *(
        _form(rf"(?:many|much)\s+(?:more\s+|other\s+)?(?:{named})\b", quantity, behind_how=True)
        for named, quantity in _IN_ITS_UNIT
    ),
    *(
        _form(rf"\b(?:{_MEASURES})\b.*\bin\s+(?:{named})\W*$", quantity, behind_how=False)
        for named, quantity in _IN_ITS_UNIT
    ),
    _form(
        r"\bwhat\s+(?:do|does|did|will|would)\s+(?:\S+\s+){1,6}?(?<!about\s)(?<!the\s)(?<!of\s)cost\W*$",
        _in(_MONEY, UNITLESS),
        behind_how=False,
    ),
    *(
        _form(asked, Quantity(stated, OTHERWISE, NOWHERE), behind_how=False)
        for asked, stated in ((_TO_CALL, _CALLED), (_TO_WRITE_TO, _WRITTEN_TO))
    ),
    *(
        _form(rf"(?:{form})\b", quantity, behind_how=True)
        for form, quantity in (
            (
                r"much\s+(?:is|are|was|do|does|did|will|must|should|can)\b"
                r".*\b(?:costs?|price|pay|paid|charged?|fees?|worth|earn\w*)",
                _in(_MONEY, UNITLESS),
            ),
            (r"much\s+time", _in(_TIME)),
            ("often|frequently|regularly", Quantity(_OFTEN, none=UNITLESS)),
            ("many|much", Quantity()),
            # "How high is the pressure, how wide is the range of voltages?": asked of other kinds too.
            ("far|high|deep|wide|broad", replace(_in(_LENGTH), other=None)),
            ("tall|thick", _in(_LENGTH)),
            ("heavy", _in(_MASS)),
            ("hot|cold|warm", _in(_HEAT)),
            ("old", _in(_TIME)),
            ("long", _in(f"{_TIME}|{_LENGTH}|{_WRITTEN}")),
            ("fast|large|big|small|strong|loud|steep", Quantity()),
        )
    ),
)
"""The forms of such questions."""
MEASURE: Final = re.compile(_A_MEASURE, re.IGNORECASE)
"""A question that names a measure."""
NAMED: Final = (
    ("price|cost|fee", _in(_MONEY, UNITLESS)),
    ("weight|mass", _in(_MASS)),
    ("temp(?:erature)?", _in(_HEAT, UNITLESS)),
    ("length", _in(f"{_TIME}|{_LENGTH}|{_WRITTEN}")),
    ("percentage|percent", _in(_SHARE, OTHERWISE, NOWHERE)),
    ("voltage", _in(_TENSION, UNITLESS)),
    ("torque", _in(_TORQUE, UNITLESS)),
    ("frequency", Quantity(rf"{_OFTEN}|{_PARTS}|\d\s?(?:{_CYCLE})\b", UNITLESS)),
    ("pressure", _in(_PRESSURE, UNITLESS)),
    ("speed", _in(_SPEED, UNITLESS)),
    ("height|width|depth|distance|diameter|thickness|altitude|elevation", _in(_LENGTH, UNITLESS)),
    ("duration|timeout|lifetime", _in(_TIME)),
    ("interval", _in(f"{_TIME}|{_LENGTH}")),
)
"""The measures of which the units are known."""
