"""The rows of a run -> what is measured: each figure by its name, and how it comes from the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appliance.evaluation import metrics
from appliance.evaluation.metrics import Statistic
from appliance.evaluation.row import Row

Value = Callable[[Row], float | None]
_DEPTHS: Final = (1, 3, 5, 10, 20)
_NDCG_DEPTH: Final = 10
_PASSAGES: Final = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: the statistic of what `of` gives for each question, those with None left out."""

    name: str
    title: str
    of: Value
    statistic: Statistic = metrics.mean
    decimals: int = 3


def figures(passages: int) -> tuple[Figure, ...]:
    """Return what is measured where that many passages were asked for: no rank beyond them means anything."""
    deep = [Figure("ndcg_at_10", "document nDCG@10", _ndcg)] if passages >= _NDCG_DEPTH else []
    return (*deep, *_ranks(passages), *_ANSWERS, *_TIMES)


def _ndcg(row: Row) -> float | None:
    if row.gains is None or row.ideal is None:
        return None
    return metrics.ndcg(dict(row.gains), row.ideal, _NDCG_DEPTH)


def _recall(k: int) -> Value:
    def of(row: Row) -> float | None:
        return (
            None if row.gains is None or row.ideal is None else metrics.recall(dict(row.gains), row.ideal, k)
        )

    return of


def _within(rank_of: Callable[[Row], int | None], k: int) -> Value:
    def of(row: Row) -> float | None:
        rank = rank_of(row)
        return None if rank is None else float(0 < rank <= k)

    return of


def _ranks(passages: int) -> list[Figure]:
    """Return how early the right documents, pages and passages come."""
    shown = [k for k in _PASSAGES if k <= passages]
    return [
        *(Figure(f"recall_at_{k}", f"document recall@{k}", _recall(k)) for k in _DEPTHS if k <= passages),
        Figure("mrr", "document MRR", _mrr),
        *(
            Figure(f"page_at_{k}", f"passage on a gold page@{k}", _within(lambda row: row.page, k))
            for k in shown
        ),
        *(
            Figure(
                f"passage_at_{k}",
                f"passage with a gold answer@{k}",
                _within(lambda row: row.passage, k),
            )
            for k in shown
        ),
    ]


def _mrr(row: Row) -> float | None:
    return None if row.gains is None else metrics.reciprocal_rank(dict(row.gains))


def _answered(value: Value) -> Value:
    """Return `value` of the questions that were answered."""
    return lambda row: None if row.abstained else value(row)


def _refused(row: Row, *, answerable: bool) -> float | None:
    return float(row.abstained) if row.answerable is answerable else None


_ANSWERS: Final = (
    Figure("exact", "exact match", lambda row: row.exact),
    Figure("f1", "F1", lambda row: row.f1),
    Figure("answerable_f1", "F1 of the answerable", lambda row: row.f1 if row.answerable else None),
    Figure("marked_exact", "exact match of the words marked", lambda row: row.marked_exact),
    Figure("marked_f1", "F1 of the words marked", lambda row: row.marked_f1),
    Figure("answer_in_quote", "gold answer in the quote", lambda row: row.in_quote),
    Figure("refusal_recall", "unanswerable refused", lambda row: _refused(row, answerable=False)),
    Figure("false_refusal", "answerable refused", lambda row: _refused(row, answerable=True)),
    Figure(
        "citations_valid",
        "citations that stand on their page",
        _answered(lambda row: row.valid / row.citations if row.citations else 0.0),
    ),
    Figure(
        "citations_supported",
        "citations that the check supports",
        _answered(lambda row: row.supported / row.citations if row.citations else 0.0),
    ),
    Figure(
        "numbers_off_page",
        "answers with a number on no cited page",
        _answered(lambda row: float(row.off_page > 0)),
    ),
)
_TIMES: Final = tuple(
    Figure(f"{name}_p{share}_ms", f"{title}, p{share} ms", of, metrics.quantile(share / 100), decimals=0)
    for name, title, of in (
        ("evidence", "to the evidence", lambda row: row.evidence_ms),
        ("total", "to the whole answer", lambda row: row.total_ms),
    )
    for share in (50, 95)
)
