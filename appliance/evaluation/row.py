"""What was asked, found and answered -> the figures of one question, without a word of either.

A run is a plain file: questions, quotes and names of a vault's documents must not leak into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from appliance.evaluation import kinds, metrics
from appliance.evaluation.library import Library
from appliance.evaluation.sets import Question
from appliance.types import Answer, Citation, Passage

PageText = Callable[[int, int | None], tuple[str, str]]
"""The id of a document and a page -> the texts of that page and of the next; page None: all of it, and ""."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one question. None: this does not apply to it. Ranks count from 1; 0: not found.

    `gains` are (rank, grade) of the relevant documents that were found, `ideal` the grades of all there are,
    best first. `page` is the rank of the first passage on a gold page, `passage` of the first that holds a
    gold answer and is of a gold document. `marked_exact` and `marked_f1` compare the words that the quote
    marks, all of it where it marks none; `in_quote` tells whether the quote holds a gold answer.
    Of the `citations`, `valid` stand in their passage and on their page, `supported` are so by the
    appliance's own check. `off_page` counts the answer's numbers that are on no cited page. `failed` counts
    the documents that could not be added: the question was asked of the others.
    """

    id: str
    gains: tuple[tuple[int, int], ...] | None
    ideal: tuple[int, ...] | None
    page: int | None
    passage: int | None
    answerable: bool | None
    abstained: bool
    exact: float | None
    f1: float | None
    marked_exact: float | None
    marked_f1: float | None
    in_quote: bool | None
    citations: int
    valid: int
    supported: int
    off_page: int
    failed: int
    evidence_ms: float
    total_ms: float

    def as_json(self) -> dict[str, Any]:
        """Return the object that stands in a run file."""
        return asdict(self)

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Self:
        """Undo `as_json` of what JSON made of it.

        Raises:
            TypeError: a field is missing, one too many, or of another kind.
            ValueError: two of them disagree.
        """
        kinds.check(fields, _KINDS)
        gains, ideal = fields["gains"], fields["ideal"]
        made = cls(
            **fields
            | {
                "gains": None if gains is None else tuple((rank, grade) for rank, grade in gains),
                "ideal": None if ideal is None else tuple(ideal),
            }
        )
        if max(made.valid, made.supported) > made.citations or len(gains or ()) > len(ideal or ()):
            raise ValueError("more than there are")
        return made


def _find(value: Any) -> bool:
    """Tell whether it is a rank and a grade."""
    return kinds.listed(kinds.counted)(value) and len(value) == 2


_KINDS: Final[Mapping[str, kinds.Holds]] = {
    "id": kinds.text,
    "gains": kinds.maybe(kinds.listed(_find)),
    "ideal": kinds.maybe(kinds.listed(kinds.counted)),
    "page": kinds.maybe(kinds.whole),
    "passage": kinds.maybe(kinds.whole),
    "answerable": kinds.maybe(kinds.yes_or_no),
    "abstained": kinds.yes_or_no,
    "exact": kinds.maybe(kinds.share),
    "f1": kinds.maybe(kinds.share),
    "marked_exact": kinds.maybe(kinds.share),
    "marked_f1": kinds.maybe(kinds.share),
    "in_quote": kinds.maybe(kinds.yes_or_no),
    "citations": kinds.whole,
    "valid": kinds.whole,
    "supported": kinds.whole,
    "off_page": kinds.whole,
    "failed": kinds.whole,
    "evidence_ms": kinds.milliseconds,
    "total_ms": kinds.milliseconds,
}


def measured(
    question: Question,
    answer: Answer,
    *,
    library: Library,
    text: PageText,
    graded: bool,
) -> Row:
    """Measure one answer; `graded` tells whether the set has any answers to compare with.

    Exact match and F1 are those of SQuAD 2.0, where to abstain is to answer "".
    """
    gains, ideal = _ranked(question, library, answer.passages)
    said = "" if answer.abstained else metrics.unmarked(answer.answer)
    comparable = bool(question.answers) or (graded and question.answerable is False)
    exact, f1 = metrics.best(question.answers, said) if comparable else (None, None)
    marked_exact, marked_f1 = metrics.best(question.answers, _marked(answer)) if comparable else (None, None)
    return Row(
        id=question.id,
        gains=gains,
        ideal=ideal,
        page=_first(_on_gold_page(question, answer.passages, library)),
        passage=_first(_with_answer(question, answer.passages, library)),
        answerable=question.answerable,
        abstained=answer.abstained,
        exact=exact,
        f1=f1,
        marked_exact=marked_exact,
        marked_f1=marked_f1,
        in_quote=metrics.holds(_quote(answer), question.answers) if question.answers else None,
        citations=len(answer.citations),
        valid=sum(_valid(each, answer.passages, text) for each in answer.citations),
        supported=sum(each.supported for each in answer.citations),
        off_page=len(metrics.numbers(said) - _cited_numbers(answer, text)),
        failed=library.failed,
        evidence_ms=round(answer.timings.first_evidence_ms, 2),
        total_ms=round(answer.timings.total_ms, 2),
    )


def _quote(answer: Answer) -> str:
    return answer.evidence.quote if answer.evidence else ""


def _marked(answer: Answer) -> str:
    found = answer.evidence
    if found is None or found.mark is None:
        return _quote(answer)
    return answer.passages[found.n - 1].text[slice(*found.mark)]


def _ranked(
    question: Question, library: Library, passages: Sequence[Passage]
) -> tuple[tuple[tuple[int, int], ...] | None, tuple[int, ...] | None]:
    if not question.grades:
        return None, None
    ranking = list(enumerate(library.ranking(passages), 1))
    golds = library.golds(question.grades)
    first = (next((rank for rank, names in ranking if not gold.isdisjoint(names)), 0) for gold, _ in golds)
    gains = sorted((rank, grade) for rank, (_, grade) in zip(first, golds, strict=True) if rank)
    return tuple(gains), tuple(sorted((grade for _, grade in golds), reverse=True))


def _on_gold_page(question: Question, passages: Iterable[Passage], library: Library) -> list[bool] | None:
    if not (question.pages and question.grades.keys() & library.paged):
        return None
    return [
        passage.page in question.pages and not question.grades.keys().isdisjoint(library.called(passage))
        for passage in passages
    ]


def _with_answer(question: Question, passages: Iterable[Passage], library: Library) -> list[bool] | None:
    if not question.answers:
        return None
    return [
        (not question.grades or not question.grades.keys().isdisjoint(library.called(passage)))
        and metrics.holds(f"{passage.lead} {passage.text}", question.answers)
        for passage in passages
    ]


def _first(found: list[bool] | None) -> int | None:
    """Return the rank of the first True, 0 where there is none, None where nothing was looked for."""
    if found is None:
        return None
    return found.index(True) + 1 if True in found else 0


def _valid(citation: Citation, passages: Sequence[Passage], text: PageText) -> bool:
    if not 0 < citation.n <= len(passages):
        return False
    passage = passages[citation.n - 1]
    there = metrics.stands(citation.quote, passage.text, "")
    return there and metrics.stands(citation.quote, *text(passage.document_id, citation.page))


def _cited_numbers(answer: Answer, text: PageText) -> frozenset[str]:
    """Return the numbers on all pages that the answer cites."""
    found: set[str] = set()
    for citation in answer.citations:
        if 0 < citation.n <= len(answer.passages):
            pages = text(answer.passages[citation.n - 1].document_id, citation.page)
            found |= metrics.numbers("\n".join(pages))
    return frozenset(found)
