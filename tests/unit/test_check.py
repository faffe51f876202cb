"""The mechanical check: what passes, what does not, and what the answer is then."""

import re
from dataclasses import replace

import pytest

from appliance.generate.check import check, quoted, to_the_point
from appliance.generate.prompt import REFUSED
from appliance.types import Evidence, Passage

TEXT = (
    "The pump P-101 runs at 3,000 rpm and needs oil every 40 days. Do not open the valve V2 before the pump "
    "stops. It costs $110 or 5% of the total. Use 40 to 60 psi at -5 °C. Twelve bolts hold the cover."
)
SMITH = "Bill Smith founded the plant in Ohio. He was born in 1902."


def passage(text, n=1, *, page=3, lead=""):
    return Passage(
        chunk=n,
        document_id=1,
        document="manual.pdf",
        page=page,
        heading="Pumps > Start",
        lead=lead,
        text=text,
        start=0,
        score=0.9,
        found_by=("words",),
    )


PASSAGES = (passage(TEXT), passage(SMITH, 2, page=7))
QUOTE = "Do not open the valve V2 before the pump stops."
EVIDENCE = Evidence(
    n=1,
    start=TEXT.index(QUOTE),
    end=TEXT.index(QUOTE) + len(QUOTE),
    quote=QUOTE,
    document="manual.pdf",
    page=4,
    heading="Pumps > Start",
    near=0.9,
)
FALLBACK = f"{QUOTE} [1]"


def run(draft, **options):
    return check(draft, PASSAGES, EVIDENCE, **options)


@pytest.mark.parametrize(
    "draft",
    [
        "The pump P-101 runs at 3000 rpm.",
        "The pump runs at 3,000.0 rpm [1].",
        "Oil is needed every 40 days. [1]",
        "Oil is needed every forty days.",
        "It costs $110.",
        "It costs 110 dollars.",
        "It costs 5 percent of the total.",
        "Use 40 psi.",
        "Use 40-60 psi at −5°C.",
        "12 bolts hold the cover.",
        "Do not open the valve V2.",
        "Never open the valve before the pump stops.",
        "Bill Smith was born in 1902. [2]",
        "The pump runs at ３０００ rpm.",
        "The valve V2.",
    ],
)
def test_what_the_passage_says_is_supported(draft):
    checked = run(draft)
    assert checked.unsupported == ()
    assert checked.text != FALLBACK
    assert all(citation.supported for citation in checked.citations)


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        ("The pump P-102 runs at 3,000 rpm.", "another identifier"),
        ("The pump 101 runs at 3,000 rpm.", "a number that is only part of an identifier"),
        ("The pump runs at 3,001 rpm.", "another number"),
        ("The pump runs at 3 rpm.", "a number cut short"),
        ("The pump runs at 3,000 Hz.", "another unit"),
        ("Oil is needed every 40 hours.", "another unit of time"),
        ("It costs €110.", "another currency"),
        ("It costs 110%.", "a unit where there was a currency"),
        ("Use 40 psi at 5 °C.", "the sign lost"),
        ("Thirteen bolts hold the cover.", "another number, in words"),
        ("Open the valve V2 before the pump stops.", "a negation lost"),
        ("The pump does not need oil every 40 days.", "a negation added"),
        ("Bill Jones was born in 1902.", "another name"),
        ("Bill Smith was born in 1902 in Paris.", "a name added"),
        ("The pump needs paint every 40 days.", "too few of its words"),
        ("Bill Smith was born in 1902 [1].", "the wrong passage"),
        ("The pump needs oil every 40 days [2].", "the wrong passage"),
        ("The pump needs oil every 40 days [99].", "no such passage"),
        ("The pump needs oil every 40 days [0].", "no such passage"),
        ("The pump needs oil every 40 days [1][3].", "one marker too many"),
        ("[99] The pump needs oil every 40 days.", "no such passage, marker first"),
        ("Bill Smith.", "a bare name that the evidence does not hold"),
        ("The answer is Bill Smith.", "a preamble and a bare name"),
        ("1902.", "a bare number that the evidence does not hold"),
        ("Yes.", "nothing that could be checked"),
        ("The pump runs at ½ rpm.", "a number that is no digit"),
        ("Bill Smith founded the founded plant in Ohio.", "a word said more often"),
        ("The pump of 1902 needs oil every 40 days.", "a number from another passage"),
    ],
)
def test_what_it_does_not_say_is_dropped_and_listed(draft, why):
    checked = run(draft)
    assert len(checked.unsupported) == 1, why
    assert checked.text == FALLBACK
    assert [citation.n for citation in checked.citations] == [1]


@pytest.mark.parametrize("draft", ["", " \n\n", "[1]", "[1] [2]\n[1]", "[[1]]", "()"])
def test_with_nothing_to_say_the_quote_answers(draft):
    assert run(draft) == quoted(PASSAGES, EVIDENCE)


def test_the_quote_is_cited_at_its_own_page():
    checked = quoted(PASSAGES, EVIDENCE)
    assert checked.text == FALLBACK
    assert checked.citations[0].page == 4
    assert checked.citations[0].quote == QUOTE


def test_each_sentence_carries_its_citation_and_bad_ones_go():
    checked = run("It costs $110. [1] It costs $111. Bill Smith was born in 1902.")
    assert checked.text == "It costs $110. [1] Bill Smith was born in 1902. [2]"
    assert [citation.n for citation in checked.citations] == [1, 2]
    assert checked.unsupported == ("It costs $111.",)


def test_the_quote_is_the_sentence_that_supports():
    (citation,) = run("It costs $110.").citations
    assert citation.quote == "It costs $110 or 5% of the total."
    assert citation.page == 3


