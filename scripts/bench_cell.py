"""The generator with and without a cell -> what the wall between key and model costs, in one run.

Takes turns, so that a busy machine slows both alike; prints medians and their ratio as one JSON line.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from appliance import models
from appliance.config import Config
from appliance.generate.cell import CellGenerator
from appliance.generate.llm import CONTEXT, Generator, LlamaGenerator
from appliance.models import Installed, open_verified
from appliance.types import Prompt

Engine = TypeVar("Engine", CellGenerator, LlamaGenerator)
ROUNDS = 9
_FACTS = "The feed pump of line {n} runs at {speed} rpm and its bearings need grease every {days} days. "
SYSTEM = "You answer questions from numbered passages. Copy the sentence that answers, word for word."


def main() -> None:
    """Measure and print."""
    config = Config(home=Path("/nonexistent"))
    found = models.find(config.generator, config.model_folders)
    bare, start_bare = _timed(lambda: _in_this_process(found, config.cores))
    cell, start_cell = _timed(lambda: CellGenerator.load(found, threads=config.cores))
    rows = [[_ask(engine, n) for engine in (bare, cell)] for n in range(ROUNDS)][1:]
    figures: dict[str, object] = {
        "rounds": len(rows),
        "start_s": [round(start_bare, 3), round(start_cell, 3)],
    }
    for index, name in enumerate(("first_token_s", "total_s", "count_ms")):
        pair = [statistics.median(row[side][index] for row in rows) for side in (0, 1)]
        ratio = statistics.median(row[1][index] / row[0][index] for row in rows)
        figures[name] = [round(value, 4) for value in pair]
        figures[f"{name}_ratio"] = round(ratio, 3)
    figures["cell_resident_mb"] = _resident(cell.pid)
    cell.close()
    bare.close()
    print(json.dumps(figures))


def _in_this_process(found: Installed, threads: int) -> LlamaGenerator:
    with open_verified(found, "model.gguf") as path:
        return LlamaGenerator(
            path, name=found.card.name, template=found.card.template, threads=threads, context=CONTEXT
        )


def _timed(load: Callable[[], Engine]) -> tuple[Engine, float]:
    start = time.perf_counter()
    made = load()
    return made, time.perf_counter() - start


def _ask(engine: Generator, number: int) -> tuple[float, float, float]:
    """Return seconds to the first piece, seconds in all, milliseconds of a count."""
    facts = "".join(_FACTS.format(n=n, speed=900 + 7 * n + number, days=30 + n) for n in range(12))
    start = time.perf_counter()
    engine.count(facts)
    counted = time.perf_counter() - start
    prompt = Prompt(SYSTEM, f"[1] {facts}\n\nQuestion: how fast is the pump of line 3?\nAnswer:")
    start = time.perf_counter()
    stream = engine.stream(prompt, max_tokens=32, stop=threading.Event())
    next(stream)
    first = time.perf_counter() - start
    for _ in stream:
        pass
    return first, time.perf_counter() - start, counted * 1000


def _resident(pid: int) -> dict[str, float]:
    """Return megabytes: resident, the most there ever was, and what of it is a sealed copy of the file."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    rows = dict(line.split(":", 1) for line in status.splitlines())
    names = {"now": "VmRSS", "peak": "VmHWM", "sealed_copy": "RssShmem"}
    return {said: round(int(rows[name].split()[0]) / 1024, 1) for said, name in names.items()}


if __name__ == "__main__":
    main()
