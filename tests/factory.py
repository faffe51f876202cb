"""Stands in for Python in scripts/runs/iterate.sh: tiny fakes of what needs torch or hours, the rest is real.

    python -m tests.factory -m scripts.NAME ARGUMENTS...

The fakes keep the real scripts' arguments and files. FACTORY_LOG is where they write what was called,
FACTORY_FAILS names one that fails, FACTORY_BAD is how many questions of each set the new model gets wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from scripts import feedback
from tests.trials import ABSENT, DEFAULT, a_run, rows, write_run
from tests.unit.test_headers import gguf

Options = argparse.Namespace
RANK = 64
"""Bytes of a made-up model, before what it learned."""


def corpus(options: Options) -> None:
    learned = [{"question": each.question, "text": each.text} for each in feedback.asked(options.feedback)]
    assert options.model.read_bytes() == DEFAULT
    options.out.mkdir(exist_ok=True)
    (options.out / "train.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in learned))
    (options.out / "card.json").write_text(json.dumps({"examples": len(learned)}))


def train_lora(options: Options) -> None:
    """Go on from a checkpoint as the real one does: of this data alone, and with nothing to do at its end."""
    options.out.mkdir(exist_ok=True)
    learned = (options.work / "train.jsonl").read_text().count("\n")
    state = options.work / "checkpoint.safetensors"
    known, share = json.loads(state.read_text()) if state.exists() else (learned, 0.0)
    if known != learned:
        raise SystemExit("a checkpoint of other data")
    if share < options.until:
        state.write_text(json.dumps([learned, options.until]))
        file = options.out / "adapter_model.safetensors"
        file.write_text(json.dumps([learned, options.model.read_text(), options.grid]))


def convert(options: Options) -> None:
    adapter, merged = options.positional
    learned, base, grid = json.loads((adapter / "adapter_model.safetensors").read_text())
    assert (base, grid) == (options.base.read_text(), True)
    merged.write_bytes(gguf(data=RANK + learned + len(base)))


def quantize(options: Options) -> None:
    source, target = options.positional
    target.write_bytes(source.read_bytes())


def trial(options: Options) -> None:
    model = options.model.read_bytes()
    assert options.card.name == ("card.toml" if model == DEFAULT else "draft.toml")
    bad = 0 if model == DEFAULT else int(os.environ.get("FACTORY_BAD", "0"))
    name = options.set.name
    write_run(options.out, a_run(rows(answerable=name != ABSENT, bad=bad), name, model))


FAKES: dict[str, Callable[[Options], None]] = {
    f"scripts.{made.__name__}": made for made in (corpus, train_lora, convert, quantize, trial)
}


def main() -> None:
    name, words = sys.argv[2], sys.argv[3:]
    with Path(os.environ["FACTORY_LOG"]).open("a") as log:
        log.write(f"{name.removeprefix('scripts.')}\n")
    if name == f"scripts.{os.environ.get('FACTORY_FAILS')}":
        raise SystemExit("it broke")
    if name not in FAKES:
        sys.argv = [name, *words]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    parser = argparse.ArgumentParser()
    for option in ("--data", "--feedback", "--model", "--work", "--out", "--base", "--card", "--set"):
        parser.add_argument(option, type=Path)
    for option in ("--kind", "--type"):
        parser.add_argument(option)
    parser.add_argument("--until", type=float, default=1.0)
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("positional", nargs="*", type=Path)
    FAKES[name](parser.parse_args(words))


if __name__ == "__main__":
    main()
