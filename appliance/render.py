"""Nouns -> lines of plain text and JSON objects for the command line; every foreign word is cleaned first."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from appliance.clean import clean, clean_line
from appliance.secret import DEVICE_SALT_BYTES
from appliance.sentences import CELL, ITEM, flows_on, header_of
from appliance.types import (
    Added,
    Answer,
    Citation,
    Document,
    DocumentPage,
    Evidence,
    FileResult,
    Passage,
    Report,
    Rewritten,
    SlotInfo,
    Timings,
    Verdict,
)

REFUSAL = "Not in your documents"
_NEAREST, _SNIPPET = 3, 200
"""Passages shown of a refusal, and characters quoted of each: enough to see whether to read on."""
_COLUMN, _FULL = 40, 0.6
"""Characters of the narrowest column of prose, and the share of its width that a line of it fills."""
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")


def place(document: str, page: int | None, heading: str) -> str:
    """Return where a quote stands, in one line."""
    where = clean_line(document) + (f", page {page}" if page is not None else "")
    return f"{where} · {clean_line(heading)}" if heading else where


def evidence(found: Evidence, width: int, *, styled: bool = False) -> str:
    """Return the quote under its place: the first thing a reader sees; `styled` marks the answer's words."""
    where = place(found.document, found.page, found.heading)
    return f"{where}\n{_quoted(_parts(found) if styled else (found.quote,), width)}\n"


def answer(given: Answer, width: int, *, shown: Evidence | None = None) -> str:
    """Return the checked answer with its sources, or the refusal with the nearest passages.

    `shown` is the evidence that is on screen already: an answer that only repeats it is not printed twice.
    """
    if given.abstained:
        return "\n".join([f"{REFUSAL}.", *_nearest(given, width)]) + "\n"
    text = answer_text(given)
    if shown is not None and is_quote(given, shown):
        return f"{word_for_word(shown)}\n"
    lines = [_wrapped(clean(text), width), ""]
    lines += [_citation(citation) for citation in _first_of_each(given.citations)]
    return "\n".join(lines) + "\n"


def searched_for(given: Answer, width: int) -> str:
    """Return what was searched for, "" where that is the question as it was asked."""
    return _wrapped(clean_line(f"Searched for: {given.searched_for}"), width) if given.searched_for else ""


def _nearest(given: Answer, width: int) -> list[str]:
    """Return where the nearest passages stand with what each says of it, and how near they come."""
    if not given.passages:
        return []
    near = []
    for number, passage in enumerate(given.passages[:_NEAREST]):
        near.append(f"  {place(passage.document, passage.page, passage.heading)}")
        if said := "".join(given.nearest[number : number + 1]).strip():
            near.append(_quoted((_shortened(said),), width))
    return ["", _wrapped(f"The nearest passages ({verdict(given.verdict)}):", width), *near]


def _shortened(text: str) -> str:
    """Return the beginning of a text, to a space where there is one."""
    line = " ".join(text.split())
    if len(line) <= _SNIPPET:
        return line
    return line[: max(line.rfind(" ", 0, _SNIPPET), 0) or _SNIPPET].rstrip() + " …"


def verdict(found: Verdict) -> str:
    """Return how near the documents came to an answer, and how near they must come."""
    # As many digits as tell the two apart: "0.24; asks for 0.24" would be no reason.
    digits = next((n for n in (2, 3, 4) if f"{found.near:.{n}f}" != f"{found.needed:.{n}f}"), 2)
    return f"chance of an answer {found.near:.{digits}f}; {found.level} asks for {found.needed:.{digits}f}"


def timings(spent: Timings) -> str:
    """Return where the time went, in one line."""
    stages = f"search {spent.embed_ms + spent.search_ms:.0f}, reading {spent.read_ms:.0f}"
    return f"evidence after {spent.first_evidence_ms:.0f} ms ({stages}), all in {spent.total_ms:.0f} ms"


