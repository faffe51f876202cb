"""A card and built files -> a model in its folder, put there only if the files are the ones on the card."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from appliance import durable
from appliance.errors import ApplianceError
from appliance.models import CARD, Installed, find, parse_card, verify


def install(card: Path, folder: Path, files: Sequence[Path]) -> Path:
    """Put the model of `card` into `folder`, complete or not at all.

    Raises:
        ModelMissing: a file on the card is not among `files`.
        ModelMismatch: a file is not the one on the card; what was installed before stays.
    """
    raw = card.read_bytes()
    parsed = parse_card(raw)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".install-") as scratch:
        made = Path(scratch) / parsed.name
        made.mkdir(mode=0o755)
        for source in files:
            _place(source, made / source.name)
        durable.replace(made / CARD, raw, mode=0o644)
        verify(Installed(parsed, made))
        return _swap(made, folder / parsed.name, Path(scratch))


def _place(source: Path, target: Path) -> None:
    """Copy, and make the copy durable before anything refers to it."""
    with source.open("rb") as read, target.open("xb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())


def _swap(made: Path, target: Path, scratch: Path) -> Path:
    """Put the new folder in the old one's place; cut short between the two, the model is installed again."""
    if target.exists():
        target.rename(scratch / "old")
    made.rename(target)
    durable.sync(target.parent)
    return target


def is_installed(card: Path, folder: Path) -> bool:
    """Tell whether `folder` holds exactly the model of `card`, verified."""
    raw = card.read_bytes()
    try:
        found = find(parse_card(raw).name, [folder])
        verify(found)
    except ApplianceError:
        return False
    return (found.folder / CARD).read_bytes() == raw


def main() -> int:
    """Install FILES as the model of CARD into FOLDER, or only look whether it is there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("card", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", type=Path, nargs="*")
    arguments = parser.parse_args()
    if arguments.check:
        return 0 if is_installed(arguments.card, arguments.folder) else 1
    try:
        made = install(arguments.card, arguments.folder, arguments.files)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"installed": str(made)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
