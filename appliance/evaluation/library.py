"""The documents of a set -> files to be added; the documents of a vault -> what the questions call them.

A file is HTML, in which every text can be written: nothing but white space is lost in the real parser.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from appliance.evaluation.sets import Question, Source
from appliance.types import Document, Passage

_LONGEST: Final = 200
_BLANK_LINES: Final = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Staged:
    """A file to be added, and the ids of the documents that it is: equal ones are stored once."""

    name: str
    data: bytes
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """What a vault holds: `ids` are what the questions call each document, by its name in the vault.

    `paged` are the ids of those with pages, `missing` those that questions name and the vault lacks. `failed`
    counts the documents that could not be added.
    """

    ids: Mapping[str, tuple[str, ...]]
    paged: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    failed: int = 0

    def ranking(self, passages: Iterable[Passage]) -> tuple[tuple[str, ...], ...]:
        """Return what the questions call each document, in the order of their first passages."""
        return tuple(map(self._called, dict.fromkeys(passage.document for passage in passages)))

    def called(self, passage: Passage) -> tuple[str, ...]:
        """Return what the questions call a passage's document, its name where none of them names it."""
        return self._called(passage.document)

    def golds(self, grades: Mapping[str, int]) -> list[tuple[frozenset[str], int]]:
        """Return what is relevant, each under all its names, with the highest of their grades.

        Names of one and the same document are one: nobody can find it twice.
        """
        groups = [frozenset({name}) for name, grade in grades.items() if grade > 0]
        for names in self.ids.values():
            touched = [group for group in groups if len(names) > 1 and not group.isdisjoint(names)]
            if len(touched) > 1:
                groups = [group for group in groups if group not in touched]
                groups.append(frozenset().union(*touched))
        return [(group, max(grades[name] for name in group)) for group in groups]

    def _called(self, document: str) -> tuple[str, ...]:
        return self.ids.get(document, (document,))


def staged(sources: Iterable[Source]) -> tuple[Staged, ...]:
    """Return the files of all documents that have any words."""
    ids: dict[bytes, list[str]] = {}
    for source in sources:
        if source.title or source.text:
            ids.setdefault(_page(source), []).append(source.id)
    return tuple(Staged(_file_name(names[0]), data, tuple(names)) for data, names in ids.items())


def of_files(files: Sequence[Staged], questions: Iterable[Question]) -> Library:
    """Return what the files will be once they are added."""
    known = {name for file in files for name in file.ids}
    return Library({file.name: file.ids for file in files}, missing=_missing(questions, known))


def of_vault(documents: Sequence[Document], questions: Iterable[Question]) -> Library:
    """Return what the questions call a vault's documents: the whole name, or else its end, or its stem."""
    questions = tuple(questions)
    ids: dict[str, list[str]] = {}
    pages = {document.name: document.pages for document in documents}
    paged = set()
    for wanted in dict.fromkeys(name for question in questions for name in question.grades):
        found = _meant(wanted, pages)
        for name in found:
            ids.setdefault(name, []).append(wanted)
        if any(pages[name] is not None for name in found):
            paged.add(wanted)
    known = {wanted for names in ids.values() for wanted in names}
    held = {name: tuple(names) for name, names in ids.items()}
    return Library(held, frozenset(paged), _missing(questions, known))


def digest(files: Iterable[tuple[str, str]], *, use: str = "documents") -> str:
    """Return a SHA-256, in hex, of documents by their names and their own; for each `use` another."""
    lines = (f"{sha256} {name}\n" for name, sha256 in sorted(files))
    return hashlib.sha256("".join((f"{use}\n", *lines)).encode("utf-8", "replace")).hexdigest()


def _meant(wanted: str, names: Collection[str]) -> list[str]:
    """Return the names of the documents that `wanted` means."""
    if wanted in names:
        return [wanted]
    ends = [name for name in names if name.endswith(f"/{wanted}")]
    return ends or [name for name in names if PurePosixPath(name).stem == wanted]


def _missing(questions: Iterable[Question], known: Collection[str]) -> tuple[str, ...]:
    named = {name for each in questions for name, grade in each.grades.items() if grade > 0}
    return tuple(sorted(named.difference(known)))


def _file_name(name: str) -> str:
    """Return a file's name for an id of any letters; one that begins with a dot would be overlooked."""
    safe = quote(name, safe=" ,;=+@()", errors="replace")
    safe = f"%2E{safe[1:]}" if safe.startswith(".") else safe
    long = len(safe) > _LONGEST
    return f"{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest() if long else safe}.html"


def _page(source: Source) -> bytes:
    parts = [part for part in _BLANK_LINES.split(source.text or source.title) if part.strip()]
    text = "".join(f"<p>{html.escape(part)}</p>\n" for part in parts)
    head = f'<!doctype html>\n<meta charset="utf-8">\n<title>{html.escape(source.title)}</title>\n'
    return (head + text).encode("utf-8", "replace")
