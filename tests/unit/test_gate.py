"""A model replaces the default only where it is shown to be no worse; every verdict stays on record."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.errors import UsageError
from appliance.evaluation.report import Run
from appliance.evaluation.row import Row
from scripts import gate, leaderboard
from scripts.frozen import Frozen, FrozenSet
from scripts.judgement import GATED, Gain, gains, reasons, rivals
from tests.trials import (
    ABSENT,
    CANDIDATE,
    DEFAULT,
    KNOWN,
    MARGIN,
    SAMPLE,
    Site,
    a_row,
    a_run,
    a_trial,
    cites_wrongly,
    rows,
    sha,
    tried,
)

FROZEN = Frozen(
    sha(DEFAULT),
    tuple(
        FrozenSet(name, sha(f"questions of {name}"), sha(f"documents of {name}"), SAMPLE, 1, MARGIN)
        for name in (KNOWN, ABSENT)
    ),
)


def verdict(ours: list[Row], theirs: list[Row]) -> tuple[str, ...]:
    return reasons(a_trial(known=(ours, theirs)), FROZEN)


@st.composite
def answered(draw: st.DrawFn) -> list[Row]:
    """Return a run of some model."""
    drawn = draw(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=SAMPLE, max_size=SAMPLE))
    return [a_row(at, f1=eighths / 8, good=good) for at, (eighths, good) in enumerate(drawn)]


# Laws


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(answered())
def test_a_run_passes_against_itself(found: list[Row]) -> None:
    judged = gains(a_run(found), a_run(found))
    assert {(gain.low, gain.high) for gain in judged.values()} == {(0.0, 0.0)}
    assert all("too few" in reason or "judged by no set" in reason for reason in verdict(found, found))


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(answered(), st.floats(MARGIN + 0.005, 0.5))
def test_a_run_that_is_worse_everywhere_by_more_than_the_margin_fails(found: list[Row], loss: float) -> None:
    theirs = [replace(row, f1=0.5 + 0.5 * (row.f1 or 0)) for row in found]
    ours = [replace(row, f1=(row.f1 or 0) - loss) for row in theirs]
    assert any("answerable_f1 is worse" in reason for reason in verdict(ours, theirs))


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(answered(), answered(), st.integers(0, 99))
def test_the_order_of_the_questions_does_not_matter(ours: list[Row], theirs: list[Row], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(ours))
    shuffled = [ours[at] for at in order]
    assert gains(a_run(shuffled), a_run(theirs)) == gains(a_run(ours), a_run(theirs))


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(answered(), answered())
def test_what_one_gains_the_other_loses(ours: list[Row], theirs: list[Row]) -> None:
    one, other = gains(a_run(ours), a_run(theirs)), gains(a_run(theirs), a_run(ours))
    for name, gain in one.items():
        assert (gain.candidate, gain.low, gain.high) == pytest.approx(
            (other[name].default, -other[name].high, -other[name].low), abs=1e-6
        )


def test_the_bootstrap_is_seeded() -> None:
    ours, theirs = rows(f1=0.6, bad=20), [a_row(at, f1=0.1 * (at % 10)) for at in range(SAMPLE)]
    first, again = gains(a_run(ours), a_run(theirs)), gains(a_run(ours), a_run(theirs))
    assert first == again
    assert first["answerable_f1"].low < first["answerable_f1"].high


# The rule


def test_what_is_as_good_passes() -> None:
    assert verdict(rows(), rows()) == ()


@pytest.mark.parametrize(
    ("spoil", "figure"),
    [
        (lambda row: replace(row, f1=0.0), "answerable_f1"),
        (cites_wrongly, "citations_valid"),
        (lambda row: replace(row, supported=0), "citations_supported"),
        (lambda row: replace(row, off_page=2), "numbers_off_page"),
        (lambda row: replace(row, abstained=True, f1=0.0), "false_refusal"),
    ],
)
def test_each_figure_alone_refuses(spoil: Callable[[Row], Row], figure: str) -> None:
    ours = [spoil(row) if at < 20 else row for at, row in enumerate(rows())]
    assert any(f"{KNOWN}: {figure} is worse" in reason for reason in verdict(ours, rows()))


def test_answering_what_has_no_answer_refuses() -> None:
    bold = rows(answerable=False, bad=20)
    trial = a_trial(known=(rows(), rows()), absent=(bold, rows(answerable=False)))
    (reason,) = reasons(trial, FROZEN)
    assert f"{ABSENT}: refusal_recall is worse" in reason


def test_to_answer_nothing_is_no_way_through() -> None:
    silent = [replace(row, abstained=True, citations=0, valid=0, supported=0, f1=0.0) for row in rows()]
    told = verdict(silent, rows())
    assert any("false_refusal is worse" in reason for reason in told)
    assert not any("citations" in reason for reason in told)  # whoever cites nothing cites nothing wrong


def test_what_is_cited_where_the_default_was_silent_counts() -> None:
    theirs = [replace(row, abstained=True, f1=0.0) if at < 80 else row for at, row in enumerate(rows())]
    ours = [cites_wrongly(row) if at < 80 else row for at, row in enumerate(rows())]
    assert any("citations_valid is worse" in reason for reason in verdict(ours, theirs))


def test_a_difference_that_few_questions_cannot_tell_is_not_shown() -> None:
    swapped = [a_row(at, f1=float(at % 2)) for at in range(SAMPLE)]
    theirs = [a_row(at, f1=float(not at % 2)) for at in range(SAMPLE)]
    (reason,) = verdict(swapped, theirs)
    assert "answerable_f1 is not shown to be no worse" in reason


def test_a_certain_loss_within_the_margin_refuses_or_each_default_would_be_a_little_worse() -> None:
    (reason,) = verdict(rows(f1=0.49), rows(f1=0.5))
    assert "answerable_f1 is worse: gain -0.010 .. -0.010" in reason


def test_no_difference_on_too_few_questions_shows_nothing() -> None:
    few = replace(FROZEN, sets=tuple(replace(each, sample=100) for each in FROZEN.sets))
    trial = a_trial(known=(rows(100), rows(100)))
    assert all("has 100 questions, too few" in reason for reason in reasons(trial, few))
    assert len(reasons(trial, few)) == len(GATED) - 1


def test_a_figure_that_no_set_judges_refuses() -> None:
    only = replace(FROZEN, sets=FROZEN.sets[:1])
    trial = a_trial(known=(rows(), rows()))
    assert reasons(replace(trial, sets=trial.sets[:1]), only) == ("refusal_recall: judged by no set",)


def test_a_figure_that_is_no_number_refuses() -> None:
    trial = a_trial(known=(rows(), rows()))
    nan = float("nan")
    spoilt = replace(trial.sets[0], gains={"answerable_f1": Gain(nan, nan, nan, nan, SAMPLE)})
    told = reasons(replace(trial, sets=(spoilt, trial.sets[1])), FROZEN)
    assert any("answerable_f1 is worse" in reason for reason in told)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"questions": "00" * 32}, "other questions"),
        ({"documents": "00" * 32}, "other documents"),
        ({"seed": 2}, "other seed"),
        ({"asked": SAMPLE - 1}, "159 questions, the frozen sample has 160"),
        ({"name": "easier.jsonl"}, "easier.jsonl: no frozen set"),
    ],
)
def test_only_the_frozen_sets_count(change: dict[str, object], why: str) -> None:
    trial = a_trial(known=(rows(), rows()))
    sets = (replace(trial.sets[0], **change), trial.sets[1])  # type: ignore[arg-type]
    assert any(why in reason for reason in reasons(replace(trial, sets=sets), FROZEN))


def test_a_weaker_model_in_the_defaults_place_does_not_count() -> None:
    trial = replace(a_trial(known=(rows(), rows())), default="00" * 32)
    (reason,) = reasons(trial, FROZEN)
    assert "compared with 000000000000" in reason


# Which runs can be compared


def with_header(run: Run, **changed: object) -> Run:
    return Run(replace(run.header, **changed), run.rows)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        {"questions": "00" * 32},
        {"documents": "00" * 32},
        {"passages": 3},
        {"generate": False},
        {"refusal": "open"},
        {"limit": 100},
        {"seed": 2},
        {"version": "0.2.0"},
        {"settings": "00" * 32},
        {"models": {"encoder": "00" * 32, "generator": sha(CANDIDATE)}},
    ],
)
def test_runs_that_differ_in_more_than_the_model_are_not_compared(changed: dict[str, object]) -> None:
    ours, theirs = a_run(rows(), model=CANDIDATE), a_run(rows())
    assert rivals(ours, theirs, sha(CANDIDATE)) == sha(DEFAULT)
    with pytest.raises(UsageError, match="differ"):
        rivals(with_header(ours, **changed), theirs, sha(CANDIDATE))


def test_settings_may_differ_by_the_models_name() -> None:
    theirs = a_run(rows())
    encoder = {"encoder": theirs.header.models["encoder"]}
    weights = {"encoder": theirs.header.weights["encoder"], "better": sha(CANDIDATE)}
    ours = with_header(theirs, models=encoder | {"better": "11" * 32}, weights=weights, settings="00" * 32)
    assert rivals(ours, theirs, sha(CANDIDATE)) == sha(DEFAULT)


def test_a_card_that_differs_beside_the_candidate_is_noticed() -> None:
    theirs, ours = a_run(rows()), a_run(rows(), model=CANDIDATE)
    other = with_header(ours, models=ours.header.models | {"encoder": "22" * 32})
    assert rivals(ours, theirs, sha(CANDIDATE)) == sha(DEFAULT)
    with pytest.raises(UsageError, match="a model's card"):
        rivals(other, theirs, sha(CANDIDATE))


def test_a_run_of_another_model_is_not_the_candidates() -> None:
    with pytest.raises(UsageError, match="did not use"):
        rivals(a_run(rows()), a_run(rows()), sha(CANDIDATE))


def test_runs_of_other_questions_are_not_compared() -> None:
    with pytest.raises(UsageError, match="different questions"):
        gains(a_run(rows(SAMPLE - 1)), a_run(rows()))
    with pytest.raises(UsageError, match="disagree"):
        gains(a_run(rows(answerable=False)), a_run(rows()))


# The command


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def runs(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["gate", *words])
    return gate.main()


def test_a_model_that_is_as_good_passes_and_stands_on_the_leaderboard(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs(monkeypatch, site.gate()) == 0
    printed = capsys.readouterr().out
    told = json.loads(printed.splitlines()[-1])
    assert (told["verdict"], told["reasons"], told["trial"]["model"]) == ("passed", [], sha(CANDIDATE))
    assert "known.jsonl: F1 of the answerable" in printed
    (entry,) = leaderboard.read(site.board)
    assert json.loads(json.dumps(entry.as_json())) == told
    assert entry.trial.sets[1].candidate == sha((site.folder / "candidate-known.jsonl.run").read_bytes())


def test_a_worse_model_is_refused_and_that_stands_there_too(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs(monkeypatch, site.gate(absent_bad=30)) == 7
    assert "refused: absent.jsonl: refusal_recall is worse" in capsys.readouterr().out
    assert [entry.passed for entry in leaderboard.read(site.board)] == [False]


def test_a_candidate_that_was_tried_under_two_cards_is_not_judged(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = site.gate()
    for who in ("candidate", "default"):
        run = site.folder / f"{who}-{ABSENT}.run"
        for model in (CANDIDATE, DEFAULT):
            known, other = sha(tried(model)), sha(tried(model).replace("chatml-brief", "chatml"))
            run.write_bytes(run.read_bytes().replace(known.encode(), other.encode()))
    assert runs(monkeypatch, words) == 2
    assert "tried under more than one card" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda words: [*words[:2], *words[3:]], "Only one of the two models was asked"),
        (lambda words: [*words[:2], words[1], *words[2:]], "is a second run"),
        (lambda words: [word.replace("model.gguf", "draft.toml") for word in words], "did not use"),
        (lambda words: [word.replace("model.gguf", "none.gguf") for word in words], "cannot be read"),
    ],
)
def test_what_cannot_be_judged_is_not_recorded(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[list[str]], list[str]],
    why: str,
) -> None:
    assert runs(monkeypatch, break_it(site.gate())) == 2
    assert why in capsys.readouterr().err
    assert not site.board.exists()
