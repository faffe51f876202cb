"""Examples of scripts/corpus.py and any GGUF teacher -> the same prompts with its answers, where they check.

    python -m scripts.taught --teacher BIG.gguf --template chatml --examples .cache/generator \
        --words SMALL.gguf --out .cache/taught

The teacher is asked as the appliance asks; what it writes is an example only if the appliance's own check
(appliance/generate/check.py) leaves it whole: every sentence stands in the passage that it cites, which is
the passage that answers, and rests on the sentence with the known answer. A refusal is one only where nothing
answers. All else is turned away and counted: no model's opinion decides what is right.

OUT holds what scripts/corpus.py writes, so that trainings take it: train.* by the teacher, dev.* as it was,
in the vocabulary of SMALL.gguf, and card.json with counts and hashes. drafts.jsonl keeps every draft with its
verdict; a run that was stopped goes on there. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from appliance import config
from appliance.errors import ApplianceError, UsageError
from appliance.generate.check import check, to_the_point
from appliance.generate.llm import CONTEXT, TEMPLATES, LlamaGenerator
from appliance.generate.prompt import ANSWER_TOKENS, BRIEF, REFUSED, SYSTEM
from appliance.sentences import split
from appliance.types import Evidence, Passage, Prompt
from scripts import quoting
from scripts.corpus import Example, Offer, written
from scripts.fetch import digest
from scripts.quoting import Writer
from scripts.squad import passage

Verdict = Literal["kept", "unsupported", "beside the point", "refused", "answered", "unreadable"]
"""The last three: refused where an answer stands, answered where none does, the answer not in the prompt."""

_BLOCK: Final = re.compile(r"^\[(\d+)\] (.*?)(?=\n\n\[\d+\] |\n\nQuestion: )", re.DOTALL | re.MULTILINE)
_NUMBER: Final = re.compile(r" \[\d+\]$")
_SAFE: Final = "Nothing was written."


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a teacher wrote to one prompt: `answer` is what the check left of it."""

    draft: str
    answer: str
    verdict: Verdict


def read_examples(path: Path) -> list[Example]:
    """Read one split as scripts/corpus.py writes it for people.

    Raises:
        UsageError: it is missing, or a line is no example.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
        return [_example(json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        known = ", ".join(field.name for field in fields(Example))
        raise UsageError(
            f"{path.name} holds no examples: {error}.",
            hint=f"{_SAFE} A line is an object of {known}: python -m scripts.corpus.",
        ) from error


def _example(told: dict[str, Any]) -> Example:
    offers = tuple(Offer(**each) for each in told.pop("offers", ()))
    return Example(**told, offers=offers)


def passages_of(prompt: str) -> list[Passage]:
    """Return the passages that stand in a prompt, by their numbers.

    The first of several lines is taken for the heading. Where it is none, what it says supports no answer:
    a good draft may be lost by that, a bad one is not let in.
    """
    found = dict[int, Passage]()
    for number, block in _BLOCK.findall(prompt):
        heading, _, text = block.partition("\n")
        found[int(number)] = passage(text, heading) if text else passage(block)
    # A number whose passage did not fit into the prompt is one that holds nothing.
    return [found.get(number, passage("")) for number in range(1, max(found, default=0) + 1)]


def evidence_of(each: Example, passages: Sequence[Passage]) -> Evidence | None:
    """Return the sentences of the passage to cite that hold the known answer, None where none does."""
    if not 0 < each.gold <= len(passages):
        return None
    text = passages[each.gold - 1].text
    words = map(re.escape, _NUMBER.sub("", each.answer).split())
    place = re.search(r"\s+".join(words), text)
    if place is None:
        return None
    touched = [span for span in split(text) if span[0] < place.end() and span[1] > place.start()]
    start, end = (touched[0][0], touched[-1][1]) if touched else place.span()
    return Evidence(each.gold, start, end, text[start:end], "", None, "", 1.0, mark=place.span())


def drafted(each: Example, writer: Writer) -> Drafted:
    """Ask the teacher and judge what it writes."""
    prompt = Prompt(BRIEF if writer.brief else SYSTEM, each.prompt)
    draft = quoting.drafted(writer, prompt, most=ANSWER_TOKENS)
    return judged(draft.strip(), each, brief=writer.brief)


def judged(draft: str, each: Example, *, brief: bool) -> Drafted:
    """Return what the check makes of a draft."""
    if draft == REFUSED or not each.gold:
        right = draft == REFUSED and not each.gold
        return Drafted(draft, draft, "kept" if right else "refused" if each.gold else "answered")
    passages = passages_of(each.prompt)
    evidence = evidence_of(each, passages)
    if evidence is None:
        return Drafted(draft, "", "unreadable")
    checked = check(draft, passages, evidence)
    if checked.unsupported or not draft:
        return Drafted(draft, checked.text, "unsupported")
    known = draft == each.answer if brief else to_the_point(checked, passages, evidence) == checked
    whole = known and {cited.n for cited in checked.citations} == {each.gold}
    return Drafted(draft, checked.text, "kept" if whole else "beside the point")


def examples(asked: Sequence[Example], found: Sequence[Drafted]) -> list[Example]:
    """Return the prompts with the teacher's answers, where those are kept."""
    pairs = zip(asked, found, strict=True)
    return [_taught(each, made.answer) for each, made in pairs if made.verdict == "kept"]