def is_quote(given: Answer, shown: Evidence | None) -> bool:
    """Tell whether an answer is the quote `shown` as it stands, and nothing else."""
    return shown is not None and answer_text(given) == f"{shown.quote.strip()} [{shown.n}]"


def word_for_word(shown: Evidence) -> str:
    """Return what is said in place of a quote that is on screen already."""
    more = " It goes on behind the quote: read on there." if shown.goes_on else ""
    return f"Quoted word for word [{shown.n}].{more}"


def answer_text(given: Answer) -> str:
    """Return the answer; a table's row that answers alone is written as "column: cell", one a line."""
    if len(given.citations) != 1:
        return given.answer
    (citation,) = given.citations
    if (
        not 0 < citation.n <= len(given.passages)
        or given.answer != f"{citation.quote.strip()} [{citation.n}]"
    ):
        return given.answer
    cells = labelled(given.passages[citation.n - 1], citation.quote)
    return f"{cells} [{citation.n}]" if cells else given.answer


def labelled(passage: Passage, quote: str) -> str:
    """Return a table's row with each cell under the name of its column; "" where these cannot be told."""
    header = row_header(passage, passage.text.find(quote))
    names, cells = header.split(CELL), quote.strip().split(CELL)
    if not header or "\n" in quote.strip() or len(names) != len(cells):
        return ""
    pairs = zip(names, cells, strict=True)
    return "\n".join(f"{name.strip() or '-'}: {cell.strip()}" for name, cell in pairs if cell.strip())


def row_header(passage: Passage, start: int) -> str:
    """Return the header of the table's row that begins at `start` of a passage's text, or ""."""
    end = passage.text.find("\n", start)
    if start < 0 or CELL not in passage.text[start : end if end >= 0 else None]:
        return ""
    found = header_of(passage.text, start, lead=passage.lead)
    return passage.text[slice(*found)] if found else passage.lead.partition("\n")[0]


def answer_json(given: Answer) -> dict[str, Any]:
    """Return the object that `ask --json` prints."""
    return {
        "question": given.question,
        "searched_for": given.searched_for,
        "answer": given.answer,
        "abstained": given.abstained,
        "citations": [_fields(item, "n document page heading quote supported") for item in given.citations],
        "passages": [_fields(item, "document page heading text score found_by") for item in given.passages],
        "unsupported": list(given.unsupported),
        "timings": _rounded(
            _fields(given.timings, "embed_ms search_ms read_ms first_evidence_ms first_token_ms total_ms")
        ),
        "tokens": _fields(given.tokens, "prompt output"),
        "models": _fields(given.models, "embedding reader generator"),
        "refusal": _fields(given.verdict, "level near needed"),
        "evidence": _evidence_json(given.evidence) if given.evidence else None,
    }


def _evidence_json(found: Evidence) -> dict[str, Any]:
    """Return the quote with its place in `passages[n - 1].text`, and that of the words that answer."""
    start, end = found.mark or (None, None)
    known = _fields(found, "n document page heading quote start end goes_on")
    return known | {"answer_start": start, "answer_end": end}


def file_line(result: FileResult) -> str:
    """Return one honest line about one file."""
    amount = f"{result.chunks} chunks" if result.chunks else ""
    pages = f"{result.pages} pages" if result.pages is not None else ""
    detail = "; ".join(part for part in (", ".join(filter(None, (pages, amount))), result.reason) if part)
    return f"{result.status:<9} {clean_line(result.path)}" + (f"  ({clean_line(detail)})" if detail else "")


def added_json(done: Added) -> dict[str, Any]:
    """Return the object that `add --json` prints."""
    return {
        "files": [_fields(item, "path status pages chunks reason") for item in done.files],
        "seconds": round(done.seconds, 3),
        "chunks_per_second": round(done.chunks_per_second, 1),
        "hidden": done.hidden,
    }


def added(done: Added) -> str:
    """Return the tally of an add."""
    counts: dict[str, int] = {}
    for result in done.files:
        counts[result.status] = counts.get(result.status, 0) + 1
    tally = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no files"
    hidden = f"; {done.hidden} hidden, left out" if done.hidden else ""
    return f"{tally} in {done.seconds:.1f} s ({done.chunks_per_second:.0f} chunks/s){hidden}"


