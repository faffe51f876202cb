"""PDFs -> a vault, through the worker as every front end does -> JSON lines: our arm of scripts/bench.py.

It imports what the command line imports and no engine. It speaks as scripts/bench_peer.py does.

    python -m scripts.bench_ours ingest HOME FILE...     makes the vault; ready, stored, text
    python -m scripts.bench_ours serve HOME QUESTIONS    unlocks it; ready, then one "evidence" for each line
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from appliance import config
from appliance.client import Client
from appliance.errors import ApplianceError
from appliance.secret import Secret
from appliance.types import Answered, EvidenceFound, FileDone, Timings

VAULT = "bench"
PASSPHRASE = b"not a secret: this vault holds public documents"


def say(event: str, **values: object) -> None:
    """Print one event; whoever reads it notes when it came."""
    print(json.dumps({"event": event, **values}), flush=True)


def ingest(client: Client, files: list[Path]) -> None:
    """Add the files and say how long that took, from the call until all was durable and searchable."""
    client.init(VAULT, Secret.passphrase(bytearray(PASSPHRASE)))
    say("ready")
    began = time.perf_counter()
    results = [event.result for event in client.add(files) if isinstance(event, FileDone)]
    seconds = time.perf_counter() - began
    if bad := [result.path for result in results if result.status not in ("ok", "partial")]:
        raise ApplianceError(f"Not stored: {', '.join(bad)}.")
    say(
        "stored",
        seconds=seconds,
        pages=sum(result.pages or 0 for result in results),
        chunks=sum(result.chunks for result in results),
    )
    pages = (page for document in client.documents() for page in client.pages(document.id))
    say("text", characters=sum(len(page.text) for page in pages))


def serve(client: Client, questions: list[str]) -> None:
    """Ask each question, and say how long its evidence took to arrive in this process."""
    client.unlock(VAULT, Secret.passphrase(bytearray(PASSPHRASE)))
    say("ready")
    for question in questions:
        ms, timings = ask(client, question)
        say("evidence", ms=ms, stages=asdict(timings))


def ask(client: Client, question: str) -> tuple[float, Timings]:
    """Return the milliseconds until the evidence, or the word that there is none, came; and the worker's."""
    began = time.perf_counter()
    arrived = None
    for event in client.ask(question):
        if isinstance(event, EvidenceFound | Answered) and arrived is None:
            arrived = time.perf_counter() - began
        if isinstance(event, Answered) and arrived is not None:
            return arrived * 1000, event.answer.timings
    raise ApplianceError("The question came to no end.")


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=("ingest", "serve"))
    parser.add_argument("home", type=Path)
    parser.add_argument("inputs", type=Path, nargs="+")
    options = parser.parse_args()
    with Client(config.load(options.home.absolute())) as client:
        if options.job == "ingest":
            ingest(client, options.inputs)
        else:
            serve(client, options.inputs[0].read_text("utf-8").splitlines())


if __name__ == "__main__":
    main()
