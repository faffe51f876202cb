from __future__ import annotations

import numpy as np
import pytest

from appliance.errors import StoreDamaged, UsageError, VaultBusy, VaultExists, VaultMissing
from appliance.secret import Secret
from appliance.vault import folder, store
from appliance.vault.access.keyfile import FLOOR
from appliance.vault.database import rows as table_rows
from appliance.vault.database import schema
from appliance.vault.database.coarse import CoarseIndex, quantize
from tests.stores import ENCODER, a_draft, a_key, added, noon, unit_vectors


@pytest.fixture
def opened(tmp_path):
    made = store.create_store(tmp_path, a_key(), clock=noon)
    yield made
    made.close()


def test_a_vault_is_made_opened_and_private(tmp_path):
    path = tmp_path / "vaults" / "main"
    made = folder.create_vault(
        path, Secret.passphrase(bytearray(b"secret")), clock=noon, kdf=FLOOR, cipher="aegis"
    )
    document = added(made, a_draft("one"))
    assert {found.name for found in path.iterdir()} == {
        *("keys", "keys.bak", "anchor", "open.lock", "write.lock", "store.db", "store.db-wal", "store.db-shm")
    }
    assert path.stat().st_mode & 0o777 == 0o700
    assert {found.stat().st_mode & 0o777 for found in path.iterdir()} == {0o600}
    made.close()
    again = folder.open_vault(path, Secret.passphrase(bytearray(b"secret")), clock=noon)
    assert again.documents() == (document,)
    again.close()


def test_a_vault_is_never_made_over_another_or_over_nothing_opened(tmp_path):
    path = tmp_path / "main"
    path.mkdir()
    secret = Secret.passphrase(bytearray(b"secret"))
    with pytest.raises(VaultExists):
        folder.create_vault(path, secret, clock=noon, kdf=FLOOR)
    assert secret.words == bytes(6)
    with pytest.raises(VaultMissing):
        folder.open_vault(tmp_path / "other", Secret.passphrase(bytearray(b"secret")), clock=noon)
    assert [found.name for found in tmp_path.iterdir()] == ["main"]


def test_a_failed_creation_leaves_nothing(tmp_path):
    with pytest.raises(UsageError):
        folder.create_vault(tmp_path / "main", Secret.passphrase(bytearray()), clock=noon, kdf=FLOOR)
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_no_vault_can_be_is_named_and_not_unforeseen(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be used"):
        folder.create_vault(
            tmp_path / "file" / "main", Secret.passphrase(bytearray(b"secret")), clock=noon, kdf=FLOOR
        )


def test_verifying_a_vault_looks_at_both_copies_of_its_key_file(tmp_path):
    path = tmp_path / "main"
    folder.create_vault(path, Secret.passphrase(bytearray(b"secret")), clock=noon, kdf=FLOOR).close()
    (path / "keys.bak").unlink()
    opened = folder.open_vault(path, Secret.passphrase(bytearray(b"secret")), clock=noon)
    assert [check.name for check in opened.check(full=False) if not check.ok] == ["key file keys.bak"]
    opened.close()


def test_a_folder_in_the_locks_place_keeps_nobody_out(opened, tmp_path):
    (tmp_path / store.LOCK).unlink()
    (tmp_path / store.LOCK).mkdir()
    with opened.writing():
        assert (tmp_path / store.LOCK).is_file()


def test_a_lock_that_cannot_be_taken_is_a_clear_mistake(opened, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store.durable, "open_regular", refused)
    with pytest.raises(UsageError, match="locked for writing: Permission denied"), opened.writing():
        pass


def test_a_store_is_made_once_and_only_opened_where_there_is_one(opened, tmp_path):
    with pytest.raises(VaultExists):
        store.create_store(tmp_path, a_key(), clock=noon)
    with pytest.raises(StoreDamaged, match="missing"):
        store.open_store(tmp_path / "elsewhere", a_key(), clock=noon)


def test_another_key_or_cipher_is_refused(opened, tmp_path):
    for key in (a_key(secret=8), a_key("aegis"), a_key("chacha20")):
        with pytest.raises(StoreDamaged):
            store.open_store(tmp_path, key, clock=noon)


def test_the_engine_is_set_as_promised(opened):
    database = opened._database
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "temp_store": 2}
    wanted |= {"mmap_size": 0, "trusted_schema": 0, "page_size": 4096, "cipher": "sqlcipher"}
    assert {name: database.value(f"PRAGMA {name}") for name in wanted} == wanted
    assert database.value("PRAGMA cache_size") <= -64 * 1024


@pytest.mark.parametrize(
    "forbidden",
    [
        "SELECT load_extension('x')",
        "UPDATE sqlite_schema SET sql = ''",
        "DELETE FROM words_data",
        "DELETE FROM vector_rowids",
    ],
)
def test_the_schema_and_the_indexes_insides_cannot_be_written(opened, forbidden):
    with pytest.raises(StoreDamaged):
        opened._database.run(forbidden)


def test_a_newer_programs_store_is_refused_clearly(opened, tmp_path):
    opened._database.run("PRAGMA user_version = 99")
    opened.close()
    with pytest.raises(UsageError, match="newer program"):
        store.open_store(tmp_path, a_key(), clock=noon)


