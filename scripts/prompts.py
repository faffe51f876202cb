"""Held-out questions, what the searches found, and a reader -> the prompts' size, and what is still in them.

    python -m scripts.prompts --found FOUND --model FOLDER     # FOUND: scripts/reader_stores.py

Of every question that its store answers: tokens of the prompt with the passages cut to the sentences that
matter (appliance/generate/prompt.py) and with the same passages whole, and whether the gold answer stands in
each. FOLDER holds the reader's model.onnx and tokenizer.json. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from appliance import config, models
from appliance.generate.cell import CellGenerator
from appliance.generate.prompt import PASSAGES, compose
from appliance.retrieve import cross
from appliance.retrieve.retriever import ordered
from appliance.types import Evidence, Passage
from scripts.corpora import bare_reader
from scripts.reader_stores import passage_of, worded_of

CONTEXT = 2048


def main() -> None:
    """Build the prompts and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--found", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--order", type=float, default=0.5, help="the share of relevance in the order")
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--limit", type=int, default=0, help="questions, 0 for all")
    options = parser.parse_args()
    settings = config.load()
    writer = CellGenerator.load(
        models.find(settings.generator, settings.model_folders), threads=1, accept_weaker=True
    )
    reader = bare_reader(options.model, threads=settings.cores)
    rows = list(_own(options.found))[: options.limit or None]
    found = [measured(row, reader, writer.count, options) for row in rows]
    writer.close()
    report: dict[str, Any] = {"questions": len(found)}
    for name in ("tokens", "whole_tokens"):
        values = sorted(each[name] for each in found)
        report[name] = {"median": statistics.median(values), "p95": values[int(0.95 * (len(values) - 1))]}
    for name in ("holds", "whole_holds", "quote_holds"):
        report[name] = round(statistics.mean(each[name] for each in found), 4)
    print(json.dumps(report))


def _own(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] == "own" and row["answer"] and row["passages"]:
            yield row


def measured(
    row: dict[str, Any], reader: cross.CrossReader, count: Callable[[str], int], options: argparse.Namespace
) -> dict[str, int]:
    """Return what is in the prompt of one question and how long it is."""
    told = row["passages"][: options.depth]
    passages = [passage_of(each) for each in told]
    readings = [
        cross.reading(judged, worded_of(each), reader.calibration)
        for judged, each in zip(reader.judge(row["question"], passages), told, strict=True)
    ]
    ranked = ordered(list(zip(passages, readings, strict=True)), options.order)
    shown = [passage for passage, _ in ranked]
    evidence = _evidence(shown[0], ranked[0][1].span)
    telling = [(reading.span, *reading.others) for _, reading in ranked]
    prompt = compose(row["question"], shown, evidence, telling=telling, count=count, context=CONTEXT)
    whole = "\n\n".join(passage.text for passage in shown[:PASSAGES])
    return {
        "tokens": count(prompt.user),
        "whole_tokens": count(whole),
        "holds": row["answer"] in prompt.user,
        "whole_holds": row["answer"] in whole,
        "quote_holds": row["answer"] in evidence.quote,
    }


def _evidence(passage: Passage, span: tuple[int, int]) -> Evidence:
    quote = passage.text[slice(*span)]
    return Evidence(1, *span, quote, passage.document, passage.page, passage.heading, 1.0)


if __name__ == "__main__":
    main()
