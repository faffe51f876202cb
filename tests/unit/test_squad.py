"""The official SQuAD 2.0 metric, against cases worked out by hand."""

import pytest

from scripts.squad import Asked, Said, best_f1, exact, f1, figures, normalized


def test_articles_punctuation_and_case_do_not_count():
    assert normalized("The  Quick, brown-fox!") == "quick brownfox"
    assert exact("the Normans", "Normans.") == 1


@pytest.mark.parametrize(
    ("gold", "said", "expected"),
    [
        ("10th century", "in the 10th century", 0.8),  # 2 of 2 gold words, 2 of 3 said ("the" is dropped)
        ("Denmark", "Iceland", 0.0),
        ("", "", 1.0),
        ("", "Denmark", 0.0),
        ("Denmark", "", 0.0),
        ("a b b", "b b c", 0.8),  # "a" is an article: {b b} against {b b c}
    ],
)
def test_f1_of_words(gold, said, expected):
    assert f1(gold, said) == pytest.approx(expected)


ASKED = [
    Asked("q", "c", ("France", "in France")),
    Asked("q", "c", ("10th century",)),
    Asked("q", "c", ()),
    Asked("q", "c", ()),
]
SAID = [Said("France", 3.0), Said("the 10th", 1.0), Said("nonsense", 2.0), Said("more", -1.0)]


def test_the_best_gold_counts_and_what_is_unsure_is_no_answer():
    found = figures(ASKED, SAID, 0.0)
    # right, two thirds, wrong to answer, right not to
    assert found["exact"] == 50.0
    assert found["f1"] == pytest.approx(100 * (1 + 2 / 3 + 0 + 1) / 4, abs=0.01)
    assert found["answerable_f1"] == pytest.approx(100 * (1 + 2 / 3) / 2, abs=0.01)
    assert found["no_answer_accuracy"] == 50.0


def test_the_best_threshold_is_an_upper_bound_and_says_where():
    best, at = best_f1(ASKED, SAID)
    assert at == 3.0  # answering only the surest: 1 + 0 + 1 + 1
    assert best == pytest.approx(3 / 4)
    assert best * 100 >= max(figures(ASKED, SAID, t)["f1"] for t in (-2.0, 0.0, 1.5, 2.5, 4.0))
