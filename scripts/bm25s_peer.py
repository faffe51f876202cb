"""Texts and questions as JSON on stdin -> bm25s's ranking for each question, on stdout.

Runs with the interpreter of the peer's environment (scripts/runs/bench.sh makes it) and imports nothing of
the appliance. The settings are those of bm25s's own BEIR benchmark: English stop words, Snowball stemmer,
Lucene's formula with k1 1.5 and b .75.
"""

from __future__ import annotations

import json
import sys

import bm25s  # type: ignore[import-not-found,unused-ignore]
import Stemmer  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    """Rank the texts for each question."""
    given = json.load(sys.stdin)
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(
        bm25s.tokenize(given["texts"], stopwords="en", stemmer=stemmer, show_progress=False),
        show_progress=False,
    )
    asked = bm25s.tokenize(given["questions"], stopwords="en", stemmer=stemmer, show_progress=False)
    found, _ = index.retrieve(asked, k=given["most"], show_progress=False)
    json.dump(found.tolist(), sys.stdout)


if __name__ == "__main__":
    main()
