"""Thumbs on answers -> a file that the user names -> questions to train on, with their passages.

    appliance ask --json "QUESTION" | python -m scripts.feedback up FILE
    appliance ask --json "QUESTION" | python -m scripts.feedback down FILE --right "WORDS OF THE DOCUMENT"
    python -m scripts.feedback check FILE          # what of it can be trained on, as one JSON line

A vault keeps no answers but in its sealed audit log, so a thumb is given on the answer that `ask --json` just
printed. Its passages are kept in FILE with it, in the clear: it belongs where the documents may lie, and is
made readable to its owner alone. Nothing else of the vault is read, nothing is written elsewhere.

Trained on is what stands word for word in a passage that was shown: the answer of a thumb up, `--right` of a
thumb down. A thumb down without it says that the answer was wrong, not what is right, and teaches nothing
here; nor does a thumb up on a refusal. Both are counted. Of two thumbs on a question the last one counts.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from appliance.errors import ApplianceError, UsageError
from appliance.evaluation import metrics
from scripts.reader_asked import Asked

VERDICTS: Final = ("up", "down")
_HINT: Final = "Nothing was written. Pipe what `appliance ask --json` prints into this."
_LEFT: Final = "Nothing was changed. Mend or remove that line, or name another file."


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage that was shown with the answer; `cited` where the answer names it."""

    document: str
    page: int | None
    heading: str
    text: str
    cited: bool


@dataclass(frozen=True, slots=True)
class Thumb:
    """What somebody thought of an answer: `right` is what it should have been, `note` for people only."""

    verdict: str
    question: str
    answer: str
    abstained: bool
    right: str
    note: str
    passages: tuple[Shown, ...]

    @property
    def wanted(self) -> str:
        """Return the answer to learn, "" where nobody said one; a full stop may be the answer's own."""
        praised = self.answer if self.verdict == "up" and not self.abstained else ""
        return " ".join(metrics.unmarked(self.right or praised).split()).rstrip(".")


def thumb(verdict: str, given: Mapping[str, Any], *, right: str = "", note: str = "") -> Thumb:
    """Return a thumb on the object that `ask --json` printed.

    Raises:
        UsageError: it is none.
    """
    try:
        cited = {int(each["n"]) for each in given["citations"]}
        passages = tuple(
            Shown(
                str(each["document"]), each["page"], str(each["heading"]), str(each["text"]), number in cited
            )
            for number, each in enumerate(given["passages"], 1)
        )
        question, answer, abstained = str(given["question"]), str(given["answer"]), bool(given["abstained"])
    except (KeyError, TypeError, ValueError):
        raise UsageError("This is no answer of `appliance ask --json`.", hint=_HINT) from None
    return Thumb(verdict, question, answer, abstained, right, note, passages)


def append(path: Path, made: Thumb) -> None:
    """Add a thumb to the file: on the disk when this returns.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(asdict(made)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", hint=_HINT) from error


def read(path: Path) -> tuple[Thumb, ...]:
    """Return the last thumb on each question.

    Raises:
        UsageError: the file cannot be read, or a line is none of `append`'s.
    """
    found: dict[str, Thumb] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            made = _of_json(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UsageError(f"{path}, line {number}: this is no feedback.", hint=_LEFT) from None
        found[made.question] = made
    return tuple(found.values())


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint=_LEFT) from error


def _of_json(row: dict[str, Any]) -> Thumb:
    shown = tuple(Shown(**each) for each in row.pop("passages"))
    made = Thumb(**row, passages=shown)
    words = (made.question, made.answer, made.right, made.note)
    parts = (part for each in shown for part in (each.document, each.heading, each.text))
    if made.verdict not in VERDICTS or not all(isinstance(each, str) for each in (*words, *parts)):
        raise TypeError("a field of another kind")
    return made


def asked(path: Path) -> Iterator[Asked]:
    """Yield what can be trained on, as the sources of the corpus do (scripts/reader_sources.py)."""
    for each in read(path):
        found = lesson(each)
        if isinstance(found, Asked):
            yield found


def lesson(given: Thumb) -> Asked | str:
    """Return the question with the passage that holds its answer, cited ones first, or why it has none."""
    if not given.wanted:
        return "nobody said what is right"
    # A line may break anywhere in the passage's text; and 5 is not meant by the 15 or the 5.2 of it.
    words = r"\s+".join(map(re.escape, given.wanted.split()))
    pattern = re.compile(rf"(?<!\w)(?<!\d[.,]){words}(?!\w)(?![.,]\d)")
    for shown in sorted(given.passages, key=lambda passage: not passage.cited):
        if place := pattern.search(shown.text):
            return Asked(
                source="feedback",
                document=shown.document,
                title=shown.heading or shown.document,
                question=given.question,
                text=shown.text,
                span=place.span(),
                near=place.start(),
                relevant=1,
                answerable=1,
                answers=(given.wanted,),
            )
    return "the answer stands in no passage that was shown"


def summary(path: Path) -> dict[str, Any]:
    """Return how much there is, how much can be trained on, and why the rest cannot.

    Raises:
        UsageError: nothing can.
    """
    found = [lesson(each) for each in read(path)]
    left_out = Counter(each for each in found if isinstance(each, str))
    usable = len(found) - left_out.total()
    if not usable:
        raise UsageError(
            f"Nothing in {path} can be trained on.",
            hint='Give thumbs up, or thumbs down with --right "WORDS OF THE DOCUMENT".',
        )
    return {"questions": len(found), "usable": usable, "left_out": dict(left_out)}


def main() -> int:
    """Add a thumb to FILE, or check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=(*VERDICTS, "check"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--right", default="", metavar="WORDS", help="what the answer should have been")
    parser.add_argument("--note", default="", metavar="TEXT", help="for people; never trained on")
    options = parser.parse_args()
    try:
        if options.what == "check":
            told = summary(options.file)
        else:
            made = thumb(options.what, _answer(), right=options.right, note=options.note)
            append(options.file, made)
            told = {"added": options.what, "trains": isinstance(lesson(made), Asked)}
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(told))
    return 0


def _answer() -> Mapping[str, Any]:
    try:
        found = json.loads(sys.stdin.read())
    except ValueError:
        raise UsageError("This is no answer of `appliance ask --json`.", hint=_HINT) from None
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
