"""JSON of exactly one encoding: fields are read strictly and written in a fixed order."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from appliance.errors import AuditDamaged

T = TypeVar("T")
Fields = dict[str, Any]

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def strictly(text: bytes, read: Callable[[Fields], T]) -> T:
    """Return what `read` makes of the JSON object in `text`; duplicate names show when it is encoded again.

    Raises:
        AuditDamaged: it is no object in ASCII, or `read` did not find what it needs.
    """
    try:
        need(text.isascii())
        raw = json.loads(text)
        need(type(raw) is dict)
        return read(raw)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise AuditDamaged("A record is not of the form it should have.") from None


def opened(fields: Fields) -> bytes:
    """Return the object without its closing brace, so that what signs it can follow."""
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()[:-1]


def signed(text: bytes, name: str, value: bytes | None) -> bytes:
    """Return `text` with one last field, closed and ended by a line feed."""
    return (
        text
        + f',"{name}":'.encode()
        + (b"null" if value is None else b'"%s"' % value.hex().encode())
        + b"}\n"
    )


def need(holds: bool) -> None:  # noqa: FBT001 - the condition is the argument
    """Raise ValueError unless `holds`."""
    if not holds:
        raise ValueError


def number(value: Any, most: int) -> int:
    """Return an integer from 0 to `most`."""
    need(type(value) is int and 0 <= value <= most)
    return int(value)


def text(value: Any, form: re.Pattern[str]) -> str:
    """Return a string that has the form."""
    need(type(value) is str and form.fullmatch(value) is not None)
    return str(value)


def hexed(value: Any, length: int) -> bytes:
    """Return `length` bytes written in hexadecimal digits; capitals show when they are encoded again."""
    data = bytes.fromhex(value)
    need(len(data) == length)
    return data


def based(value: Any) -> bytes:
    """Return bytes written in base 64."""
    need(type(value) is str)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError from None


def base64_of(data: bytes) -> str:
    """Return `data` in base 64."""
    return base64.b64encode(data).decode()


def listed(value: Any, most: int) -> list[Any]:
    """Return a list of at most `most`."""
    need(type(value) is list and len(value) <= most)
    return list(value)


def pair(value: Any) -> tuple[Any, Any]:
    """Return a list of two."""
    first, second = listed(value, 2)
    return first, second


def moment(value: Any) -> datetime:
    """Return a time written by `shown`."""
    return datetime.fromisoformat(text(value, _TIME)[:-1]).replace(tzinfo=UTC)


def shown(time: datetime) -> str:
    """Return a time in UTC, to the second, as RFC 3339 has it."""
    return time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
