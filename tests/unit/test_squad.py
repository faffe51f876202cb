"""A reader's figures on SQuAD 2.0, against cases worked out by hand."""

import pytest

from scripts.squad import Asked, Said, best_f1, figures

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
