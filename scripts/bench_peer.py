"""PDFs -> LangChain + Chroma + sentence-transformers -> JSON lines: the other arm of scripts/bench.py.

Runs with the interpreter of its own environment (scripts/runs/bench.sh makes it) and imports nothing of the
appliance, so that neither side pays for the other's modules. It speaks as scripts/bench_ours.py does.

    bench_peer.py ingest STORE FILE...     ready, stored
    bench_peer.py serve STORE QUESTIONS    ready, then one "evidence" for each line of QUESTIONS
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

# Before the imports below read them: nothing is sent or fetched, and both arms compute on the same cores.
CORES = str(len(os.sched_getaffinity(0)))
os.environ |= {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "OMP_NUM_THREADS": CORES,
    "TRANSFORMERS_OFFLINE": "1",
}

import torch  # type: ignore[import-not-found,unused-ignore]  # noqa: E402
from chromadb.config import Settings  # type: ignore[import-not-found,unused-ignore]  # noqa: E402
from langchain_chroma import Chroma  # type: ignore[import-not-found,unused-ignore]  # noqa: E402
from langchain_huggingface import (  # type: ignore[import-not-found,unused-ignore]  # noqa: E402
    HuggingFaceEmbeddings,
)

PASSAGES = 6
"""As many as the appliance shows."""


def say(event: str, **values: object) -> None:
    """Print one event; whoever reads it notes when it came."""
    print(json.dumps({"event": event, **values}), flush=True)


def open_store(folder: Path, model: Path) -> Any:
    """Load the model and open the store in `folder`, empty or as it was left."""
    torch.set_num_threads(int(CORES))
    embeddings = HuggingFaceEmbeddings(model_name=str(model), model_kwargs={"device": "cpu"})
    settings = Settings(anonymized_telemetry=False, is_persistent=True, persist_directory=str(folder))
    return Chroma(embedding_function=embeddings, persist_directory=str(folder), client_settings=settings)


def ingest(store: Any, files: list[Path], size: int) -> None:
    """Load, split, embed and store, each as LangChain's own guide does it, and say what each took."""
    # Here, because a session that only asks does without them: their import is no part of its start.
    from langchain_community.document_loaders import PyPDFLoader  # type: ignore[import-not-found,unused-ignore]
    from langchain_text_splitters import (  # type: ignore[import-not-found,unused-ignore]
        RecursiveCharacterTextSplitter,
    )

    began = time.perf_counter()
    pages = [page for file in files for page in PyPDFLoader(str(file)).load()]
    parsed = time.perf_counter()
    splitter = RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=0)
    chunks = splitter.split_documents(pages)
    store.add_documents(chunks)
    ended = time.perf_counter()
    say(
        "stored",
        seconds=ended - began,
        parse_seconds=parsed - began,
        pages=len(pages),
        chunks=len(chunks),
        characters=sum(len(chunk.page_content) for chunk in chunks),
    )


def serve(store: Any, questions: list[str]) -> None:
    """Answer each question with the passages nearest to it."""
    for question in questions:
        began = time.perf_counter()
        found = store.similarity_search_with_score(question, k=PASSAGES)
        say("evidence", ms=(time.perf_counter() - began) * 1000, found=len(found))


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=("ingest", "serve"))
    parser.add_argument("store", type=Path)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--size", type=int, default=1000, help="characters of a chunk, at most")
    options = parser.parse_args()
    store = open_store(options.store, options.model)
    say("ready")
    if options.job == "ingest":
        ingest(store, options.inputs, options.size)
    else:
        serve(store, options.inputs[0].read_text("utf-8").splitlines())


if __name__ == "__main__":
    main()
