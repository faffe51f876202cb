"""Tables made up by rule: data sheets, codes, schedules -> questions whose answer is a cell, or is not there.

No published training set has the tables of manuals, and a reader that was trained on prose points anywhere in
them. The values are random, so nothing can be learnt but where to look: in the row that is asked for, not in
one that shares a word with it ("oil capacity" for "oil pressure"), and there for the right cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scripts.reader_asked import UNKNOWN, Asked

SEED: Final = 20261128
TABLES: Final = 1500
_MOST_ROWS: Final = 9
_ABSENT: Final = 0.7
"""How often a table is asked, beside two questions that it answers, for what it does not hold."""

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a thing has: its name, how else people ask for it of `{}`, its unit, and its range."""

    name: str
    asked: tuple[str, ...]
    unit: str
    low: float
    high: float
    places: int = 0

    def value(self, rng: Rng) -> str:
        """Return a value, as a table would have it."""
        number = rng.uniform(self.low, self.high)
        return f"{number:,.{self.places}f} {self.unit}" if self.unit else f"{number:.{self.places}f}"


QUANTITIES: Final = (
    Quantity(
        "oil capacity", ("how much oil does the {} take", "how much oil goes into the {}"), "l", 0.5, 90, 1
    ),
    Quantity("oil pressure", ("at what oil pressure does the {} run",), "bar", 1, 9, 1),
    Quantity("fuel tank capacity", ("how much fuel does the {} hold", "size of the {}'s tank"), "l", 20, 900),
    Quantity(
        "fuel consumption",
        ("how much fuel does the {} burn", "what does the {} use per hour"),
        "l/h",
        2,
        60,
        1,
    ),
    Quantity(
        "towing capacity", ("how much can the {} tow", "how heavy a load may the {} pull"), "kg", 400, 3900
    ),
    Quantity("lifting capacity", ("how much can the {} lift",), "t", 0.5, 40, 1),
    Quantity("weight", ("how heavy is the {}", "what does the {} weigh"), "kg", 2, 2400),
    Quantity("shipping weight", ("how heavy is the {} when packed",), "kg", 3, 2600),
    Quantity("length", ("how long is the {}",), "mm", 90, 4200),
    Quantity("width", ("how wide is the {}",), "mm", 60, 1900),
    Quantity("height", ("how high is the {}", "how tall is the {}"), "mm", 60, 2600),
    Quantity(
        "rated voltage", ("what voltage does the {} need", "on how many volts does the {} run"), "V", 12, 690
    ),
    Quantity(
        "rated current", ("how many amps does the {} draw", "what current does the {} take"), "A", 0.4, 63, 1
    ),
    Quantity(
        "rated power", ("how much power has the {}", "how strong is the motor of the {}"), "kW", 0.2, 160, 1
    ),
    Quantity("standby power", ("what does the {} draw in standby",), "W", 0.3, 25, 1),
    Quantity("maximum speed", ("how fast may the {} run", "top speed of the {}"), "rpm", 300, 14_000),
    Quantity("idle speed", ("how fast does the {} idle",), "rpm", 400, 1100),
    Quantity("operating pressure", ("at what pressure does the {} work",), "bar", 1, 320),
    Quantity("test pressure", ("at what pressure is the {} tested",), "bar", 2, 480),
    Quantity("operating temperature", ("how hot does the {} run", "how warm may the {} get"), "°C", 20, 420),
    Quantity("storage temperature", ("at what temperature is the {} stored",), "°C", -30, 60),
    Quantity("noise level", ("how loud is the {}",), "dB(A)", 38, 108),
    Quantity(
        "tightening torque", ("how tight are the bolts of the {}", "torque for the {} bolts"), "Nm", 4, 600
    ),
    Quantity("belt tension", ("how tight is the belt of the {}",), "N", 60, 900),
    Quantity("clearance", ("what gap does the {} need",), "mm", 0.05, 3, 2),
    Quantity("flow rate", ("how much does the {} deliver", "output of the {}"), "m³/h", 0.5, 900, 1),
    Quantity("service life", ("how long does the {} last",), "h", 500, 60_000),
    Quantity("service interval", ("how often is the {} serviced", "when is the {} due again"), "h", 50, 8000),
    Quantity("warranty period", ("how long is the warranty of the {}",), "months", 6, 60),
    Quantity("warm-up time", ("how long does the {} take to warm up",), "s", 5, 900),
    Quantity("battery life", ("how long does the battery of the {} last",), "h", 2, 90),
    Quantity("charging time", ("how long does the {} take to charge",), "min", 20, 600),
    Quantity("protection class", ("how well is the {} sealed",), "", 20, 69),
    Quantity("price", ("what does the {} cost", "how much is the {}"), "EUR", 12, 9800),
    Quantity("deposit", ("what deposit is taken for the {}",), "EUR", 10, 900),
    Quantity("order number", ("under which number is the {} ordered",), "", 10_000, 99_999),
    Quantity("delivery time", ("how soon is the {} delivered",), "days", 1, 90),
    Quantity("stock", ("how many of the {} are in the store",), "pcs", 1, 400),
)
_THINGS: Final = (
    "pump compressor gearbox engine generator boiler fan blower winch crane conveyor press lathe mixer "
    "dryer furnace chiller filter valve heater burner trailer excavator loader forklift tractor mower "
    "drill saw welder printer scanner router radio inverter charger transformer separator centrifuge "
    "sprayer baler hoist lift kiln stove tent projector sensor camera antenna mast turbine"
).split()
_WHICH: Final = (
    "main auxiliary front rear left right upper lower small large hydraulic electric mobile spare "
    "primary secondary feed transfer cooling emergency"
).split()
_PARTS: Final = (
    "air filter|oil filter|drive belt|brake pads|spark plugs|bearings|chain|fuel line|relief valve|"
    "fire extinguisher|safety switch|coolant|gear oil|hydraulic hose|wire rope|grounding strap|"
    "smoke detector|air tank|pressure gauge|conveyor belt|cutting edge|nozzle|strainer|seal kit|battery|"
    "first-aid kit|emergency light|ladder"
).split("|")
_WORK: Final = (
    ("check", "checked"),
    ("clean", "cleaned"),
    ("replace", "replaced"),
    ("grease", "greased"),
    ("test", "tested"),
    ("inspect", "inspected"),
    ("drain", "drained"),
    ("calibrate", "calibrated"),
)
_WHO: Final = (
    "operator|electrician|shift leader|site manager|authorised service|driver|store keeper|"
    "safety officer|welder|contractor|duty engineer"
).split("|")
_WHEN: Final = (
    "daily|weekly|monthly|every 3 months|every 6 months|once a year|every 50 hours|every 250 hours|"
    "every 1,000 hours|every 2 years|before each shift|after each use"
).split("|")
_FAULTS: Final = (
    "low oil pressure|coolant too hot|door open|sensor disconnected|motor overload|no flame|"
    "phase missing|communication lost|filter clogged|low battery|encoder fault|tank empty|"
    "emergency stop pressed|leak detected|bearing too hot|memory full|belt slipping|supply voltage low|"
    "fan blocked|limit switch hit|paper jam|no signal"
).split("|")
_REMEDIES: Final = (
    "top up the oil|let it cool for 20 minutes|close the door|replace the cable|reset the breaker|"
    "bleed the fuel line|call an electrician|restart the controller|clean the filter|charge for 8 hours|"
    "check connector X4|refill the tank|release the button|tighten the coupling|grease the bearing|"
    "delete old logs|adjust the belt|measure the supply|remove the obstruction|home the axis|"
    "open the rear cover|replace fuse F2"
).split("|")
_PREFIX: Final = ("E", "F", "A", "AL", "ERR ", "W", "H", "$", "P0", "S-", "Code ")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: title, header, rows of cells; questions with the answer's (row, column), None for absent."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    asked: tuple[tuple[str, tuple[int, int] | None], ...]


