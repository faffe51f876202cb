"""CSV and TSV -> one table whose first row is its header."""

from __future__ import annotations

import csv

from appliance.ingest.parse import plain
from appliance.ingest.parse.blocks import Blocks

_DELIMITERS = ",;\t|"


def read(data: bytes, out: Blocks) -> None:
    """Read delimited text; the delimiter is the one that parts the first lines most evenly."""
    text = plain.decode(data, out).replace("\x00", "")
    csv.field_size_limit(out.bounds.characters)
    rows = list(csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text), strict=False))
    out.table(rows, header_rows=1 if len(rows) > 1 else 0)


def _delimiter(text: str) -> str:
    lines = [line for line in text[:20_000].split("\n")[:20] if line.strip()]

    def evenness(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        most = max(set(widths), key=widths.count, default=1)
        return (widths.count(most) if most > 1 else 0, most)

    return max(_DELIMITERS, key=evenness)
