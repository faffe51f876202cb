"""scripts/runs/generator.sh with everything faked that takes long: it can be run again with more minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workshop import ROOT

STAGES = ["train_lora", "train_lora", "keep_adapter", "convert", "quantize", "answers"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout with the script and fakes around it."""
    shim = f'#!/bin/sh\nexec env PYTHONPATH="{ROOT}" "{sys.executable}" -m tests.factory "$@"\n'
    for name in (".venv/bin/python", ".cache/train/bin/python"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(shim)
        path.chmod(0o755)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/train.in").write_text("")
    (tmp_path / ".cache/train/.installed").write_text("")
    (tmp_path / ".cache/models/smollm2").mkdir(parents=True)
    (tmp_path / ".cache/models/smollm2/published.gguf").write_text("published weights")
    (tmp_path / "Makefile").write_text("models:\n")
    (tmp_path / "scripts/runs").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/runs/generator.sh", tmp_path / "scripts/runs")
    return tmp_path


def generates(place: Path, minutes: int) -> list[str]:
    """Run it; return the stages that ran."""
    log = place / "log"
    log.write_text("")
    done = subprocess.run(
        ["scripts/runs/generator.sh", "data", str(minutes)],
        env=os.environ | {"FACTORY_LOG": str(log)}, cwd=place, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return log.read_text().split()


def test_with_more_minutes_it_trains_on_and_the_answers_are_the_new_models(place: Path) -> None:
    assert generates(place, 10) == ["corpus", *STAGES]
    assert generates(place, 10) == STAGES
    assert len(list(place.glob(".cache/generator/answers-*.jsonl"))) == 1
    assert generates(place, 20) == STAGES
    assert len(list(place.glob(".cache/generator/answers-*.jsonl"))) == 2
