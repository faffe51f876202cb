"""Mutants of every format -> how many were tried, and every one that did not end cleanly.

    python -m tests.fuzz.runner --count 10000 [TARGET...]

A document's mutant goes the real way: the confined child, the pipe, the screen, the chunks. Clean is a Parsed
or a ParseError that says why, within the limits; a reader's own exception, a crash, a limit reached or a
character that the screen should have taken out is a failure. `fuzz` is what `make security` calls.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from appliance import headers, models
from appliance.clean import clean
from appliance.errors import KeyFileError, LimitExceeded, ModelMismatch, ParseError, UsageError
from appliance.ingest.chunk import chunks
from appliance.ingest.parse.nursery import Nursery
from appliance.ingest.screen import screen
from appliance.sandbox import Limits
from appliance.types import Parsed
from appliance.vault.access import keyfile
from tests.fuzz import seeds
from tests.fuzz.mutate import mutant

LIMITS = Limits(address_space=1_500_000_000, cpu_seconds=10, wall_seconds=60.0)
MOST_KB = 600_000
"""Kilobytes of memory that its child may touch."""
_UNCLEAN = ("crash", "its reader stopped", "its reader fail", "no usable answer", "died")
TARGETS = (*seeds.documents(), *seeds.headers())


@dataclass
class Outcome:
    """What a run over one target came to; `failures` holds a mutant's number and what it did.

    `stopped` counts those of the refused that a limit on time or memory ended, as it should; `slowest` is the
    number of the mutant that took `slowest_ms`, `peak_kb` the most memory a child touched.
    """

    target: str
    cases: int = 0
    read: int = 0
    refused: int = 0
    stopped: int = 0
    slowest_ms: float = 0.0
    slowest: int = 0
    peak_kb: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)


def fuzz(target: str, count: int, *, seed: int = 0, first: int = 0) -> Outcome:
    """Try `count` mutants of `target`; mutant n of a seed is always the same bytes."""
    documents = seeds.documents()
    if target in documents:
        with _Watched(LIMITS) as nursery:
            return _run(
                target,
                documents[target],
                count,
                seed,
                first,
                lambda name, data: _document(nursery, name, data),
            )
    parse = _HEADERS[target]
    return _run(target, seeds.headers()[target], count, seed, first, lambda _, data: _header(parse, data))


def case(target: str, number: int, *, seed: int = 0) -> bytes:
    """Return mutant `number` of `target`."""
    chosen = {**seeds.documents(), **seeds.headers()}[target]
    return mutant(chosen.seeds, chosen.tokens, Random(f"{seed}/{target}/{number}"))


class _Watched(Nursery):
    """A nursery that remembers how much its last child took."""

    peak_kb = 0

    def _exchange(self, *given: Any) -> tuple[bytes, dict[str, Any]]:
        data, ended = super()._exchange(*given)
        self.peak_kb = int(ended["peak_kb"])
        return data, ended


Verdict = tuple[bool, bool, str, int]
"""Whether it was read, whether a limit ended it, what was unclean ("" for nothing), kilobytes it took."""


def _run(
    target: str,
    chosen: seeds.Target,
    count: int,
    seed: int,
    first: int,
    attempt: Callable[[str, bytes], Verdict],
) -> Outcome:
    outcome = Outcome(target)
    for number in range(first, first + count):
        data = mutant(chosen.seeds, chosen.tokens, Random(f"{seed}/{target}/{number}"))
        began = time.perf_counter()
        read, stopped, unclean, peak = attempt(chosen.name, data)
        took = (time.perf_counter() - began) * 1000
        outcome.cases += 1
        outcome.read += read
        outcome.refused += not read and not unclean
        if took > outcome.slowest_ms:
            outcome.slowest_ms, outcome.slowest = round(took, 1), number
        outcome.peak_kb = max(outcome.peak_kb, peak)
        outcome.stopped += stopped
        if unclean:
            outcome.failures.append((number, unclean))
    return outcome


def attempt_document(nursery: Nursery, name: str, data: bytes) -> str:
    """Parse, screen and cut `data`; return what was unclean, "" for nothing."""
    return _document(nursery, name, data)[2]


def _document(nursery: Nursery, name: str, data: bytes) -> Verdict:
    read = stopped = False
    document = os.memfd_create("fuzzed", os.MFD_CLOEXEC)
    try:
        os.write(document, data)
        try:
            parsed = screen(nursery.run(document, name))
            unclean, read = _impure(parsed), True
        except ParseError as error:
            stopped = isinstance(error, LimitExceeded)
            bad = not error.message or any(mark in error.message for mark in _UNCLEAN)
            unclean = (error.message or "no message") if bad else ""
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            unclean = f"{type(error).__name__} outside the child: {error}"[:200]
    finally:
        os.close(document)
    peak = getattr(nursery, "peak_kb", 0)
    return read, stopped, unclean or (f"{peak} kB" if peak > MOST_KB else ""), peak


def _impure(parsed: Parsed) -> str:
    """Return what the key-holding process would trip over, "" for nothing."""
    if screen(parsed) != parsed:
        return "screening it twice changes it"
    text, _, pieces = chunks(parsed)
    if any(piece.text != text[piece.start : piece.end] for piece in pieces):
        return "a chunk that is no span of the text"
    seen = "".join({*text, *parsed.title, *"".join(parsed.lost + parsed.flags)})
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in seen):
        return "a control character in the text"
    if any(unicodedata.category(char) == "Cc" and char != "\n" for char in clean(text)):
        return "a control character after cleaning"
    return ""


def _header(parse: Callable[[bytes], None], data: bytes) -> Verdict:
    try:
        parse(data)
    except (KeyFileError, ModelMismatch, UsageError) as error:
        return False, False, "" if error.message else "no message", 0
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return False, False, f"{type(error).__name__}: {error}"[:200], 0
    return True, False, "", 0


def _key_file(data: bytes) -> None:
    if keyfile.encode(keyfile.parse(data)) != data:
        raise ValueError("two key files that mean the same")


_HEADERS: dict[str, Callable[[bytes], None]] = {
    "keyfile": _key_file,
    "card": lambda data: models.parse_card(data) and None,
    "gguf": lambda data: headers.check_gguf(memoryview(data)),
    "onnx": lambda data: headers.check_onnx(memoryview(data)),
}


def main() -> int:
    """Run from the command line; exit with 1 where anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for target in options.targets or TARGETS:
        found = fuzz(target, options.count, seed=options.seed, first=options.first)
        failed = failed or bool(found.failures)
        print(json.dumps(vars(found)), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