def tables() -> Iterator[Asked]:
    """Yield the questions, always the same."""
    rng = np.random.default_rng(SEED)
    kinds: Sequence[Callable[[Rng], Sheet]] = (_data_sheet, _comparison, _codes, _schedule)
    for number in range(TABLES):
        sheet = kinds[number % len(kinds)](rng)
        text, places = _laid_out(sheet, rng)
        for question, cell in sheet.asked:
            span = places[cell] if cell else None
            yield Asked(
                source="table",
                document=f"table/{number}",
                title=sheet.title,
                question=question,
                text=text,
                span=span,
                near=span[0] if span else 0,
                relevant=1 if span else UNKNOWN,
                answerable=int(span is not None),
                answers=(text[slice(*span)],) if span else (),
            )


def _laid_out(sheet: Sheet, rng: Rng) -> tuple[str, dict[tuple[int, int], tuple[int, int]]]:
    """Return the sheet as text, as the parsers give tables and lists, and where each cell stands in it."""
    pairs = len(sheet.header) == 2 and rng.random() < 0.5
    between, before = (": ", "- " if rng.random() < 0.5 else "") if pairs else (" | ", "")
    lines = [] if pairs or rng.random() < 0.15 else [between.join(sheet.header)]
    if rng.random() < 0.3:
        lines.insert(0, f"{sheet.title}. Values apply at 20 °C unless stated otherwise.")
    text = "".join(f"{line}\n" for line in lines)
    places: dict[tuple[int, int], tuple[int, int]] = {}
    for at, row in enumerate(sheet.rows):
        text += before
        for column, cell in enumerate(row):
            places[at, column] = (len(text), len(text) + len(cell))
            text += cell + (between if column + 1 < len(row) else "\n")
    return text.rstrip("\n"), places


