"""A generator, questions with the passage that answers and two that do not -> how good its answers are.

    python -m scripts.answers --data ../shared/data --model FILE.gguf --template chatml-brief --out RUN.jsonl

SQuAD 2.0 dev: a sample by a fixed seed, each question with its paragraph and the two nearest by words in
which no answer stands, in random order and so under random numbers; the reader quotes, and the prompt is the
product's (appliance/generate/prompt.py). `--absent` leaves the paragraph out. Measured is the draft as it
was written, and the answer that is left of it after the check; F1 is the official one. A line a question is
written to RUN; a run that was stopped goes on there. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from appliance import config
from appliance.evaluation import metrics
from appliance.generate.brief import SURE, in_words, may_answer
from appliance.generate.check import check, quoted, to_the_point
from appliance.generate.choice import LIKELIHOOD
from appliance.generate.llm import LlamaGenerator
from appliance.generate.prompt import REFUSED, compose
from appliance.retrieve import cross
from appliance.types import Evidence, Passage
from scripts.corpora import load_reader
from scripts.quoting import Quote, drafted, quoting
from scripts.reader_data import Index
from scripts.squad import SEED, kept_apart, passage, questions

FILE: Final = "dev/squad_dev/squad-dev-v2.0.rebuilt.json.gz"
DISTRACTORS: Final = 2
MOST_TOKENS: Final = 96
LEAST: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
"""What the least certainty of words that stand alone is chosen from (appliance/generate/brief.py)."""
_NEAR: Final = 24
_MARKER: Final = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its passages; `gold` is the number of the one that answers, 0 where none does."""

    question: str
    answers: tuple[str, ...]
    passages: tuple[Passage, ...]
    gold: int


def main() -> None:
    """Ask what was not asked yet, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--template", default="chatml-brief")
    parser.add_argument(
        "--likelihood", type=float, default=LIKELIHOOD, help="what a logit of it is worth, as its card has it"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--apart", action="store_true", help="of training documents kept apart, to choose by")
    parser.add_argument("--absent", action="store_true", help="without the passage that answers")
    options = parser.parse_args()
    reader = load_reader()
    if not isinstance(reader, cross.CrossReader):
        parser.error("no trained reader is installed: run `make models`")
    quote = quoting(reader)
    writer = LlamaGenerator(
        options.model,
        name=options.model.stem,
        template=options.template,
        threads=config.load().cores,
        likelihood=options.likelihood,
    )
    header = {
        "model": hashlib.sha256(options.model.read_bytes()).hexdigest(),
        "template": options.template,
        "likelihood": options.likelihood,
        "absent": options.absent,
        "apart": options.apart,
        "seed": SEED,
        "sure": SURE,
    }
    every = list(cases(options.data, options.limit, apart=options.apart, absent=options.absent))
    with options.out.open("a+", encoding="utf-8") as out:
        done = _done(out, header)
        for number in range(len(done), len(every)):
            row = answered(every[number], writer, quote)
            done.append(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
            if len(done) % 50 == 0:
                print(json.dumps({"asked": len(done)} | figures(done)), flush=True)
    print(json.dumps({"questions": len(done), **header, **figures(done[: len(every)])}))


def _done(out: Any, header: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that are there; begin the file where it is new."""
    out.seek(0)
    lines = out.read().splitlines()
    if not lines:
        out.write(json.dumps(header) + "\n")
        return []
    if json.loads(lines[0]) != header:
        raise SystemExit(f"{out.name} is a run of another model or setting: name another file.")
    return [json.loads(line) for line in lines[1:]]


