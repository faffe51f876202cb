"""What the quantities' weights were counted on: sentences with the answer, and the others beside them."""

from appliance.quantity import IN_UNITS, UNSTATED
from scripts import quantities
from scripts.reader_asked import Asked

TEXT = (
    "The lid weighs 4 kg. It is painted green. It takes 2 hours to lift."
    " The whole press weighs 310 kg and stands on 4 feet."
)


def test_sentences_with_the_answer_are_told_from_the_others(monkeypatch, tmp_path):
    at = TEXT.index("310 kg")

    def squad(_data):
        yield Asked("squad", "d/1", "", "How heavy is the press?", TEXT, (at, at + 6), at, 1, 1, ())
        yield Asked("squad", "d/1", "", "How heavy is the oil?", TEXT, None, at, -1, 0, ())
        yield Asked("squad", "d/1", "", "Who painted the lid?", TEXT, (at, at + 6), at, 1, 1, ())

    nothing = dict.fromkeys(quantities.SOURCES, lambda _data: iter(()))
    monkeypatch.setattr(quantities, "SOURCES", nothing | {"squad": squad})
    told, others = quantities.counted(tmp_path)
    ((own,), (other,)) = told.values(), others.values()
    assert own == {IN_UNITS: 1}
    assert other == {IN_UNITS: 1, UNSTATED: 1, quantities._OTHER: 1}
