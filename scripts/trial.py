"""A generator that is not installed, and a question set -> the run of `appliance eval` with it.

    python -m scripts.trial --card DRAFT.toml --model model.gguf --set FOLDER/articles.jsonl --out RUN

The set is asked through the whole appliance, as `scripts/gate.py` wants it. DRAFT is the model's card, with
or without [[files]]: name, template, context and likelihood are taken from it. Documents are those of the
folder beside the set that has its name (`articles/` for `articles.jsonl`). The model lives in a home of its
own beside RUN while it is asked; stopped and started again it goes on there. What is printed is `eval`'s
table; the exit code is `eval`'s too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from appliance import durable
from appliance.errors import ApplianceError, UsageError
from appliance.evaluation import sets
from appliance.models import CARD, File, parse_card

_HINT: Final = "Nothing was asked."
_TRIED: Final = ("name", "kind", "template", "context", "likelihood")


def main() -> int:
    """Ask the set; return eval's exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--card", type=Path, required=True, metavar="DRAFT")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="ask only so many questions")
    options = parser.parse_args()
    home = options.out.with_name(f"{options.out.name}.home").absolute()
    try:
        command = [*_eval(options.set), "--out", str(options.out)]
        furnish(home, options.model, options.card)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    command += ["--limit", str(options.limit)] if options.limit else []
    done = subprocess.run(command, env=os.environ | {"APPLIANCE_HOME": str(home)}, check=False)
    if done.returncode == 0:
        shutil.rmtree(home)
    return done.returncode


def _eval(questions: Path) -> list[str]:
    """Return the command that asks a set about its documents.

    Raises:
        UsageError: the set cannot be read, or has no documents.
    """
    command = [sys.executable, "-P", "-m", "appliance.cli", "eval", str(questions)]
    if sets.load(questions).sources is not None:
        return command
    documents = questions.with_suffix("").resolve()
    if not documents.is_dir():
        raise UsageError(f"The documents of {questions} are missing: {documents} is no folder.", hint=_HINT)
    return [*command, "--documents", str(documents)]


def furnish(home: Path, model: Path, draft: Path) -> None:
    """Make a home in which `model` is the generator, as the card `draft` has it.

    Raises:
        UsageError: either cannot be read, or the draft is none of a generator.
    """
    try:
        content, known = model.read_bytes(), draft.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Model or draft cannot be read: {error}.", hint=_HINT) from error
    made = card(known, File("model.gguf", hashlib.sha256(content).hexdigest(), len(content)))
    name = parse_card(made.encode()).name
    folder = home / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    durable.replace(folder / "model.gguf", content, mode=0o644)
    durable.replace(folder / CARD, made.encode(), mode=0o644)
    durable.replace(home / "config.toml", f"generator = {json.dumps(name)}\n".encode(), mode=0o644)


def card(draft: str, file: File) -> str:
    """Return the card of a model on trial: what of a draft decides its answers, and the file.

    A run holds the hash of this card, so scripts/pack.py can tell whether a draft is the one that was tried,
    and a mended licence does not make a trial void.

    Raises:
        UsageError: the draft is none of a generator.
    """
    try:
        known = tomllib.loads(draft)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The draft of the card is not valid TOML: {error}", hint=_HINT) from error
    said: dict[str, Any] = {key: known[key] for key in _TRIED if key in known}
    said |= dict.fromkeys(("source", "revision", "licence", "quantization"), "on trial")
    lines = [f"{key} = {json.dumps(value, default=str)}" for key, value in said.items()]
    entry = [f"name = {json.dumps(file.name)}", f'sha256 = "{file.sha256}"', f"bytes = {file.bytes}"]
    made = "\n".join([*lines, "", "[[files]]", *entry, ""])
    parse_card(made.encode())
    return made


if __name__ == "__main__":
    sys.exit(main())
