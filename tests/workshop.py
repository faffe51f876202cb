"""A folder in which scripts/runs/iterate.sh can make a made-up model of somebody's feedback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from appliance import render
from scripts import feedback
from tests.samples import an_answer
from tests.trials import ABSENT, DEFAULT, KNOWN, Site

ROOT = Path(__file__).parents[1]
SECRET = "45 m3/h"
"""What the documents say, and nobody else may learn."""


class Workshop(Site):
    """A site with feedback on one answer, and everything else that the command needs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.default = folder / "default"
        self.default.mkdir()
        self.put("default/model.gguf", DEFAULT)
        self.put("default/card.toml", (folder / "default.toml").read_bytes())
        self.work, self.log, self.thumbs = folder / "work", folder / "log", folder / "thumbs.jsonl"
        self.base = self.put("base.gguf", b"published weights")
        (folder / "data").mkdir()
        (folder / "sets").mkdir()
        for name in (KNOWN, ABSENT, "strangers.jsonl"):
            self.put(f"sets/{name}", b"questions")
        shim = self.put("python", f'#!/bin/sh\nexec "{sys.executable}" -m tests.factory "$@"\n'.encode())
        shim.chmod(0o755)
        self.environment = os.environ | {
            "PYTHON": str(shim), "TRAINER": str(shim), "DATA": str(folder / "data"), "BASE": str(self.base),
            "DEFAULT": str(self.default), "SETS": str(folder / "sets"), "FROZEN": str(self.frozen),
            "LEADERBOARD": str(self.board), "FACTORY_LOG": str(self.log),
        }  # fmt: skip

    def says(self, verdict: str, **more: str) -> None:
        feedback.append(self.thumbs, feedback.thumb(verdict, render.answer_json(an_answer()), **more))

    def iterates(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            ["scripts/runs/iterate.sh", str(self.thumbs), str(self.draft), str(self.work)],
            env=self.environment | environment, cwd=ROOT, capture_output=True, text=True, timeout=250,
        )  # fmt: skip

    def called(self) -> list[str]:
        """Return the stages that ran."""
        return [name for name in self.log.read_text().split() if name not in ("feedback", "gate", "pack")]
