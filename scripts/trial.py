"""A generator that is not installed, and a question set -> the run of `appliance eval` with it.

    python -m scripts.trial --model model.gguf --template chatml-brief --set FOLDER/articles.jsonl --out RUN

The set is asked through the whole appliance, as `scripts/gate.py` wants it. Documents are those of the folder
beside the set that has its name (`articles/` for `articles.jsonl`). The model lives in a home of its own
beside RUN while it is asked; stopped and started again it goes on there. What is printed is `eval`'s table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.models import CARD

CONTEXT: Final = 8192


def main() -> int:
    """Ask the set; return eval's exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--template", default="chatml-brief")
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="ask only so many questions")
    options = parser.parse_args()
    home = options.out.with_name(f"{options.out.name}.home").absolute()
    furnish(home, options.model, options.template)
    command = [
        sys.executable,
        "-P",
        "-m",
        "appliance.cli",
        "eval",
        str(options.set),
        "--out",
        str(options.out),
    ]
    documents = options.set.with_suffix("").resolve()
    command += ["--documents", str(documents)] if documents.is_dir() else []
    command += ["--limit", str(options.limit)] if options.limit else []
    done = subprocess.run(command, env=os.environ | {"APPLIANCE_HOME": str(home)}, check=False)
    if done.returncode == 0:
        shutil.rmtree(home)
    return done.returncode


def furnish(home: Path, model: Path, template: str) -> None:
    """Make a home in which `model` is the generator."""
    name = model.stem.lower()
    folder = home / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    content = model.read_bytes()
    durable.replace(folder / "model.gguf", content, mode=0o644)
    durable.replace(folder / CARD, card(name, template, content).encode(), mode=0o644)
    durable.replace(home / "config.toml", f"generator = {json.dumps(name)}\n".encode(), mode=0o644)


def card(name: str, template: str, content: bytes) -> str:
    """Return the card of a model that is on trial."""
    said = {"name": name, "kind": "generator", "source": "on trial", "revision": "on trial"}
    said |= {"licence": "on trial", "quantization": "on trial", "template": template}
    lines = [f"{key} = {json.dumps(value)}" for key, value in said.items()]
    digest = hashlib.sha256(content).hexdigest()
    file = ["[[files]]", 'name = "model.gguf"', f'sha256 = "{digest}"', f"bytes = {len(content)}"]
    return "\n".join([*lines, f"context = {CONTEXT}", "", *file, ""])


if __name__ == "__main__":
    sys.exit(main())
