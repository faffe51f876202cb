"""A file, packed or not -> its text, lines and fields; what is malformed is an error that names the place."""

from __future__ import annotations

import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Generic, Protocol, TypeVar

from appliance.errors import UsageError

HINT: Final = "`appliance/evaluation/EVAL.md` has the formats."
MOST_BYTES: Final = 1 << 30
"""Of one file, unpacked: it is held in memory."""
_PIECE: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_KINDS: Final = {str: "text", int: "whole number", bool: "true or false", list: "list", dict: "object"}


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_Item = TypeVar("_Item", bound=_Identified)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file something stands."""

    path: Path
    where: str = ""

    def wrong(self, what: str) -> UsageError:
        """Return the error that says what is wrong here."""
        place = ", ".join(part for part in (str(self.path), self.where) if part)
        return UsageError(f"{place}: {what}.", hint=HINT)

    def get(self, row: dict[str, Any], name: str, kind: type, default: Any) -> Any:
        """Return a field of one kind, `default` where it is absent or null."""
        value = row.get(name)
        return default if value is None else self._checked(value, name, kind)

    def words(self, row: dict[str, Any], name: str) -> str:
        """Return a field that must hold words."""
        value = str(self.get(row, name, str, "")).strip()
        if not value:
            raise self.wrong(f"there is no `{name}`")
        return value.encode("utf-8", "replace").decode()  # no wire takes the half characters JSON can hold

    def listed(self, row: dict[str, Any], name: str, kind: type, *, needed: bool = False) -> list[Any]:
        """Return a field that holds a list of one kind, [] where it is absent, unless it is `needed`."""
        values = self.get(row, name, list, None)
        if values is None and needed:
            raise self.wrong(f"there is no `{name}`")
        return [self._checked(value, name, kind) for value in values or ()]

    def _checked(self, value: Any, name: str, kind: type) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(f"`{name}` is no {_KINDS[kind]}")
        return value


class Named(Generic[_Item]):
    """Things in their order, each with an id of its own."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def add(self, place: Place, item: _Item) -> None:
        """Take one more.

        Raises:
            UsageError: there is another of its id.
        """
        if item.id in self._items:
            raise place.wrong(f"{item.id!r} was there before")
        self._items[item.id] = item

    def all(self) -> tuple[_Item, ...]:
        """Return all, in the order in which they came."""
        return tuple(self._items.values())


def text_of(path: Path) -> str:
    """Read a text file, unpacked.

    Raises:
        UsageError: it cannot be read, or is no UTF-8.
    """
    try:
        data = bytes_of(path)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Place(path, f"line {line}").wrong("this is no UTF-8 text") from None


def bytes_of(path: Path) -> bytes:
    """Read a file, unpacked.

    Raises:
        UsageError: it cannot be read, is no regular file, or too large: a small file may unpack to any size.
    """
    try:
        # A pipe put there does not make the open wait.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path} is no file.", hint=HINT)
            packed = file.peek(len(_GZIP)).startswith(_GZIP)
            data = _read(gzip.GzipFile(fileobj=file) if packed else file)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is no whole gzip file"
        raise UsageError(f"{path} cannot be read: {reason}.") from error
    if len(data) > MOST_BYTES:
        raise too_large(path)
    return data


def too_large(path: Path) -> UsageError:
    """Return the error that a file is larger than may be."""
    return UsageError(f"{path} is too large: {MOST_BYTES >> 20} MiB, unpacked, are the most.", hint=HINT)


def _read(file: IO[bytes] | gzip.GzipFile) -> bytes:
    """Read to the end, or one piece further than may be."""
    data = bytearray()
    while len(data) <= MOST_BYTES and (piece := file.read(_PIECE)):
        data += piece
    return bytes(data)


def lines_of(path: Path, text: str) -> Iterator[tuple[Place, str]]:
    """Yield every line that is not blank, with its place."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield Place(path, f"line {number}"), line.rstrip("\r")


def object_of(place: Place, text: str) -> dict[str, Any]:
    """Return the JSON object that `text` is.

    Raises:
        UsageError: it is none.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        at = "" if place.where else f" (line {error.lineno})"
        raise place.wrong(f"this is no JSON{at}") from None
    except (ValueError, RecursionError):
        raise place.wrong("this is no JSON that can be read") from None
    if not isinstance(found, dict):
        raise place.wrong("this is no JSON object")
    return found
