"""Another `embedding` in config.toml: vectors of two models are never compared, and nothing is lost."""

from __future__ import annotations

import threading

import pytest

from appliance.assistant import Assistant
from appliance.errors import EncoderChanged
from appliance.retrieve.retriever import Retriever
from tests.fakes import FakeEncoder
from tests.unit.test_assistant import FakeEngines, FakeJournal
from tests.unit.test_pipeline import Bench, write

QUESTION = "What is the first?"


class OtherEncoder(FakeEncoder):
    """The same vectors under another name: nothing but the name can tell."""

    name = "other-encoder"


@pytest.fixture
def bench(tmp_path):
    write(tmp_path / "a.txt", "Alpha is the first.")
    write(tmp_path / "b.txt", "Beta is the second.")
    made = Bench()
    made.add(tmp_path / "a.txt", tmp_path / "b.txt")
    return made


def switched(bench):
    """Return a run's successor that was given another encoder."""
    after = Bench(bench.store)
    after.encoder = after.ingest._encoder = OtherEncoder()
    return after


def test_a_question_is_refused_while_documents_of_another_encoder_are_there(bench):
    with pytest.raises(EncoderChanged) as caught:
        Retriever(bench.store, OtherEncoder()).retrieve(QUESTION)
    assert str(caught.value) == (
        "2 of 2 documents were added with the embedding model fake-encoder, and other-encoder is set: "
        "their vectors cannot be compared."
    )
    assert caught.value.hint.startswith("Nothing is lost.")
    assert '`embedding = "fake-encoder"`' in caught.value.hint
    assert caught.value.exit_code == 2
    assert Retriever(bench.store, FakeEncoder()).retrieve(QUESTION).passages  # the model put back


def test_documents_are_listed_shown_and_removed_whatever_the_encoder(bench):
    engines = FakeEngines(None)
    engines._fake = OtherEncoder()
    assistant = Assistant(bench.store, FakeJournal(), engines)
    first, second = assistant.documents()
    assert assistant.pages(first.id)[0].text == "Alpha is the first."
    with pytest.raises(EncoderChanged):
        list(assistant.ask(QUESTION, stop=threading.Event()))
    assistant.remove(first.id)
    assert assistant.documents() == (second,)


def test_a_document_added_again_under_another_encoder_is_embedded_anew(bench, tmp_path):
    after = switched(bench)
    assert {name: r.status for name, r in after.files(tmp_path / "a.txt").items()} == {"a.txt": "ok"}
    assert [(seen.name, seen.model) for seen in bench.store.documents()] == [
        ("b.txt", "fake-encoder"),
        ("a.txt", "other-encoder"),
    ]
    with pytest.raises(EncoderChanged, match="1 of 2 documents") as caught:
        Retriever(bench.store, after.encoder).retrieve(QUESTION)
    assert "config.toml" not in caught.value.hint, "of a vault that holds two no setting makes one"
    assert "Add these documents again" in caught.value.hint
    assert {r.status for r in after.files(tmp_path).values()} == {"duplicate", "ok"}
    assert Retriever(bench.store, after.encoder).retrieve(QUESTION).passages


def test_a_copy_of_a_document_of_another_encoder_is_no_duplicate(bench, tmp_path):
    write(tmp_path / "sub" / "c.txt", "Alpha is the first.")
    assert switched(bench).files(tmp_path / "sub")["c.txt"].status == "ok"
