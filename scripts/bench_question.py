"""What seal and audit cost a whole question, from call to checked answer: with and without, in one run.

    python -m scripts.bench_question HOME QUESTIONS [--rounds 3]

HOME holds the vault of scripts/bench_fill.py; QUESTIONS is a file, one a line. The arms take turns on each
question, in the process that would be the worker's, with the generator in its cell; wall time, medians.
Without: the ledger believes the tables, and nothing is recorded. The last line of stdout is one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

from appliance import config
from appliance.assistant import Assistant
from appliance.engines import Engines
from appliance.journal import Journal
from appliance.secret import Secret
from appliance.types import Answered
from scripts.bench_ours import PASSPHRASE, VAULT
from scripts.bench_seal import unverified


@contextmanager
def unsealed_and_unrecorded() -> Iterator[None]:
    """Let questions be answered as if there were neither seal nor log."""
    with unverified(), mock.patch.object(Journal, "asking", lambda _, __, events: events):
        yield


def ask(assistant: Assistant, question: str) -> tuple[float, float]:
    """Return the milliseconds to the evidence (or the refusal) and to the answer."""
    began = time.perf_counter()
    first = 0.0
    for event in assistant.ask(question, stop=threading.Event()):
        if not isinstance(event, Answered):
            first = first or (time.perf_counter() - began) * 1000
    whole = (time.perf_counter() - began) * 1000
    return first or whole, whole


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings = config.load(options.home.absolute())
    assistant = Assistant.unlock(
        settings, VAULT, Secret.passphrase(bytearray(PASSPHRASE)), Engines(settings), stop=threading.Event()
    )
    arms: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "with": nullcontext,
        "without": unsealed_and_unrecorded,
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    questions = options.questions.read_text("utf-8").splitlines()
    ask(assistant, questions[0])  # loads the generator, fills the caches
    for number in range(options.rounds):
        for question in questions:
            # The arm that goes first changes, for the second finds the pages warm.
            for name in sorted(arms, reverse=bool(number % 2)):
                with arms[name]():
                    times[name].append(ask(assistant, question))
    assistant.close()
    medians = {
        name: [round(statistics.median(column), 1) for column in zip(*found, strict=True)]
        for name, found in times.items()
    }
    evidence, whole = (medians["with"][at] / medians["without"][at] for at in (0, 1))
    print(json.dumps({"ms": medians, "evidence": round(evidence, 3), "whole_question": round(whole, 3)}))


if __name__ == "__main__":
    main()
