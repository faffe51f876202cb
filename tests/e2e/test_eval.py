"""`appliance eval` with the real models: three formats, a kill in the middle, another run beside it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_journey import COMMAND, SAMPLES, Person

TOPICS = {
    "pump": "The centrifugal pump delivers 45 cubic metres of clean water in an hour.",
    "seal": "The shaft seal is replaced after 4000 hours of operation.",
    "tank": "The diesel tank of the generator holds 380 litres.",
    "nurse": "The nurse is in the first-aid post on Tuesdays.",
    "alarm": "Alarm E04 means that the bearing is too hot.",
}
QUESTIONS = {
    "pump": "How much water does the centrifugal pump deliver?",
    "seal": "After how many hours is the shaft seal replaced?",
    "tank": "How much diesel does the tank hold?",
    "nurse": "When is the nurse in the first-aid post?",
    "alarm": "What does alarm E04 mean?",
}
STRANGE = "Who composed the opera about the flying Dutchman?"


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def somebody(built_models: Path, tmp_path: Path) -> Person:
    return Person(tmp_path)


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    corpus = [{"_id": name, "title": name, "text": text} for name, text in TOPICS.items()]
    written(folder / "corpus.jsonl", [*corpus, {"_id": "blank", "title": "", "text": ""}])
    written(
        folder / "queries.jsonl", [{"_id": f"q-{name}", "text": text} for name, text in QUESTIONS.items()]
    )
    judged = "".join(f"q-{name}\t{name}\t1\n" for name in QUESTIONS)
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    manual = {"document": "pump-station-manual.txt"}
    return written(
        tmp_path / "own.jsonl",
        [
            {
                "id": "q1",
                "question": "How often are the bearings greased?",
                "answers": ["Every 500 hours"],
            }
            | manual
            | {"pages": [4]},
            {"id": "q2", "question": "What does alarm E04 mean?"} | manual | {"pages": [3]},
            {"id": "q3", "question": STRANGE, "answerable": False},
        ],
    )


def left_behind(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def evaluates(who: Person, *words: str) -> dict[str, Any]:
    done = who.types("eval", *words, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_beir_set_is_asked_in_a_vault_of_its_own_and_leaves_nothing(somebody: Person, beir: Path) -> None:
    told = evaluates(somebody, str(beir))
    assert told["questions"] == 5
    assert told["figures"]["ndcg_at_10"] == {"value": 1.0, "n": 5}
    assert told["figures"]["citations_valid"]["value"] == 1.0
    assert told["run"]["passages"] == 50
    assert set(told["run"]["models"]) == {"all-minilm-l6-v2-int8", "reader-minilm-l6"}  # none that writes
    assert left_behind(somebody.home) == []


def test_a_squad_set_is_measured_by_its_answers(somebody: Person, tmp_path: Path) -> None:
    golds = {"pump": "45 cubic metres", "seal": "4000 hours", "tank": "380 litres"}
    articles = [
        {
            "title": name,
            "paragraphs": [
                {
                    "context": TOPICS[name],
                    "qas": [
                        {
                            "id": name,
                            "question": QUESTIONS[name],
                            "answers": [{"text": gold}],
                            "is_impossible": False,
                        }
                    ],
                }
            ],
        }
        for name, gold in golds.items()
    ]
    articles[0]["paragraphs"][0]["qas"].append(
        {"id": "opera", "question": STRANGE, "answers": [], "is_impossible": True}
    )
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "v2.0", "data": articles}))
    told = evaluates(somebody, str(path), "--quotes-only")["figures"]
    assert told["recall_at_1"] == told["passage_at_1"] == told["answer_in_quote"] == {"value": 1.0, "n": 3}
    assert told["refusal_recall"] == {"value": 1.0, "n": 1}
    assert 0 < told["answerable_f1"]["value"] < told["f1"]["value"] <= 1


def test_questions_about_a_vault_are_asked_there_on_record_and_without_words_in_the_run(
    somebody: Person, questions: Path, tmp_path: Path
) -> None:
    assert somebody.types("init").returncode == 0
    assert somebody.types("add", str(SAMPLES)).returncode == 0
    out = tmp_path / "run.jsonl"
    told = evaluates(somebody, str(questions), "--out", str(out))["figures"]
    assert told["page_at_1"] == {"value": 1.0, "n": 2}
    assert told["refusal_recall"]["value"] == 1.0
    log = [json.loads(line) for line in (somebody.home / "vaults/main/audit.log").read_bytes().splitlines()]
    assert [entry["action"] for entry in log].count("ask") == 3
    run = out.read_text().casefold()
    assert run.count("\n") == 4
    assert [word for word in ("grease", "bearing", "manual", "e04", "dutchman") if word in run] == []
    again = evaluates(somebody, str(questions), "--out", str(out))
    assert again["figures"] == told  # nothing was asked twice
    late = [json.loads(line) for line in (somebody.home / "vaults/main/audit.log").read_bytes().splitlines()]
    assert [entry["action"] for entry in late].count("ask") == 3


def test_a_folder_of_documents_is_asked_about_without_a_vault(somebody: Person, questions: Path) -> None:
    done = somebody.types("eval", str(questions), "--documents", str(SAMPLES), "--limit", "2", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "2 drawn by seed 3" in done.stdout
    assert "passage on a gold page@1" in done.stdout
    assert "2/2 questions" in done.stderr
    assert left_behind(somebody.home) == []


def test_a_killed_run_goes_on_in_the_same_vault(somebody: Person, beir: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    words = ["eval", str(beir), "--out", str(out), "--json"]
    with subprocess.Popen(
        [*COMMAND, *words],
        env=somebody.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("2/5"):
                running.send_signal(signal.SIGKILL)
    (vault,) = (somebody.home / "vaults").iterdir()
    before = out.read_text().splitlines()
    assert 3 <= len(before) <= 5
    told = evaluates(somebody, *words[1:-1])
    assert told["questions"] == 5
    assert out.read_text().splitlines()[: len(before)] == before
    assert not vault.exists()


def begun(somebody: Person, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "eval", *words],
        env=somebody.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def staged_by(somebody: Person, running: subprocess.Popen[str]) -> list[Path]:
    """Wait until the documents lie in the clear; return them."""
    until = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < until:
        if found := list((somebody.home / "eval").glob("*/*/*.html")):
            return found
        time.sleep(0.005)
    return pytest.fail("No document was staged.")


def test_what_a_run_killed_while_it_adds_left_in_the_clear_is_gone_with_the_next(
    somebody: Person, beir: Path, tmp_path: Path
) -> None:
    with begun(somebody, str(beir), "--out", str(tmp_path / "run.jsonl")) as running:
        staged_by(somebody, running)
        running.kill()
    assert list((somebody.home / "eval").glob("*/*/*.html"))
    evaluates(somebody, str(beir), "--out", str(tmp_path / "run.jsonl"))
    assert left_behind(somebody.home) == []


def test_a_run_that_is_told_to_end_while_it_adds_leaves_nothing(somebody: Person, beir: Path) -> None:
    with begun(somebody, str(beir)) as running:
        staged_by(somebody, running)
        running.terminate()
        assert running.stderr is not None
        said = running.stderr.read()
    assert (running.returncode, "Stopped." in said) == (130, True), said
    assert left_behind(somebody.home) == []


def test_two_runs_of_the_same_documents_do_not_meet(somebody: Person, beir: Path) -> None:
    with begun(somebody, str(beir)) as running:
        staged_by(somebody, running)
        second = somebody.types("eval", str(beir))
        running.wait()
    assert second.returncode != 0
    assert "Another run" in second.stderr
    assert running.returncode == 0
    assert left_behind(somebody.home) == []


def test_ctrl_c_stops_a_run_and_one_without_a_file_leaves_nothing(somebody: Person, beir: Path) -> None:
    many = [{"_id": f"q-{n}", "text": f"How much water does pump {n} deliver?"} for n in range(2000)]
    written(beir / "queries.jsonl", many)  # no machine answers them all before the signal comes
    (beir / "qrels.tsv").write_text("".join(f"q-{n}\tpump\t1\n" for n in range(2000)))
    with subprocess.Popen(
        [*COMMAND, "eval", str(beir)],
        env=somebody.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        running.stderr.readline()  # "Added": the questions come next
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 130
    assert "Stopped." in said
    assert left_behind(somebody.home) == []


def test_a_run_of_another_set_is_refused_before_anything_is_added(
    somebody: Person, beir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run.jsonl"
    evaluates(somebody, str(beir), "--out", str(out))
    before = out.read_bytes()
    written(beir / "corpus.jsonl", [{"_id": "pump", "text": "Something else."}])
    done = somebody.types("eval", str(beir), "--out", str(out))
    assert done.returncode == 2
    assert "another run: its documents differ" in done.stderr
    assert out.read_bytes() == before
    assert left_behind(somebody.home) == []


def test_two_runs_are_compared(somebody: Person, beir: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    evaluates(somebody, str(beir), "--out", str(first))
    told = evaluates(somebody, str(beir), "--limit", "4", "--out", str(second), "--against", str(first))
    found = told["against"]["differences"]["ndcg_at_10"]
    assert (found["n"], found["difference"], found["p"]) == (4, 0.0, 1.0)
    other = written(tmp_path / "other.jsonl", [{"id": "else", "question": "Else?"}])
    done = somebody.types("eval", str(other), "--documents", str(SAMPLES), "--against", str(first))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no question of this set" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (lambda beir, own: (str(own), "--split", "dev"), "splits"),
        (lambda beir, own: (str(beir), "--documents", str(SAMPLES)), "brings its own documents"),
        (lambda beir, own: (str(own), "--documents", str(beir / "nowhere")), "is no folder"),
        (lambda beir, own: (str(own), "--documents", str(beir)), "No document that the questions name"),
        (lambda beir, own: (str(own),), "no vault"),
        (lambda beir, own: (str(own), "--limit", "0"), "not a number from 1 on"),
    ],
)  # fmt: skip
def test_mistakes_are_exit_code_2(
    somebody: Person, beir: Path, questions: Path, words: Callable[[Path, Path], tuple[str, ...]], said: str
) -> None:
    done = somebody.types("eval", *words(beir, questions))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_document_that_cannot_be_added_is_told_and_exit_code_4(
    somebody: Person, questions: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for sample in SAMPLES.glob("*.txt"):
        (folder / sample.name).write_bytes(sample.read_bytes())
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 but not really")
    words = ["eval", str(questions), "--documents", str(folder), "--quotes-only", "--json"]
    words += ["--out", str(tmp_path / "run.jsonl")]
    done = somebody.types(*words)
    assert done.returncode == 4
    assert "broken.pdf" in done.stderr
    told = json.loads(done.stdout)
    assert told["figures"]["page_at_1"]["value"] == 1.0
    again = somebody.types(*words)
    assert (again.returncode, json.loads(again.stdout)) == (4, told)  # though nothing was added again
