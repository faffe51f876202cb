"""The measures are those that everybody means: held against pytrec_eval and the official SQuAD 2.0 metric."""

from __future__ import annotations

import collections
import platform
import re
import string

import numpy as np
import pytest

from appliance.evaluation import metrics
from appliance.evaluation.metrics import (
    best,
    compared,
    exact,
    f1,
    holds,
    mean,
    normalized,
    numbers,
    quantile,
    stands,
    unmarked,
)


def judged(seed: int) -> tuple[dict[str, int], list[str]]:
    """Return grades of documents, 0 among them, and a ranking with some that nobody judged."""
    chance = np.random.default_rng(seed)
    names = [f"d{n}" for n in range(30)]
    grades = {name: int(chance.integers(0, 4)) for name in chance.choice(names, chance.integers(1, 25))}
    return grades, list(chance.permutation(names)[: chance.integers(1, 30)])


@pytest.mark.parametrize("seed", range(50))
def test_ranking_is_measured_as_trec_eval_does(seed: int) -> None:
    if platform.machine() == "aarch64":
        pytest.skip("pytrec_eval has no wheel for this machine, and its source fetches trec_eval")
    import pytrec_eval

    grades, ranking = judged(seed)
    wanted = {"ndcg_cut.10", "recall.1,3,5,10,20", "recip_rank"}
    scores = {name: float(len(ranking) - rank) for rank, name in enumerate(ranking)}
    theirs = pytrec_eval.RelevanceEvaluator({"q": grades}, wanted).evaluate({"q": scores})["q"]

    gains = {rank: grades[name] for rank, name in enumerate(ranking, 1) if grades.get(name, 0) > 0}
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    ours = {"ndcg_cut_10": metrics.ndcg(gains, ideal, 10), "recip_rank": metrics.reciprocal_rank(gains)}
    ours |= {f"recall_{k}": metrics.recall(gains, ideal, k) for k in (1, 3, 5, 10, 20)}
    assert ours == pytest.approx(theirs)


def official(golds: list[str], said: str) -> tuple[float, float]:
    """Restate evaluate-v2.0.py: get_raw_scores of one question, with compute_exact and compute_f1."""

    def tokens(text: str) -> list[str]:
        text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
        return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text).split()

    def overlap(gold: list[str], pred: list[str]) -> float:
        same = sum((collections.Counter(gold) & collections.Counter(pred)).values())
        if len(gold) == 0 or len(pred) == 0:
            return int(gold == pred)
        if same == 0:
            return 0
        precision, recall = same / len(pred), same / len(gold)
        return (2 * precision * recall) / (precision + recall)

    kept = [gold for gold in golds if tokens(gold)] or [""]
    return (
        max(int(tokens(gold) == tokens(said)) for gold in kept),
        max(overlap(tokens(gold), tokens(said)) for gold in kept),
    )


WORDS = [
    "the",
    "a",
    "An",
    "Denmark",
    "denmark's",
    "10th",
    "century",
    "$12",
    "-",
    "U.S.",
    "...",
    "is",
    "",
    "é",
]


@pytest.mark.parametrize("seed", range(60))
def test_answers_are_measured_as_squad_does(seed: int) -> None:
    chance = np.random.default_rng(seed)

    def text() -> str:
        return " ".join(chance.choice(WORDS, chance.integers(0, 6)))

    golds, said = [text() for _ in range(chance.integers(0, 4))], text()
    assert best(golds, said) == pytest.approx(official(golds, said))


def test_articles_punctuation_and_case_do_not_count() -> None:
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
def test_f1_of_words(gold: str, said: str, expected: float) -> None:
    assert f1(gold, said) == pytest.approx(expected)


def test_an_answer_is_held_by_whole_words_only() -> None:
    assert holds("It was signed in the 10th century.", ["tenth", "the 10th Century"])
    assert not holds("It was signed in 10th-century France.", ["10th"])
    assert not holds("Nothing.", [])
    assert not holds("Nothing.", ["the"])  # an article alone is no answer


def test_the_numbers_of_sources_are_no_part_of_an_answer() -> None:
    assert unmarked("It is 42 m [1]. At 3 bar [2, 3].") == "It is 42 m. At 3 bar."
    assert unmarked("The array a[i] is empty.") == "The array a[i] is empty."
    assert numbers("1,200 rpm at 3.5 bar, P-101.") == {"1,200", "3.5", "101"}


@pytest.mark.parametrize(
    ("quote", "page", "following", "expected"),
    [
        ("the valve\nis open", "Here the valve is open.", "", True),
        ("is open. Close", "The valve is open.", "Close it.", True),  # it runs on
        ("Close it.", "The valve is open.", "Close it.", False),  # it begins on the next
        ("the valve is shut", "Here the valve is open.", "", False),
        ("", "Here.", "", False),
    ],
)
def test_where_a_quote_stands(quote: str, page: str, following: str, expected: bool) -> None:
    assert stands(quote, page, following) is expected


def test_a_difference_is_seen_and_noise_is_not() -> None:
    chance = np.random.default_rng(3)
    base = chance.random(200)
    better, noise = base + 0.1 + chance.normal(0, 0.1, 200), base + chance.normal(0, 0.1, 200)
    seen, unseen = compared(better, base, mean), compared(noise, base, mean)
    assert 0 < seen.low < seen.difference < seen.high
    assert seen.p < 0.001
    assert unseen.low < 0 < unseen.high
    assert unseen.p > 0.05
    # By the normal distribution, which fits here: 1.96 standard errors on either side.
    error = (better - base).std(ddof=1) / np.sqrt(200)
    assert seen.high - seen.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_the_bootstrap_is_paired_and_repeats_itself() -> None:
    chance = np.random.default_rng(4)
    hard = chance.random(100)  # questions differ far more than the two runs do
    found = compared(hard + 0.01, hard, mean)
    assert found == compared(hard + 0.01, hard, mean)
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))


def test_figures_compared_together_are_compared_as_each_alone_from_one_set_of_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance, sizes, draws = np.random.default_rng(5), [], metrics._draws
    monkeypatch.setattr(metrics, "_draws", lambda n: (sizes.append(n), draws(n))[1])
    pairs = {
        str(number): metrics.Pair(chance.random(n), chance.random(n), statistic)
        for number, (n, statistic) in enumerate([(300, mean), (300, quantile(0.5)), (300, mean), (7, mean)])
    }
    found = metrics.compared_all(pairs)
    assert sorted(sizes) == [7, 300]
    for name, pair in pairs.items():
        # `mean` by another name takes the long way: the values themselves are drawn.
        alone = compared(pair.this, pair.other, lambda rows, of=pair.statistic: of(rows))
        assert found[name].p == alone.p
        assert (found[name].low, found[name].high) == pytest.approx((alone.low, alone.high))


def test_a_quantile_is_compared_too() -> None:
    slow = np.arange(100.0)
    found = compared(slow * 2, slow, quantile(0.95))
    assert found.this == pytest.approx(2 * found.other)
    assert 0 < found.low <= found.difference <= found.high
