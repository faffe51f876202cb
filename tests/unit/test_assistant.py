"""The facade's promises: evidence before the first word, checked words only, and a plain refusal."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace

import pytest

from appliance import engines, models
from appliance.assistant import UNFINISHED, Assistant
from appliance.engines import Engines
from appliance.errors import Cancelled, GeneratorDied, NoRoom
from appliance.generate.prompt import REFUSED
from appliance.journal import Journal
from appliance.retrieve.retriever import Retriever
from appliance.session import Session
from appliance.types import Answer, Answered, Choice, Delta, Event, EvidenceFound, Retrieved
from tests.fakes import FakeEncoder, FakeGenerator, FakeStore
from tests.stores import ENCODER, a_draft

GREASE = "Every 500 hours the bearings of the pump are greased with 15 g of lithium grease."
PAINT = "The fence of the station is painted green every second spring by the crew."
QUESTION = "Every how many hours are the bearings of the pump greased with lithium grease?"


class FakeEngines(Engines):
    """Engines that are there at once."""

    def __init__(self, generator: FakeGenerator | None) -> None:
        self._writer = generator
        self.loaded = False
        self.accept_weaker = False
        self._fake = FakeEncoder()

    def encoder(self):
        return self._fake

    def reader(self):
        return None

    def brief(self):
        return self._writer is not None and self._writer.brief

    def generator(self):
        self.loaded = True
        done = Future()
        done.set_result(self._writer)
        return done


class FakeJournal(Journal):
    """A journal without files that remembers what was recorded."""

    def __init__(self) -> None:
        self.entries = []

    def record(self, action, outcome, *, chunks=(), content=None):
        self.entries.append((action, outcome, len(chunks), content))

    def _leaves(self, passages):
        return [b"leaf" for _ in passages]


def an_assistant(draft: str | None, *, brief: bool = False) -> Assistant:
    store = FakeStore()
    stored = a_draft(GREASE, PAINT)
    resume = store.begin(stored, model=ENCODER)
    vectors = FakeEncoder().encode([chunk.text for chunk in stored.chunks])
    store.append(resume.document_id, stored.chunks, vectors)
    store.finish(resume.document_id)
    writer = None if draft is None else FakeGenerator(draft, brief=brief)
    return Assistant(store, FakeJournal(), FakeEngines(writer))


def events(draft: str | None, question: str = QUESTION, *, brief: bool = False) -> list[Event]:
    return list(an_assistant(draft, brief=brief).ask(question, stop=threading.Event()))


def answered(draft: str | None, question: str = QUESTION, *, brief: bool = False) -> Answer:
    last = events(draft, question, brief=brief)[-1]
    assert isinstance(last, Answered)
    return last.answer


def test_the_evidence_comes_before_the_first_word_and_the_answer_last():
    kinds = [type(event) for event in events(GREASE)]
    assert kinds[:3] == [Retrieved, EvidenceFound, Delta]
    assert kinds[-1] is Answered


def test_true_words_beside_the_point_give_way_to_the_quote():
    answer = answered(PAINT)
    assert answer.answer == f"{GREASE} [{answer.citations[0].n}]"
    assert PAINT.rstrip(".") in answer.unsupported[-1]


def test_invented_words_give_way_to_the_quote_and_are_listed():
    answer = answered("The bearings are greased every 900 hours.")
    assert answer.answer.startswith(GREASE)
    assert answer.unsupported == ("The bearings are greased every 900 hours.",)


def test_a_model_that_runs_on_is_stopped():
    written = "".join(event.text for event in events("One. Two three. " * 40) if isinstance(event, Delta))
    assert len(written.split()) < 20


def test_a_model_that_refuses_although_there_is_evidence_does_not_take_it_away():
    answer = answered(REFUSED)
    assert not answer.abstained
    assert (answer.answer, answer.unsupported) == (f"{GREASE} [{answer.citations[0].n}]", (REFUSED,))


def test_a_brief_model_is_not_asked_where_the_quote_answers_whatever_it_writes():
    for question in ("How often are the bearings greased?", "Why are the bearings greased?"):
        found = events("every 90 days", question, brief=True)  # this reader marks no words
        assert not any(isinstance(event, Delta) for event in found)
        answer = found[-1].answer
        assert (answer.answer, answer.models.generator) == (f"{GREASE} [{answer.citations[0].n}]", None)
        assert any(isinstance(event, Delta) for event in events(GREASE, question))


@pytest.mark.parametrize(("sure", "said"), [(0.9, "500 hours"), (0.5, GREASE)])
def test_words_are_the_answer_where_the_model_says_that_it_is_sure(sure, said, monkeypatch):
    retrieve = Retriever.retrieve

    def offering(self, *given, **more):
        found = retrieve(self, *given, **more)
        at = found.passages[found.evidence.n - 1].text.index("500 hours")
        span = (at, at + len("500 hours"))
        return replace(found, evidence=replace(found.evidence, mark=span, choices=(Choice(span, 5.0),)))

    monkeypatch.setattr(Retriever, "retrieve", offering)
    assistant = an_assistant("", brief=True)
    assistant._engines._writer._sure = sure
    answer = list(assistant.ask(QUESTION, stop=threading.Event()))[-1].answer
    assert answer.answer == f"{said} [{answer.citations[0].n}]"


@pytest.mark.parametrize(("brief", "question", "loaded"), [
    (True, "Why are the bearings greased?", False),
    (True, QUESTION, True),
    (False, "Why are the bearings greased?", True),
])  # fmt: skip
def test_a_brief_model_is_not_loaded_for_what_only_a_sentence_answers(brief, question, loaded):
    assistant = an_assistant("every 90 days", brief=brief)
    assert list(assistant.ask(question, stop=threading.Event()))
    assert assistant._engines.loaded is loaded


@pytest.mark.parametrize("error", [GeneratorDied("gone"), NoRoom("too long")])
def test_a_generator_that_fails_takes_no_quote_away(monkeypatch, error):
    def fail(self, prompt, *, max_tokens, stop):
        raise error
        yield

    monkeypatch.setattr(FakeGenerator, "stream", fail)
    answer = answered(GREASE)
    assert (answer.answer, answer.models.generator) == (f"{GREASE} [{answer.citations[0].n}]", None)


def test_nor_does_one_that_did_not_start():
    assistant = an_assistant(GREASE)
    failed = Future()
    failed.set_exception(GeneratorDied("It did not start."))
    assistant._engines.generator = lambda: failed
    *_, last = assistant.ask(QUESTION, stop=threading.Event())
    assert last.answer.answer.startswith(GREASE)
    assert last.answer.models.generator is None


def test_a_stop_is_heard_while_the_generator_loads():
    assistant, stop = an_assistant(GREASE), threading.Event()
    assistant._engines.generator = Future  # one that is never done
    asked = assistant.ask(QUESTION, stop=stop)
    assert [type(next(asked)), type(next(asked))] == [Retrieved, EvidenceFound]
    stop.set()
    with pytest.raises(Cancelled):
        next(asked)


def test_without_a_generator_the_quote_answers():
    answer = answered(None)
    assert answer.answer.startswith(GREASE)
    assert answer.models.generator is None


def test_what_is_not_there_is_refused_without_evidence_or_words():
    found = events(GREASE, "Who composed Lohengrin?")
    assert [type(event) for event in found] == [Retrieved, Answered]
    assert found[-1].answer.abstained
    assert found[-1].answer.citations == ()
    given = found[-1].answer
    assert GREASE in given.nearest
    assert all(
        said and said in passage.text for said, passage in zip(given.nearest, given.passages, strict=True)
    )
    assert answered(GREASE).nearest == ()


def test_the_answer_says_what_was_searched_for_where_a_word_was_mended(monkeypatch):
    monkeypatch.setattr(FakeEncoder, "token_counts", lambda _, texts: [9 for _ in texts])  # it knows no word
    assert answered(GREASE).searched_for is None
    mended = answered(GREASE, "how often are the bearinsg greased")
    assert (mended.question, mended.searched_for) == (
        "how often are the bearinsg greased",
        "how often are the bearings greased",
    )


def test_the_answer_says_how_near_it_was_and_where_its_words_stand():
    answer = answered(None)
    assert answer.verdict.near >= answer.verdict.needed > 0
    assert answer.evidence is not None
    assert answer.passages[answer.evidence.n - 1].text[answer.evidence.start :].startswith(GREASE)
    refused = events(GREASE, "Who composed Lohengrin?")[-1].answer
    assert refused.evidence is None
    assert refused.verdict.near < refused.verdict.needed


def test_a_question_is_judged_at_the_level_it_names_or_else_the_configured_one(settings):
    session = Session.__new__(Session)
    session._config, session._open = replace(settings, refusal="open"), an_assistant(None)
    for level, expected in (("strict", "strict"), (None, "open")):
        replies = list(
            session.ask(threading.Event(), question=QUESTION, passages=6, generate=False, level=level)
        )
        assert replies[-1].answer.verdict.level == expected


def test_no_reader_is_loaded_where_none_is_to_read(settings, monkeypatch):
    looked = []
    monkeypatch.setattr(models, "find", lambda name, folders: looked.append(name))
    assert engines._load_reader(replace(settings, reader="tiny", rerank=0)) is None
    assert engines._load_reader(replace(settings, reader="", rerank=6)) is None
    assert looked == []


def test_a_stop_ends_the_question_without_an_answer():
    stop = threading.Event()
    asked = an_assistant(GREASE).ask(QUESTION, stop=stop)
    assert [type(next(asked)), type(next(asked))] == [Retrieved, EvidenceFound]
    stop.set()
    with pytest.raises(Cancelled):
        list(asked)


def test_an_unfinished_document_is_listed_as_such():
    store = FakeStore()
    store.begin(replace(a_draft("one", "two"), lost=("page 3",)), model=ENCODER)
    (listed,) = Assistant(store, FakeJournal(), FakeEngines(None)).documents()
    assert listed.lost == (UNFINISHED, "page 3")
