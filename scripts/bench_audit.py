"""Measure the audit log: milliseconds a record, bytes an entry, entries a second verified. One JSON line.

usage: python -m scripts.bench_audit FOLDER [ENTRIES]; FOLDER is on the disk to be measured and is left empty.
"""

from __future__ import annotations

import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from appliance import durable
from appliance.vault.audit import auditlog, entry, logfile
from appliance.vault.audit.auditlog import AuditLog
from appliance.vault.audit.entry import Entry, State
from appliance.vault.audit.reviewer import Reviewer, generate

SEED, VAULT = bytes(32), bytes(16)
MODELS = {"e5-small": "ab" * 32, "reader": "cd" * 32, "qwen3": "ef" * 32}
CONTENT = {
    "question": "Which pump feeds the tank?",
    "answer": "The pump in the lower station feeds it. " * 30,
}
RECORDS = 100


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def took(act: Callable[[], object], times: int = 1) -> float:
    """Return the median milliseconds of `act`."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        spent.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(spent), 2)


def fill(folder: Path, last: Entry, count: int) -> None:
    """Append `count` questions after `last` without a flush for each, as `record` would have written them."""
    line, key = entry.encode(last), entry.next_key(entry.first_key(SEED), last.n)
    with (folder / logfile.LOG).open("ab") as file:
        for n in range(last.n + 1, last.n + 1 + count):
            key = entry.next_key(key)
            made = replace(last, n=n, prev=entry.line_hash(line), boxes=(), mac=None)
            line = entry.encode(replace(made, mac=entry.mac(key, entry.encode_body(made))))
            file.write(line)
    durable.sync(folder / logfile.LOG)
    head, signing = entry.line_hash(line), entry.signing_key(SEED)
    logfile.put_state(folder, State(n + 1, VAULT, head, entry.next_key(key), signing))


def main(folder: Path, count: int) -> None:
    """Measure and print."""
    private, _ = generate()
    reviewer = Reviewer.load(private)
    log = AuditLog.create(folder, SEED, now, vault=VAULT)
    chunks = [secrets.token_bytes(16) for _ in range(8)]

    def plain() -> None:
        log.record("ask", "ok", models=MODELS, chunks=chunks, store=(7, bytes(32)))

    def sealed() -> None:
        log.record("ask", "ok", models=MODELS, chunks=chunks, store=(7, bytes(32)), content=CONTENT)

    size = (folder / logfile.LOG).stat
    result: dict[str, object] = {"record_ms": took(plain, RECORDS)}
    result["bytes_plain"] = size().st_size // (RECORDS + 1)
    log.add_reviewer(reviewer.public)
    before = size().st_size
    result["record_sealed_ms"] = took(sealed, RECORDS)
    result["bytes_sealed"] = (size().st_size - before) // RECORDS
    *_, last = auditlog.entries(folder)
    if last is None:
        raise SystemExit("The last line cannot be read.")
    fill(folder, last, count)
    result |= {"entries": last.n + 1 + count, "record_long_ms": took(plain, RECORDS)}
    result |= {
        "failures_ms": took(log.failures, 5),
        "repair_ms": took(lambda: log.repair(SEED, vault=VAULT), 3),
    }
    for name, seed in (("locked", None), ("seed", SEED)):
        spent = took(lambda seed=seed: list(auditlog.verify(folder, seed=seed)))  # type: ignore[misc]
        result[f"verify_{name}_per_s"] = round(1000 * (last.n + 1 + count) / spent)
    print(json.dumps(result))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as name:
        main(Path(name), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
