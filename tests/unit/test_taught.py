"""Only drafts that the mechanical check leaves whole are learned from."""

import json
import sys
from dataclasses import asdict, replace

import pytest
from safetensors.numpy import load_file

from appliance.errors import UsageError
from appliance.generate.prompt import BRIEF, REFUSED, SYSTEM
from scripts import gguf, taught
from scripts.corpus import Example, Offer
from tests import tiny_llama

BLOCKS = (
    "[2] Pumps\nThe feed pump runs at 1,450 rpm. Its bearings need grease every 90 days.",
    "[1] Valves\nValve V-7 opens at 6 bar. Its seat is bronze and its stem is steel.",
)
QUESTION = "Question: how often are the bearings greased?\n"
PROMPT = "\n\n".join([*BLOCKS, f"{QUESTION}Answer:"])
EXAMPLE = Example("squad", "d", "how often are the bearings greased?", PROMPT, "every 90 days [2]", 2)
OFFERING = replace(EXAMPLE, offers=(Offer("90 days", 2.0, 0.8), Offer("every 90 days", 1.0, 1.0)))
ABSENT = Example("squad", "d", "who owns it?", PROMPT, REFUSED, 0)
SENTENCE = "Its bearings need grease every 90 days. [2]"


class Teacher:
    """Writes what it is told to; remembers what it was asked."""

    def __init__(self, draft, *, brief=False):
        self.draft, self.brief, self.asked = draft, brief, []

    def stream(self, prompt, *, max_tokens, stop):
        self.asked.append(prompt)
        yield from self.draft


def verdict(draft, each=EXAMPLE, *, brief=False):
    return taught.judged(draft, each, brief=brief).verdict


def test_passages_are_read_back_from_the_prompt():
    first, second = taught.passages_of(PROMPT)
    assert (first.heading, second.heading) == ("Valves", "Pumps")
    assert first.text == BLOCKS[1].split("\n")[1]
    assert second.text == BLOCKS[0].split("\n")[1]


def test_a_passage_that_did_not_fit_holds_nothing():
    first, second = taught.passages_of(PROMPT.replace("[1] Valves", "[3] Valves"))[:2]
    assert (first.text, first.heading, second.heading) == ("", "", "Pumps")
    assert taught.passages_of("Question: what?\nAnswer:") == []


def test_evidence_is_the_sentence_with_the_known_answer():
    evidence = taught.evidence_of(EXAMPLE, taught.passages_of(PROMPT))
    assert (evidence.n, evidence.quote) == (2, SENTENCE.removesuffix(" [2]"))


@pytest.mark.parametrize(
    ("draft", "brief", "found"),
    [
        (SENTENCE, False, "kept"),
        ("every 90 days [2]", True, "kept"),
        ("90 days [2]", True, "beside the point"),
        ("Its bearings need grease every 60 days. [2]", False, "unsupported"),
        ("Its bearings need grease every 90 days. [1]", False, "unsupported"),
        ("Its bearings need oil every 90 days. [2]", False, "unsupported"),
        (f"{SENTENCE} It was built in Leeds. [2]", False, "unsupported"),
        ("The feed pump runs at 1,450 rpm. [2]", False, "beside the point"),
        ("Valve V-7 opens at 6 bar. [1]", False, "beside the point"),
        ("90 [2]", False, "beside the point"),
        ("", False, "unsupported"),
        (REFUSED, True, "refused"),
    ],
)
def test_only_what_the_check_leaves_whole_is_kept(draft, brief, found):
    assert verdict(draft, brief=brief) == found


def test_where_nothing_answers_only_a_refusal_is_kept():
    assert verdict(REFUSED, ABSENT) == "kept"
    assert verdict("Valve V-7 opens at 6 bar. [1]", ABSENT) == "answered"


def test_a_prompt_without_its_answer_is_no_example():
    gone = Example("squad", "d", "q", PROMPT.replace("90 days", "a while"), "every 90 days [2]", 2)
    assert verdict(SENTENCE, gone) == "unreadable"