def _thing(rng: Rng) -> str:
    name = str(rng.choice(_THINGS))
    return f"{rng.choice(_WHICH)} {name}" if rng.random() < 0.5 else name


def _some(values: Sequence[str], count: int, rng: Rng) -> list[str]:
    return [values[int(at)] for at in rng.permutation(len(values))[:count]]


def _wording(quantity: Quantity, thing: str, rng: Rng) -> str:
    name = quantity.name
    plain = (
        f"what is the {name} of the {thing}",
        f"{thing} {name}",
        f"{name} of the {thing}",
        f"which {name} has the {thing}",
    )
    chosen = quantity.asked if rng.random() < 0.55 else plain
    return f"{chosen[int(rng.integers(len(chosen)))].format(thing)}?"


def _data_sheet(rng: Rng) -> Sheet:
    """Return a table of one thing, a quantity a row."""
    thing = _thing(rng)
    order = [QUANTITIES[int(at)] for at in rng.permutation(len(QUANTITIES))]
    count = int(rng.integers(4, _MOST_ROWS))
    here, absent = order[:count], order[count:]
    asked: list[tuple[str, tuple[int, int] | None]] = []
    for at, quantity in enumerate(here[:2]):
        asked.append((_wording(quantity, thing, rng), (at, 1)))
    if rng.random() < _ABSENT:
        words = {word for quantity in here for word in quantity.name.split()}
        near = [quantity for quantity in absent if words & set(quantity.name.split())] or absent
        asked.append((_wording(near[0], thing, rng), None))
    rows = [(quantity.name.capitalize(), quantity.value(rng)) for quantity in here]
    return _shuffled(f"{thing} data sheet".capitalize(), ("Quantity", "Value"), rows, asked, rng)


def _comparison(rng: Rng) -> Sheet:
    """Return a table with a thing a row, a quantity a column."""
    names = list(dict.fromkeys(_thing(rng) for _ in range(_MOST_ROWS + 2)))
    columns = [QUANTITIES[int(at)] for at in rng.permutation(len(QUANTITIES))[:4]]
    shown, absent = columns[: int(rng.integers(2, 4))], columns[3]
    here, missing = names[: int(rng.integers(3, _MOST_ROWS - 1))], names[-1]
    rows = [(name.capitalize(), *(quantity.value(rng) for quantity in shown)) for name in here]
    asked: list[tuple[str, tuple[int, int] | None]] = []
    for at in range(2):
        column = int(rng.integers(len(shown)))
        asked.append((_wording(shown[column], here[at], rng), (at, column + 1)))
    if rng.random() < _ABSENT:
        other = rng.random() < 0.5 and missing not in here
        pair = (shown[0], missing) if other else (absent, here[0])
        asked.append((_wording(*pair, rng), None))
    header = ("Type", *(quantity.name.capitalize() for quantity in shown))
    return _shuffled("Equipment overview", header, rows, asked, rng)


