"""Small whole nouns for tests that need one and do not care which."""

from __future__ import annotations

from appliance.types import Answer, Citation, Evidence, Models, Passage, Timings, Tokens


def a_passage(text: str = "Each pump delivers 45 m3/h at a head of 32 m.", *, chunk: int = 1) -> Passage:
    """Return a passage of the sample manual."""
    return Passage(
        chunk=chunk,
        document_id=1,
        document="manual.pdf",
        page=3,
        heading="Pumps > Data",
        lead="",
        text=text,
        start=100,
        score=0.9,
        found_by=("words", "vectors"),
    )


def evidence_of(passage: Passage) -> Evidence:
    """Return the whole passage as evidence."""
    return Evidence(
        n=1,
        start=0,
        end=len(passage.text),
        quote=passage.text,
        document=passage.document,
        page=passage.page,
        heading=passage.heading,
        near=0.9,
    )


def an_answer(text: str = "Each pump delivers 45 m3/h [1].") -> Answer:
    """Return an answer with one citation."""
    passage = a_passage()
    citation = Citation(1, passage.document, passage.page, passage.heading, passage.text, supported=True)
    return Answer(
        question="How much does each pump deliver?",
        answer=text,
        abstained=False,
        citations=(citation,),
        passages=(passage,),
        unsupported=("It is blue.",),
        timings=Timings(1.0, 2.0, 3.0, 6.0, 9.0, 20.0),
        tokens=Tokens(100, 12),
        models=Models("encoder", None, "generator"),
    )


def a_refusal() -> Answer:
    """Return an abstention with one near passage."""
    return Answer(
        question="Who won the cup?",
        answer="",
        abstained=True,
        citations=(),
        passages=(a_passage(),),
        unsupported=(),
        timings=Timings(),
        tokens=Tokens(),
        models=Models("encoder", None, None),
    )
