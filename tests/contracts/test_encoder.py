"""One suite for every encoder: what ingest and retrieval rely on."""

import threading

import numpy as np
import pytest

from appliance import embed, models
from appliance.embed import Encoder
from tests.fakes import FakeEncoder

NAME = "all-minilm-l6-v2-int8"
TEXTS = [
    "The pump is rated for clean water up to 60 C.",
    "Before each start the valve V-12 must be open.",
    "Annual leave is requested through the portal.",
    "",
    "   \n\t ",
    "Überdruck 3 bar, 速度 3000 rpm, \u202eזרוע\u202c, 👩‍🔧",
    "\x00\x1b[31m control \x07 characters",
    "half a pair: \ud800 of surrogates",
    "word " * 3000,
]


@pytest.fixture(scope="module", params=["fake", "onnx"])
def encoder(request) -> Encoder:
    if request.param == "fake":
        return FakeEncoder()
    built = request.getfixturevalue("built_models")
    return embed.load(models.find(NAME, [built]), threads=2)


def test_one_unit_row_a_text_in_their_order(encoder):
    rows = encoder.encode(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.dimensions)
    assert rows.dtype == np.float32
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-5
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    assert np.abs((rows * backwards).sum(axis=1) - 1).max() < 1e-5


def test_no_texts_give_no_rows(encoder):
    assert encoder.encode([]).shape == (0, encoder.dimensions)


def test_the_same_texts_give_the_same_bytes(encoder):
    assert encoder.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()


def test_a_vector_does_not_depend_on_the_batch(encoder):
    """A dynamic scale per tensor would let one text change its neighbours' vectors (cosine .98)."""
    together = encoder.encode(TEXTS)
    for number, text in enumerate(TEXTS):
        assert together[number] @ encoder.encode([text])[0] > 0.99999


def test_texts_that_share_their_subject_are_nearer(encoder):
    question, near, far = encoder.encode(
        ["how warm may the water in the pump be", TEXTS[0], "Annual leave is requested by form."]
    )
    assert question @ near > question @ far


def test_it_counts_tokens_beyond_what_it_sees(encoder):
    counts = encoder.token_counts(TEXTS)
    assert len(counts) == len(TEXTS)
    assert counts[3] == 2
    assert counts[-1] == 3002


def test_it_serves_threads_at_once(encoder):
    """The question is embedded while an add is under way."""
    expected = encoder.encode(TEXTS[:3])
    found = {}

    def work(number: int) -> None:
        found[number] = encoder.encode(TEXTS[:3])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(np.abs(found[number] - expected).max() < 1e-5 for number in range(4))