def test_a_quote_on_the_next_page_is_cited_there():
    checked = run("It costs $110.", page_of=lambda passage, offset: passage.page + (offset > 100))
    assert checked.citations[0].page == 4


def test_only_passages_that_were_in_the_prompt_may_be_cited():
    assert run("Bill Smith was born in 1902.", shown=(1,)).unsupported
    assert not run("Bill Smith was born in 1902.", shown=(2, 1)).unsupported


def test_a_sentence_said_twice_is_kept_once():
    assert run("It costs $110. It costs $110.\nIt costs $110.").text == "It costs $110. [1]"


def test_a_number_in_a_table_s_header_row_counts():
    table = passage("P-7 | 42 | 9\nP-8 | 61 | 4", lead="pump | head 2026, m | price")
    draft = "The price of pump P-8 is 4 at a head of 61 in 2026."
    checked = check(draft, (table,), Evidence(1, 0, 12, "P-7 | 42 | 9", "manual.pdf", 3, "", 0.5))
    assert checked.unsupported == ()
    assert checked.citations[0].quote == "P-8 | 61 | 4"


def test_a_figure_of_one_row_does_not_answer_for_another():
    table = passage("pump | head\nP-7 | 42\nP-8 | 61")
    seen = Evidence(1, 12, 20, "P-7 | 42", "manual.pdf", 3, "", 0.5)
    assert check("The head of pump P-7 is 61.", (table,), seen).unsupported
    assert not check("The head of pump P-8 is 61.", (table,), seen).unsupported


def test_the_marker_of_one_line_does_not_stray_to_another():
    checked = run("It costs $110.\n[2] Bill Smith was born in 1902.")
    assert [citation.n for citation in checked.citations] == [1, 2]


def test_true_sentences_about_something_else_give_way_to_the_quote():
    start = TEXT.index("Do not open")
    end = TEXT.index(" It costs")
    asked = Evidence(1, start, end, TEXT[start:end], "manual.pdf", 3, "Pumps > Start", 0.9)
    strayed = check("It costs $110 or 5% of the total. [1]", PASSAGES, asked)
    assert strayed.text == "It costs $110 or 5% of the total. [1]"
    answer = to_the_point(strayed, PASSAGES, asked)
    assert answer.text == f"{TEXT[start:end]} [1]"
    assert answer.unsupported == ("It costs $110 or 5% of the total. [1]",)


def test_what_rests_on_the_quote_stays():
    start = TEXT.index("Do not open")
    end = TEXT.index(" It costs")
    asked = Evidence(1, start, end, TEXT[start:end], "manual.pdf", 3, "Pumps > Start", 0.9)
    near = check("Do not open the valve V2. It costs $110 or 5%. [1]", PASSAGES, asked)
    assert to_the_point(near, PASSAGES, asked) == near


ROWS = "Code | Meaning | Action\nE01 | Low water | Stop the burner\nE04 | Hot gas | Clean the tubes"


@pytest.mark.parametrize(
    ("draft", "shown"),
    [
        ("E04 [1]", "quote"),
        ("Code [1]", "quote"),
        ("Code | Meaning | Action [1]", "quote"),
        ("E04 | Code: Hot gas [1]", "quote"),
        ("The meaning of code E04 is: [1]", "quote"),
        ("E04 | Hot gas | Clean the tubes [1]", "quote"),
        ("E04 means hot gas: clean the tubes. [1]", "E04 means hot gas: clean the tubes. [1]"),
    ],
)
def test_a_scrap_of_a_table_gives_way_to_its_row(draft, shown):
    row = "E04 | Hot gas | Clean the tubes"
    table = replace(PASSAGES[0], text=ROWS)
    asked = Evidence(1, ROWS.index(row), len(ROWS), row, "manual.pdf", 3, "Alarms", 0.9)
    given = to_the_point(check(draft, [table], asked), [table], asked)
    assert given.text == (f"{row} [1]" if shown == "quote" else shown)


def test_a_row_in_the_middle_of_a_table_is_no_header_though_it_has_no_figures():
    rows = "Pine valve | east manifold\nOak valve | laboratory"
    table = replace(PASSAGES[0], text=rows, lead="Valve | Where it is")
    first = rows.partition("\n")[0]
    asked = Evidence(1, 0, len(first), first, "manual.pdf", 3, "Valves", 0.9)
    row = check(f"{first} [1]", [table], replace(asked, end=len(rows), quote=rows))
    assert to_the_point(row, [table], replace(asked, end=len(rows), quote=rows)) == row


@pytest.mark.parametrize(
    "draft",
    [
        REFUSED,
        f"{REFUSED} [1]",
        REFUSED.rstrip("."),
        f"[1] {REFUSED.lower()}",
        "Not in your documents! [1]",
        '"Not in your documents." [1]',
    ],
)
def test_a_refusal_is_never_cited_the_quote_stands_and_what_was_said_is_listed(draft):
    manual = passage('It says: "Not in your documents." Not in your documents. Then exit code 3 follows.')
    quote = 'It says: "Not in your documents." Not in your documents.'
    asked = replace(EVIDENCE, start=0, end=len(quote), quote=quote)
    checked = to_the_point(check(draft, [manual], asked), [manual], asked)
    assert checked.text == f"{quote} [1]"
    assert [re.sub(r"\W+", " ", said).strip().casefold() for said in checked.unsupported] == [
        "not in your documents"
    ]


def test_words_beside_a_refusal_are_checked_as_ever():
    checked = check(f"{REFUSED} {QUOTE} [1]", PASSAGES, EVIDENCE)
    assert (checked.text, checked.unsupported) == (f"{QUOTE} [1]", (REFUSED,))
