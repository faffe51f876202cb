"""The runs that train a generator, what takes long being faked: they can be stopped and run again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workshop import ROOT

STAGES = ["train_lora", "train_lora", "keep_adapter", "convert", "quantize", "answers"]
FIRST = ["train_lora", "convert", "importance", *STAGES[1:]]


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
    for name in ("generator.sh", "small.sh", "training.sh"):
        shutil.copy(ROOT / "scripts/runs" / name, tmp_path / "scripts/runs")
    return tmp_path


def generates(place: Path, minutes: int, *more: str, run: str = "generator.sh") -> list[str]:
    """Run it; return the stages that ran."""
    log = place / "log"
    log.write_text("")
    done = subprocess.run(
        [f"scripts/runs/{run}", "data", str(minutes), *more],
        env=os.environ | {"FACTORY_LOG": str(log)}, cwd=place, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return log.read_text().split()


def test_with_more_minutes_it_trains_on_and_the_answers_are_the_new_models(place: Path) -> None:
    assert generates(place, 10) == ["corpus", *FIRST]
    assert generates(place, 10) == STAGES
    assert len(list(place.glob(".cache/generator/answers-*.jsonl"))) == 1
    assert generates(place, 20) == STAGES
    assert len(list(place.glob(".cache/generator/answers-*.jsonl"))) == 2


def test_an_adapter_is_trained_on_for_the_file_from_the_start(place: Path) -> None:
    onward = ["train_lora", "keep_adapter", "convert", "quantize", "answers"]
    (place / "models/own").mkdir(parents=True)
    known = {"learned": 100, "base": "published weights", "grid": False}
    (place / "models/own/adapter_model.safetensors").write_text(json.dumps(known))
    assert generates(place, 10, "models/own") == ["corpus", "convert", "importance", *onward]
    assert learned(place / ".cache/generator") == known["learned"] + 10
    assert generates(place, 20, "models/own") == onward


TAUGHT = ["distill", "convert", "distill", "keep_adapter", "convert", "quantize", "distilled", "answers"]
AT_FIRST = ["from_gguf", "layers", "cut", *TAUGHT[:2], "convert", "importance", *TAUGHT[2:]]


def test_a_students_adapter_is_trained_on_by_itself(place: Path) -> None:
    a_teacher(place)
    (place / "models/own").mkdir(parents=True)
    for name in ("layers.json", "importance.safetensors"):
        (place / "models/own" / name).write_text(name.partition(".")[0])
    (place / "models/own/adapter_model.safetensors").write_text(json.dumps({"learned": 100}))
    onward = ["convert", "train_lora", "keep_adapter", "convert", "quantize", "distilled", "answers"]
    assert generates(place, 10, "", "models/own", run="small.sh") == ["from_gguf", "cut", *onward]
    assert (place / ".cache/small/cut/config.json").read_text() == "layers"
    assert learned(place / ".cache/small") == 110
    assert generates(place, 20, "", "models/own", run="small.sh") == onward
    (place / "models/own/layers.json").write_text("other layers")
    assert generates(place, 20, "", "models/own", run="small.sh") == ["cut", *onward]
    assert (place / ".cache/small/cut/config.json").read_text() == "other layers"
    another_teacher(place)
    assert generates(place, 20, "", "models/own", run="small.sh") == ["from_gguf", "cut", *onward]


def learned(work: Path) -> float:
    return json.loads((work / "adapter/adapter_model.safetensors").read_text())["learned"]


def another_teacher(place: Path) -> None:
    merged, later = place / ".cache/models/cited/merged.gguf", time.time() + 60
    merged.write_text("another teacher")
    os.utime(merged, (later, later))


def a_teacher(place: Path) -> None:
    """Put what `make models` and generator.sh leave where it belongs."""
    for folder in ("cited", "../generator"):
        (place / ".cache/models" / folder).mkdir()
    for name in ("train", "dev"):
        (place / f".cache/generator/{name}.safetensors").write_text("examples")
    teacher = place / ".cache/models/cited"
    (teacher / "merged.gguf").write_text("a teacher")
    (teacher / "model.gguf").write_text("its file")


def test_a_student_is_cut_once_and_taught_on_and_another_teacher_has_another(place: Path) -> None:
    a_teacher(place)
    assert generates(place, 10, run="small.sh") == AT_FIRST
    assert generates(place, 20, run="small.sh") == TAUGHT
    another_teacher(place)
    assert generates(place, 20, run="small.sh") == AT_FIRST
    assert (place / ".cache/small/model.gguf").exists()
