"""kill -9 in the middle of an add: nothing half-visible, and at most one batch is embedded again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance.ingest.pipeline import BATCH, Ingest
from appliance.types import Added
from appliance.vault.store import open_store
from tests.fakes import FakeClock, FakeEncoder
from tests.stores import a_key, noon
from tests.unit.test_pipeline import long_text, text_parser

ROOT = Path(__file__).parents[2]
CHILD = """
import os, signal, sys, threading
from pathlib import Path
from appliance.ingest.pipeline import Ingest
from appliance.vault.store import create_store, open_store
from tests.fakes import FakeClock, FakeEncoder
from tests.stores import a_key, noon
from tests.unit.test_pipeline import text_parser

folder, source, point, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
opened = open_store if (folder / "store.db").exists() else create_store
store = opened(folder, a_key(), clock=noon)
encoder = FakeEncoder()
left = [count]

def deadly(method, before):
    def wrapped(*args, **kwargs):
        if before:
            strike()
        result = method(*args, **kwargs)
        if not before:
            strike()
        return result
    return wrapped

def strike():
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

owner = encoder if point == "encode" else store
method, before = {"encode": ("encode", True), "append": ("append", False), "finish": ("finish", True),
                  "finished": ("finish", False), "never": ("finish", False)}[point]
if point != "never":
    setattr(owner, method, deadly(getattr(owner, method), before))
list(Ingest(store, encoder, text_parser, FakeClock()).add([source], stop=threading.Event()))
"""


def run(folder, source, point="never", count=1):
    """Add in a process of its own that kills itself at the `count`-th `point`; return its exit status."""
    command = [sys.executable, "-c", CHILD, str(folder), str(source), point, str(count)]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


def go_on(folder, source):
    """Add again in this process; return the store, the last event and how many chunks were embedded."""
    store, encoder = open_store(folder, a_key(), clock=noon), FakeEncoder()
    events = list(Ingest(store, encoder, text_parser, FakeClock()).add([source], stop=threading.Event()))
    assert isinstance(events[-1], Added)
    return store, events[-1], sum(encoder.batches)


@pytest.fixture
def places(tmp_path):
    folder, source = tmp_path / "vault", tmp_path / "in"
    folder.mkdir()
    source.mkdir()
    (source / "a.txt").write_text(long_text(300))
    return folder, source


@pytest.mark.parametrize(
    ("point", "count", "done"),
    [("encode", 1, 0), ("encode", 7, 1), ("append", 2, 2), ("append", 3, 3), ("finish", 1, None)],
)
def test_a_killed_add_goes_on_with_the_first_batch_that_is_missing(places, point, count, done):
    folder, source = places
    assert run(folder, source, point, count) == -signal.SIGKILL
    store = open_store(folder, a_key(), clock=noon)
    assert store.documents() == ()
    assert store.chunk_count() == 0
    assert store.match([("valve",)], 10) == []
    assert store.nearest(FakeEncoder().encode(["valve"])[0], 10) == []
    store.close()
    store, added, embedded = go_on(folder, source)
    (document,) = store.documents()
    assert added.files[0].status == "ok"
    assert embedded == (0 if done is None else document.chunks - done * BATCH)
    assert store.match([("valve",)], 10)
    assert all(check.ok for check in store.check(full=True))
    store.close()


def test_a_killed_update_leaves_the_older_version_whole(places):
    folder, source = places
    assert run(folder, source) == 0
    (source / "a.txt").write_text(long_text(200) + "\n\nA newer closing remark on cavitation.")
    assert run(folder, source, "append", 2) == -signal.SIGKILL
    store = open_store(folder, a_key(), clock=noon)
    assert "cavitation" not in store.text(store.documents()[0].id)
    assert store.match([("cavitation",)], 5) == []
    store.close()
    store, _, _ = go_on(folder, source)
    (document,) = store.documents()
    assert "cavitation" in store.text(document.id)
    assert all(check.ok for check in store.check(full=True))
    store.close()


def test_a_kill_after_the_last_write_costs_nothing(places):
    folder, source = places
    assert run(folder, source, "finished") == -signal.SIGKILL
    store, added, embedded = go_on(folder, source)
    assert (added.files[0].status, added.files[0].reason, embedded) == ("duplicate", "unchanged", 0)
    store.close()
