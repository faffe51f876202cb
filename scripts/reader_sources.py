"""Training sets under data/train -> questions with their documents, the answer's place, what is known of it.

Nothing of `dev` is read. Each set's licence stands in its SOURCE.txt and on the reader's card.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from scripts.reader_asked import UNKNOWN, Asked
from scripts.reader_authored import written
from scripts.reader_tables import tables


def squad(data: Path) -> Iterator[Asked]:
    """Yield the minimal pairs: whether a passage without the answer is relevant nobody says."""
    for article in _json(data / "squad2_train_pairs" / "squad2-train-pairs.json.gz")["data"]:
        for part in article["paragraphs"]:
            for each in part["qas"]:
                twin = each["is_impossible"]
                marks = each["plausible_answers"] if twin else each["answers"]
                start = marks[0]["answer_start"] if marks else 0
                end = start + len(marks[0]["text"]) if marks else 0
                yield Asked(
                    source="squad",
                    document=f"squad/{article['title']}",
                    title=article["title"].replace("_", " "),
                    question=each["question"],
                    text=part["context"],
                    span=None if twin else (start, end),
                    near=start,
                    relevant=UNKNOWN if twin else 1,
                    answerable=int(not twin),
                    answers=() if twin else (marks[0]["text"],),
                )


def natural(data: Path) -> Iterator[Asked]:
    """Yield Natural Questions in three dresses; those whose answer is not literally there are left out."""
    for name in ("nq_open_oracle/norm", "uda_nq/nq_norm", "qed_dev/norm"):
        for row in _lines(data / f"{name}.jsonl.gz"):
            yield from _found(name.split("/")[0], row, f"nq/{row['doc_id']}", str(row["doc_id"]))


def fairytale(data: Path) -> Iterator[Asked]:
    """Yield questions on tales whose answer is literally in the tale."""
    for row in _lines(data / "fairytaleqa" / "norm.jsonl.gz"):
        if row["ex_or_im"] == "explicit":
            yield from _found("fairytale", row, f"tale/{row['doc_id']}", "")


def policy(data: Path) -> Iterator[Asked]:
    """Yield questions on privacy policies."""
    for name in ("dev", "test"):
        yield from _squad_like(data / "policyqa" / f"{name}.json.gz", "policy")


def covid(data: Path) -> Iterator[Asked]:
    """Yield questions on whole medical papers."""
    yield from _squad_like(data / "covid_qa" / "200423_covidQA.json.gz", "covid")


def medquad(data: Path) -> Iterator[Asked]:
    """Yield questions whose answer is a whole text: relevant and answered, with no span to point at."""
    for row in _lines(data / "medquad" / "medquad_with_answers.jsonl.gz")[::8]:
        question = row["question"].replace(" (are)", "").replace(" ?", "?")
        yield _whole("medquad", f"medquad/{row['id'].split('_')[0]}", "", question, row["answer"], 1)


def product(data: Path) -> Iterator[Asked]:
    """Yield product questions with candidates that do or do not help; those in doubt are left out."""
    folder = data / "product_qa_ranking"
    for row in _table(folder / "ePQA__dev.csv.gz", ","):
        if row["label"] != "1":
            helps = int(row["label"] == "2")
            text = row["candidate"].split(" Question: ")[0]
            yield _whole("product", f"product/{row['ASIN']}", row["title"][:80], row["question"], text, helps)
    for row in _table(folder / "hetPQA__evidence_ranking__dev.csv.gz", "\t"):
        helps = int(row["label"])
        yield _whole("product", f"product/{row['ASIN']}", "", row["question"], row["candidate"], helps)


def ares(data: Path) -> Iterator[Asked]:
    """Yield questions that a model wrote about Wikipedia's passages, where its answer stands there once."""
    for name in ("nq", "hotpotqa", "wow"):
        for row in _table(data / "ares_synthetic" / f"{name}_synthetic_queries.tsv.gz", "\t"):
            answer, text = row["generated_answer"].strip(" ."), row["document"]
            document = f"ares/{sha256(text.encode()).hexdigest()[:16]}"  # one text has several numbers
            places = list(re.finditer(rf"(?<![\w.,]){re.escape(answer)}(?!\w)", text)) if answer else []
            if len(places) == 1 and row["Context_Relevance_Label"] == "Yes":
                span, question = places[0].span(), row["synthetic_query"]
                yield Asked("ares", document, "", question, text, span, span[0], 1, 1, (answer,))


def quotes(data: Path) -> Iterator[Asked]:
    """Yield questions with several passages, each with its own answer, where that is literally there."""
    seen = set[tuple[str, str]]()
    for row in _lines(data / "quotesum_dev" / "dev.jsonl.gz"):
        every = tuple(row[f"short_ans_{number}"] for number in range(1, 9) if row[f"short_ans_{number}"])
        for number in range(1, 9):
            text, answer = row[f"source{number}"], row[f"short_ans_{number}"]
            start = text.find(answer) if answer else -1
            if start >= 0 and (row["qid"], text) not in seen:
                seen.add((row["qid"], text))
                span, document = (start, start + len(answer)), f"quotes/{row['qid']}"
                title = row[f"title{number}"]
                yield Asked("quotes", document, title, row["question"], text, span, start, 1, 1, every)


def table(_data: Path) -> Iterator[Asked]:
    """Yield questions on tables that scripts/reader_tables.py makes up."""
    return tables()


def authored(_data: Path) -> Iterator[Asked]:
    """Yield questions on the manuals and policies that were made up for it (scripts/authored)."""
    return written()


SOURCES: Final[Mapping[str, Callable[[Path], Iterator[Asked]]]] = {
    "squad": squad,
    "natural": natural,
    "policy": policy,
    "covid": covid,
    "fairytale": fairytale,
    "medquad": medquad,
    "product": product,
    "ares": ares,
    "quotes": quotes,
    "table": table,
    "authored": authored,
}


def _found(source: str, row: Mapping[str, Any], document: str, title: str) -> Iterator[Asked]:
    for answer in row["answers"]:
        start = row["context"].find(answer)
        if start >= 0:
            span = (start, start + len(answer))
            answers = tuple(row["answers"])
            yield Asked(source, document, title, row["question"], row["context"], span, start, 1, 1, answers)
            return


def _squad_like(path: Path, source: str) -> Iterator[Asked]:
    for number, article in enumerate(_json(path)["data"]):
        title = article.get("title", "")
        for part in article["paragraphs"]:
            for each in part["qas"]:
                answer, start = each["answers"][0]["text"], each["answers"][0]["answer_start"]
                text = part["context"]
                if text[start : start + len(answer)] == answer:
                    end = start + len(answer.rstrip())
                    name = f"{source}/{title or number}"
                    asked = each["question"]
                    yield Asked(
                        source, name, title, asked, text, (start, end), start, 1, 1, (answer.strip(),)
                    )


def _whole(source: str, document: str, title: str, question: str, text: str, helps: int) -> Asked:
    return Asked(source, document, title, question, text, None, 0, helps, helps, ())


def _json(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def _lines(path: Path) -> list[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _table(path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)