def _taught(each: Example, answer: str) -> Example:
    """Return the example with that answer; what the words offered are worth is known for its own only."""
    return each if answer == each.answer else replace(each, answer=answer, offers=())


def main() -> int:
    """Ask what was not asked yet, and write both splits and the card."""
    options = _parser().parse_args()
    try:
        if options.out.resolve() == options.examples.resolve():
            raise UsageError("The examples would be written over.", hint=f"{_SAFE} Name another --out.")
        asked = read_examples(options.examples / "train.jsonl")[: options.limit]
        held = read_examples(options.examples / "dev.jsonl")
        options.out.mkdir(parents=True, exist_ok=True)
        header = _header(options)
        found = list(_all_drafts(asked, options, header))
        words = LlamaGenerator(options.words, name="", template="chatml", threads=1, context=64)
        card = header | {"drafts": len(found), "verdicts": dict(Counter(each.verdict for each in found))}
        kept = examples(asked, found)
        if not kept:
            raise UsageError("The check leaves no draft of this teacher whole.", hint=_LOOK)
        card["train"] = written(kept, options.out / "train", words)
        card["dev"] = written(held, options.out / "dev", words)
        (options.out / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(card))
    return 0


_LOOK: Final = "No examples were written. Look into drafts.jsonl, and whether --template is the teacher's."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--template", choices=tuple(TEMPLATES), default="chatml", help="of the teacher")
    parser.add_argument("--examples", type=Path, required=True, help="folder of scripts/corpus.py's")
    parser.add_argument("--words", type=Path, required=True, help="a GGUF file, for the student's vocabulary")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="prompts, at most")
    return parser


def _header(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a run is of: hashes of what it asks, and how."""
    try:
        return {
            "teacher": {"file": options.teacher.name, "sha256": digest(options.teacher)},
            "template": options.template,
            "examples": digest(options.examples / "train.jsonl"),
        }
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.", hint=_SAFE) from error


def _all_drafts(
    asked: Sequence[Example], options: argparse.Namespace, header: dict[str, Any]
) -> Iterator[Drafted]:
    """Yield the drafts that are there, then ask for the others and keep them.

    Raises:
        UsageError: those that are there are another teacher's or to other prompts.
    """
    with (options.out / "drafts.jsonl").open("a+", encoding="utf-8") as file:
        done = _done(file, header)[: len(asked)]
        yield from done
        if len(done) == len(asked):
            return
        teacher = LlamaGenerator(
            options.teacher, name="", template=options.template, threads=config.load().cores, context=CONTEXT
        )
        for each in asked[len(done) :]:
            made = drafted(each, teacher)
            file.write(json.dumps([made.draft, made.answer, made.verdict], ensure_ascii=False) + "\n")
            file.flush()
            yield made
        teacher.close()


def _done(file: Any, header: dict[str, Any]) -> list[Drafted]:
    file.seek(0)
    lines = file.read().splitlines()
    if not lines:
        file.write(json.dumps(header) + "\n")
        return []
    if json.loads(lines[0]) != header:
        raise UsageError(
            "drafts.jsonl is of another teacher, template or corpus.", hint=f"{_SAFE} Name another --out."
        )
    return [Drafted(*json.loads(line)) for line in lines[1:]]


if __name__ == "__main__":
    sys.exit(main())