def documents(stored: Sequence[Document]) -> str:
    """Return the library as a table."""
    if not stored:
        return "The vault holds no documents yet. Put some in with `appliance add PATH...`.\n"
    rows = [("id", "pages", "chunks", "added", "document")]
    for item in stored:
        pages = "-" if item.pages is None else str(item.pages)
        flags = f"  [{clean_line('; '.join((*item.lost, *item.flags)))}]" if item.lost or item.flags else ""
        day = item.added.astimezone().strftime("%Y-%m-%d")
        rows.append((str(item.id), pages, str(item.chunks), day, clean_line(item.name) + flags))
    return "".join(f"{a:>5}  {b:>5}  {c:>6}  {d:<10}  {e}\n" for a, b, c, d, e in rows)


def document_json(item: Document) -> dict[str, Any]:
    """Return one document as `list --json` and `show --json` print it."""
    known = _fields(item, "id name title source digest size pages chunks lost flags model")
    return known | {"added": item.added.isoformat()}


def pages(shown: Iterable[DocumentPage]) -> str:
    """Return the text of pages, each under its number."""
    parts = []
    for page in shown:
        head = (
            f"--- {clean_line(page.document.name)}, page {page.page} ---\n" if page.page is not None else ""
        )
        parts.append(f"{head}{clean(page.text)}\n")
    return "\n".join(parts)


def report(found: Report) -> str:
    """Return a report, one check a line."""
    width = max((len(check.name) for check in found.checks), default=0)
    return "".join(
        f"{'ok ' if check.ok else 'BAD'}  {clean_line(check.name):<{width}}  {clean_line(check.detail)}\n"
        for check in found.checks
    )


def report_json(found: Report) -> dict[str, Any]:
    """Return a report as `verify`, `models` and `doctor` print it with --json."""
    return {"ok": found.ok, "checks": [_fields(check, "name ok detail") for check in found.checks]}


def slots(found: Sequence[SlotInfo]) -> str:
    """Return the ways to open a vault as a table."""
    rows = [("slot", "made", "opens with", "cost of a guess")]
    for slot in found:
        cost = "none: a key of 32 random bytes" if slot.kdf is None else _cost(slot.kdf)
        kind = slot.kind + (f", officer {slot.officer}" if slot.officer else "") + _device(slot)
        rows.append((str(slot.number), slot.created.strftime("%Y-%m-%d"), kind, cost))
    width = max(len(row[2]) for row in rows)
    return "".join(f"{a:>4}  {b:<10}  {c:<{width}}  {d}\n" for a, b, c, d in rows)


def _device(slot: SlotInfo) -> str:
    """Return what tells one device of a kind from the others: labels where it has some, else four bytes."""
    if slot.device is None:
        return ""
    handle = bytes.fromhex(slot.device)[DEVICE_SALT_BYTES:]
    if slot.kind == "FIDO2 key":
        return f", credential {handle[:4].hex()}..."
    return ", " + clean_line(" / ".join(handle.decode("utf-8", "replace").split("\0")))


def slot_json(slot: SlotInfo) -> dict[str, Any]:
    """Return one slot as `keys list --json` prints it."""
    return _fields(slot, "number kind kdf officer device") | {"created": slot.created.isoformat()}


def rewritten(made: Rewritten) -> str:
    """Return what a rewrite made, in a few words; the slots that it left behind are named."""
    words = f"{made.size / 1e6:.1f} MB in {made.seconds:.1f} s, every row verified"
    dropped = ", ".join(f"{slot.number} ({slot.kind})" for slot in made.dropped)
    return words + (f"; these slots are not in it, add them again: {dropped}" if dropped else "")


def rewritten_json(made: Rewritten) -> dict[str, Any]:
    """Return what a rewrite made as --json prints it."""
    dropped = [slot_json(slot) for slot in made.dropped]
    return {"dropped": dropped, "bytes": made.size, "seconds": round(made.seconds, 3), "digest": made.digest}


