"""A word -> the unit that it is, in one spelling for each."""

from __future__ import annotations

_UNITS = """
am a.m|pm p.m
second seconds sec secs s|minute minutes min mins|hour hours hr hrs h|day days|week weeks|month months
year years yr yrs|millisecond milliseconds ms|percent % pct percentage|permille ‰
kg kilogram kilograms kilogramme kilogrammes|gram grams g|mg milligram milligrams|tonne tonnes|ton tons
pound pounds lb lbs|ounce ounces oz|stone stones
m metre metres meter meters|km kilometre kilometres kilometer kilometers|cm centimetre centimetres centimeter
centimeters|mm millimetre millimetres millimeter millimeters|mile miles mi|foot feet ft|inch inches
yard yards
litre litres liter liters l L|ml millilitre millilitres milliliter milliliters|gallon gallons gal|gpm|cfs|mgd
acre acres|hectare hectares ha|psi|bar bars|kpa|mpa|pa|rpm|hz|khz|mhz|ghz|hp horsepower
v volt volts V|kv|mv|a amp amps ampere amperes A|ma|w watt watts W
kw kilowatt kilowatts|mw milliwatt milliwatts|Mw megawatt megawatts|gw|kwh|mwh|va|kva|mva|ah|mah
j joule joules J|kj|mj|n newton newtons N|nm|ohm ohms ω|kω|mω|db|lux|lumen lumens|mph|kmh|knot knots
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
_CASED = frozenset(
    """mg ml mm mpa ms mv ma mah mw mwh mva mhz mj mω nm kb mb gb tb kib mib gib bps kbps mbps gbps""".split()
)
"""Units in which the case of a letter tells milli from mega, bit from byte, a length from a torque."""
_TELLING = frozenset("MBSN")


def known(unit: str) -> set[str]:
    """Return the canonical unit; single letters count only as written, so that "a" stays an article."""
    if unit.lower() in _CASED:
        key = "".join(char if char in _TELLING else char.lower() for char in unit)
        return {_UNIT.get(key, key)}
    key = unit if len(unit) == 1 else unit.lower()
    return {_UNIT[key]} if key in _UNIT and key != "a" else set()
