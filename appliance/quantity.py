"""Question -> the quantity it asks for; a sentence -> how much speaks for its stating one, if it may at all.

"How many" is not answered by a sentence without a number, and "how high" seldom by one without a length. A
question that only names a measure, as one in a few words does ("PBKDF2 iteration count"), may mean something
else: there the lack of a figure counts, no more. Measured on the reader's training questions by
`python -m scripts.quantities`; scripts/LOG.md has the figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from appliance.sentences import CELL, ITEM

_READ: Final = 600
"""Characters of a question that are looked at."""
IN_UNITS: Final = 1.5
"""What it is worth, in log-odds, that a figure has a unit that fits;"""
UNITLESS: Final = -1.0
"""that it has none, where a measure with one was named; not in a table's row, whose header has it;"""
VAGUE: Final = -1.5
"""that there is a word for a quantity and no figure, or neither where something else may be meant."""

_COUNTED = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|[mb]illions?|trillions?"
    r"|dozens?|half|halves|thirds?|quarters?|couple|pair|single"
)
_UNCOUNTED = (
    r"once|twice|thrice|tripl\w+|doubl\w+|quadrupl\w+|(?:two|three|four|five|ten|hundred)fold|none|no|zero|nothing"
    r"|free|any|all|both|several|few|little|many|much|most|more|less|numerous|multiple|majority|entire\w*|only"
    r"|first|second|unlimited|every|each|always|never|until|till|daily|hourly|weekly|monthly|quarterly|yearly"
    r"|annual(?:ly)?|nightly|overnight|forever|regularly|frequently|rarely|occasionally|continuous(?:ly)?"
    r"|permanent(?:ly)?|indefinite(?:ly)?|immediately|often|whenever|sometimes|long|lifetime|centur\w+|decades?"
    r"|years|months|weeks|days|hours|minutes|[IVX]{2,}"
)
_FIGURE = rf"(?:(?<!\w)\d|\b(?:{_COUNTED})\b)"
_TIME = (
    r"(?:milli|micro)?seconds?|secs?|m?s|min(?:ute)?s?|hours?|hrs?|h|days?|nights?|weeks?|months?|years?|yrs?"
)
_LENGTH = (
    r"(?:kilo|centi|milli|nano|micro)?met(?:er|re)s?|[kcmn]?m|inch(?:es)?|feet|foot|ft|yards?|yd|miles?|mi"
    r"|(?<=\d)[\"″′']"
)
_MASS = r"(?:kilo|milli|micro)?gram(?:me)?s?|[kmµ]?g|tons?|tonnes?|t|pounds?|lbs?|ounces?|oz|grains?|carats?"
_HEAT = r"[°º]|degrees?|deg|celsius|fahrenheit|kelvins?|[cfk]"

_MEASURES = (
    r"percentage|percent|number|amount|quantity|population|height|weight|length|width|depth|distance|temperature"
    r"|temp|speed|voltage|frequency|pressure|price|cost|fee|size|capacity|duration|count|ratio|dose|dosage|mass"
    r"|diameter|torque|thickness|altitude|elevation|volume|density|wavelength|lifetime|limit|interval|timeout|rate"
    r"|range"
)
_A_MEASURE = (
    rf"\b(?:what|which)(?:(?:\s+(?:is|was|are|were)|['’]s)\s+(?:\w+\s+){{0,4}}|\s+(?:\w+\s+)?)(?:{_MEASURES})\b"
    r"|^\W*(?:the\s+|required\s+|default\s+)?(?:max|min)(?:imum|\.)?\s"
    r"|^(?!.*\b(?:who|whom|whose|what|which|when|where|why|how|am|is|are|was|were|do|does|did|can|could|will"
    rf"|would|shall|should|must|may)\b).*\b(?:{_MEASURES})\b"
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a question asks for.

    It is stated in `units`, None for any; a figure without them is worth `bare` in log-odds. Where it is
    `sure`, nothing else answers.
    """

    units: re.Pattern[str] | None
    bare: float = 0.0
    sure: bool = False

    def stated(self, sentence: str) -> float | None:
        """Return the log-odds that a sentence states it, None where it cannot be the answer.

        What is a list, or announces one, may be answered by the number of its items.
        """
        if self.units and self.units.search(sentence):
            return IN_UNITS
        if _SOME_FIGURE.search(sentence):
            return 0.0 if CELL in sentence else self.bare
        if self.sure and not _SOME.search(sentence) and not _LIST.search(sentence):
            return None
        return VAGUE


def asked_for(question: str) -> Quantity | None:
    """Return the quantity that a question asks for, None where it asks for none."""
    told = question[:_READ]
    return next((quantity for form, quantity in FORMS if form.search(told)), None)


def _with(units: str) -> re.Pattern[str]:
    return re.compile(rf"{_FIGURE}[^.;:!?\n]{{0,24}}?(?<![A-Za-z])(?:{units})(?![A-Za-z])", re.IGNORECASE)


_SOME_FIGURE = re.compile(_FIGURE, re.IGNORECASE)
_SOME = re.compile(rf"\b(?:{_UNCOUNTED})\b", re.IGNORECASE)
_LIST = re.compile(rf":\s*$|(?:^|\n)\s*{ITEM.pattern}")
FORMS: Final = tuple(
    (re.compile(form, re.IGNORECASE), quantity)
    for form, quantity in (
        (r"\bhow\s+(?:many|much)\b", Quantity(None, sure=True)),
        (r"\bhow\s+(?:far|high|tall|deep|wide|thick|broad)\b", Quantity(_with(_LENGTH))),
        (r"\bhow\s+heavy\b", Quantity(_with(_MASS))),
        (r"\bhow\s+(?:hot|cold|warm)\b", Quantity(_with(_HEAT))),
        (r"\bhow\s+old\b", Quantity(_with(_TIME))),
        (r"\bhow\s+long\b", Quantity(_with(f"{_TIME}|{_LENGTH}"), UNITLESS)),
        (r"\bhow\s+(?:fast|large|big|small|strong|loud|steep)\b", Quantity(None)),
        *(
            (rf"(?=.*\b(?:{measures})\b)(?:{_A_MEASURE})", Quantity(_with(units), UNITLESS))
            for measures, units in (
                ("weight|mass", _MASS),
                ("temp(?:erature)?", _HEAT),
                ("height|width|depth|distance|diameter|thickness|altitude|elevation", _LENGTH),
                ("duration|timeout|interval|lifetime", _TIME),
            )
        ),
        (_A_MEASURE, Quantity(None)),
    )
)
"""The forms of such questions, the first that fits."""