def entries(found: Sequence[dict[str, Any]]) -> str:
    """Return entries of the audit log, one a line, what was opened of their content below."""
    lines = []
    for entry in found:
        marks = [f"{name}={entry[name]}" for name in ("clock_back_s", "cut_bytes", "fault") if name in entry]
        marks += [] if entry.get("authenticated", True) else ["not authenticated"]
        time = str(entry.get("time", ""))[:19]
        line = f"{entry['n'] if entry['n'] is not None else '?':>6}  {time:<19}  {entry['action']:<10}"
        lines.append(f"{line}  {' '.join([entry['outcome'], *marks])}")
        for name, value in (entry.get("content") or {}).items():
            lines.append(f"{'':>8}{clean_line(name)}: {clean_line(str(value))}")
    return "\n".join(lines) + "\n"


def _cost(kdf: tuple[int, int, int]) -> str:
    return f"Argon2id {kdf[0] // 1024} MiB, {kdf[1]} passes, {kdf[2]} lanes"


def _citation(citation: Citation) -> str:
    return f"[{citation.n}] {place(citation.document, citation.page, citation.heading)}"


def _first_of_each(citations: Iterable[Citation]) -> list[Citation]:
    seen: dict[int, Citation] = {}
    for citation in citations:
        seen.setdefault(citation.n, citation)
    return list(seen.values())


def _parts(found: Evidence) -> tuple[str, ...]:
    """Return the quote before, at and after the words that answer."""
    if found.mark is None:
        return (found.quote,)
    start, end = (at - found.start for at in found.mark)
    return found.quote[:start], found.quote[start:end], found.quote[end:]


def _quoted(parts: Sequence[str], width: int) -> str:
    """Return a quote in lines, paragraphs, list's items and lines that were meant to end on their own.

    Of three parts the middle one is emphasised.
    """
    cleaned = [clean(part) for part in parts]
    lines = [
        line for part in _lines("".join(cleaned)) for line in textwrap.wrap(" ".join(part.split()), width - 7)
    ]
    if len(cleaned) > 1:
        first = _letters(cleaned[0])
        lines = _emphasised(lines, first, first + _letters(cleaned[1]))
    return "  “" + "\n   ".join(lines) + "”"


def _lines(text: str) -> list[str]:
    """Return the lines of a text that begin anew; what was broken for want of room is joined."""
    found: list[str] = []
    for paragraph in _PARAGRAPHS.split(text):
        before, lines = "", [line.strip() for line in paragraph.splitlines()]
        width = max(map(len, lines), default=0)
        listing = width < _COLUMN and not ITEM.match(paragraph.lstrip())
        for line in lines:
            full = before and not listing and len(before) > width * _FULL
            begins = ITEM.match(line) or CELL in line or CELL in before
            if full and not begins and flows_on(before, line, width=width):
                found[-1] += f" {line}"
            else:
                found.append(line)
            before = line
    return found


def _letters(text: str) -> int:
    """Count what breaking lines neither adds nor takes away."""
    return len("".join(text.split()))


def _emphasised(lines: Sequence[str], first: int, last: int) -> list[str]:
    """Return the lines with the letters from `first` to `last` bold and underlined, each line by itself."""
    shown, before = [], 0
    for line in lines:
        places = [at for at, char in enumerate(line) if not char.isspace()]
        inside = places[max(first - before, 0) : max(last - before, 0)]
        before += len(places)
        if inside:
            start, end = inside[0], inside[-1] + 1
            line = f"{line[:start]}\x1b[1;4m{line[start:end]}\x1b[22;24m{line[end:]}"
        shown.append(line)
    return shown


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width) if line.strip() else "" for line in text.splitlines())


def _fields(noun: Any, names: str) -> dict[str, Any]:
    return {name: getattr(noun, name) for name in names.split()}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value is None else round(value, 2) for key, value in values.items()}
