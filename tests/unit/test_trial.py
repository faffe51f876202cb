"""A model on trial is in a home of its own, under the card it is to have."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from appliance import config, models
from scripts import trial
from tests.trials import DRAFT
from tests.unit.test_headers import gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "model.gguf"
    made.write_bytes(gguf(data=64))
    return made


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    made = tmp_path / "draft.toml"
    made.write_text(DRAFT)
    return made


def test_the_model_on_trial_is_the_configured_one_with_name_template_and_context_of_its_draft(
    tmp_path: Path, file: Path, draft: Path
) -> None:
    trial.furnish(tmp_path / "home", file, draft)
    settings = config.load(tmp_path / "home")
    found = models.find(settings.generator, [tmp_path / "home" / "models"])
    models.verify(found)
    assert (found.card.name, found.card.template, found.card.context) == ("better-model", "chatml-brief", 512)
    assert settings == config.Config(home=tmp_path / "home", generator="better-model")


def test_what_its_likelihoods_are_worth_is_tried_too(tmp_path: Path, file: Path, draft: Path) -> None:
    draft.write_text(DRAFT.replace("context = 512\n", "context = 512\nlikelihood = 0.05\n"))
    trial.furnish(tmp_path / "home", file, draft)
    assert models.find("better-model", [tmp_path / "home" / "models"]).card.likelihood == 0.05


def test_it_is_furnished_again_where_it_was_stopped(tmp_path: Path, file: Path, draft: Path) -> None:
    for data in (64, 96):
        file.write_bytes(gguf(data=data))
        trial.furnish(tmp_path / "home", file, draft)
    card = tomllib.loads((tmp_path / "home/models/better-model/card.toml").read_text())
    assert card["files"][0]["bytes"] == len(file.read_bytes())


def test_an_installed_models_card_is_a_draft_too(tmp_path: Path, file: Path, draft: Path) -> None:
    installed = tmp_path / "card.toml"
    installed.write_text(f'{DRAFT}[[files]]\nname = "model.gguf"\nsha256 = "{"0" * 64}"\nbytes = 1\n')
    for number, given in enumerate((draft, installed)):
        trial.furnish(tmp_path / str(number), file, given)
    first, second = ((tmp_path / at / "models/better-model/card.toml").read_bytes() for at in "01")
    assert first == second


def runs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    words = ["--card", "draft.toml", "--model", "model.gguf", "--set", "known.jsonl", "--out", "run"]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["trial", *words])
    return trial.main()


def test_a_set_is_asked_about_the_folder_of_its_name(
    tmp_path: Path, file: Path, draft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def asks(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        called.extend(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", asks)
    (tmp_path / "known.jsonl").write_text('{"question": "How much?"}\n')
    (tmp_path / "known").mkdir()
    assert runs(monkeypatch, tmp_path) == 0
    assert called[called.index("--documents") + 1] == str(tmp_path / "known")
    assert not (tmp_path / "run.home").exists()


def test_without_the_sets_documents_nothing_is_asked(
    tmp_path: Path,
    file: Path,
    draft: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "known.jsonl").write_text('{"question": "How much?"}\n')
    assert runs(monkeypatch, tmp_path) == 2
    assert "The documents of known.jsonl are missing" in capsys.readouterr().err
    assert not (tmp_path / "run.home").exists()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("known.jsonl", None, "known.jsonl"),
        ("model.gguf", None, "cannot be read"),
        ("draft.toml", None, "cannot be read"),
        ("draft.toml", "name = ", "not valid TOML"),
        ("draft.toml", DRAFT.replace("context = 512\n", ""), "lacks context"),
        ("draft.toml", DRAFT.replace("512", "1979-05-27"), "context must be a int"),
        ("draft.toml", DRAFT.replace("generator", "reader"), "lacks calibration"),
    ],
)
def test_what_is_missing_or_no_draft_is_said(
    tmp_path: Path,
    file: Path,
    draft: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    why: str,
) -> None:
    (tmp_path / "known").mkdir()
    (tmp_path / "known.jsonl").write_text('{"question": "How much?"}\n')
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    assert runs(monkeypatch, tmp_path) == 2
    assert why in capsys.readouterr().err
