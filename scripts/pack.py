"""A generator that passed the gate, and what is known of it -> a model folder that can be installed.

    python -m scripts.pack --card DRAFT.toml --leaderboard FILE --out FOLDER model.gguf

DRAFT is a card (models/README.md) without [[files]]: what a person has to say, such as source and licence.
Hash and measured figures are added from the file and the gate. What the gate did not pass is refused, with
exit code 7 and nothing written: the last verdict on this very file must be good, of runs with the draft's
name, template, context and likelihood (scripts/trial.py), and it is judged again here by
models/gate/frozen.toml as it stands now. The folder is FOLDER/<name>/, ready for APPLIANCE_HOME/models.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, PolicyRefused, UsageError
from appliance.models import CARD, File, Measured, parse_card
from scripts import frozen, leaderboard, trial
from scripts.frozen import Frozen
from scripts.gate import sha256
from scripts.install import install
from scripts.judgement import SetGains, reasons
from scripts.leaderboard import Entry

_HINT: Final = (
    "Nothing was written. `python -m scripts.gate` judges a model; scripts/runs/iterate.sh makes one."
)


def approved(model: str, entries: tuple[Entry, ...], sets: Frozen) -> Entry:
    """Return the last verdict on the file whose SHA-256 is `model`.

    Raises:
        PolicyRefused: there is none, it is bad, or it does not hold for the frozen sets as they are now.
    """
    found = [entry for entry in entries if entry.trial.model == model]
    if not found:
        raise PolicyRefused(f"The gate never judged this model ({model[:12]}).", hint=_HINT)
    why = found[-1].reasons or reasons(found[-1].trial, sets)
    if why:
        raise PolicyRefused(f"This model ({model[:12]}) is refused: {'; '.join(why)}.", hint=_HINT)
    return found[-1]


def completed(draft: str, file: File, entry: Entry) -> str:
    """Return the card: the draft, the file, and what the gate measured.

    Raises:
        UsageError: the draft is none, names files already, or is of another kind of model.
    """
    try:
        known = tomllib.loads(draft)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The draft of the card is not valid TOML: {error}", hint=_HINT) from error
    if "files" in known:
        raise UsageError("The draft of a card names no files: they are added here.", hint=_HINT)
    measured = (_table("measured", _measured(each, entry)) for each in entry.trial.sets)
    made = "".join([draft.rstrip("\n") + "\n", _table("files", file), *measured])
    parse_card(made.encode())
    return made


def _measured(found: SetGains, entry: Entry) -> Measured:
    figures = (
        f"{name} {gain.candidate:.3f} (default {gain.default:.3f}, gain {gain.low:+.3f} .. {gain.high:+.3f})"
        for name, gain in found.gains.items()
    )
    return Measured(
        what=f"{found.name}, {found.asked} questions, against {entry.trial.default[:12]}",
        value=", ".join(figures),
        command="python -m scripts.gate --candidate RUN... --default RUN... --model FILE --leaderboard FILE",
    )


def _table(name: str, entry: File | Measured) -> str:
    # A string of JSON is one of TOML, the escapes of control characters included.
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in asdict(entry).items())
    return f"\n[[{name}]]\n{''.join(lines)}"


def pack(draft: Path, model: Path, board: Path, *, out: Path, sets: Frozen) -> Path:
    """Put the model into a folder of its own in `out`, complete or not at all; return the folder.

    Raises:
        PolicyRefused: the gate did not pass it, or judged it as another card has it; nothing is written.
        UsageError: a file cannot be read, or is no draft of a generator's card; nothing is written.
        ModelMismatch: the file changed after it was hashed, or has a header that no honest model has.
    """
    digest = sha256(model)
    entry = approved(digest, leaderboard.read(board), sets)
    try:
        text = draft.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{draft} cannot be read as a draft of a card.", hint=_HINT) from error
    file = File(model.name, digest, model.stat().st_size)
    card = completed(text, file, entry)
    if hashlib.sha256(trial.card(text, file).encode()).hexdigest() != entry.trial.card:
        raise PolicyRefused(
            f"{draft} has another name, template, context or likelihood than this model was judged with.",
            hint=_HINT,
        )
    with tempfile.TemporaryDirectory() as scratch:
        named = Path(scratch) / CARD
        named.write_text(card, "utf-8")
        return install(named, out, [model])  # it copies, and then checks the copy against the card


def main() -> int:
    """Pack MODEL; the last line is JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--card", type=Path, required=True, metavar="DRAFT")
    parser.add_argument("--leaderboard", type=Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--frozen", type=Path, default=frozen.PATH, metavar="FILE")
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    try:
        sets = frozen.load(options.frozen)
        made = pack(options.card, options.model, options.leaderboard, out=options.out, sets=sets)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"packed": str(made)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
