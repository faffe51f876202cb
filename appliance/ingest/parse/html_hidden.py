"""What a style or an attribute says of an element -> whether a browser would show its text.

Certain is: `hidden`, `display: none` and the like, a size of a pixel or two, no opacity, a place far off the
page, a clip that lets nothing through, and a colour like the background's. Nothing is computed but that:
a browser's cascade is not. Where scripts run, what a style sheet hides may be a tab that opens at a click.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "hidden text, left out"
PERHAPS = "text that a style sheet hides until a script shows it"

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
UNKNOWN = None
"""A background that is a picture or a gradient, or a colour written in a way that is not read here."""

_NAMED = {"white": WHITE, "snow": (255, 250, 250), "ivory": (255, 255, 240), "ghostwhite": (248, 248, 255),
          "whitesmoke": (245, 245, 245), "black": BLACK, "red": (255, 0, 0), "green": (0, 128, 0),
          "blue": (0, 0, 255), "yellow": (255, 255, 0), "gray": (128, 128, 128), "grey": (128, 128, 128),
          "silver": (192, 192, 192)}  # fmt: skip
_ALIKE = 12
_ZERO = r"0*\.?0*(?:px|pt|em|rem|%|vw|vh)?\s*(?:!important\s*)?(?:;|$)"
_GONE = re.compile(
    r"(?:^|;)\s*(?:"
    r"display\s*:\s*none\b|visibility\s*:\s*(?:hidden|collapse)\b|content-visibility\s*:\s*hidden\b|"
    rf"font-size\s*:\s*{_ZERO}|font-size\s*:\s*(?:[01](?:\.\d+)?|0?\.\d+)\s*p[xt]\b|"
    r"font-size\s*:\s*0?\.0\d*\s*r?em\b|font\s*:[^;]*\b0(?:px|pt)?/|"
    r"opacity\s*:\s*(?:0?\.0\d*|0+)%?\s*(?:!important\s*)?(?:;|$)|"
    r"text-indent\s*:\s*-\d{3,}|(?:left|top|right|bottom|margin-left|margin-top)\s*:\s*-\d{3,}(?:\.\d+)?\s*(?:px|pt|em|rem|vw|vh|%)|"
    r"clip\s*:\s*rect\(\s*(?:0|1px)|clip-path\s*:\s*(?:inset\(\s*(?:50|100)%|circle\(\s*0)|"
    r"transform\s*:[^;]*(?:scale[xy]?\(\s*0(?:\.0\d*)?\s*[,)]|translate[xy]?\(\s*-\d{4,})|"
    r"filter\s*:[^;]*opacity\(\s*0"
    r")",
    re.I,
)
_NO_ROOM = re.compile(rf"(?:^|;)\s*(?:max-)?(?:height|width)\s*:\s*(?:1px\s*(?:;|$)|{_ZERO})", re.I)
_CUT_OFF = re.compile(r"(?:^|;)\s*overflow(?:-[xy])?\s*:\s*(?:hidden|clip)\b", re.I)
_COLOUR = re.compile(r"(?:^|;)\s*(?:-webkit-text-fill-)?color\s*:\s*([^;]+)", re.I)
_GROUND = re.compile(r"(?:^|;)\s*background(?:-color)?\s*:\s*([^;]+)", re.I)
_HEX = re.compile(r"#([0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})\b", re.I)
_RGB = re.compile(r"rgba?\(\s*(\d+)(%?)[\s,]+(\d+)%?[\s,]+(\d+)%?(?:[\s,/]+([\d.]+)(%?))?\s*\)", re.I)
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_RULE = re.compile(r"([^{};@]+)\{([^{}]*)\}")
_MEDIA = re.compile(
    r"@(?!media\s+(?:screen|all)\b)[^{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}|@media[^{]*\{", re.I
)
_MOST_CSS = 200_000


def is_gone(style: str) -> bool:
    """Tell whether declarations hide an element whatever its colours are."""
    style = _COMMENT.sub("", style)
    return bool(_GONE.search(style)) or bool(_NO_ROOM.search(style) and _CUT_OFF.search(style))


def ink(style: str, attributes: Mapping[str, str | None]) -> tuple[bool, Colour | None]:
    """Return whether a text's colour is declared, and which; None for none that is known."""
    found = _COLOUR.findall(_COMMENT.sub("", style))
    value = found[-1] if found else attributes.get("color") or attributes.get("text") or ""
    return bool(value), _colour(value)


def ground(style: str, attributes: Mapping[str, str | None]) -> tuple[bool, Colour | None]:
    """Return whether a background is declared, and its colour; None for a picture, or none that is known."""
    found = _GROUND.findall(_COMMENT.sub("", style))
    value = found[-1] if found else attributes.get("bgcolor") or ""
    if attributes.get("background") or "url(" in value or "gradient" in value:
        return True, UNKNOWN
    if value.strip().lower() in ("none", "transparent", "inherit", "initial", "unset"):
        return False, UNKNOWN
    return bool(value), _colour(value)


def is_transparent(style: str) -> bool:
    """Tell whether the text's colour lets everything through."""
    found = _COLOUR.findall(_COMMENT.sub("", style))
    return bool(found) and (
        found[-1].strip().lower().startswith("transparent") or _opacity(found[-1]) <= 0.05
    )


def alike(one: Colour, two: Colour) -> bool:
    """Tell whether no eye tells the colours apart."""
    return all(abs(a - b) <= _ALIKE for a, b in zip(one, two, strict=True))


def rules(sheet: str) -> list[tuple[str, str]]:
    """Return (selector, declarations) of a style sheet, without what is only for print or another medium."""
    sheet = _MEDIA.sub("", _COMMENT.sub("", sheet[:_MOST_CSS]))
    return [(selector.strip(), body) for selector, body in _RULE.findall(sheet)]


def _colour(value: str) -> Colour | None:
    value = value.strip().lower()
    if (found := _HEX.search(value)) is not None:
        digits = found[1] if len(found[1]) >= 6 else "".join(digit * 2 for digit in found[1])
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
    if (found := _RGB.search(value)) is not None:
        scale = 2.55 if found[2] else 1.0
        red, green, blue = (min(255, round(int(found[at][:6]) * scale)) for at in (1, 3, 4))
        return red, green, blue
    return next((_NAMED[word] for word in re.findall(r"[a-z]+", value) if word in _NAMED), UNKNOWN)


def _opacity(value: str) -> float:
    if (found := _RGB.search(value)) is not None and found[5]:
        number = re.match(r"\d*\.?\d*", found[5])
        share = float(number[0]) if number and number[0] not in ("", ".") else 1.0
        return share / 100 if found[6] else share
    found = _HEX.search(value)
    if found is not None and len(found[1]) in (4, 8):
        return int(found[1][-1], 16) / 15 if len(found[1]) == 4 else int(found[1][6:], 16) / 255
    return 1.0
