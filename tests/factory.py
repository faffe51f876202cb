"""Stands in for Python in scripts/runs/*.sh that train a generator: tiny fakes of what needs torch or hours.

The rest is real.

    python -m tests.factory -m scripts.NAME ARGUMENTS...

The fakes keep the real scripts' arguments and files. FACTORY_LOG is where they write what was called,
FACTORY_FAILS names one that fails, FACTORY_BAD is how many questions of each set the new model gets wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from scripts import feedback
from tests.trials import ABSENT, DEFAULT, a_run, rows, write_run
from tests.unit.test_headers import gguf

Options = argparse.Namespace
RANK = 64
"""Bytes of a made-up model, before what it learned."""
FLOAT = 4096
"""More of them where it was not trained for the 4-bit file."""


def corpus(options: Options) -> None:
    told = feedback.asked(options.feedback) if options.feedback else ()
    learned = [{"question": each.question, "text": each.text} for each in told]
    assert not options.feedback or options.model.read_bytes() == DEFAULT
    options.out.mkdir(exist_ok=True)
    (options.out / "train.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in learned))
    (options.out / "card.json").write_text(json.dumps({"examples": len(learned)}))


def train_lora(options: Options) -> None:
    """Go on from a checkpoint as the real one does: of this data alone, and with nothing to do at its end."""
    out = options.out or options.work / "adapter"
    out.mkdir(exist_ok=True)
    lines = options.work / "train.jsonl"  # a student's examples are elsewhere for people to read
    learned = lines.read_text().count("\n") if lines.exists() else 0
    state = options.work / "checkpoint.safetensors"
    known, minutes = json.loads(state.read_text()) if state.exists() else (learned, 0)
    if known != learned:
        raise SystemExit("a checkpoint of other data")
    if minutes < options.minutes * options.until:
        minutes = options.minutes * options.until
        state.write_text(json.dumps([learned, minutes]))
        base = options.model / "config.json" if options.model.is_dir() else options.model
        begun = options.start / "adapter_model.safetensors" if options.start else None
        learned += json.loads(begun.read_text())["learned"] if begun else 0
        made = {"learned": learned + minutes, "base": base.read_text(), "grid": known_grid(options)}
        (out / "adapter_model.safetensors").write_text(json.dumps(made))


def known_grid(options: Options) -> bool:
    """Tell whether it trains for the 4-bit file, for which there has to be an importance."""
    return options.grid is not None and options.grid.exists()


def keep_adapter(options: Options) -> None:
    shutil.copytree(*options.positional, dirs_exist_ok=True)


def from_gguf(options: Options) -> None:
    source, folder = options.positional
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(source.read_text())


def layers(options: Options) -> None:
    options.out.write_text((options.model / "config.json").read_text())


def cut(options: Options) -> None:
    _, folder = options.positional
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(options.layers.read_text())


def distill(options: Options) -> None:
    """Go on as the real one does: with the same student and examples alone."""
    state, made = options.work / "checkpoint.safetensors", options.work / "adapter"
    source = (options.student / "config.json").read_text() + str(options.examples)
    if state.exists() and json.loads(state.read_text()) != source:
        raise SystemExit("a checkpoint of another student")
    state.write_text(json.dumps(source))
    made.mkdir(exist_ok=True)
    base = (options.student / "config.json").read_text()
    (made / "adapter_model.safetensors").write_text(
        json.dumps({"learned": 1, "base": base, "grid": known_grid(options)})
    )


def distilled(options: Options) -> None:
    assert all(path.exists() for path in options.positional)


def convert(options: Options) -> None:
    adapter, merged = options.positional
    if options.kind == "generator":
        merged.write_text((adapter / "config.json").read_text())
        return
    made = json.loads((adapter / "adapter_model.safetensors").read_text())
    assert made["base"] == options.base.read_text()
    extra = 0 if made["grid"] else FLOAT
    merged.write_bytes(gguf(data=RANK + extra + int(made["learned"]) + len(made["base"])))


def importance(options: Options) -> None:
    """Take float weights alone, from their training's text."""
    model, target, text = options.positional
    assert model.stat().st_size > FLOAT
    assert text.name == "train.jsonl"
    target.write_text("importance")


def quantize(options: Options) -> None:
    source, target = options.positional
    assert source.stat().st_size < FLOAT
    assert options.importance.read_text() == "importance"
    target.write_bytes(source.read_bytes())


def trial(options: Options) -> None:
    model = options.model.read_bytes()
    assert options.card.name == ("card.toml" if model == DEFAULT else "draft.toml")
    bad = 0 if model == DEFAULT else int(os.environ.get("FACTORY_BAD", "0"))
    name = options.set.name
    write_run(options.out, a_run(rows(answerable=name != ABSENT, bad=bad), name, model))


def answers(options: Options) -> None:
    """Go on with the answers of the same model alone."""
    digest = hashlib.sha256(options.model.read_bytes()).hexdigest()
    if options.out.exists() and options.out.read_text() != digest:
        raise SystemExit("a run of another model")
    options.out.write_text(digest)


FAKES: dict[str, Callable[[Options], None]] = {
    f"scripts.{made.__name__}": made
    for made in (
        corpus,
        train_lora,
        from_gguf,
        layers,
        cut,
        distill,
        distilled,
        keep_adapter,
        convert,
        importance,
        quantize,
        answers,
        trial,
    )
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
    for option in (
        "--data", "--feedback", "--model", "--work", "--out", "--card", "--set", "--layers", "--teacher",
        "--student", "--examples", "--base", "--grid", "--start", "--importance",
    ):  # fmt: skip
        parser.add_argument(option, type=Path)
    for option in ("--kind", "--type", "--keep"):
        parser.add_argument(option)
    for option, default in (("--until", 1.0), ("--minutes", 64), ("--workers", 1), ("--likelihood", 0.2)):
        parser.add_argument(option, type=float, default=default)
    parser.add_argument("positional", nargs="*", type=Path)
    FAKES[name](parser.parse_args(words))


if __name__ == "__main__":
    main()