def test_a_teacher_is_asked_as_the_appliance_asks():
    plain, brief = Teacher(SENTENCE), Teacher("every 90 days [2]", brief=True)
    assert taught.drafted(EXAMPLE, plain).verdict == "kept"
    assert taught.drafted(EXAMPLE, brief).verdict == "kept"
    assert (plain.asked[0].system, plain.asked[0].user) == (SYSTEM, PROMPT)
    assert (brief.asked[0].system, brief.asked[0].user) == (BRIEF, PROMPT)


def test_what_is_kept_are_the_checked_words():
    found = [taught.judged(draft, EXAMPLE, brief=False) for draft in (f"  {SENTENCE}", "nothing [2]")]
    (made,) = taught.examples([EXAMPLE, EXAMPLE], found)
    assert (made.answer, made.prompt, made.gold) == (SENTENCE, PROMPT, 2)


def test_what_is_offered_stays_where_the_answer_is_the_corpus_own():
    found = [taught.judged("every 90 days [2]", OFFERING, brief=True)]
    assert taught.examples([OFFERING], found) == [OFFERING]


@pytest.fixture
def shop(tmp_path, monkeypatch, capsys):
    """A corpus, a tiny vocabulary, and a teacher that is told what to write."""
    model, corpus = tmp_path / "tiny.gguf", tmp_path / "corpus"
    model.write_bytes(gguf.serialize(tiny_llama.model()))
    corpus.mkdir()
    for name, rows in (("train", [EXAMPLE, ABSENT, OFFERING]), ("dev", [OFFERING])):
        lines = [json.dumps(asdict(row)) + "\n" for row in rows]
        (corpus / f"{name}.jsonl").write_text("".join(lines))
    asked = []

    def drafted(each, _writer):
        asked.append(each)
        return taught.judged(SENTENCE, each, brief=False)

    monkeypatch.setattr(taught, "drafted", drafted)

    def go(*more, out="made"):
        given = ["--teacher", model, "--examples", corpus, "--words", model, "--out", tmp_path / out, *more]
        monkeypatch.setattr(sys, "argv", ["taught", *map(str, given)])
        return taught.main(), capsys.readouterr()

    go.folder, go.corpus, go.asked = tmp_path, corpus, asked
    return go


def test_a_run_writes_what_trainings_take_and_goes_on_where_it_was(shop):
    assert shop("--limit", "1")[0] == 0
    code, said = shop()
    assert code == 0
    assert len(shop.asked) == 3
    card = json.loads(said.out)
    assert card["verdicts"] == {"kept": 2, "answered": 1}
    assert (card["drafts"], card["train"]["examples"], card["dev"]["examples"]) == (3, 2, 1)
    assert card == json.loads((shop.folder / "made" / "card.json").read_text())
    arrays = load_file(shop.folder / "made" / "train.safetensors")
    assert len(arrays["answers"]) == 2
    assert not len(arrays["worths"])  # what was offered is worth something for another answer
    held = load_file(shop.folder / "made" / "dev.safetensors")
    assert held["worths"].tolist() == pytest.approx([0.8, 1.0])
    kept = [json.loads(line) for line in (shop.folder / "made" / "train.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in kept] == [SENTENCE] * 2
    assert json.loads((shop.folder / "made" / "dev.jsonl").read_text())["answer"] == EXAMPLE.answer


def test_drafts_of_another_teacher_are_not_mixed_in(shop):
    assert shop()[0] == 0
    code, said = shop("--template", "chatml-brief")
    assert code == 2
    assert "another teacher" in said.err


def test_a_teacher_of_which_nothing_is_kept_leaves_no_examples(shop, monkeypatch):
    monkeypatch.setattr(taught, "drafted", lambda each, _writer: taught.judged("No idea.", each, brief=False))
    code, said = shop()
    assert code == 2
    assert "leaves no draft" in said.err
    assert not (shop.folder / "made" / "train.safetensors").exists()


def test_what_is_no_corpus_is_refused(shop):
    (shop.corpus / "dev.jsonl").write_text('{"question": 1}\n')
    code, said = shop()
    assert code == 2
    assert "dev.jsonl holds no examples" in said.err
    with pytest.raises(UsageError, match="holds no examples"):
        taught.read_examples(shop.folder / "none.jsonl")


def test_the_corpus_is_not_written_over(shop):
    before = (shop.corpus / "train.jsonl").read_bytes()
    assert shop(out="corpus")[0] == 2
    assert (shop.corpus / "train.jsonl").read_bytes() == before
