"""Questions with their passages -> prompts and answers in the product's format, split by document.

    python -m scripts.corpus --data ../shared/data --model FILE.gguf --out .cache/generator [--feedback FILE]

Each example is what the appliance would put before its generator (appliance/generate/prompt.py): the
passage that answers, cut to the sentences that matter, under its number, and the words in it that the
shipped reader would let it choose from, each with the reader's margin and what it is worth. The reader is
made as unsure as it is on strange documents, so that the generator learns what the reader does not know.
The answer is the words of the passage and its number; a share has no passage, or none about the subject,
and then the answer is the refusal. Written are
train.safetensors, dev.safetensors, both again as .jsonl for people, and card.json with counts, licences and
hashes. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from appliance.evaluation import metrics
from appliance.generate.llm import LlamaGenerator
from appliance.generate.prompt import BRIEF, REFUSED, bare, compose
from appliance.retrieve import cross
from appliance.types import CHOICES, Passage, Prompt
from scripts import feedback
from scripts.corpora import load_reader
from scripts.quoting import Quote, quoting
from scripts.reader_asked import Asked
from scripts.reader_data import cropped, held_out, pieces, roughened
from scripts.reader_sources import SOURCES
from scripts.squad import passage

SEED: Final = 20261128
CONTEXT: Final = 2048
NUMBERS: Final = 3
"""The passage stands under one of so many numbers, as in an answer to a person."""
CROPPED: Final = 0.85
"""How often what is not needed of a passage is cut away: shorter ones mean more questions an hour."""
SHARES: Final = {"squad": 0.62, "natural": 0.2, "policy": 0.08, "covid": 0.05, "fairytale": 0.05}
"""What each source contributes; only questions whose answer is literally in their text."""
LICENCES: Final = {
    "squad": "CC BY-SA 4.0 (SQuAD 2.0 train pairs)",
    "natural": "CC BY-SA 3.0 (Natural Questions: nq_open_oracle, uda_nq, qed_dev)",
    "policy": "MIT (PolicyQA)",
    "covid": "Apache-2.0 (COVID-QA)",
    "fairytale": "Apache-2.0 (FairytaleQA)",
}
DEV: Final = 300
MISHEARD: Final = 0.3
"""The share of the question's words that the reader does not get to see. It was trained on these questions:
what it marks agrees with SQuAD's answers by .84 here, by .62 on held-out documents, and by .62 here without
that share."""
NO_PASSAGES: Final = 0.02
FOREIGN: Final = 0.04
"""Examples that are to be refused: nothing was found, or nothing about the subject."""
TOLD: Final = 4
_LONGEST_ANSWER: Final = 240


@dataclass(frozen=True, slots=True)
class Offer:
    """Words to choose with the reader's margin; `worth` is their overlap (F1) with the answer, in [0, 1]."""

    words: str
    margin: float
    worth: float


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with the answer wanted; `gold` is the number to cite, 0 where it is to be refused.

    `offers` are what it may be chosen from, if it is to be chosen.
    """

    source: str
    document: str
    question: str
    prompt: str
    answer: str
    gold: int
    offers: tuple[Offer, ...] = ()


def main() -> None:
    """Write both splits and the data card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file, for its vocabulary")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=16000, help="of the published sets")
    parser.add_argument("--feedback", type=Path, help="thumbs on answers (scripts/feedback.py)")
    options = parser.parse_args()
    reader = load_reader()
    if not isinstance(reader, cross.CrossReader):
        parser.error("no trained reader is installed: run `make models`")
    options.out.mkdir(parents=True, exist_ok=True)
    writer = LlamaGenerator(options.model, name="", template="chatml", threads=1, context=64)
    told = list(feedback.asked(options.feedback)) if options.feedback else []
    made = list(drawn(options.data, options.examples, told, quoting(reader), writer))
    parts = {name: [each for each in made if kept_apart(each) == dev] for name, dev in SPLITS.items()}
    parts["dev"] = parts["dev"][:DEV]
    card: dict[str, Any] = {"seed": SEED, "licences": licences(told)}
    for name, found in parts.items():
        card[name] = written(found, options.out / name, writer)
    (options.out / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(card))


SPLITS: Final = {"train": False, "dev": True}


def kept_apart(each: Example) -> bool:
    """Tell whether an example is for the development split; all that a site told is there to be learned."""
    return each.source != "feedback" and held_out(each.document)


def licences(told: Sequence[Asked]) -> dict[str, str]:
    """Return under what the sources may be used."""
    return LICENCES | ({"feedback": "the site's own documents; not to be passed on"} if told else {})


def drawn(
    data: Path, count: int, told: Sequence[Asked], quote: Quote, writer: LlamaGenerator
) -> Iterator[Example]:
    """Yield about `count` examples, each question once, in an order that mixes the sources.

    What a site `told` of its own answers comes `TOLD` times, each time cut and set beside others anew.
    """
    rng = np.random.default_rng(SEED)
    asked: list[tuple[Asked, int]] = []
    rooms: list[Room] = []
    for number, (name, share) in enumerate(SHARES.items()):
        known = [each for each in SOURCES[name](data / "train") if _usable(each)]
        rooms.append(Room(known))
        order = rng.permutation(len(known))[: round(share * count)]
        asked += [(known[index], number) for index in order]
    if told:
        rooms.append(Room(told))
        asked += [(each, len(SHARES)) for each in told for _ in range(TOLD)]
    for index in rng.permutation(len(asked)):
        each, number = asked[index]
        yield from example(each, rooms[number], rooms[(number + 1) % len(rooms)], rng, quote, writer)


