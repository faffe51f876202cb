"""A model that learnt to ask, and the texts of the training sets -> questions with their answers' places.

    python -m scripts.asker --data ../shared/data --model MODEL.gguf --reader FOLDER --out ASKED.jsonl

A passage is read once; several lines "answer | question" (scripts/asker_data.py) are drawn below it side by
side, with different first words. Answers can only be copied from the passage: of the tokens that are likely,
those remain that go on as some place of it does. Kept are lines whose answer stands there just once, and
which the reader, asked, answers with some of the same words (Alberti et al. 2019). Nothing is asked about
documents that scripts/reader_data.py keeps apart. A line of the file is a passage, in a fixed order: stopped
and started again, it goes on behind the last one. Progress is JSON; so is the last line.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from appliance.evaluation import metrics
from appliance.retrieve import cross
from scripts import readings
from scripts.asker_data import BAR, shown
from scripts.corpora import bare_reader
from scripts.reader_data import held_out, pieces
from scripts.reader_sources import SOURCES
from scripts.squad import passage, sureness

SEED: Final = 20261128
DRAWN: Final = {"squad": 8, "natural": 5, "ares": 6, "quotes": 6, "medquad": 2, "covid": 2, "fairytale": 1}
"""Lines drawn below a passage of each source."""
SHORTEST: Final = 200
LONGEST_LINE: Final = 48
ANSWERS, QUESTIONS = 1.0, 0.4
"""Temperatures: what is asked about is to differ, how it is asked is to fit."""
MOST_LIKELY: Final = 60
LONGEST_ANSWER: Final = 90
"""Characters."""
SAME: Final = 0.3
"""The least F1 of the reader's words against the answer."""
_CONTEXT: Final = 1024


@dataclass(frozen=True, slots=True)
class Text:
    """A passage of a training set."""

    source: str
    document: str
    title: str
    text: str


class Asker:
    """A worker's model and reader."""

    def __init__(self, model: readings.Opened, reader: cross.CrossReader) -> None:
        self._model, self._reader = model, reader
        self._library, self._context = model.library, model.context
        self._batch = self._library.llama_batch_init(_CONTEXT, 0, 1)

    def ask(self, number: int, given: Text) -> list[dict[str, Any]]:
        """Return the questions on a passage that are kept; `number` seeds the draw."""
        rng = np.random.default_rng((SEED, number))
        found: dict[str, dict[str, Any]] = {}
        for line in self._lines(given, DRAWN[given.source], rng):
            if (pair := placed(line, given.text)) and pair["question"] not in found:
                found[pair["question"]] = pair
        return [pair for pair in found.values() if self._agrees(pair, given.text)]

    def _agrees(self, pair: dict[str, Any], text: str) -> bool:
        read = self._reader.judge(pair["question"], [passage(text)])[0]
        pair["same"] = round(metrics.best((pair["answer"],), text[slice(*read.best.span)])[1], 3)
        pair["sure"] = round(sureness(read), 2)
        return bool(pair["same"] >= SAME)

    def _lines(self, given: Text, count: int, rng: np.random.Generator) -> list[str]:
        """Draw `count` lines with different first words."""
        tokens = readings.tokens(self._model, shown(given.text))
        if len(tokens) + count * LONGEST_LINE > _CONTEXT:
            return []
        memory = self._library.llama_get_memory(self._context)
        self._library.llama_memory_clear(memory, 1)
        last = self._logits([(token, place, 0) for place, token in enumerate(tokens)], [len(tokens) - 1])
        for other in range(1, count):
            self._library.llama_memory_seq_cp(memory, 0, other, -1, -1)
        passage = shown(given.text).rstrip()
        lines, lasts = list[str](), list[int]()
        for token in np.argsort(-(last[0] + rng.gumbel(size=last.shape[1])))[: 20 * count]:
            if len(lines) < count and copied(piece := self._piece(int(token)), passage):
                lines.append(piece)
                lasts.append(int(token))
        live = list(range(len(lines)))
        for step in range(LONGEST_LINE):
            rows = [(lasts[each], len(tokens) + step, each) for each in live]
            for each, row in zip(live, self._logits(rows, range(len(rows))), strict=True):
                lasts[each] = self._drawn(row, lines[each], passage, rng)
                lines[each] += self._piece(lasts[each]) if lasts[each] >= 0 else "\n"
            live = [each for each in live if "\n" not in lines[each]]
            if not live:
                break
        return lines

    def _drawn(
        self, logits: npt.NDArray[np.float32], line: str, passage: str, rng: np.random.Generator
    ) -> int:
        """Return the next token of a line, -1 where its answer cannot go on."""
        likely = np.argpartition(logits, -MOST_LIKELY)[-MOST_LIKELY:]
        answering = BAR.rstrip() not in line
        if answering:
            likely = np.array(
                [token for token in likely if copied(line + self._piece(int(token)), passage)], int
            )
        if not len(likely):
            return -1
        heat = ANSWERS if answering else QUESTIONS
        return int(likely[np.argmax(logits[likely] / heat + rng.gumbel(size=len(likely)))])

    def _logits(self, rows: Sequence[tuple[int, int, int]], wanted: Sequence[int]) -> npt.NDArray[np.float32]:
        """Read (token, place, sequence) each; return the logits after the `wanted` ones."""
        batch, size = self._batch, self._library.llama_vocab_n_tokens(self._model.vocabulary)
        batch.n_tokens = len(rows)
        for number, (token, place, sequence) in enumerate(rows):
            batch.token[number], batch.pos[number], batch.n_seq_id[number] = token, place, 1
            batch.seq_id[number][0], batch.logits[number] = sequence, number in wanted
        if self._library.llama_decode(self._context, batch):
            raise RuntimeError("llama.cpp could not read the batch")
        pointer = ctypes.cast(self._library.llama_get_logits(self._context), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (len(wanted), size))

    def _piece(self, token: int) -> str:
        buffer = ctypes.create_string_buffer(64)
        size = self._library.llama_token_to_piece(self._model.vocabulary, token, buffer, 64, 0, 0)
        return buffer.raw[:size].decode("utf-8", "replace") if size > 0 else "\n"


