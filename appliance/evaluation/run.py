"""Questions, and who answers them -> a line of figures for each in a file, at once: it can be resumed."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar, get_args

from appliance.errors import ApplianceError, UsageError
from appliance.evaluation import kinds, places
from appliance.evaluation.library import Library
from appliance.evaluation.places import Place
from appliance.evaluation.row import Row, measured
from appliance.evaluation.sets import Kind, QuestionSet
from appliance.types import Answer, Answered, DocumentPage, Event, Level

FORMAT: Final = 2
_Line = TypeVar("_Line", "Header", Row)
_KEPT: Final = 16
"""Documents whose pages are kept while their quotes are looked up."""


class Answering(Protocol):
    """Whoever answers questions and shows documents: the client."""

    def ask(self, question: str, *, passages: int, generate: bool, level: Level) -> Iterator[Event]:
        """Answer a question."""

    def pages(self, document_id: int) -> tuple[DocumentPage, ...]:
        """Return the text of a document, page by page."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a run: all that its figures depend on. Two with equal ones are the same run.

    `questions` and `documents` are SHA-256 in hex of what was asked about what, `models` those of the models'
    cards, `weights` those of their weights, `settings` that of the configuration. `limit` is None where all
    questions are asked.
    """

    appliance_eval: int
    version: str
    set: str
    kind: Kind
    split: str
    questions: str
    documents: str
    models: Mapping[str, str]
    weights: Mapping[str, str]
    settings: str
    passages: int
    generate: bool
    refusal: Level
    limit: int | None
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return the object that stands in a run file."""
        return asdict(self)

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Self:
        """Undo `as_json`.

        Raises:
            TypeError: a field is missing, one too many, or of another kind.
            ValueError: it is of another format.
        """
        kinds.check(fields, _KINDS)
        if fields["appliance_eval"] != FORMAT:
            raise ValueError("another format")
        return cls(**fields)


def _hashes(value: Any) -> bool:
    return isinstance(value, dict) and all(map(kinds.text, value.values()))


_KINDS: Final[Mapping[str, kinds.Holds]] = {
    "appliance_eval": kinds.counted,
    "version": kinds.text,
    "set": kinds.text,
    "kind": lambda value: value in get_args(Kind),
    "split": kinds.text,
    "questions": kinds.text,
    "documents": kinds.text,
    "models": _hashes,
    "weights": _hashes,
    "settings": kinds.text,
    "passages": kinds.counted,
    "generate": kinds.yes_or_no,
    "refusal": lambda value: value in get_args(Level),
    "limit": kinds.maybe(kinds.counted),
    "seed": kinds.whole,
}


@dataclass(frozen=True, slots=True)
class Step:
    """How far a run has come. `eta_s` is None while there is nothing to judge by."""

    done: int
    total: int
    eta_s: float | None


class RunFile:
    """A run on disk, open for writing by one process. `rows` are those that were there."""

    def __init__(self, descriptor: int, rows: Sequence[Row]) -> None:
        self._descriptor = descriptor
        self.rows = tuple(rows)

    @classmethod
    @contextmanager
    def opened(cls, path: Path, header: Header) -> Iterator[Self]:
        """Begin the run at `path`, or go on with it; a line that a kill cut off is taken away.

        Raises:
            UsageError: another run, or no run at all, is there; or it is being written.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"{path} is no file.")
            yield cls(descriptor, _resumed(descriptor, path, header))
        finally:
            os.close(descriptor)

    def write(self, row: Row) -> None:
        """Append the figures of one question: in the file when this returns."""
        _append(self._descriptor, row.as_json())


def read(path: Path) -> tuple[Header, tuple[Row, ...]]:
    """Read a run; a line that was cut off at its end is left out.

    Raises:
        UsageError: it is none, or cannot be read.
    """
    return _parsed(path, places.bytes_of(path))


def ask(
    client: Answering,
    asked: QuestionSet,
    *,
    library: Library,
    header: Header,
    keep: Callable[[Row], None],
    clock: Callable[[], float],
) -> Iterator[Step]:
    """Ask every question through the real pipeline and `keep` its figures; `clock` gives seconds."""
    pages, began, total = _Pages(client), clock(), len(asked.questions)
    yield Step(0, total, None)
    for done, question in enumerate(asked.questions, 1):
        answer = _answer(client, question.text, header)
        row = measured(question, answer, library=library, text=pages.text, graded=asked.graded)
        keep(row)
        yield Step(done, total, (clock() - began) / done * (total - done))


def _answer(client: Answering, question: str, header: Header) -> Answer:
    events = client.ask(question, passages=header.passages, generate=header.generate, level=header.refusal)
    answers = [event.answer for event in events if isinstance(event, Answered)]
    if not answers:
        raise ApplianceError("The worker sent no answer.")
    return answers[-1]


class _Pages:
    """The pages of the documents that were cited last."""

    def __init__(self, client: Answering) -> None:
        self._client = client
        self._kept: dict[int, tuple[DocumentPage, ...]] = {}

    def text(self, document_id: int, page: int | None) -> tuple[str, str]:
        if document_id not in self._kept:
            if len(self._kept) == _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[document_id] = self._client.pages(document_id)
        texts = {each.page: each.text for each in self._kept[document_id]}
        return texts.get(page, ""), "" if page is None else texts.get(page + 1, "")


def _resumed(descriptor: int, path: Path, header: Header) -> tuple[Row, ...]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"Another process is writing {path}.", hint="Wait for its end.") from None
    if os.fstat(descriptor).st_size > places.MOST_BYTES:
        raise places.too_large(path)
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and (not data or _line(header.as_json()).startswith(data)):
        os.ftruncate(descriptor, 0)
        _append(descriptor, header.as_json())
        return ()
    before, rows = _parsed(path, data)
    other = [name for name, value in header.as_json().items() if before.as_json()[name] != value]
    if other:
        raise UsageError(
            f"{path} is another run: its {', '.join(other)} differ.",
            hint="Nothing was written. Name another file with --out; --against compares the two.",
        )
    os.ftruncate(descriptor, len(whole))
    return rows


def _parsed(path: Path, data: bytes) -> tuple[Header, tuple[Row, ...]]:
    first, *others = data[: data.rfind(b"\n") + 1].split(b"\n")
    header = _made(Header.of_json, Place(path, "line 1"), first)
    places = (Place(path, f"line {number}") for number in itertools.count(2))
    rows = [_made(Row.of_json, place, line) for place, line in zip(places, others[:-1], strict=False)]
    return header, tuple({row.id: row for row in rows}.values())


def _made(of_json: Callable[[dict[str, Any]], _Line], place: Place, line: bytes) -> _Line:
    try:
        fields = json.loads(line)
        return of_json(fields if isinstance(fields, dict) else {})
    except (ValueError, TypeError):
        raise place.wrong("this is no run of `appliance eval`") from None


def _append(descriptor: int, fields: dict[str, Any]) -> None:
    line = _line(fields)
    while line:
        line = line[os.write(descriptor, line) :]


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"