def _codes(rng: Rng) -> Sheet:
    """Return a table of codes, what they mean, and what to do."""
    prefix, count = str(rng.choice(_PREFIX)), int(rng.integers(4, _MOST_ROWS))
    codes = [f"{prefix}{number:02d}" for number in rng.permutation(99)[: count + 1] + 1]
    faults, remedies = _some(_FAULTS, count + 1, rng), _some(_REMEDIES, count, rng)
    rows = list(
        zip(
            codes,
            (fault.capitalize() for fault in faults),
            (what.capitalize() for what in remedies),
            strict=False,
        )
    )
    thing = _thing(rng)
    ways: Sequence[tuple[str, tuple[int, int]]] = (
        (f"what does {codes[0]} mean?", (0, 1)),
        (f"the {thing} shows {codes[0]}, what is wrong?", (0, 1)),
        (f"what do I do about {codes[0]}?", (0, 2)),
        (f"{codes[0]} on the display, what should I do?", (0, 2)),
        (f"which code stands for {faults[0]}?", (0, 0)),
        (f"how is {faults[0]} shown?", (0, 0)),
        (f"what helps when there is {faults[0]}?", (0, 2)),
    )
    asked: list[tuple[str, tuple[int, int] | None]] = [ways[int(at)] for at in rng.permutation(len(ways))[:2]]
    if rng.random() < _ABSENT:
        unknown = (f"what does {codes[-1]} mean?", f"which code stands for {faults[-1]}?")
        asked.append((unknown[int(rng.integers(2))], None))
    return _shuffled(f"{thing} alarms".capitalize(), ("Code", "Meaning", "Remedy"), rows[:count], asked, rng)


def _schedule(rng: Rng) -> Sheet:
    """Return a table of tasks, when they are due, and who does them."""
    count = int(rng.integers(4, _MOST_ROWS))
    parts = _some(_PARTS, count + 1, rng)
    work = [_WORK[int(at)] for at in rng.integers(len(_WORK), size=count + 1)]
    rows = [
        (
            f"{verb.capitalize()} {part}",
            str(rng.choice(_WHEN)).capitalize(),
            str(rng.choice(_WHO)).capitalize(),
        )
        for (verb, _), part in zip(work[:count], parts[:count], strict=True)
    ]

    def ask(at: int) -> tuple[str, int]:
        (verb, done), part = work[at], parts[at]
        when = (
            f"how often is the {part} {done}?",
            f"when do I {verb} the {part}?",
            f"{part} {verb} interval?",
        )
        who = (f"who has to {verb} the {part}?", f"by whom is the {part} {done}?")
        column = 1 if rng.random() < 0.6 else 2
        ways = when if column == 1 else who
        return ways[int(rng.integers(len(ways)))], column

    asked: list[tuple[str, tuple[int, int] | None]] = []
    for at in range(2):
        question, column = ask(at)
        asked.append((question, (at, column)))
    if rng.random() < _ABSENT:
        asked.append((ask(count)[0], None))
    return _shuffled("Maintenance schedule", ("Task", "Interval", "Responsible"), rows, asked, rng)


def _shuffled(
    title: str,
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    asked: Sequence[tuple[str, tuple[int, int] | None]],
    rng: Rng,
) -> Sheet:
    """Return the sheet with its rows in random order."""
    order = [int(at) for at in rng.permutation(len(rows))]
    moved = {old: new for new, old in enumerate(order)}
    return Sheet(
        title,
        header,
        tuple(rows[old] for old in order),
        tuple((question, (moved[cell[0]], cell[1]) if cell else None) for question, cell in asked),
    )