def test_an_error_quotes_nothing_of_the_data(opened):
    with pytest.raises(StoreDamaged) as caught:
        opened._database.run("INSERT INTO words (words, rank) VALUES (?, 1)", ("classified",))
    assert "classified" not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_one_writes_and_others_read_meanwhile(opened, tmp_path):
    added(opened, a_draft("one"))
    other = store.open_store(tmp_path, a_key(), clock=noon)
    draft = a_draft("two", source="/in/other.txt")
    with opened.writing():
        with pytest.raises(VaultBusy):
            other.begin(draft, model=ENCODER)
        begun = opened.begin(draft, model=ENCODER)
        opened.append(begun.document_id, draft.chunks, unit_vectors(1, seed=2))
        assert len(other.documents()) == len(other.nearest(unit_vectors(1)[0], 9)) == 1
        opened.finish(begun.document_id)
        assert len(other.documents()) == len(other.nearest(unit_vectors(1)[0], 9)) == 2
    other.remove(1)
    assert len(opened.documents()) == len(opened.nearest(unit_vectors(1)[0], 9)) == 1
    other.close()


def test_a_failed_append_leaves_no_lock_and_no_transaction(opened, tmp_path):
    begun = opened.begin(a_draft("a"), model=ENCODER)
    with pytest.raises(UsageError):
        opened.append(begun.document_id, a_draft("a", "b").chunks, unit_vectors(2))
    other = store.open_store(tmp_path, a_key(), clock=noon)
    other.set_setting("key", "value")
    other.close()


@pytest.mark.parametrize("rewrite", [0, 10**6], ids=["in place", "rewritten"])
def test_nothing_of_a_removed_document_is_in_the_decrypted_file(opened, tmp_path, monkeypatch, rewrite):
    monkeypatch.setattr(table_rows, "REWRITE", rewrite)
    vectors = {name: unit_vectors(60, seed=seed) for seed, name in enumerate(("kept", "gone"))}
    documents = {}
    for name in vectors:
        texts = [f"{name}text{n} and {name}{n:03}word" for n in range(60)]
        draft = a_draft(
            *texts, source=f"/in/{name}source.txt", title=f"{name}title", heading=f"{name}heading"
        )
        documents[name] = added(opened, draft, vectors=vectors[name])

    def residue(name):
        image = opened._database.image()
        needles = [*(f"{n:03}word" for n in range(60)), f"{name}source", f"{name}title", f"{name}text"]
        needles = [f"{name}{needle}" if needle.endswith("word") else needle for needle in needles]
        rows = [needle.encode() for needle in needles] + [row.tobytes()[:32] for row in vectors[name]]
        return sum(row in image for row in [*rows, *(bits.tobytes() for bits in quantize(vectors[name]))])

    assert residue("gone") > 150
    opened.remove(documents["gone"].id)
    assert residue("gone") == 0
    assert residue("kept") > 150
    assert all(check.ok for check in opened.check(full=True))
    assert (tmp_path / "store.db-wal").stat().st_size == 0


def test_the_coarse_pass_ranks_as_vec0_itself_does(opened):
    vectors = unit_vectors(300)
    added(opened, a_draft(*(f"c{n}" for n in range(300))), vectors=vectors)
    opened.remove(added(opened, a_draft("x", source="/in/x.txt")).id)
    for query in unit_vectors(5, seed=9):
        rows = opened._database.rows(
            "SELECT id, distance FROM vector WHERE bits MATCH vec_bit(?) AND k = 40 ORDER BY distance",
            (quantize(query).tobytes(),),
        )
        farthest = rows[-1][1]
        certain = {chunk for chunk, distance in rows if distance < farthest}
        assert certain <= set(opened._signs().nearest(query, 40))


def test_coarse_distances_are_hamming_distances():
    vectors, query = unit_vectors(200), unit_vectors(1, seed=3)[0]
    index = CoarseIndex(np.arange(200), quantize(vectors))
    distances = ((vectors > 0) != (query > 0)).sum(axis=1)
    found = index.nearest(query, 20)
    assert sorted(distances[found]) == sorted(distances)[:20]
    assert sorted(index.nearest(query, 999)) == list(range(200))


def test_bits_are_what_vec0_makes_of_a_vector(opened):
    row = unit_vectors(1)[0]
    assert (
        opened._database.value("SELECT vec_quantize_binary(?)", (row.tobytes(),)) == quantize(row).tobytes()
    )


def test_the_check_finds_a_chunk_that_is_not_the_documents_text(opened):
    added(opened, a_draft("one", "two"))
    opened._database.run("UPDATE document SET text = 'one twx'")
    failed = [check.name for check in opened.check(full=True) if not check.ok]
    assert failed == ["chunks"]


def test_the_check_finds_rows_that_are_missing_from_an_index(opened):
    added(opened, a_draft("one", "two"))
    opened._database.run("DELETE FROM vector WHERE id = 1")
    assert [check.name for check in opened.check(full=False) if not check.ok] == ["counts"]


def test_the_check_finds_a_vector_that_is_not_unit_or_not_its_bits(opened):
    added(opened, a_draft("one"))
    opened._database.run("UPDATE vector SET value = ? WHERE id = 1", (unit_vectors(1, seed=8)[0].tobytes(),))
    assert [check.name for check in opened.check(full=True) if not check.ok] == ["vectors"]


def test_migrations_are_counted(opened):
    assert schema.version(opened._database) == len(schema.MIGRATIONS) == 2
