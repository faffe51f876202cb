"""From a small vault to a packed model: real documents and answers, thumbs on them, one command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from appliance import models
from tests.e2e.test_journey import SAMPLES, Person
from tests.workshop import ROOT, Workshop

QUESTION = "How much diesel does the tank hold?"
RIGHT = "380 litres"


def thumbs(shop: Workshop, verdict: str, answer: str, *more: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.feedback", verdict, str(shop.thumbs), *more],
        input=answer, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_vaults_answers_and_thumbs_on_them_become_a_model(built_models: Path, tmp_path: Path) -> None:
    somebody, shop = Person(tmp_path), Workshop(tmp_path)
    assert somebody.types("init").returncode == 0
    assert somebody.types("add", str(SAMPLES / "site-generator.md")).returncode == 0
    answer = somebody.types("ask", QUESTION, "--json").stdout
    assert thumbs(shop, "down", answer) == {"added": "down", "trains": False}
    assert thumbs(shop, "down", answer, "--right", RIGHT) == {"added": "down", "trains": True}
    done = shop.iterates()
    assert done.returncode == 0, done.stderr
    learned = json.loads((shop.work / "corpus" / "train.jsonl").read_text())
    assert learned["question"] == QUESTION
    assert RIGHT in " ".join(learned["text"].split())
    models.verify(models.find("better-model", [shop.work / "models"]))
    # The vault itself holds none of it in the clear, and nothing but the named files was written with it.
    holding = {path for path in tmp_path.rglob("*") if path.is_file() and RIGHT.encode() in path.read_bytes()}
    assert holding == {shop.thumbs, shop.work / "corpus" / "train.jsonl"}
