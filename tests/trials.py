"""Runs of made-up models over made-up frozen sets, to try a gate without a model or a question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from appliance.evaluation.report import Run
from appliance.evaluation.row import Row
from appliance.evaluation.run import FORMAT, Header, RunFile
from appliance.models import File
from scripts import trial
from scripts.judgement import SetGains, Trial, gains
from tests.unit.test_headers import gguf

SAMPLE = 160
"""Just above 3 / margin."""
MARGIN = 0.02
KNOWN, ABSENT = "known.jsonl", "absent.jsonl"
CANDIDATE, DEFAULT = gguf(data=64), gguf(data=96)
"""Two files that pass for models."""
DRAFT = """\
# A comment of the person who wrote it.
name = "better-model"
kind = "generator"
source = "made here"
revision = "1"
licence = "Apache-2.0"
quantization = "none"
template = "chatml-brief"
context = 512
"""


def sha(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def a_row(number: int, *, answerable: bool = True, f1: float = 0.5, good: bool = True) -> Row:
    """Return a question with everything right in it but the words, or with everything wrong."""
    abstained = good is not answerable
    return Row(
        id=f"q{number}",
        gains=None,
        ideal=None,
        page=None,
        passage=None,
        answerable=answerable,
        abstained=abstained,
        exact=0.0,
        f1=(f1 if good else 0.0) if answerable else float(good),
        marked_exact=None,
        marked_f1=None,
        in_quote=None,
        citations=int(not abstained),
        valid=int(good and not abstained),
        supported=int(good and not abstained),
        off_page=int(not good),
        failed=0,
        evidence_ms=1.0,
        total_ms=2.0,
    )


def cites_wrongly(row: Row) -> Row:
    return replace(row, valid=0)


def rows(count: int = SAMPLE, *, answerable: bool = True, f1: float = 0.5, bad: int = 0) -> list[Row]:
    """Return that many questions, of which the first `bad` go wrong."""
    return [a_row(at, answerable=answerable, f1=f1, good=at >= bad) for at in range(count)]


def a_header(name: str = KNOWN, model: bytes = DEFAULT) -> Header:
    return Header(
        appliance_eval=FORMAT,
        version="0.1.0",
        set=name,
        kind="jsonl",
        split="",
        questions=sha(f"questions of {name}"),
        documents=sha(f"documents of {name}"),
        models={"encoder": "35" * 32, "generator": sha(tried(model))},
        weights={"encoder": "33" * 32, "generator": sha(model)},
        settings="44" * 32,
        passages=6,
        generate=True,
        refusal="balanced",
        limit=None,
        seed=1,
    )


def tried(model: bytes) -> str:
    """Return the card under which scripts/trial.py asks a model with the draft above."""
    return trial.card(DRAFT, File("model.gguf", sha(model), len(model)))


def a_run(found: Sequence[Row], name: str = KNOWN, model: bytes = DEFAULT) -> Run:
    return Run(a_header(name, model), found)


def write_run(path: Path, run: Run) -> Path:
    with RunFile.opened(path, run.header) as file:
        for row in run.rows:
            file.write(row)
    return path


def a_trial(
    *, known: tuple[list[Row], list[Row]], absent: tuple[list[Row], list[Row]] | None = None
) -> Trial:
    """Return the trial of (candidate, default) on either set."""
    same = rows(answerable=False)
    sets = []
    for name, (ours, theirs) in ((KNOWN, known), (ABSENT, absent or (same, same))):
        one, other = a_run(ours, name, CANDIDATE), a_run(theirs, name, DEFAULT)
        head = one.header
        found = gains(one, other)
        sets.append(SetGains(name, head.questions, head.documents, 1, len(ours), "aa" * 32, "bb" * 32, found))
    return Trial("generator", sha(CANDIDATE), sha(tried(CANDIDATE)), sha(DEFAULT), tuple(sets))


class Site:
    """A folder with a candidate's file, a default's card, frozen sets, a draft and a leaderboard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = self.put("model.gguf", CANDIDATE)
        self.draft = self.put("draft.toml", DRAFT.encode())
        self.put("default.toml", (DRAFT + _file(DEFAULT)).encode())
        self.frozen = self.freeze((KNOWN, ABSENT))
        self.board = folder / "leaderboard.jsonl"
        self.out = folder / "models"

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def freeze(self, names: Iterable[str], *, sample: int = SAMPLE, margin: float = MARGIN) -> Path:
        sets = "".join(
            f'[[sets]]\nname = "{name}"\nquestions = "{sha(f"questions of {name}")}"\n'
            f'documents = "{sha(f"documents of {name}")}"\nsample = {sample}\nseed = 1\nmargin = {margin}\n'
            for name in names
        )
        return self.put("frozen.toml", f'default = "default.toml"\n{sets}'.encode())

    def runs(self, who: str, model: bytes, *, known: Sequence[Row], absent: Sequence[Row]) -> list[Path]:
        return [
            write_run(self.folder / f"{who}-{name}.run", a_run(found, name, model))
            for name, found in ((KNOWN, known), (ABSENT, absent))
        ]

    def gate(self, *, known_bad: int = 0, absent_bad: int = 0, sample: int = SAMPLE) -> list[str]:
        """Write the runs of both models, the default's faultless; return the gate's arguments."""
        ours = {
            "known": rows(sample, bad=known_bad),
            "absent": rows(sample, answerable=False, bad=absent_bad),
        }
        theirs = {"known": rows(sample), "absent": rows(sample, answerable=False)}
        candidate = self.runs("candidate", CANDIDATE, **ours)
        default = self.runs("default", DEFAULT, **theirs)
        words = ["--candidate", *candidate, "--default", *default, "--model", self.model]
        words += ["--leaderboard", self.board, "--frozen", self.frozen]
        return [str(word) for word in words]

    def pack(self) -> list[str]:
        """Return the arguments to pack the candidate."""
        words = ["--card", self.draft, "--leaderboard", self.board, "--out", self.out]
        return [str(word) for word in (*words, "--frozen", self.frozen, self.model)]


def _file(content: bytes) -> str:
    return f'[[files]]\nname = "model.gguf"\nsha256 = "{sha(content)}"\nbytes = {len(content)}\n'
