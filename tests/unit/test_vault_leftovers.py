"""What is left of a rewrite that was stopped or killed, put there by hand; faults/ kills at every step."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from appliance import durable
from appliance.errors import Cancelled, StorageFull, StoreDamaged
from appliance.vault import folder, rewrite
from appliance.vault.access import keys
from appliance.vault.access.keyfile import FLOOR
from tests.killing import quick_slots
from tests.stores import a_draft, added, noon
from tests.unit.test_vault_rewrite import FILES, content, names, opened, passphrase, rotated

NEW = {"anchor.next", "store.db.next"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_slots(monkeypatch)


def backed_up(path, **how):
    return rewrite.backup(path, passphrase(), path.with_name("copy"), kdf=FLOOR, clock=noon, **how)


@pytest.fixture
def old_log(tmp_path_factory):
    """Where the vault's write-ahead log is kept as it was before the vault was closed."""
    return tmp_path_factory.mktemp("kept") / "store.db-wal"


@pytest.fixture
def vault(tmp_path, old_log):
    path = tmp_path / "main"
    made = folder.create_vault(path, passphrase(), clock=noon, kdf=FLOOR)
    added(made, a_draft("one", "two"))
    shutil.copy(path / "store.db-wal", old_log)
    made.close()
    return path


@pytest.fixture
def halfway(vault, monkeypatch):
    """A vault whose rewrite was stopped before its commit, as if by a kill, and the new key file."""

    def stopped(_, file):
        raise SystemExit(file)

    monkeypatch.setattr(keys, "write", stopped)
    with pytest.raises(SystemExit) as caught:
        rotated(vault, cipher="aegis")
    monkeypatch.undo()
    quick_slots(monkeypatch)
    assert names(vault) == FILES | NEW
    return vault, caught.value.code


def as_before(vault):
    """Put the new files where older versions built them."""
    (vault / "next").mkdir()
    for name in names(vault) & NEW:
        (vault / name).rename(vault / "next" / name.removesuffix(".next"))


@pytest.fixture
def former(halfway):
    """A vault whose rewrite by an older version was stopped right behind its commit."""
    vault, file = halfway
    as_before(vault)
    keys.write(vault, file)
    return vault


@pytest.mark.parametrize("put", [lambda _: None, as_before], ids=["beside", "in a folder"])
def test_a_rewrite_that_was_not_committed_never_happened(halfway, put):
    vault, _ = halfway
    put(vault)
    old = (vault / "keys").read_bytes()
    durable.replace(vault / "keys.bak", b"whatever was there")
    assert content(vault)
    assert (vault / "keys").read_bytes() == (vault / "keys.bak").read_bytes() == old
    assert names(vault) == FILES


@pytest.mark.parametrize("put", [lambda _: None, as_before], ids=["beside", "in a folder"])
@pytest.mark.parametrize("also", [(), ("anchor",), ("anchor", "store.db")])
def test_a_rewrite_that_was_committed_is_finished(halfway, also, put, old_log):
    vault, file = halfway
    keys.write(vault, file)
    if "store.db" not in also:
        shutil.copy(
            old_log, vault / "store.db-wal"
        )  # of the old store: the new one must not take it for its own
    for name in also:
        (vault / f"{name}.next").rename(vault / name)
    put(vault)
    assert content(vault)
    assert keys.unlock(vault, passphrase()).cipher == "aegis"
    assert names(vault) == FILES


def test_a_crumb_of_a_key_file_is_shredded_by_the_next_to_open(vault):
    (vault / ".keys.0123abcd.tmp").write_bytes((vault / "keys").read_bytes())
    held = (vault / ".keys.0123abcd.tmp").open("rb")
    first = opened(vault)
    (vault / ".keys.4567abcd.tmp").write_bytes(b"another process is at it")
    second = opened(vault)
    assert names(vault) & {".keys.0123abcd.tmp", ".keys.4567abcd.tmp"} == {".keys.4567abcd.tmp"}
    with held:
        assert not any(held.read())
    first.close()
    second.close()


@pytest.mark.parametrize("name", ["store.db.next", "next/store.db"])
def test_an_unknown_new_store_is_not_thrown_away(vault, name):
    (vault / "store.db").rename(vault / "lost.db")
    (vault / name).parent.mkdir(exist_ok=True)
    (vault / name).write_bytes(b"somebody's only copy")
    for act in (opened, rotated):
        with pytest.raises(StoreDamaged):
            act(vault)
    assert (vault / name).read_bytes() == b"somebody's only copy"


def test_a_former_new_store_that_was_brought_up_by_half_is_brought_up_to_the_end(former, monkeypatch):
    real = folder._bring

    def killed(path, target):
        if path.name == "store.db":
            raise SystemExit
        real(path, target)

    monkeypatch.setattr(folder, "_bring", killed)
    with pytest.raises(SystemExit):
        opened(former)
    monkeypatch.setattr(folder, "_bring", real)
    assert names(former) == FILES | {"anchor.next", "next"}
    assert content(former)
    assert names(former) == FILES


@pytest.mark.parametrize("name", ["anchor", "store.db"])
def test_no_link_is_followed_out_of_where_older_versions_built(former, name):
    kept = former.with_name("kept")
    (former / "next" / name).rename(kept)
    (former / "next" / name).symlink_to(kept)
    with pytest.raises(StoreDamaged):
        opened(former)
    assert names(former) == FILES | {"next"}
    assert kept.exists()


def test_without_room_to_bring_it_up_nothing_of_it_is_lost(former, monkeypatch):
    """As on a kernel that lets nobody rename it into another folder."""
    real = Path.rename

    def within(path, target):
        if path.parent != target.parent:
            raise OSError(errno.EXDEV, "")
        return real(path, target)

    def full(*_):
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", within)
        patched.setattr(durable, "sync", full)
        with pytest.raises(StorageFull):
            opened(former)
        assert names(former) == FILES | {"next"}
        patched.setattr(durable, "sync", lambda _: None)
        assert content(former)
    assert names(former) == FILES


def test_what_the_user_stops_leaves_no_trace(vault):
    before, stages = content(vault), set()

    def stop(stage, *_):
        stages.add(stage)
        if len(stages) == 3:
            raise Cancelled("stopped")

    for act in (rotated, backed_up):
        stages.clear()
        with pytest.raises(Cancelled):
            act(vault, progress=stop)
    assert names(vault) == FILES
    assert names(vault.parent) == {"main"}
    assert content(vault) == before
