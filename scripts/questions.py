"""Development data -> question sets for `appliance eval`.

    python -m scripts.questions --data ../shared/data --out FOLDER
    appliance eval FOLDER/northwind.jsonl --documents ../shared/data/dev/northwind_pdf_qa/pdf
    appliance eval FOLDER/fluent.json --out fluent.run
    appliance eval FOLDER/disfluent.json --out disfluent.run --against fluent.run
    appliance eval FOLDER/articles.jsonl --documents FOLDER/articles
    appliance eval FOLDER/absent.jsonl --documents FOLDER/articles

northwind.jsonl has 201 questions with pages and 45 that were made to have no answer. fluent.json and
disfluent.json are the same questions of SQuAD 2.0 under the same ids, the second as people stumble over them
(Disfl-QA). strangers.jsonl are 100 questions about anything else (SelfAware), for any vault. articles/ are
the 490 whole articles of SQuAD 1.1, articles.jsonl 1,000 answerable questions of the development set on 48
of them, absent.jsonl 400 whose subject is in none: SelfAware, Northwind, Cranfield's aerodynamics, EPANET.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

STRANGERS = 100
SEED = 20261123
ARTICLE_QUESTIONS = 1000
EPANET = Path(__file__).parent.parent / "tests" / "vectors" / "epanet_questions.jsonl"


def northwind(data: Path) -> Iterator[dict[str, Any]]:
    """Yield the questions about the six PDFs; all the citations of one are of the same."""
    for row in _lines(data / "dev" / "northwind_pdf_qa" / "norm.jsonl.gz"):
        cited = row.pop("citations")
        if cited:
            row |= {"document": cited[0]["doc"], "pages": sorted({each["page"] for each in cited})}
        yield row


def strangers(data: Path, *, unanswerable: bool = False) -> Iterator[dict[str, Any]]:
    """Yield questions that have nothing to do with most documents, or those that nobody can answer.

    Two thirds of SelfAware are questions of SQuAD and TriviaQA: articles of an encyclopedia answer some.
    """
    with gzip.open(data / "dev" / "selfaware" / "SelfAware.json.gz", "rt", encoding="utf-8") as file:
        rows = [row for row in json.load(file)["example"] if not (unanswerable and row["answerable"])]
    for row in rows[:: len(rows) // STRANGERS][:STRANGERS]:
        yield {"id": f"stranger-{row['question_id']}", "question": row["question"], "answerable": False}


def spoken(data: Path, form: str) -> dict[str, Any]:
    """Return SQuAD 2.0 dev with the questions that Disfl-QA has, `original` or `disfluent`."""
    with gzip.open(data / "dev" / "disfl_qa" / "dev.json.gz", "rt", encoding="utf-8") as file:
        forms: Mapping[str, Mapping[str, str]] = json.load(file)
    path = data / "dev" / "squad_dev" / "squad-dev-v2.0.rebuilt.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        squad: dict[str, Any] = json.load(file)
    for article in squad["data"]:
        for part in article["paragraphs"]:
            kept = (row for row in part["qas"] if row["id"] in forms)
            part["qas"] = [row | {"question": forms[row["id"]][form]} for row in kept]
    return squad


def articles(data: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the HTML of each of the 490 articles."""
    for row in _lines(data / "dev" / "squad_articles" / "articles.jsonl.gz"):
        title = html.escape(row["doc_id"].replace("_", " "))
        body = "".join(f"<p>{html.escape(each)}</p>\n" for each in row["paragraphs"])
        yield (
            _file_of(row["doc_id"]),
            f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n{body}",
        )


def article_questions(data: Path) -> Iterator[dict[str, Any]]:
    """Yield a sample of the answerable questions of SQuAD 2.0 dev, with their article."""
    path = data / "dev" / "squad_dev" / "squad-dev-v2.0.rebuilt.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [
            {
                "id": each["id"],
                "question": each["question"],
                "answers": sorted({answer["text"] for answer in each["answers"]}),
                "document": _file_of(article["title"]),
            }
            for article in json.load(file)["data"]
            for part in article["paragraphs"]
            for each in part["qas"]
            if each["answers"]
        ]
    chosen = np.random.default_rng(SEED).permutation(len(rows))[:ARTICLE_QUESTIONS]
    yield from (rows[number] for number in chosen)


def absent(data: Path) -> Iterator[dict[str, Any]]:
    """Yield questions about what no article is about."""
    yield from strangers(data, unanswerable=True)
    elsewhere = {
        "northwind": [row["question"] for row in northwind(data) if "document" in row][:150],
        "cranfield": [
            row["text"] for row in _lines(data / "dev" / "ir_cranfield" / "queries.jsonl.gz")[:124]
        ],
        "epanet": [json.loads(line)["question"] for line in EPANET.read_text("utf-8").splitlines()[:26]],
    }
    for name, questions in elsewhere.items():
        for number, question in enumerate(questions):
            yield {"id": f"{name}-{number}", "question": question, "answerable": False}


def _file_of(title: str) -> str:
    """Return an article's file name: some titles have a slash."""
    return f"{title.replace('/', '-')}.html"


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _jsonl(rows: Iterator[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


SETS: Mapping[str, Callable[[Path], str]] = {
    "northwind.jsonl": lambda data: _jsonl(northwind(data)),
    "articles.jsonl": lambda data: _jsonl(article_questions(data)),
    "absent.jsonl": lambda data: _jsonl(absent(data)),
    "strangers.jsonl": lambda data: _jsonl(strangers(data)),
    "fluent.json": lambda data: json.dumps(spoken(data, "original")),
    "disfluent.json": lambda data: json.dumps(spoken(data, "disfluent")),
}


def main() -> None:
    """Write every set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    # A set's documents are in the folder of its name (scripts/trial.py).
    beside = {"absent": Path("articles"), "northwind": options.data.resolve() / "dev/northwind_pdf_qa/pdf"}
    for link in (options.out / name for name in beside):
        if link.exists() and not link.is_symlink():  # a copy of an older FOLDER, perhaps with more in it
            parser.error(f"{link} is no link but something of its own: move it away, a link belongs there")
    options.out.mkdir(parents=True, exist_ok=True)
    for name, make in SETS.items():
        (options.out / name).write_text(make(options.data), "utf-8")
    (options.out / "articles").mkdir(exist_ok=True)
    for name, text in articles(options.data):
        (options.out / "articles" / name).write_text(text, "utf-8")
    for name, folder in beside.items():
        (options.out / name).unlink(missing_ok=True)
        (options.out / name).symlink_to(folder)
    print(json.dumps({"written": list(SETS)}))


if __name__ == "__main__":
    main()
