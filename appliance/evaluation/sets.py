"""A BEIR folder, a SQuAD file or a JSONL file -> questions with what is right, perhaps with documents.

    BEIR    a folder with corpus.jsonl {_id, title?, text}, queries.jsonl {_id, text} and the judgements
            qrels*.tsv or qrels/*.tsv: question, document, grade, parted by tabs; a first line may name them
    SQuAD   a .json of version 1.1 or 2.0; its articles are the documents
    JSONL   a line a question: {question, id?, answers?, answerable?, document?, pages?}; `document` is its
            name in the vault, or how that name ends, `pages` count from 1; it brings no documents

Each file may be packed with gzip. What is malformed is an error that names file and line: no question is left
out in silence.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from appliance.errors import UsageError
from appliance.evaluation.places import HINT, Named, Place, lines_of, object_of, text_of

Kind = Literal["beir", "squad", "jsonl"]
_DEFAULT_SPLITS: Final = ("dev", "test")
_LAYOUTS: Final = ("qrels*.tsv", "qrels*.tsv.gz", "qrels/*.tsv", "qrels/*.tsv.gz")
_COLUMNS: Final = tuple(
    [question, document, grade]
    for question in ("query-id", "qid", "query", "question")
    for document in ("corpus-id", "doc-id", "docid", "document")
    for grade in ("score", "grade", "relevance", "label")
)
"""What a first line may be that names them; any other that is no judgement is a mistake."""
_GRADE: Final = re.compile(r"-?[0-9]{1,9}")
_JUDGEMENT: Final = (
    "a judgement is a question, a document and a whole number of at most 9 digits, parted by tabs"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what is right, as far as it is known.

    `grades` maps a document, by its id or name, to how relevant it is. `pages` are pages of the one in it.
    `answerable` is None where nobody says; `answers` are empty where there is nothing to compare with.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    answerable: bool | None = None
    grades: Mapping[str, int] = field(default_factory=dict)
    pages: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """A document that a set brings; both texts may be empty."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions in their order, and the documents they are about; None where the set brings none.

    `digest` is the SHA-256, in hex, of questions and judgements; `split` names the latter. `graded` tells
    whether any question says what a right answer is.
    """

    name: str
    kind: Kind
    digest: str
    questions: tuple[Question, ...]
    sources: tuple[Source, ...] | None = None
    split: str = ""
    graded: bool = False

    def sample(self, most: int | None, *, seed: int) -> QuestionSet:
        """Return the set with `most` of its questions, drawn by `seed`, in their order; None for all."""
        order = np.random.default_rng(seed).permutation(len(self.questions))[:most]
        return replace(self, questions=tuple(self.questions[at] for at in sorted(order)))

    def without(self, done: Collection[str]) -> QuestionSet:
        """Return the set without the questions of these ids."""
        return replace(self, questions=tuple(each for each in self.questions if each.id not in done))


def load(path: Path, *, split: str | None = None) -> QuestionSet:
    """Read a question set; `split` chooses among the judgements of a BEIR folder.

    Raises:
        UsageError: it is of none of the three kinds, cannot be read, is malformed or empty.
    """
    if path.is_dir():
        found = _beir(path, split)
    elif split is not None:
        raise UsageError("Only a folder in BEIR's layout has splits.", hint=HINT)
    elif ".jsonl" in path.suffixes[-2:]:
        found = _jsonl(path)
    elif ".json" in path.suffixes[-2:]:
        found = _squad(path)
    else:
        raise UsageError(f"{path} is no question set: no folder, no .json, no .jsonl.", hint=HINT)
    if not found.questions:
        raise UsageError(f"{path} holds no questions.", hint=HINT)
    return replace(found, graded=any(each.answers for each in found.questions))


def _jsonl(path: Path) -> QuestionSet:
    text = text_of(path)
    questions = Named[Question]()
    for number, (place, line) in enumerate(lines_of(path, text), 1):
        questions.add(place, _question(place, object_of(place, line), number))
    return QuestionSet(path.name, "jsonl", _digest(text), questions.all())


def _question(place: Place, row: dict[str, Any], number: int) -> Question:
    document = place.get(row, "document", str, "")
    pages = place.listed(row, "pages", int)
    if pages and (not document or min(pages) < 1):
        raise place.wrong("`pages` count from 1 and need a `document`")
    answers = place.listed(row, "answers", str)
    answerable = place.get(row, "answerable", bool, True if answers or document else None)
    return Question(
        id=place.get(row, "id", str, str(number)),
        text=place.words(row, "question"),
        answers=tuple(answers) if answerable else (),
        answerable=answerable,
        grades={document: 1} if document and answerable else {},
        pages=frozenset(pages) if answerable else frozenset(),
    )


def _squad(path: Path) -> QuestionSet:
    text, file = text_of(path), Place(path)
    questions, sources = Named[Question](), Named[Source]()
    for number, article in enumerate(file.listed(object_of(file, text), "data", dict, needed=True), 1):
        place = Place(path, f"article {number}")
        title = place.words(article, "title")
        name = f"{title} {number}" if title in sources else title
        parts = place.listed(article, "paragraphs", dict, needed=True)
        contexts = [place.words(part, "context") for part in parts]
        sources.add(place, Source(name, title.replace("_", " "), "\n\n".join(contexts)))
        for part in parts:
            for row in place.listed(part, "qas", dict, needed=True):
                questions.add(place, _about(name, place, row))
    return QuestionSet(path.name, "squad", _digest(text), questions.all(), sources.all())


def _about(article: str, place: Place, row: dict[str, Any]) -> Question:
    """Return a question about an article: of one that its paragraph does not answer no document is gold."""
    answers = [place.words(gold, "text") for gold in place.listed(row, "answers", dict)]
    answerable = not place.get(row, "is_impossible", bool, not answers)
    if answerable and not answers:
        raise place.wrong("a question that is not impossible has no `answers`")
    return Question(
        id=place.words(row, "id"),
        text=place.words(row, "question"),
        answers=tuple(dict.fromkeys(answers)) if answerable else (),
        answerable=answerable,
        grades={article: 1} if answerable else {},
    )


def _beir(folder: Path, split: str | None) -> QuestionSet:
    name, judged = _judgements(folder, split)
    queries, corpus = _either(folder, "queries.jsonl"), _either(folder, "corpus.jsonl")
    asked, judgements = text_of(queries), text_of(judged)
    questions, sources = Named[Question](), Named[Source]()
    for place, line in lines_of(queries, asked):
        row = object_of(place, line)
        questions.add(place, Question(place.words(row, "_id"), place.words(row, "text")))
    grades = _grades(judged, judgements, questions)
    for place, line in lines_of(corpus, text_of(corpus)):
        row = object_of(place, line)
        title, text = place.get(row, "title", str, ""), place.get(row, "text", str, "")
        sources.add(place, Source(place.words(row, "_id"), title.strip(), text.strip()))
    # As with every BEIR set: a question without judgements belongs to another split.
    chosen = tuple(replace(each, grades=grades[each.id]) for each in questions.all() if each.id in grades)
    digest = _digest(f"{asked}\0{judgements}")
    return QuestionSet(folder.resolve().name, "beir", digest, chosen, sources.all(), name)


def _judgements(folder: Path, split: str | None) -> tuple[str, Path]:
    """Return the name and the file of the split wanted: dev, else test, else the only one.

    Raises:
        UsageError: there is none of that name, or two files for one.
    """
    splits: dict[str, Path] = {}
    for file in sorted(file for layout in _LAYOUTS for file in folder.glob(layout)):
        name = file.name.partition(".tsv")[0].removeprefix("qrels").strip("_-.") or "all"
        if (other := splits.setdefault(name, file)) != file:
            raise UsageError(f"{other} and {file} are both the split {name!r}.", hint="Leave one of them.")
    if not splits:
        raise UsageError(
            f"{folder} is no question set: it has neither qrels*.tsv nor qrels/*.tsv.", hint=HINT
        )
    wanted = (split,) if split else (*_DEFAULT_SPLITS, *(splits if len(splits) == 1 else ()))
    for name in wanted:
        if name in splits:
            return name, splits[name]
    raise UsageError(f"{folder} has no such split.", hint=f"Name one with --split: {', '.join(splits)}.")


def _grades(path: Path, text: str, questions: Named[Question]) -> dict[str, dict[str, int]]:
    """Return for each question the documents that were judged, with grade 0 too."""
    grades: dict[str, dict[str, int]] = {}
    for number, (place, line) in enumerate(lines_of(path, text)):
        cells = line.split("\t")
        if not number and [cell.strip().lower().replace("_", "-") for cell in cells] in _COLUMNS:
            continue
        if len(cells) != 3 or not _GRADE.fullmatch(cells[-1].strip()):
            raise place.wrong(_JUDGEMENT)
        question, document, grade = cells[0], cells[1], int(cells[2])
        if question not in questions:
            raise place.wrong(f"there is no question {question!r}")
        if grades.setdefault(question, {}).setdefault(document, grade) != grade:
            raise place.wrong(f"{document!r} was judged otherwise before")
    return grades


def _either(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise UsageError(f"{folder} is no question set: it has no {name}, nor {name}.gz.", hint=HINT)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