def cases(data: Path, limit: int, *, apart: bool = False, absent: bool = False) -> Iterator[Case]:
    """Yield the sample, always the same; a larger one begins with the smaller."""
    every = list(kept_apart(data) if apart else questions(data / FILE))
    texts = list(dict.fromkeys(each.context for each in every))
    index = Index(texts)
    order = np.random.default_rng(SEED).permutation(len(every))
    chosen = [every[at] for at in order if every[at].answers][:limit]
    for number, each in enumerate(chosen):
        rng = np.random.default_rng([SEED, number])
        wanted = [answer.casefold() for answer in each.answers]
        near = [
            texts[at]
            for at in index.nearest(each.question, _NEAR)
            if texts[at] != each.context and not any(answer in texts[at].casefold() for answer in wanted)
        ][: DISTRACTORS + absent]
        at = int(rng.integers(len(near) + 1))
        shown = near if absent else [*near[:at], each.context, *near[at:]]
        passages = tuple(passage(text) for text in shown)
        yield Case(each.question, each.answers, passages, 0 if absent else at + 1)


def answered(case: Case, writer: LlamaGenerator, quote: Quote) -> dict[str, Any]:
    """Return the figures of one answer."""
    evidence, telling = quote(case.question, case.passages)
    if not case.gold:
        evidence = replace(evidence, choices=())  # it is the model that has to refuse
    prompt = compose(
        case.question,
        case.passages,
        evidence,
        telling=telling,
        count=writer.count,
        context=writer.context,
        brief=writer.brief,
    )
    began = time.perf_counter()
    draft = drafted(writer, prompt, most=MOST_TOKENS)
    spent = time.perf_counter() - began
    checked = check(draft, case.passages, evidence, shown=prompt.shown)
    if not writer.brief:
        final = to_the_point(checked, case.passages, evidence)
    elif may_answer(case.question, case.passages, evidence):
        final, _ = in_words(draft, checked, case.question, case.passages, evidence, sure=writer.sure)
    else:
        final = quoted(case.passages, evidence)
    cited = [int(number) for number in _MARKER.findall(draft)]
    return {
        "f1": _f1(case, metrics.unmarked(draft)),
        "exact": metrics.best(case.answers, metrics.unmarked(draft))[0],
        "cited": bool(cited),
        "cites_right": bool(cited) and all(number == case.gold for number in cited),
        "refused": REFUSED.rstrip(".") in draft,
        "in_prompt": metrics.holds(prompt.user, case.answers),
        "in_words": final.text == checked.text and not checked.unsupported,
        "sure": round(writer.sure, 4),
        "final_f1": _f1(case, metrics.unmarked(final.text)),
        "final_holds": metrics.holds(metrics.unmarked(final.text), case.answers),
        "quote_f1": _f1(case, evidence.quote),
        "marked_f1": _f1(case, _marked(case, evidence)),
        "numbers_stand": _numbers_stand(final.text, case, [each.n for each in final.citations]),
        "prompt_tokens": writer.usage.prompt,
        "output_tokens": writer.usage.output,
        "seconds": round(spent, 3),
    }


def _f1(case: Case, said: str) -> float:
    return metrics.best(case.answers, said)[1]


def _marked(case: Case, evidence: Evidence) -> str:
    """Return the words that the reader marked; none where it marked none."""
    return case.passages[evidence.n - 1].text[slice(*evidence.mark)] if evidence.mark else ""


def _numbers_stand(text: str, case: Case, cited: Sequence[int]) -> bool:
    held = " ".join(case.passages[number - 1].text for number in cited)
    return metrics.numbers(metrics.unmarked(text)) <= metrics.numbers(held)


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the means, and the median of the seconds."""
    names = [name for name in rows[0] if name != "seconds"] if rows else []
    found = {name: round(statistics.fmean(float(row[name]) for row in rows), 4) for name in names}
    written = [row["f1"] for row in rows if not row["refused"]]
    found["f1_where_it_answers"] = round(statistics.fmean(written), 4) if written else 0.0
    for least in LEAST:
        chosen = [row["f1"] for row in rows if row["sure"] >= least]
        found[f"sure_{least}"] = round(len(chosen) / len(rows), 4)
        found[f"f1_where_sure_{least}"] = round(statistics.fmean(chosen), 4) if chosen else 0.0
    return found | {"median_s": round(statistics.median(row["seconds"] for row in rows), 3)}


if __name__ == "__main__":
    main()
