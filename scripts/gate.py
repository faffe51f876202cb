"""The runs of a candidate and of the default -> a verdict, on the leaderboard: may it replace it.

    python -m scripts.trial --card CARD --model model.gguf --set SET --out RUN   # each frozen set, each model
    python -m scripts.gate --candidate RUN... --default RUN... --model model.gguf --leaderboard FILE

A run is what `appliance eval --out` writes (appliance/evaluation/run.py): a line of figures a question, no
word of it. The rule and its reasons stand in scripts/judgement.py, the sets in models/gate/frozen.toml. Every
verdict is recorded, refusals too. The last line is JSON. Exit codes: 0 passed, 7 refused, 2 the runs cannot
be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, PolicyRefused, UsageError
from appliance.evaluation import run
from appliance.evaluation.report import Run
from scripts import frozen, leaderboard
from scripts.fetch import digest
from scripts.judgement import FIGURES, Gain, SetGains, Trial, gains, reasons, rivals
from scripts.leaderboard import Entry

REFUSED: Final = PolicyRefused.exit_code
_HINT: Final = "Nothing was judged. Give each set's run once for either model."


def trial(candidates: Sequence[Path], defaults: Sequence[Path], model: str) -> Trial:
    """Compare the runs of each set; `model` is the hash of the candidate's file.

    Raises:
        UsageError: a run is missing, given twice, or cannot be compared; or the candidate's are not all of
            one name, template and context.
    """
    ours, theirs = _by_set(candidates), _by_set(defaults)
    if set(ours) != set(theirs):
        alone = ", ".join(sorted(set(ours) ^ set(theirs)))
        raise UsageError(f"Only one of the two models was asked {alone}.", hint=_HINT)
    olds, sets, tried = set[str](), list[SetGains](), set[tuple[str, str]]()
    for name in sorted(ours):
        (one, path), (other, other_path) = ours[name], theirs[name]
        olds.add(rivals(one, other, model))
        weights, cards = one.header.weights, one.header.models
        tried |= {(name, cards[name]) for name, value in weights.items() if value == model}
        sets.append(_set(one, gains(one, other), sha256(path), sha256(other_path)))
    if len(olds) != 1:
        raise UsageError("The runs of the default are of more than one model.", hint=_HINT)
    if len(tried) != 1:
        raise UsageError("The candidate was tried under more than one card.", hint=_HINT)
    ((candidate, card),) = tried
    return Trial(candidate, model, card, olds.pop(), tuple(sets))


def _by_set(paths: Sequence[Path]) -> dict[str, tuple[Run, Path]]:
    found: dict[str, tuple[Run, Path]] = {}
    for path in paths:
        made = Run(*run.read(path))
        if made.header.set in found:
            raise UsageError(f"{path} is a second run of {made.header.set}.", hint=_HINT)
        found[made.header.set] = made, path
    return found


def _set(one: Run, found: dict[str, Gain], candidate: str, default: str) -> SetGains:
    header = one.header
    return SetGains(
        name=header.set,
        questions=header.questions,
        documents=header.documents,
        seed=header.seed,
        asked=len({row.id for row in one.rows}),
        candidate=candidate,
        default=default,
        gains=found,
    )


def sha256(path: Path) -> str:
    """Return the hash of a file, in hex: what a model is known by.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return digest(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint=_HINT) from error


def table(found: Trial) -> str:
    """Return the figures of all sets, one a line."""
    lines = [f"{'':56}{'n':>6}  {'candidate':>9}  {'default':>7}  gain, 95 % interval"]
    for each in found.sets:
        for name, gain in each.gains.items():
            title = f"{each.name}: {FIGURES[name].title}"
            figures = f"{gain.n:6}  {gain.candidate:9.3f}  {gain.default:7.3f}"
            lines.append(f"{title:56}{figures}  {gain.low:+.3f} .. {gain.high:+.3f}")
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Judge, record and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidate", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--default", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the candidate's file")
    parser.add_argument("--leaderboard", type=Path, required=True, metavar="FILE")
    parser.add_argument("--frozen", type=Path, default=frozen.PATH, metavar="FILE")
    options = parser.parse_args()
    try:
        made = trial(options.candidate, options.default, sha256(options.model))
        when = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(when, made, reasons(made, frozen.load(options.frozen)))
        leaderboard.append(options.leaderboard, entry)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(table(made))
    for reason in entry.reasons:
        print(f"refused: {reason}")
    print(json.dumps(entry.as_json()))
    return 0 if entry.passed else REFUSED


if __name__ == "__main__":
    sys.exit(main())