def copied(line: str, passage: str) -> bool:
    """Tell whether what is written of a line can still become whole words of the passage and a bar."""
    answer, bar, beyond = line.partition(BAR.rstrip())
    if not answer or answer != answer.lstrip() or len(answer) > LONGEST_ANSWER or beyond:
        return False
    ends = r"(?!\w)" if bar else ""
    return re.search(rf"(?<![\w.,]){re.escape(answer)}{ends}", passage) is not None


def placed(line: str, text: str) -> dict[str, Any] | None:
    """Return question, answer and its place, or None: no such line, or the answer is not there just once."""
    answer, bar, question = (part.strip() for part in line.partition(BAR))
    if not bar or not answer or not question.endswith("?") or len(question.split()) < 3 or BAR in question:
        return None
    words = r"\s+".join(map(re.escape, answer.split()))
    places = list(re.finditer(rf"(?<![\w.,]){words}(?!\w)", text))
    if len(places) != 1:
        return None
    start, end = places[0].span()
    return {"question": question, "answer": text[start:end], "start": start}


def texts(data: Path) -> list[Text]:
    """Return the passages of the training sets in a fixed random order, each once."""
    found: dict[str, Text] = {}
    for name in DRAWN:
        for each in SOURCES[name](data / "train"):
            if each.text not in found and not held_out(each.document):
                found[each.text] = Text(name, each.document, each.title, each.text)
    parts = [
        Text(each.source, each.document, each.title, each.text[first:last])
        for each in found.values()
        for first, last in pieces(each.text)
        if last - first >= SHORTEST
    ]
    return [parts[number] for number in np.random.default_rng(SEED).permutation(len(parts))]


_worker: list[Asker] = []
_open = ExitStack()


def _load(model: Path, reader: Path) -> None:
    sequences = max(DRAWN.values())
    opened = _open.enter_context(readings.opened(model, context=_CONTEXT, sequences=sequences, threads=1))
    _worker.append(Asker(opened, bare_reader(reader, threads=1)))


def _asked(job: tuple[int, Text]) -> tuple[Text, list[dict[str, Any]]]:
    return job[1], _worker[0].ask(*job)


def main() -> None:
    """Ask about every passage, or go on asking."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reader", type=Path, required=True, help="folder of model.onnx and tokenizer.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=int, default=0, help="passages, 0 for all")
    options = parser.parse_args()
    jobs = list(enumerate(texts(options.data)))[: options.limit or None]
    done = _whole_lines(options.out)
    kept = 0
    began = time.monotonic()
    with (
        options.out.open("a", encoding="utf-8") as out,
        multiprocessing.get_context("spawn").Pool(
            options.workers, _load, (options.model, options.reader)
        ) as pool,
    ):
        for number, (given, pairs) in enumerate(pool.imap(_asked, jobs[done:], chunksize=4), done + 1):
            row = {"source": given.source, "document": given.document, "title": given.title}
            print(
                json.dumps(row | {"text": given.text, "asked": pairs}, ensure_ascii=False),
                file=out,
                flush=True,
            )
            kept += len(pairs)
            if number % 200 == 0 or number == len(jobs):
                minutes = round((time.monotonic() - began) / 60, 2)
                print(
                    json.dumps({"passages": number, "of": len(jobs), "kept": kept, "minutes": minutes}),
                    flush=True,
                )


def _whole_lines(path: Path) -> int:
    """Return how many passages are done, and cut off a line that is not whole."""
    if not path.exists():
        return 0
    raw = path.read_bytes()
    whole = raw.rfind(b"\n") + 1
    if whole < len(raw):
        os.truncate(path, whole)
    return raw.count(b"\n")


if __name__ == "__main__":
    main()
