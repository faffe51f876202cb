"""Several processes on one store: readers follow every commit, a killed writer leaves what can be settled."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import warnings

import pytest

from appliance.errors import StorageFull
from appliance.types import Hit
from appliance.vault.seal.anchor import Anchor
from appliance.vault.seal.macs import Sealer
from appliance.vault.store import create_store, open_store
from tests.stores import a_draft, a_key, added, noon, unit_vectors
from tests.victims import without_room

COMMITS = 60
TEXTS = [f"pump number{n} delivers {n} litres" for n in range(6)]


@pytest.fixture
def kept(tmp_path):
    """A store with one ready document and a setting, closed."""
    store = create_store(tmp_path, a_key("aegis"), clock=noon)
    added(store, a_draft("the kept valve", source="/in/kept.txt"))
    store.set_setting("round", "0")
    store.close()
    return tmp_path


def _open(path):
    return open_store(path, a_key("aegis"), clock=noon)


def _child(act):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons warn of threads in the parent
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


def _writing(path):
    store = _open(path)
    for number in range(1, COMMITS + 1):
        draft = a_draft(*TEXTS, source="/in/other.txt")
        if number % 10 == 0:
            store.remove(added(store, draft, seed=number).id)
        store.set_setting("round", str(number))
    store.close()


def _look(store):
    """Ask everything once; return the round."""
    documents = store.documents()
    assert "kept.txt" in [document.name for document in documents]
    store.nearest(unit_vectors(1)[0], 5)
    hits = [Hit(chunk, score, ("words",)) for chunk, score in store.match([["valve"], ["pump"]], 20)]
    assert "the kept valve" in [passage.text for passage in store.passages(hits)]
    return int(store.setting("round"))


def test_a_reader_follows_another_processs_commits_without_a_false_alarm(kept):
    store = _open(kept)
    child = _child(lambda: _writing(kept))
    seen = [0]
    while seen[-1] < COMMITS:
        seen.append(_look(store))
        if os.waitpid(child, os.WNOHANG)[0]:
            child = 0
            seen.append(_look(store))
            break
    if child:
        assert os.waitpid(child, 0)[1] == 0
    assert seen == sorted(seen)
    assert seen[-1] == COMMITS
    assert len(set(seen)) > 5, "the reader must have read between the commits"
    assert all(check.ok for check in store.check(full=True))
    store.close()


def test_a_vault_can_be_opened_any_time_while_another_writes(kept):
    child = _child(lambda: _writing(kept))
    opened = 0
    while not os.waitpid(child, os.WNOHANG)[0]:
        store = _open(kept)
        _look(store)
        store.close()
        opened += 1
    assert opened > 5
    store = _open(kept)
    assert _look(store) == COMMITS
    store.close()


def test_two_writers_by_turns_each_go_on_from_the_others_state(kept):
    one, other = _open(kept), _open(kept)
    for number in range(10):
        one.set_setting("round", str(number))
        assert other.setting("round") == str(number)
        other.remove(added(other, a_draft(*TEXTS), seed=number).id)
        assert len(one.documents()) == 1
    assert one.sequence == other.sequence
    assert one.head == other.head
    assert all(check.ok for store in (one, other) for check in store.check(full=True))
    one.close()
    other.close()


def test_a_kill_at_any_step_of_a_commit_settles_at_the_next_opening(kept):
    found = set()
    for calls in itertools.count(1, 7):
        child = _child(lambda calls=calls: _killed_while_setting(kept, calls))
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        undecided = len(_anchor(kept).states) > 1
        store = _open(kept)
        found.add((undecided, store.setting("round")))
        assert len(_anchor(kept).states) == 1
        store.set_setting("round", "0")
        store.close()
        if not killed:
            break
    assert found >= {(True, "0"), (True, "1"), (False, "1")}


def _anchor(path):
    key = a_key("aegis")
    return Anchor(path / "anchor", Sealer(key.tree_key(), key.vault)).read()


def _killed_while_setting(path, calls):
    """Set the round and die at the `calls`-th step after the anchor was first touched by it."""
    store = _open(path)
    left, begun = calls, False

    def count(frame, event, _argument) -> None:
        nonlocal left, begun
        begun |= frame.f_code is Anchor.write.__code__
        left -= begun and event in ("call", "c_call", "c_return") and "/vault/" in frame.f_code.co_filename
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    store.set_setting("round", "1")


@pytest.mark.parametrize("room", [0, 4096, 9000, 30_000])
def test_a_commit_without_room_keeps_the_store_openable(kept, room):
    def fill():
        store = _open(kept)
        for number in range(40):
            store.set_setting(f"key {number}", "long " * 400)

    assert without_room(room, fill, expected=StorageFull)
    store = _open(kept)
    assert store.setting("round") == "0"
    store.set_setting("round", "1")
    assert all(check.ok for check in store.check(full=True))
    store.close()


def test_a_stopped_writer_between_anchor_and_commit_stops_no_reader(kept):
    """The anchor knows two states, the lock is held: the old state is still read, nothing is settled."""
    reader = _open(kept)
    ready, told = os.pipe()

    def stop_before_the_commit():
        store = _open(kept)
        write = store._sealing._anchor.write

        def stopping(states):
            write(states)
            os.write(told, b"x")
            os.kill(os.getpid(), signal.SIGSTOP)

        store._sealing._anchor.write = stopping
        store.set_setting("round", "1")

    child = _child(stop_before_the_commit)
    os.read(ready, 1)
    os.waitpid(child, os.WUNTRACED)
    another = _open(kept)
    assert reader.setting("round") == another.setting("round") == "0"
    assert len(_anchor(kept).states) == 2
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    another.close()
    settled = _open(kept)
    assert len(_anchor(kept).states) == 1
    settled.close()
    reader.close()
    os.close(ready)
    os.close(told)
