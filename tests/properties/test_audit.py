"""One encoding of everything, whatever is in it; any history of honest actions and kills verifies."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import AuditDamaged
from appliance.vault.audit import auditlog, entry
from appliance.vault.audit.entry import Box, Entry, State
from appliance.vault.audit.logfile import KEY, LOG
from tests.audit_tamper import CREDENTIAL, SEED, VAULT, Clock, a_log

SHA = st.binary(min_size=32, max_size=32)
TIMES = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)).map(  # noqa: DTZ001
    lambda time: time.replace(microsecond=0, tzinfo=UTC)
)
ENTRIES = st.builds(
    Entry,
    n=st.integers(0, entry.MAX_N),
    time=TIMES,
    action=st.from_regex(r"[a-z]{1,16}", fullmatch=True),
    outcome=st.from_regex(r"[a-z][a-z0-9 -]{0,31}", fullmatch=True),
    prev=SHA,
    models=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True), SHA.map(bytes.hex), max_size=4
    ),
    chunks=st.lists(st.binary(min_size=16, max_size=16), max_size=4).map(tuple),
    store=st.none() | st.tuples(st.integers(0, 1 << 62), SHA),
    back=st.integers(0, 1 << 40),
    cut=st.integers(0, 1 << 50),
    fault=st.sampled_from([None, "behind", "ahead", "missing", "torn", "wrong", "damaged"]),
    boxes=st.lists(
        st.builds(Box, st.binary(min_size=16, max_size=16).map(bytes.hex), st.binary(max_size=99)), max_size=3
    ).map(tuple),
    mac=st.none() | SHA,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(made):
    line = entry.encode(made)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert entry.parse(line) == made
    assert entry.beginning(made.n) == line[: len(entry.beginning(made.n))]


@given(ENTRIES, st.data())
def test_whatever_is_accepted_is_the_only_encoding(made, data):
    line = bytearray(entry.encode(made))
    at = data.draw(st.integers(0, len(line) - 1))
    how = data.draw(st.sampled_from(["flip", "drop", "insert"]))
    byte = data.draw(st.integers(0, 255))
    if how == "flip":
        line[at] ^= byte or 1
    elif how == "drop":
        del line[at]
    else:
        line.insert(at, byte)
    try:
        found = entry.parse(bytes(line))
    except AuditDamaged:
        return
    assert entry.encode(found) == bytes(line)


@given(st.binary(max_size=600))
def test_no_bytes_break_the_parsers(data):
    for parse in (entry.parse, entry.parse_state, entry.unpad):
        with pytest.raises(AuditDamaged):
            parse(data)


@given(st.integers(0, entry.MAX_N), SHA, SHA, SHA)
def test_a_state_comes_back_as_it_was(n, head, key, signing):
    state = State(n, VAULT, head, key, signing)
    data = entry.encode_state(state)
    assert len(data) == entry.STATE_BYTES
    assert entry.parse_state(data) == state
    with pytest.raises(AuditDamaged):
        entry.parse_state(data[:-1])
    with pytest.raises(AuditDamaged):
        entry.parse_state(data + b"\0")


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_content_comes_back_in_a_bucket(content):
    data = entry.pad(content)
    assert entry.unpad(data) == content
    assert len(data) >= 1024
    assert len(data) & (len(data) - 1) == 0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from(["record", "fail", "reviewer", "checkpoint", "back", "late", "torn"]), max_size=12
    )
)
def test_any_honest_history_verifies(steps):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock, points = Clock(), []
        log = auditlog.AuditLog.create(folder, SEED, clock, vault=VAULT)
        for step in steps:
            match step:
                case "record":
                    log.record("ask", "ok", content={"q": "?"})
                case "fail":
                    log.record("unlock", "wrong secret")
                case "reviewer" if not log.reviewers:
                    log.add_reviewer(CREDENTIAL.public)
                case "checkpoint":
                    points.append(log.checkpoint())
                case "back":
                    clock.now -= timedelta(days=1)
                case "late":
                    log.record("lock", "ok")
                    (folder / KEY).write_bytes(_state_before_the_last(folder))
                case "torn":
                    with (folder / LOG).open("ab") as file:
                        file.write(_start_of_next(folder))
        reviewer = CREDENTIAL if log.reviewers else None
        checks = list(auditlog.verify(folder, seed=SEED, reviewer=reviewer, checkpoints=points))
        assert [check for check in checks if not check.ok] == []


def _state_before_the_last(folder: Path) -> bytes:
    """What a kill between the line and the state leaves."""
    state = entry.parse_state((folder / KEY).read_bytes())
    *_, last = auditlog.entries(folder)
    key = entry.next_key(entry.first_key(SEED), state.n - 1)
    return entry.encode_state(replace(state, n=state.n - 1, head=last.prev, key=key))


def _start_of_next(folder: Path) -> bytes:
    lines = (folder / LOG).read_bytes().split(b"\n")
    return b"" if lines[-1] else entry.beginning(len(lines) - 1) + b"2026"


def test_a_draft_is_another_entry_once_anything_differs():
    with tempfile.TemporaryDirectory() as name:
        a_log(Path(name))
        (first,) = auditlog.entries(Path(name))
        assert entry.encode(replace(first, outcome="no")) != entry.encode(first)
