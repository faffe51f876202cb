"""Only a model that the gate passed is packed, and of any other nothing is written. Each attack is a test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import models
from scripts import gate, leaderboard, pack
from tests.trials import ABSENT, CANDIDATE, DEFAULT, DRAFT, KNOWN, SAMPLE, Site, sha


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def runs(monkeypatch: pytest.MonkeyPatch, run: Callable[[], int], words: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *words])
    return run()


def packs(site: Site, monkeypatch: pytest.MonkeyPatch) -> int:
    return runs(monkeypatch, pack.main, site.pack())


@pytest.fixture
def passed(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose candidate passed the gate."""
    assert runs(monkeypatch, gate.main, site.gate()) == 0
    return site


def test_a_gated_model_becomes_a_folder_that_the_appliance_reads(
    passed: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert packs(passed, monkeypatch) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "packed": str(passed.out / "better-model")
    }
    found = models.find("better-model", [passed.out])
    models.verify(found)
    assert found.card.file("model.gguf").sha256 == sha(CANDIDATE)
    assert [each.what for each in found.card.measured] == [
        f"{name}, {SAMPLE} questions, against {sha(DEFAULT)[:12]}" for name in (ABSENT, KNOWN)
    ]
    assert "answerable_f1 0.500 (default 0.500, gain +0.000 .. +0.000)" in found.card.measured[1].value
    assert (found.folder / "card.toml").read_text().startswith(DRAFT)


def test_packing_again_gives_the_same_folder(passed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packs(passed, monkeypatch) == 0
    before = (passed.out / "better-model" / "card.toml").read_bytes()
    assert packs(passed, monkeypatch) == 0
    assert (passed.out / "better-model" / "card.toml").read_bytes() == before
    assert [path.name for path in passed.out.iterdir()] == ["better-model"]


# Attacks


def edit_a_figure(site: Site) -> None:
    site.board.write_bytes(site.board.read_bytes().replace(b'"n": 160', b'"n": 161', 1))


def edit_the_model(site: Site) -> None:
    site.model.write_bytes(CANDIDATE[:-1] + b"x")


def take_the_defaults_place(site: Site) -> None:
    text = (site.folder / "default.toml").read_text()
    (site.folder / "default.toml").write_text(text.replace(sha(DEFAULT), sha("another")))


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (edit_a_figure, "not as the gate wrote it"),
        (edit_the_model, "never judged this model"),
        (lambda site: site.board.write_bytes(b""), "never judged this model"),
        (lambda site: site.freeze((KNOWN, ABSENT, "new.jsonl")), "new.jsonl: not asked"),
        (lambda site: site.freeze((ABSENT,)), "known.jsonl: no frozen set"),
        (lambda site: site.freeze((KNOWN, ABSENT), sample=SAMPLE + 1), "the frozen sample has 161"),
        (lambda site: site.freeze((KNOWN, ABSENT), margin=0.01), "too few for a margin of 0.010"),
        (take_the_defaults_place, "compared with"),
    ],
)
def test_a_verdict_that_does_not_hold_packs_nothing(
    passed: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    attack: Callable[[Site], object],
    why: str,
) -> None:
    attack(passed)
    assert packs(passed, monkeypatch) == 7
    told = capsys.readouterr().err
    assert why in told
    assert "Nothing was written." in told or "Nothing was recorded or packed." in told
    assert not passed.out.exists()


def test_a_model_that_failed_is_not_packed(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs(monkeypatch, gate.main, site.gate(known_bad=30)) == 7
    assert packs(site, monkeypatch) == 7
    assert "false_refusal is worse" in capsys.readouterr().err
    assert not site.out.exists()


def test_a_sample_smaller_than_the_frozen_one_is_not_enough(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs(monkeypatch, gate.main, site.gate(sample=SAMPLE - 1)) == 7
    assert packs(site, monkeypatch) == 7
    assert "159 questions, the frozen sample has 160" in capsys.readouterr().err
    assert not site.out.exists()


def test_a_verdict_by_softer_sets_than_now_does_not_hold(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.freeze((KNOWN, ABSENT), sample=100, margin=0.05)
    assert runs(monkeypatch, gate.main, site.gate(sample=100)) == 0
    assert packs(site, monkeypatch) == 0
    (site.out / "better-model" / "card.toml").unlink()
    site.freeze((KNOWN, ABSENT))
    assert packs(site, monkeypatch) == 7
    assert not (site.out / "better-model" / "card.toml").exists()


@pytest.mark.parametrize(
    ("judged", "drafted"),
    [('"chatml-brief"', '"chatml"'), ("context = 512", "context = 8192"), ("better", "best")],
)
def test_a_verdict_on_another_template_context_or_name_does_not_hold(
    passed: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    judged: str,
    drafted: str,
) -> None:
    passed.draft.write_text(DRAFT.replace(judged, drafted))
    assert packs(passed, monkeypatch) == 7
    assert (
        "another name, template, context or likelihood than this model was judged with"
        in capsys.readouterr().err
    )
    assert not passed.out.exists()


def test_a_mended_licence_needs_no_new_verdict(passed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    passed.draft.write_text(DRAFT.replace("Apache-2.0", "MIT"))
    assert packs(passed, monkeypatch) == 0


def test_a_later_refusal_takes_an_earlier_pass_back(passed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = leaderboard.read(passed.board)
    leaderboard.append(passed.board, leaderboard.Entry(entry.when, entry.trial, ("it was worse",)))
    assert packs(passed, monkeypatch) == 7
    assert not passed.out.exists()


# Mistakes


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        ("name = ", "not valid TOML"),
        (f'{DRAFT}[[files]]\nname = "model.gguf"\n', "names no files"),
        (DRAFT.replace('licence = "Apache-2.0"\n', ""), "lacks licence"),
        (DRAFT.replace("generator", "oracle"), "kind must be one of"),
        (DRAFT.replace("better-model", "../better"), "lower-case"),
    ],
)
def test_a_bad_draft_writes_nothing(
    passed: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], draft: str, why: str
) -> None:
    passed.draft.write_text(draft)
    assert packs(passed, monkeypatch) == 2
    assert why in capsys.readouterr().err
    assert not passed.out.exists()


@pytest.mark.parametrize("missing", ["model", "draft", "board", "frozen"])
def test_a_missing_file_writes_nothing(passed: Site, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    words = passed.pack()
    getattr(passed, missing).unlink()
    assert runs(monkeypatch, pack.main, words) == 2
    assert not passed.out.exists()


def test_a_file_that_is_no_model_is_not_packed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that was run on rubbish does not make a model of it: the header is checked as ever."""
    rubbish = b"no GGUF at all" * 40
    site.model.write_bytes(rubbish)
    monkeypatch.setattr("tests.trials.CANDIDATE", rubbish)
    assert runs(monkeypatch, gate.main, site.gate()) == 0
    assert packs(site, monkeypatch) == 6
    assert not (site.out / "better-model").exists()
