"""Nouns -> lines of a given width. Decides how things read; touches no screen.

Everything that came from a document, a model or a file name is cleaned here or by its caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from rich.cells import cell_len, set_cell_size

from appliance.clean import clean_line
from appliance.types import Added, Answer, Document, FileResult, FileStatus, Finder, Passage, Progress

_FOUND_BY = {("words",): "words", ("vectors",): "meaning", (): "-"}
_LEAST_PATH = 20
PASSAGE_HEAD = "  n page   found by  score  document and heading"


def fit(text: str, width: int) -> str:
    """Return `text` padded or cut with an ellipsis to exactly `width` cells."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(width - 1, 0)) + "\u2026" if width > 0 else ""


def place(document: str, page: int | None, heading: str) -> str:
    """Say where a text stands, the page before the heading."""
    parts = (clean_line(document), f"page {page}" if page is not None else "", clean_line(heading))
    return " \u00b7 ".join(part for part in parts if part)


def found_by(finders: Sequence[Finder]) -> str:
    """Say which search found a passage."""
    return _FOUND_BY.get(tuple(finders), "both")


def passage_row(n: int, passage: Passage, *, cited: bool, width: int) -> str:
    """Return a passage as one row under PASSAGE_HEAD; a cited one carries a star."""
    page = f"p. {passage.page}" if passage.page is not None else "-"
    what = place(passage.document, None, passage.heading)
    head = f" {n:>2}{'*' if cited else ' '}{page:<7}{found_by(passage.found_by):<10}{passage.score:4.2f}   "
    return fit(head + what, width)


def document_head(width: int) -> str:
    """Return the head of the library's table."""
    return _document_row("Name", ("Pages", "Chunks", "Added", "Status"), width)


def document_row(document: Document, width: int) -> str:
    """Return a document as one row of the library's table."""
    pages = "-" if document.pages is None else str(document.pages)
    cells = (pages, f"{document.chunks}", f"{document.added:%Y-%m-%d}", document_status(document))
    return _document_row(clean_line(document.name), cells, width)


def document_status(document: Document) -> str:
    """Say in a word or two what a user should know about a document before trusting it."""
    marks = ["partial"] * bool(document.lost) + ["suspicious"] * bool(document.flags)
    return ", ".join(marks) or "ok"


def _document_row(name: str, cells: tuple[str, str, str, str], width: int) -> str:
    pages, chunks, added, status = cells
    tail = f" {pages:>6} {chunks:>7}  {added:<10}  {status:<19}"
    return " " + fit(name, width - len(tail) - 1) + tail


def file_row(result: FileResult, width: int) -> str:
    """Return the one honest line about a file; of a long path its end is shown, the reason is never cut."""
    counts = [f"{result.pages} pages"] if result.pages is not None else []
    counts += [f"{result.chunks} chunks"] if result.chunks else []
    said = "; ".join(part for part in (", ".join(counts), clean_line(result.reason)) if part)
    tail = f"  {said}" if said else ""
    room = max(width - 10 - cell_len(tail), _LEAST_PATH)
    return f"{result.status:<10}{_end(clean_line(result.path), room)}{tail}"


def _end(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    while cell_len(text) >= width:
        text = text[1:]
    return f"\u2026{text}"


def progress_row(progress: Progress, width: int) -> str:
    """Return a bar, counts, the time left and the current file, cut to `width`."""
    total = max(progress.files_total, 1)
    filled = min(12, 12 * progress.files_done // total)
    left = "" if progress.eta_s is None else f" \u00b7 {duration(progress.eta_s)} left"
    counts = f"{progress.files_done}/{progress.files_total} files \u00b7 {progress.chunks_done} chunks"
    bar = "\u2588" * filled + "\u2591" * (12 - filled)
    return fit(f"{bar} {counts}{left} \u00b7 {clean_line(progress.current)}", width).rstrip()


def added_row(added: Added) -> str:
    """Sum up an add: how many files ended how, and how fast."""
    counts = Counter(file.status for file in added.files)
    said = ", ".join(f"{counts[status]} {status}" for status in get_args(FileStatus) if counts[status])
    said = said or "no files found"
    hidden = f" \u00b7 {added.hidden} hidden, left out" if added.hidden else ""
    return f"{said} \u00b7 {duration(added.seconds)} \u00b7 {added.chunks_per_second:.0f} chunks/s{hidden}"


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def milliseconds(ms: float) -> str:
    """Return a latency in ms or s."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def timings_row(answer: Answer) -> str:
    """Return the line about time, and about sentences that failed the check."""
    timings = answer.timings
    parts = [] if answer.abstained else [f"quote {milliseconds(timings.first_evidence_ms)}"]
    if timings.first_token_ms is not None:
        parts.append(f"first word {milliseconds(timings.first_token_ms)}")
    parts.append(f"total {milliseconds(timings.total_ms)}")
    if answer.unsupported:
        parts.append(f"{len(answer.unsupported)} unsupported (u)")
    return " \u00b7 ".join(parts)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
