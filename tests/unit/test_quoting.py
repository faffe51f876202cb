"""What the scripts take for the appliance's quote and draft."""

from types import SimpleNamespace

import pytest

from appliance.generate.prompt import enough
from appliance.retrieve import cross
from appliance.types import Prompt
from scripts.quoting import drafted, quoting
from scripts.squad import passage

TEXTS = ("Sand lies there. It is dry.", "The pump runs. It needs 40 litres.", "Rain falls. It is wet.")


def read(text: str, relevance: float, words: str) -> cross.Judged:
    start, sentence = text.index(words), text.index("It ")
    best = cross.Marked(2.0, (start, start + len(words)), (sentence, len(text)))
    return cross.Judged(relevance, 1.0, best, (best,))


@pytest.mark.parametrize("gold", [0, 1, 2])
def test_quoted_is_the_sentence_of_the_most_relevant_passage_and_marked_its_words(gold: int) -> None:
    how = SimpleNamespace(margin_temperature=1.0, relevance_temperature=1.0, answerable_temperature=1.0)
    words = ("dry", "40 litres", "wet")
    judged = [read(text, float(at == gold), words[at]) for at, text in enumerate(TEXTS)]
    reader = SimpleNamespace(calibration=how, judge=lambda _question, _passages: judged)
    evidence, telling = quoting(reader)("how much?", [passage(text) for text in TEXTS])
    assert (evidence.n, evidence.quote) == (gold + 1, TEXTS[gold][TEXTS[gold].index("It ") :])
    assert TEXTS[gold][slice(*evidence.mark)] == words[gold]
    assert [TEXTS[at][slice(*spans[0])][:3] for at, spans in enumerate(telling)] == ["It "] * 3


def test_a_draft_ends_where_the_appliance_ends_one() -> None:
    said = []

    class Rambler:
        brief = True

        def stream(self, prompt, *, max_tokens, stop):
            for piece in ["It runs. "] * max_tokens:
                said.append(piece)
                yield piece

    draft = drafted(Rambler(), Prompt("", ""), most=50)
    assert enough(draft)
    assert len(said) == 4
    said.clear()
    drafted(Rambler(), Prompt("", ""), most=2)
    assert len(said) == 2
