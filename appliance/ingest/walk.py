"""Paths a user named -> every visible file beneath them, each with the name people will see."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20
_DEEPEST = 100
"""Folders in one another; a folder made to exhaust the stack has thousands."""


@dataclass(frozen=True, slots=True)
class Found:
    """One line of the report to come.

    `source` is the absolute path, `name` what people see. `problem` says why it will not be opened, else "".
    """

    path: Path
    source: str
    name: str
    size: int = 0
    problem: str = ""


def found(paths: Iterable[Path], *, hidden: list[Path] | None = None) -> tuple[Found, ...]:
    """Return every visible file under `paths`, folders in sorted order, each file once.

    Names that start with a dot inside a folder (version control among them) are left out: `hidden` collects
    them. A link inside a folder is reported, not followed: a folder on a carried disk must not reach outside
    itself, nor turn in a circle. What the user names is followed.
    """
    seen: dict[str, Found] = {}
    left_out = [] if hidden is None else hidden
    for path in paths:
        for item in _named(path, left_out):
            seen.setdefault(item.source, item)
    return tuple(seen.values())


def readable(path: str | Path) -> str:
    """Return a path, or what was taken from one, as text that can be stored: bytes not UTF-8 as their hex."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def unique(item: Found, taken: Callable[[str], bool]) -> str:
    """Return the name of `item`, with as many folders in front of it as make it its own."""
    name = item.name
    folders = list(Path(item.source).parts[: -len(Path(item.name).parts)])
    while taken(name) and folders:
        name = f"{folders.pop().rstrip('/')}/{name}"
    return name


def digest(path: Path, stopped: Callable[[], bool]) -> str | None:
    """Return the file's SHA-256 in hex, None where `stopped` says so on the way.

    Raises:
        OSError: it cannot be read.
    """
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if stopped():
                return None
            state.update(block)
    return state.hexdigest()


def _named(path: Path, hidden: list[Path]) -> Iterator[Found]:
    try:
        real = path.resolve()
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as error:
        yield _problem(path.absolute(), path.name, _why(error))
        return
    if stat.S_ISDIR(mode):
        yield from _walk(real, real, hidden)
    else:
        yield _file(real, real.name)


def _walk(folder: Path, root: Path, hidden: list[Path]) -> Iterator[Found]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield _problem(folder, _relative(folder, root), _why(error))
        return
    for entry in entries:
        if entry.name.startswith("."):
            hidden.append(entry)
        else:
            yield from _entry(entry, root, hidden)


def _entry(entry: Path, root: Path, hidden: list[Path]) -> Iterator[Found]:
    name = _relative(entry, root)
    try:
        mode = entry.lstat().st_mode
    except OSError as error:  # a folder may be listed and yet not entered
        yield _problem(entry, name, _why(error))
        return
    if stat.S_ISLNK(mode):
        yield _problem(entry, name, "It is a link, and links inside a folder are not followed.")
    elif not stat.S_ISDIR(mode):
        yield _file(entry, name)
    elif name.count("/") >= _DEEPEST:
        yield _problem(entry, name, "The folder is nested too deeply.")
    else:
        yield from _walk(entry, root, hidden)


def _file(path: Path, name: str) -> Found:
    try:
        state = path.stat()
    except OSError as error:
        return _problem(path, name, _why(error))
    if not stat.S_ISREG(state.st_mode):
        return _problem(path, name, "It is not a regular file.")
    return Found(path, readable(path), readable(name), state.st_size)


def _problem(path: Path, name: str, why: str) -> Found:
    return Found(path, readable(path), readable(name), problem=why)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _why(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "It is a circle of links"
    return f"{reason}."
