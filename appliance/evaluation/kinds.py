"""Fields of a run file -> whether each is what it says it is: a run comes from anywhere, with NaN and all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

Holds = Callable[[Any], bool]
"""Tells whether a field's value is of a kind."""
_MOST: Final = 2**31
"""Above any count or grade; more would overflow a sum."""


def check(fields: Mapping[str, Any], kinds: Mapping[str, Holds]) -> None:
    """Hold every field against its kind.

    Raises:
        TypeError: one is missing, one too many, or of another kind.
    """
    if set(fields) != set(kinds):
        raise TypeError("other fields")
    wrong = [name for name, holds in kinds.items() if not holds(fields[name])]
    if wrong:
        raise TypeError(f"of another kind: {', '.join(wrong)}")


def text(value: Any) -> bool:
    """Tell whether it is text."""
    return isinstance(value, str)


def yes_or_no(value: Any) -> bool:
    """Tell whether it is true or false."""
    return isinstance(value, bool)


def whole(value: Any, *, least: int = 0) -> bool:
    """Tell whether it is a whole number from `least` on."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < _MOST


def counted(value: Any) -> bool:
    """Tell whether it counts from 1: a rank that was reached, a grade above 0."""
    return whole(value, least=1)


def share(value: Any) -> bool:
    """Tell whether it is in [0, 1]."""
    return milliseconds(value) and value <= 1


def milliseconds(value: Any) -> bool:
    """Tell whether it is a finite number from 0 on."""
    return whole(value) or (isinstance(value, float) and isfinite(value) and value >= 0)


def maybe(holds: Holds) -> Holds:
    """Return the kind that may be absent."""
    return lambda value: value is None or holds(value)


def listed(holds: Holds) -> Holds:
    """Return the kind of a list of it."""
    return lambda value: isinstance(value, list) and all(map(holds, value))
