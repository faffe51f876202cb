"""A question that its passage answers -> one near it that the passage does not answer.

SQuAD's people wrote such twins by hand (Rajpurkar et al. 2018); no other set has them, and a reader without
them answers "what does the lid weigh?" with the lid's width. Two sorts, by rule:

- of another name or number ("entity swap"), from the same document where it has one of the kind, and not in
  the passage: nothing there is about it;
- for another attribute of the same thing ("how much does it cost?"), of which the passage has no unit and
  no word.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scripts.reader_asked import Asked

Rng = np.random.Generator

_NAME: Final = re.compile(r"(?<![.?!:] )(?<!^)\b[A-Z][\w-]+(?: [A-Z][\w-]+)*")
"""Capitals, but not where a sentence begins."""
_NUMBER: Final = re.compile(r"(?<![\w.,])\d+(?![\w.,]*\d)")
_THING: Final = re.compile(r"\b(?:the|a|an|your|its) ((?:[a-z-]{3,} )?[a-z-]{4,})\b(?! of\b)")
_SHORTEST: Final = 3
_TRIED: Final = 20
_NO_THINGS: Final = frozenset(
    "name number year date time place term kind type first last most main same other person people amount "
    "part following order result purpose reason cause effect way role use end day month century "
    "percentage".split()
)

_NO_NAMES: Final = frozenset(
    "the this that these those for and but his her its our their you she they".split()
)

ATTRIBUTES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = tuple(
    (stated, tuple(asked))
    for stated, *asked in (
        (
            r"\b(?:kg|g|mg|lbs?|oz|pounds?|ounces?|tons?|tonnes?|(?:kilo)?grams?|kilos?)\b|weigh|heav|light|mass\b",
            "how heavy is {}",
            "what is the weight of {}",
            "how much does {} weigh",
            "{} weight",
        ),
        (
            r"[$€£¥]|\b(?:dollars?|cents?|euros?|pounds?|francs?)\b|cost|pric|fee\b|paid|pay|worth|free|expensive|cheap",
            "how much does {} cost",
            "what is the price of {}",
            "price of {}",
            "what is the fee for {}",
        ),
        (r"volt|\d ?k?V\b", "what voltage does {} need", "supply voltage of {}", "what is the voltage of {}"),
        (r"amp(?:ere)?s?\b|\d ?m?A\b|fuse|current", "how many amps does {} draw", "fuse rating of {}"),
        (r"watt|horsepower|power|\d ?[kM]?W\b|\bhp\b", "what is the power of {}", "power rating of {}"),
        (
            r"\bbars?\b|\bpsi\b|pascal|\d ?[kM]?Pa\b|pressur|vacuum",
            "at what pressure does {} work",
            "what is the maximum pressure of {}",
            "pressure of {}",
        ),
        (
            r"[°º]|degree|celsius|fahrenheit|kelvin|temperatur|\d ?[CF]\b|\b(?:hot|cold|warm|heat|cool)",
            "what is the temperature of {}",
            "how hot does {} get",
            "operating temperature of {}",
        ),
        (
            r"\d ?(?:mph|rpm|kph|km/h|m/s|knots?)\b|per (?:hour|second|minute)|speed|fast|slow|quick|rapid",
            "how fast is {}",
            "what is the speed of {}",
            "top speed of {}",
        ),
        (
            r"\b(?:litres?|liters?|gallons?|quarts?|pints?|ml|cc|barrels?|[kmgt]b)\b|\d ?[lL]\b"
            r"|capacit|volume|hold",
            "what is the capacity of {}",
            "how many litres does {} hold",
            "capacity of {}",
        ),
        (
            r"\b(?:metres?|meters?|feet|foot|ft|inch(?:es)?|miles?|yards?|[ckm]?m|kilomet\w+|centimet\w+|millimet\w+)\b"
            r"|[\d]\"|long|length|tall|high|height|deep|depth|wide|width|dimension|size|diameter|distance",
            "how tall is {}",
            "what is the height of {}",
            "how long is {}",
            "dimensions of {}",
            "what is the diameter of {}",
        ),
        (
            r"\bk?hz\b|hertz|[GM]Hz|frequen|often|every|times a",
            "what is the frequency of {}",
            "how often is {} checked",
        ),
        (r"torque|\bnm\b|newton|ft-lb|tight", "what torque is needed for {}", "tightening torque of {}"),
        (
            r"\b1\d{3}s?\b|\b20\d\d\b|january|february|march|april|\bmay\b|june|july|august|september|october|november"
            r"|december|centur|\bago\b|\bBC\b|\bAD\b|year|date|era\b|when|day",
            "when was {} made",
            "in what year did {} begin",
            "what is the date of {}",
            "since when is there {}",
        ),
        (
            r"%|percent|per cent|share|proportion|half|third|quarter",
            "what percentage of {} is lost",
            "{} in percent",
        ),
        (
            r"\d{3}[ .-]\d{3}|phone|\bcall|\bdial|fax|hotline",
            "phone number of {}",
            "what number do I call for {}",
        ),
        (r"@|e-?mail", "what is the e-mail address of {}", "email for {}"),
        (
            r"www\.|https?:|\.(?:com|org|net|gov)\b|web|site|online|internet|url",
            "website of {}",
            "what is the URL of {}",
        ),
        (
            r"\b(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{3,}\b|number|\bno\.|serial|model|part",
            "what is the part number of {}",
            "serial number of {}",
            "which model number has {}",
        ),
        (
            r"warrant|guarant",
            "how long is the warranty of {}",
            "warranty period of {}",
            "is {} under warranty",
        ),
        (
            r"second|minute|hour|day|week|month|year|centur|decade|\d ?(?:s|h|ms|min)\b"
            r"|long|last|until|duration|time",
            "how long does {} take",
            "how long does {} last",
            "duration of {}",
        ),
        (
            r"\b(?:red|blue|green|yellow|black|white|gr[ae]y|brown|orange|pink|purple|gold\w*|silver\w*)\b|colou?r|dark"
            r"|bright|paint",
            "what colour is {}",
            "what is the color of {}",
        ),
        (
            r"password|passphrase|\bPIN\b|\bcode\b|credential|login|log in",
            "what is the password of {}",
            "default PIN of {}",
        ),
        (
            r"\d+\.\d+\.\d+|address|\bIP\b|port|street|road|avenue",
            "what is the address of {}",
            "IP address of {}",
        ),
        (
            r"populat|inhabitant|people|resident|\d,\d{3}|million|thousand|number|many|several|few|dozen|\d{2}",
            "how many people are in {}",
            "what is the population of {}",
            "how many of {} are there",
        ),
        (r"licen[cs]e|copyright|patent|permi", "under which licence is {}", "who holds the copyright of {}"),
        (r"version|release|edition|update", "which version of {} is this", "latest version of {}"),
    )
)
"""What tells that a passage may state an attribute, and how one asks for it."""
_STATED: Final = tuple(re.compile(stated, re.IGNORECASE) for stated, _ in ATTRIBUTES)


class Twins:
    """Names, numbers and attributes to be put in the place of one another."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        here = defaultdict[tuple[str, str], dict[str, None]](dict)
        for each in {each.text: each for each in asked}.values():
            for kind, name in _named(each.text):
                here[each.document, kind][name] = None
                here["", kind][name] = None
        self._held = {key: list(names) for key, names in here.items()}

    def twin(self, each: Asked, rng: Rng) -> str | None:
        """Return a question near this one that its text does not answer; None where none is found."""
        made = (self.renamed, self.of_another_attribute)
        first, second = made if rng.random() < 0.5 else made[::-1]
        return first(each, rng) or second(each, rng)

    def renamed(self, each: Asked, rng: Rng) -> str | None:
        """Return the question about something else of the same kind, None where it names nothing."""
        asked = _between_blanks(each.question)
        known = _asked_about(each, asked)
        if not known:
            return None
        kind, name = max(known, key=lambda pair: len(pair[1]))
        text = each.text.casefold()
        for document in (each.document, ""):
            others = self._held.get((document, kind), [])
            for number in rng.permutation(len(others))[:_TRIED]:
                other = others[number].casefold()
                if other not in text and not set(other.split()) & set(asked.split()):
                    return asked.replace(f" {name.casefold()} ", f" {other} ").strip() + _mark(each)
        return None

    def of_another_attribute(self, each: Asked, rng: Rng) -> str | None:
        """Return a question for what the text says nothing of, None where it is not known of what."""
        asked = _between_blanks(each.question)
        things = [name.casefold() for kind, name in _asked_about(each, asked) if kind.endswith("words")]
        things += [
            f"the {found[1]}"
            for found in _THING.finditer(asked)
            if not set(found[1].split()) & _NO_THINGS and found[1] in each.text.casefold()
        ]
        open_to = [number for number, stated in enumerate(_STATED) if not stated.search(each.text)]
        if not things or not open_to:
            return None
        forms = ATTRIBUTES[open_to[int(rng.integers(len(open_to)))]][1]
        form = forms[int(rng.integers(len(forms)))]
        return form.format(things[int(rng.integers(len(things)))]) + _mark(each)


def _between_blanks(question: str) -> str:
    return f" {question.casefold().rstrip(' ?')} "


def _mark(each: Asked) -> str:
    """Return the question's own end: some sets have no "?", and it must not tell twins from the rest."""
    return "?" if each.question.rstrip().endswith("?") else ""


def _asked_about(each: Asked, asked: str) -> list[tuple[str, str]]:
    """Return the names and numbers of the text that stand in the question, which is between blanks."""
    return [
        (kind, name) for kind, name in dict.fromkeys(_named(each.text)) if f" {name.casefold()} " in asked
    ]


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and name: a number's kind is its length, a name's the number of its words."""
    for found in _NAME.finditer(text):
        if len(found[0]) >= _SHORTEST and found[0].casefold() not in _NO_NAMES:
            yield f"{len(found[0].split())} words", found[0]
    for found in _NUMBER.finditer(text):
        yield str(len(found[0])), found[0]
