"""The reviewer's day, run by a machine: every row of the checklist tried from outside.

    make security                             every row, two at a time
    python -m tests.security 1 4 23           only these
    python -m tests.security --long           more of everything (hours)

Each row runs in a process of its own under a time limit, so that one cannot hide another. A table on stderr,
one JSON object on stdout; exit 1 where a row failed, was not built, or could not run to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.security import rows
from tests.security.registry import NUMBERS, ROWS, Outcome, Scale, attempt

LIMIT_S = 1200
# The longest first, so that two at a time end together.
LONGEST = (12, 5, 20, 4, 38, 2, 41, 10, 26, 1, 29, 42, 23)
LONG = 10.0


def main() -> int:
    """Run what was asked for; return the exit code."""
    options = _options()
    rows.load()
    scale = Scale(LONG if options.long else options.scale)
    if options.inside:
        print(json.dumps(attempt(ROWS[options.rows[0]], scale).as_json()))
        return 0
    wanted = options.rows or [*LONGEST, *sorted(set(ROWS) - set(LONGEST))]
    started = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        running = [
            pool.submit(_apart, number, scale, limit=LIMIT_S * max(1.0, scale.factor)) for number in wanted
        ]
        outcomes = sorted(
            (_shown(each.result()) for each in as_completed(running)), key=lambda each: each.number
        )
    return _summary(outcomes, wanted, seconds=time.monotonic() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW")
    parser.add_argument("--long", action="store_true", help=f"try {LONG:.0f} times as much")
    parser.add_argument("--scale", type=float, default=1.0, help="try so many times as much")
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time (default: 2)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _apart(number: int, scale: Scale, *, limit: float) -> Outcome:
    """Run a row in a process and a temporary folder of its own; end its whole group at the limit."""
    command = [sys.executable, "-m", "tests.security", str(number), "--inside", "--scale", str(scale.factor)]
    folder = tempfile.mkdtemp(prefix=f"row{number}-")
    started = time.monotonic()
    with subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": folder},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err = f"stopped after {limit:.0f} s; {err}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        told = json.loads(out.splitlines()[-1])
        return Outcome(**{**told, "failures": tuple(told["failures"]), "skipped": tuple(told["skipped"])})
    except (IndexError, ValueError, KeyError, TypeError):
        why = (err.strip().splitlines() or ["no word"])[-1]
        failure = f"the row ended with {process.returncode}: {why}"
        seconds = round(time.monotonic() - started, 1)
        return Outcome(number, ROWS[number].promise, 0, (failure,), seconds, 0.0, "", ())


def _shown(outcome: Outcome) -> Outcome:
    """Print a row's line, and what went wrong under it."""
    line = f"{outcome.number:3}  {outcome.promise[:44]:44} {outcome.cases:8} {len(outcome.failures):6}"
    print(f"{line} {outcome.seconds:7.1f}  {outcome.note}", file=sys.stderr, flush=True)
    for failure in outcome.failures[:5]:
        print(textwrap.indent(failure[:400], " " * 7 + "! "), file=sys.stderr, flush=True)
    for reason in outcome.skipped:
        print(f"       - not tried here: {reason}", file=sys.stderr, flush=True)
    return outcome


def _summary(outcomes: list[Outcome], wanted: list[int], *, seconds: float) -> int:
    failed = [each.number for each in outcomes if each.failures]
    missing = [] if len(wanted) < len(ROWS) else sorted(set(NUMBERS) - set(ROWS))
    print(
        json.dumps(
            {
                "rows": [each.as_json() for each in outcomes],
                "cases": sum(each.cases for each in outcomes),
                "failed": failed,
                "missing": missing,
                "seconds": round(seconds, 1),
                "cpu": round(sum(each.cpu for each in outcomes), 1),
            }
        )
    )
    count, cpu = sum(each.cases for each in outcomes), sum(each.cpu for each in outcomes)
    print(
        f"{len(outcomes)} rows, {count} cases, {len(failed)} rows failed {failed},"
        f" {seconds:.0f} s, {cpu:.0f} s of CPU",
        file=sys.stderr,
    )
    return int(bool(failed or missing))


if __name__ == "__main__":
    sys.exit(main())
