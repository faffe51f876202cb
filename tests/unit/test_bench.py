"""The pure parts of scripts/bench.py: figures, verdicts, what is read off an arm's events."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from appliance.types import Block
from scripts import bench
from scripts import bench_fill as fill
from scripts.bench import WARM_UP, Turns
from scripts.bench_arms import Look, Outcome, Said, run, tree
from scripts.bench_figures import Line, Spread, percentile, record, spread, table


def one(value: float) -> Spread:
    return Spread(value, value, value)


def asked(*ms: float, ready: float = 1.0) -> Outcome:
    """Return an arm that was ready, cold for the warm-up, and then took `ms`."""
    said = [Said(ready, "ready", {})]
    for number, each in enumerate([9999.0] * WARM_UP + list(ms)):
        said.append(Said(ready + 1 + number, "evidence", {"ms": each, "stages": {"read_ms": each / 2}}))
    return Outcome(tuple(said), (Look(0.5, 400_000_000, 300_000_000), Look(ready + 1, 100_000_000, None)))


def added(seconds: float, chunks: int, *, rss: int = 200_000_000) -> Outcome:
    stored = {"seconds": seconds, "parse_seconds": 1.0, "chunks": chunks, "pages": 10}
    return Outcome((Said(1.0, "stored", stored),), (Look(0.1, rss, None),))


def test_a_spread_keeps_the_median_and_the_range_whatever_the_order() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(1.0, 2.0, 3.0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_the_ratio_is_that_of_the_medians() -> None:
    assert Line("x", Spread(1, 2, 90), Spread(1, 8, 9)).ratio == 0.25


@pytest.mark.parametrize(
    ("line", "met"),
    [
        (Line("x", one(2), one(4), at_most=0.5), True),
        (Line("x", one(2.1), one(4), at_most=0.5), False),
        (Line("x", one(10), one(4), at_least=2.5), True),
        (Line("x", one(9), one(4), at_least=2.5), False),
        (Line("x", one(150), at_most=150), True),
        (Line("x", one(151), at_most=150), False),
        (Line("x", one(1), one(1)), None),
    ],
)
def test_a_target_is_met_at_its_bound_and_missed_beyond(line: Line, met: bool | None) -> None:
    assert line.met is met


def test_the_table_says_missed_in_words_and_shows_the_range() -> None:
    text = table([Line("start, s", Spread(0.8, 0.9, 1.2), one(4), at_most=0.15), Line("chunks", one(1253.4))])
    assert "0.9 (0.8..1.2)" in text
    assert "MISSED" in text
    assert "1253 (" in text
    assert len(text.splitlines()) == 3


def test_the_record_holds_what_the_table_shows() -> None:
    found = record([Line("x", Spread(1, 2, 3), one(4), at_most=0.5)])
    assert found == {"x": {"ours": [1, 2, 3], "peer": [4, 4, 4], "ratio": 0.5, "met": True}}


def test_the_warm_up_does_not_count() -> None:
    turns = Turns(asking=[asked(10, 30, 20), asked(40, 40, 40), asked(5, 5, 5)])
    assert turns.latency(0.5) == Spread(5, 20, 40)
    assert turns.stage("read_ms") == Spread(2.5, 10, 20)


def test_the_start_is_read_off_when_the_events_came() -> None:
    turns = Turns(asking=[asked(1, ready=0.7)], starting=[asked(1, ready=0.5), asked(1, ready=0.9)])
    assert turns.arrival("ready") == Spread(0.5, 0.7, 0.9)
    assert turns.arrival("evidence") == Spread(1.5, 1.7, 1.9)


def test_the_peak_is_over_the_whole_job_and_the_steady_one_begins_with_the_first_evidence() -> None:
    turns = Turns([added(2, 10), added(2, 10, rss=700_000_000)], [asked(1), asked(1)])
    assert turns.peak() == Spread(400, 550, 700)
    assert bench.steady_memory(turns.asking) == one(100)
    assert bench.shared_memory(turns.asking) == one(300)
    assert bench.shared_memory(turns.adding) is None


def test_both_sides_are_compared_by_the_same_figures() -> None:
    ours = Turns([added(2, 100)], [asked(10)])
    peer = Turns([added(10, 100, rss=900_000_000)], [asked(20, ready=10.0)])
    lines = {line.name: line for line in bench.compared(ours, peer)}
    assert lines["adding, chunks/s"].ratio == 5
    assert lines["adding, s; peer without its PDF reader"].peer == one(9)
    assert {name for name, line in lines.items() if line.met} == {
        "adding, s",
        "adding, chunks/s",
        "peak memory, MB",
        "start, s",
    }


def test_perturbed_vectors_are_unit_and_as_near_as_said() -> None:
    centre = np.zeros(384, np.float32)
    centre[0] = 1
    rows = fill.around(centre, 200, np.random.default_rng(0))
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows[0], centre)
    assert abs(float((rows[1:] @ centre).mean()) - fill.NEARNESS) < 0.03


def test_a_filler_document_is_what_the_chunker_makes_of_its_text() -> None:
    made = fill.draft("filler 1", [Block("paragraph", "One sentence. " * 100), Block("paragraph", "End.")])
    assert len(made.chunks) > 1
    assert all(made.text[chunk.start : chunk.end] == chunk.text for chunk in made.chunks)


def test_reversing_keeps_every_sentence() -> None:
    assert fill.reversed_sentences("First one. Second one. Third?") == "Third? Second one. First one."


def test_an_arm_is_heard_and_its_whole_tree_is_weighed(tmp_path: Path) -> None:
    child = "x = bytearray(120_000_000); print('held', flush=True); import sys; sys.stdin.read()"
    code = f"""
import json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(json.dumps({{"event": "ready", "n": 1}}), flush=True)
try:
    child.wait(0.2)
except subprocess.TimeoutExpired:
    child.communicate()
"""
    outcome = run([sys.executable, "-c", code], cwd=tmp_path)
    assert [(said.event, said.values) for said in outcome.said] == [("ready", {"n": 1})]
    assert outcome.peak_mb() > 120


def test_an_arm_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such store"):
        run([sys.executable, "-c", "raise SystemExit('no such store')"], cwd=tmp_path)


def test_a_process_that_is_gone_is_no_error() -> None:
    assert list(tree(2**22 + 1)) == [2**22 + 1]
