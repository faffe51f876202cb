"""Laws of the check, whatever a generator writes and whatever the documents hold."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.generate.check import check, quoted
from appliance.generate.facts import canonical, read
from appliance.sentences import split
from appliance.types import Evidence, Passage

_WORDS = (
    "the pump runs at 3,000 rpm . P-101 not open 40 days $110 5% -5 °C [1] [2] [99] [[1]] \n e.g. ½ ٣ Bo ("
)
_SALAD = st.lists(st.sampled_from(_WORDS.split(" ")), max_size=40).map(" ".join)
_TEXT = _SALAD | st.text(max_size=200)
_MARK = re.compile(r"\[(\d+)\]")


def passages_of(texts):
    return tuple(
        Passage(n, 1, "manual.pdf", None, "", "", text, 0, 0.5, ("words",)) for n, text in enumerate(texts, 1)
    )


def evidence_of(passages):
    start, end = split(passages[0].text)[0]
    return Evidence(1, start, end, passages[0].text[start:end], "manual.pdf", None, "", 0.5)


_PASSAGES = st.lists(_TEXT.filter(lambda text: text.strip()), min_size=1, max_size=3).map(passages_of)


@given(draft=_TEXT, passages=_PASSAGES)
def test_whatever_is_written_only_what_stands_in_the_passages_is_answered(draft, passages):
    evidence = evidence_of(passages)
    checked = check(draft, passages, evidence)
    assert checked.citations
    for citation in checked.citations:
        assert 1 <= citation.n <= len(passages)
        assert citation.quote in passages[citation.n - 1].text
        assert citation.supported
    if checked.text == quoted(passages, evidence).text:
        return
    cited = [read(passages[citation.n - 1].text, reach=4) for citation in checked.citations]
    said = read(_MARK.sub(" ", checked.text))
    assert set(said.numbers) <= set().union(*(facts.numbers for facts in cited))
    assert said.identifiers <= set().union(*(facts.identifiers for facts in cited))


@example(draft="pump [[1]] .", passages=passages_of(["pump"]))
@example(draft=". [[1]] 5%", passages=passages_of(["5%"]))
@example(draft="pump [[[1]]] x", passages=passages_of(["pump x"]))
@given(draft=_TEXT, passages=_PASSAGES)
def test_checking_again_changes_nothing(draft, passages):
    evidence = evidence_of(passages)
    once = check(draft, passages, evidence)
    again = check(once.text, passages, evidence)
    assert again.text == once.text
    assert again.unsupported == ()


@given(draft=_TEXT, passages=_PASSAGES)
def test_no_sentence_is_lost_in_silence(draft, passages):
    checked = check(draft, passages, evidence_of(passages))
    for sentence in checked.unsupported:
        assert sentence.strip()
        assert sentence not in checked.text.split("\n") or sentence == ""


@given(text=_TEXT)
def test_the_spans_of_sentences_are_ordered_disjoint_and_leave_only_space(text):
    last = 0
    for start, end in split(text):
        assert last <= start < end <= len(text)
        assert not text[last:start].strip()
        last = end
    assert not text[last:].strip()


@given(value=st.integers(min_value=0, max_value=10**15))
def test_a_number_is_the_same_with_and_without_separators(value):
    assert canonical(f"{value:,}") == canonical(str(value)) == str(value)


@given(digits=st.text(alphabet="0123456789.,٣½²-", max_size=60))
def test_odd_figures_are_read_without_failing(digits):
    read(f"about {digits} rpm {digits}%")


@pytest.mark.parametrize(
    "piece", ["a-", "1,", "[1", "[[[", "not ", "1-1-", "x.", "$", "A. ", "9", "[1,1", "( ", " .", "\n", "."]
)
def test_time_grows_with_length_only(piece):
    passages = passages_of(["The pump runs at 3,000 rpm. " * 20])
    evidence = evidence_of(passages)
    started = time.process_time()
    check(piece * 5_000, passages, evidence)
    assert time.process_time() - started < 5