def _usable(each: Asked) -> bool:
    return each.span is not None and each.relevant == 1 and each.span[1] - each.span[0] <= _LONGEST_ANSWER


class Room:
    """All passages of one source, as the appliance cuts them."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        texts = {each.text: each for each in asked}
        self.pieces = {text: pieces(text) for text in texts}
        self.pool = [
            (each.title, each.text[start:end])
            for each in texts.values()
            for start, end in self.pieces[each.text]
        ]

    def any(self, rng: np.random.Generator) -> Passage:
        """Return a passage about anything."""
        title, text = self.pool[int(rng.integers(len(self.pool)))]
        return passage(text, title)


def example(
    each: Asked, room: Room, foreign: Room, rng: np.random.Generator, quote: Quote, writer: LlamaGenerator
) -> Iterator[Example]:
    """Yield the example of one question; none where its answer is cut in two by the passages' borders."""
    question = roughened(each.question, rng)
    kind = rng.random()
    if kind < NO_PASSAGES:
        yield _refusing(each, question, Prompt(BRIEF, bare(question)))
        return
    if kind < NO_PASSAGES + FOREIGN:
        yield _refusing(each, question, _prompt(question, foreign.any(rng), rng, quote, writer))
        return
    start, end = each.span or (0, 0)
    holding = next((part for part in room.pieces[each.text] if part[0] <= start and end <= part[1]), None)
    if holding is None:
        return
    first, last = cropped(each, holding, rng, often=CROPPED)
    prompt = _prompt(question, passage(each.text[first:last], each.title), rng, quote, writer)
    answer = " ".join(each.text[start:end].split())
    shown = prompt.user.rpartition("\n\nQuestion: ")[0]
    if answer in " ".join(shown.split()):
        n = prompt.shown[0]
        offers = _offers(prompt, answer, each.answers)
        yield Example(each.source, each.document, question, prompt.user, f"{answer} [{n}]", n, offers)


def _offers(prompt: Prompt, answer: str, answers: Sequence[str]) -> tuple[Offer, ...]:
    """Return what may be chosen, the answer in any case: for the reader's last choice where it is none."""
    golds = [answer, *answers]
    found = [Offer(words, margin, metrics.best(golds, words)[1]) for words, margin in prompt.choices]
    if found and all(each.worth < 1 for each in found):
        found[CHOICES - 1 :] = [Offer(answer, found[-1].margin, 1.0)]
    return tuple(found)


def _refusing(each: Asked, question: str, prompt: Prompt) -> Example:
    return Example(each.source, each.document, question, prompt.user, REFUSED, 0)


def _prompt(
    question: str, found: Passage, rng: np.random.Generator, quote: Quote, writer: LlamaGenerator
) -> Prompt:
    """Return the prompt as the appliance makes it, the passage under any number."""
    heard = [word for word in question.split() if rng.random() >= MISHEARD]
    evidence, _ = quote(" ".join(heard) or question, [found])
    before = [passage("")] * int(rng.integers(NUMBERS))
    evidence = replace(evidence, n=len(before) + 1)
    return compose(question, [*before, found], evidence, count=writer.count, context=CONTEXT, brief=True)


def written(found: Sequence[Example], path: Path, writer: LlamaGenerator) -> dict[str, Any]:
    """Write one split; return its counts and hash."""
    rows = [encoded(each, writer) for each in found]
    arrays = {
        "tokens": np.array([token for tokens, _ in rows for token in tokens], np.int32),
        "starts": np.cumsum([0, *(len(tokens) for tokens, _ in rows)], dtype=np.int64),
        "answers": np.array([begin for _, begin in rows], np.int32),
    } | offered(found, writer)
    file = path.with_suffix(".safetensors")
    save_file(arrays, file)
    with path.with_suffix(".jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in found)
    return {
        "examples": len(found),
        "tokens": sum(len(tokens) for tokens, _ in rows),
        "refusals": sum(not each.gold for each in found),
        "sources": dict(Counter(each.source for each in found)),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def offered(found: Sequence[Example], writer: LlamaGenerator) -> dict[str, Any]:
    """Return what may be chosen as arrays: of example i it is offers[i] to offers[i + 1] - 1.

    `offer_tokens` are those by which each is judged, from offer_starts[j] to offer_starts[j + 1] - 1.
    """
    lines = [(writer.chosen(one.words, each.gold), one) for each in found for one in each.offers]
    return {
        "offers": np.cumsum([0, *(len(each.offers) for each in found)], dtype=np.int64),
        "offer_tokens": np.array([token for tokens, _ in lines for token in tokens], np.int32),
        "offer_starts": np.cumsum([0, *(len(tokens) for tokens, _ in lines)], dtype=np.int64),
        "margins": np.array([one.margin for _, one in lines], np.float32),
        "worths": np.array([one.worth for _, one in lines], np.float32),
    }


def encoded(each: Example, writer: LlamaGenerator) -> tuple[list[int], int]:
    """Return the tokens of prompt and answer, and where the answer begins."""
    prefix, body = writer.tokens(Prompt(BRIEF, each.prompt))
    prompt = [*prefix, *body]
    return [*prompt, *writer.written(each.answer)], len(prompt)


if __name__ == "__main__":
    main()
