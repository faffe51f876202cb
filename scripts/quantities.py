"""Training questions that ask for a quantity -> how often it is stated where the answer is, and elsewhere.

    python -m scripts.quantities --data ../shared/data

For each form of appliance/quantity.py: of the sentences with the answer and of the others of the same text,
the shares that state it in its units, as a bare figure, that have figures of other units alone, or none, with
the logarithm of their ratio.
Nothing of `dev` is read. scripts/LOG.md keeps what it printed.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Final

from appliance.quantity import (
    FORMS,
    IN_UNITS,
    NAMED,
    NOWHERE,
    OTHERWISE,
    UNITLESS,
    UNSTATED,
    Quantity,
    asked_for,
)
from appliance.sentences import split
from scripts.reader_sources import SOURCES

_SOURCES: Final = ("squad", "natural", "ares", "covid", "fairytale")
"""Those with the answer's place; what PolicyQA marks is often no answer."""
_OTHER: Final = -9.0
"""Put for what other units are worth, which is counted apart."""
_SHOWN: Final = {
    IN_UNITS: "in units",
    0.0: "figure",
    UNITLESS: "no units",
    OTHERWISE: "no units",
    _OTHER: "others",
    UNSTATED: "none",
    NOWHERE: "none",
}
Tally = Counter[float]


def main() -> None:
    """Print one line a form."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    told, others = counted(parser.parse_args().data)
    for name in told:
        own, other = told[name], others[name]
        print(f"{own.total():5} sentences, {other.total():5} others: {name}")
        for value, shown in _SHOWN.items():
            if own[value] or other[value]:
                shares = [(tally[value] + 0.5) / (tally.total() + 1) for tally in (own, other)]
                print(f"    {shown:8} {shares[0]:.3f} {shares[1]:.3f} {log(shares[0] / shares[1]):+.2f}")


def counted(data: Path) -> tuple[dict[str, Tally], dict[str, Tally]]:
    """Return by form what the sentences with the answer, and the others, say of the quantity."""
    told: dict[str, Tally] = defaultdict(Counter)
    others: dict[str, Tally] = defaultdict(Counter)
    for source in _SOURCES:
        for each in SOURCES[source](data / "train"):
            quantity = asked_for(each.question)
            if each.answerable != 1 or not each.span or quantity is None:
                continue
            name = _form(quantity)
            quantity = replace(quantity, other=quantity.other and _OTHER)
            for start, end in split(each.text):
                holds = start < each.span[1] and end > each.span[0]
                (told if holds else others)[name][quantity.stated(each.text[start:end])] += 1
    return told, others


def _form(quantity: Quantity) -> str:
    """Return the name of the first form by which a question asks for that quantity."""
    forms = (form.pattern.pattern[-60:] for form in FORMS if form.quantity is quantity)
    names = (names for names, known in NAMED if known is quantity)
    return next(forms, None) or next(names, "another measure")


if __name__ == "__main__":
    main()
