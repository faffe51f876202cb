"""Question sets are read whole or not at all; and their documents are found by the names that they give."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import UsageError
from appliance.evaluation import places
from appliance.evaluation.library import digest, of_files, of_vault, staged
from appliance.evaluation.sets import Question, Source, load
from appliance.ingest.parse.nursery import Nursery, parse_file
from tests.fakes import fake_document
from tests.samples import a_passage


def lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "pumps"
    lines(
        folder / "corpus.jsonl.gz",
        {"_id": "d1", "title": "Pump", "text": "It pumps."},
        {"_id": "d2", "title": "", "text": "Valves."},
        {"_id": "d3", "title": "", "text": ""},
    )
    lines(folder / "queries.jsonl", *({"_id": f"q{n}", "text": f"Question {n}?"} for n in (1, 2, 3)))
    lines(folder / "qrels_dev.tsv", "query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td2\t0", "q2\td2\t1")
    lines(folder / "qrels" / "test.tsv", "q3\td1\t1")
    return folder


ARTICLE = {
    "title": "Water_pump",
    "paragraphs": [
        {
            "context": "Each pump delivers 45 m3/h.",
            "qas": [
                {
                    "id": "s1",
                    "question": "How much does a pump deliver?",
                    "answers": [{"text": "45 m3/h"}, {"text": "45 m3/h"}],
                    "is_impossible": False,
                },
                {"id": "s2", "question": "Who made it?", "answers": [], "is_impossible": True},
            ],
        },
        {
            "context": "It is blue.",
            "qas": [{"id": "s3", "question": "Which colour?", "answers": [{"text": "blue"}]}],
        },
    ],
}


def squad(path: Path, *articles: Any) -> Path:
    return lines(path, {"version": "v2.0", "data": list(articles)})


# The three kinds


def test_a_beir_folder_is_read_with_the_judgements_of_the_split_that_is_wanted(beir: Path) -> None:
    found = load(beir)
    assert (found.name, found.kind, found.split, found.graded) == ("pumps", "beir", "dev", False)
    assert found.questions == (
        Question("q1", "Question 1?", grades={"d1": 2, "d2": 0}),
        Question("q2", "Question 2?", grades={"d2": 1}),
    )
    assert found.sources is not None
    assert [source.id for source in found.sources] == ["d1", "d2", "d3"]
    other = load(beir, split="test")
    assert [each.id for each in other.questions] == ["q3"]
    assert other.digest != found.digest


def test_without_a_usual_name_the_only_judgements_are_taken_and_of_several_one_must_be_named(
    beir: Path,
) -> None:
    (beir / "qrels_dev.tsv").rename(beir / "qrels.tsv")
    (beir / "qrels" / "test.tsv").rename(beir / "qrels" / "late.tsv")
    with pytest.raises(UsageError) as caught:
        load(beir)
    assert "late, all" in caught.value.hint
    (beir / "qrels" / "late.tsv").unlink()
    assert load(beir).split == "all"


def packed(path: Path) -> Path:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return path


def test_judgements_may_be_packed_in_both_layouts(beir: Path) -> None:
    plain = {split: load(beir, split=split) for split in ("dev", "test")}
    packed(beir / "qrels_dev.tsv")
    packed(beir / "qrels" / "test.tsv")
    assert {split: load(beir, split=split) for split in ("dev", "test")} == plain
    assert load(beir) == plain["dev"]


@pytest.mark.parametrize("other", ["qrels/dev.tsv", "qrels-dev.tsv", "qrels_dev.tsv.gz", "qrels/dev.tsv.gz"])
def test_two_files_of_judgements_for_one_split_are_refused(beir: Path, other: str) -> None:
    (beir / other).write_bytes((beir / "qrels_dev.tsv").read_bytes())
    with pytest.raises(UsageError, match="are both the split 'dev'"):
        load(beir)


def test_a_squad_file_is_read_with_its_articles(tmp_path: Path) -> None:
    found = load(squad(tmp_path / "squad.json.gz", ARTICLE))
    assert found.graded
    assert found.sources == (
        Source("Water_pump", "Water pump", "Each pump delivers 45 m3/h.\n\nIt is blue."),
    )
    assert found.questions[:2] == (
        Question("s1", "How much does a pump deliver?", ("45 m3/h",), True, {"Water_pump": 1}),
        Question("s2", "Who made it?", (), False),
    )
    assert found.questions[2].answerable  # 1.1 does not say so


def test_questions_alone_are_read_from_a_line_each(tmp_path: Path) -> None:
    rows = (
        {"id": "a", "question": "How much?", "answers": ["45"], "document": "m.pdf", "pages": [3, 4]},
        "",
        {"question": "Who?", "answerable": False, "answers": ["nobody says"]},
        {"question": "Why?", "source": "a chat"},
    )
    found = load(lines(tmp_path / "own.jsonl.gz", *rows))
    assert found.sources is None
    assert found.questions == (
        Question("a", "How much?", ("45",), True, {"m.pdf": 1}, frozenset({3, 4})),
        Question("2", "Who?", (), False),
        Question("3", "Why?"),
    )


def test_packed_or_not_a_set_is_the_same(tmp_path: Path) -> None:
    row = {"question": "How much?"}
    packed, plain = load(lines(tmp_path / "a.jsonl.gz", row)), load(lines(tmp_path / "a.jsonl", row))
    assert packed.digest == plain.digest


def test_a_sample_is_drawn_by_its_seed_and_keeps_the_order(tmp_path: Path) -> None:
    found = load(lines(tmp_path / "a.jsonl", *({"question": f"{n}?"} for n in range(50))))
    ids = [[each.id for each in found.sample(10, seed=seed).questions] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == sorted(ids[0], key=int)
    assert found.sample(None, seed=1) == found.sample(99, seed=2) == found
    assert len(found.without(ids[0]).questions) == 40


# What is malformed


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 2: this is no JSON"),
        ("[1]", "line 2: this is no JSON object"),
        ("[" * 100_000, "line 2: this is no JSON that can be read"),
        ({"answers": []}, "line 2: there is no `question`"),
        ({"question": " "}, "line 2: there is no `question`"),
        ({"question": 7}, "line 2: `question` is no text"),
        ({"question": "?", "answers": "yes"}, "line 2: `answers` is no list"),
        ({"question": "?", "answers": ["yes", 7]}, "line 2: `answers` is no text"),
        ({"question": "?", "answers": [None]}, "line 2: `answers` is no text"),
        ({"question": "?", "answerable": "no"}, "line 2: `answerable` is no true or false"),
        ({"question": "?", "document": "m.pdf", "pages": [True]}, "line 2: `pages` is no whole number"),
        ({"question": "?", "document": "m.pdf", "pages": [0]}, "line 2: `pages` count from 1"),
        ({"question": "?", "pages": [1]}, "need a `document`"),
        ({"question": "?", "id": "1"}, "line 2: '1' was there before"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(lines(tmp_path / "a.jsonl", {"question": "first?"}, row))
    assert str(tmp_path / "a.jsonl") in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("q1 0 d1 1", "line 2: a judgement is"),
        ("q1\td1\tmuch", "line 2: a judgement is"),
        ("q1\td1", "line 2: a judgement is"),
        ("q1\td1\t1234567890", "line 2: a judgement is"),
        ("q1\td1\t" + "9" * 5000, "line 2: a judgement is"),
        ("q1\td1\t\u0663", "line 2: a judgement is"),
        ("q9\td1\t1", "line 2: there is no question 'q9'"),
        ("q1\td1\t1\nq1\td1\t2", "line 3: 'd1' was judged otherwise before"),
    ],
)
def test_a_malformed_judgement_is_named(beir: Path, row: str, said: str) -> None:
    lines(beir / "qrels_dev.tsv", "query-id\tcorpus-id\tscore", row)
    with pytest.raises(UsageError) as caught:
        load(beir)
    assert said in caught.value.message


@pytest.mark.parametrize("first", ["q1\td1\tmuch", "q1\td1\t1.0", "q1\td1\t"])
def test_a_malformed_first_judgement_is_no_line_of_names(beir: Path, first: str) -> None:
    lines(beir / "qrels_dev.tsv", first, "q2\td2\t1")
    with pytest.raises(UsageError, match="line 1: a judgement is"):
        load(beir)


@pytest.mark.parametrize(
    "names", ["query-id\tcorpus-id\tscore", "Query_ID\tcorpus_id\tscore", "question\tdocument\tgrade"]
)
def test_a_first_line_may_name_the_columns(beir: Path, names: str) -> None:
    lines(beir / "qrels_dev.tsv", names, "q2\td2\t1")
    assert [each.id for each in load(beir).questions] == ["q2"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": ""}, "article 1: there is no `title`"),
        ({"paragraphs": None}, "article 1: there is no `paragraphs`"),
        ({"paragraphs": [{"context": "x"}]}, "article 1: there is no `qas`"),
        ({"paragraphs": [{"qas": []}]}, "article 1: there is no `context`"),
        ({"paragraphs": []}, "holds no questions"),
    ],
)
def test_a_malformed_article_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(squad(tmp_path / "squad.json", ARTICLE | change))
    assert said in caught.value.message


def test_what_is_no_set_is_refused(tmp_path: Path, beir: Path) -> None:
    (beir / "queries.jsonl").unlink()
    (tmp_path / "a.jsonl").write_bytes(b'{"question": "\xff"}\n')
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"question": "?"}\n')[:-9])
    (tmp_path / "empty").mkdir()
    wrong = {
        beir: "has no queries.jsonl",
        tmp_path / "a.jsonl": "line 1: this is no UTF-8 text",
        tmp_path / "cut.jsonl.gz": "no whole gzip file",
        tmp_path / "empty": "has neither qrels*.tsv nor qrels/*.tsv",
        tmp_path / "nowhere.json": "cannot be read: No such file",
        tmp_path / "a.csv": "is no question set",
        lines(tmp_path / "none.jsonl"): "holds no questions",
    }
    for path, said in wrong.items():
        with pytest.raises(UsageError) as caught:
            load(path)
        assert said in caught.value.message
    with pytest.raises(UsageError, match="splits"):
        load(lines(tmp_path / "b.jsonl", {"question": "?"}), split="dev")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MOST_BYTES", 1 << 20)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"{" * (64 << 20)))
    tracemalloc.start()
    with pytest.raises(UsageError, match="too large: 1 MiB, unpacked"):
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UsageError, match="is no file"):
        load(tmp_path / "pipe.jsonl")


# Documents


def test_a_staged_document_comes_out_of_the_parser_as_it_went_in(tmp_path: Path) -> None:
    text = 'If p < 0.05 & q > 1, "stop" <b>at once</b>.\n\n| a | *b* | second &amp; more'
    (file,) = staged([Source("x/1", "A <title> & more", text)])
    path = tmp_path / file.name
    path.write_bytes(file.data)
    with Nursery() as nursery:
        parsed = parse_file(nursery, path)[0]
    assert parsed.title == "A <title> & more"
    assert "\n\n".join(block.text for block in parsed.blocks) == text
    assert not parsed.lost
    assert not parsed.flags


def test_equal_documents_are_one_file_and_both_are_found() -> None:
    sources = [
        Source("1", "", "Same."),
        Source("2", "", "Same."),
        Source("3", "", "Other."),
        Source("4", "", ""),
    ]
    files = staged(sources)
    assert [file.ids for file in files] == [("1", "2"), ("3",)]
    known = of_files(files, [Question("q", "?", grades={"2": 1, "4": 1, "9": 1, "8": 0})])
    assert known.missing == ("4", "9")
    passages = [replace(a_passage(), document=name) for name in ("3.html", "1.html", "3.html")]
    assert known.ranking(passages) == (("3",), ("1", "2"))


def test_two_names_of_one_document_are_one_that_can_be_found_once() -> None:
    known = of_files(staged([Source(name, "", "Same.") for name in "12"] + [Source("3", "", "Other.")]), [])
    assert known.golds({"1": 1, "2": 3, "3": 2, "9": 1, "8": 0}) == [
        (frozenset("3"), 2),
        (frozenset("9"), 1),
        (frozenset("12"), 3),
    ]


def test_a_question_names_a_document_whole_or_by_its_end_or_by_its_stem() -> None:
    held = [fake_document(n, name) for n, name in enumerate(("a/m.pdf", "b/m.pdf", "guide.md"))]
    held[2] = replace(held[2], pages=None)
    wanted = [
        Question(str(n), "?", grades={name: 1}) for n, name in enumerate(("a/m.pdf", "m.pdf", "guide", "x"))
    ]
    known = of_vault(held, wanted)
    assert known.ids == {"a/m.pdf": ("a/m.pdf", "m.pdf"), "b/m.pdf": ("m.pdf",), "guide.md": ("guide",)}
    assert known.missing == ("x",)
    assert known.paged == {"a/m.pdf", "m.pdf"}  # a page of the guide cannot be right


def test_documents_are_told_apart_by_name_and_content() -> None:
    one = digest([("a", "11"), ("b", "22")])
    assert one == digest([("b", "22"), ("a", "11")])
    assert len({one, digest([("a", "22"), ("b", "11")]), digest([("a", "11")]), digest([], use="vault")}) == 4
