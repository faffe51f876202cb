"""Slots come and go, each kind opens with its own secret, and whoever lost his way in is told so alike."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime

import pytest

from appliance.errors import KeyFileError, StorageFull, UsageError, VaultBusy, WrongSecret
from appliance.secret import Secret
from appliance.types import SlotInfo
from appliance.vault.access import copies, cost, factors, hybrid, keyfile, keys, slots
from appliance.vault.access.keyfile import CEILING, FLOOR, Kdf
from appliance.vault.access.lease import sole
from tests import mutations
from tests.stores import NOON, noon
from tests.vectors.keys import parts

PUBLIC = factors.read_officer_public(parts.OFFICER_PUBLIC)
DERIVED = [name for name in parts.SECRETS if name != "escrow"]


@pytest.fixture(autouse=True)
def _cheap_derivation(monkeypatch):
    monkeypatch.setattr(slots, "argon2id", mutations.cheap)


def _given(name):
    return parts.SECRETS[name].secret()


def _add(folder, key, name):
    secret = PUBLIC if name == "escrow" else _given(name)
    return keys.add_slot(folder, key, secret, kdf=FLOOR, clock=noon)


@pytest.fixture
def made(tmp_path):
    return keys.create(tmp_path, _given("passphrase"), clock=noon, kdf=FLOOR)


@pytest.fixture
def all_five(tmp_path, made):
    for name in list(parts.SECRETS)[1:]:
        _add(tmp_path, made, name)
    return made


@pytest.mark.parametrize("name", DERIVED)
def test_a_vault_can_be_made_with_every_secret_that_is_derived_from(tmp_path, name):
    secret = _given(name)
    key = keys.create(tmp_path, secret, clock=noon, kdf=FLOOR)
    assert not any(secret.words + secret.token)
    assert keys.unlock(tmp_path, _given(name)).page_key() == key.page_key()


def test_a_vault_that_only_an_officer_could_open_is_not_made(tmp_path):
    with pytest.raises(UsageError):
        keys.create(tmp_path, _given("escrow"), clock=noon, kdf=FLOOR)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", [None, *keys.COPIES])
@pytest.mark.parametrize("name", list(parts.SECRETS))
def test_each_secret_opens_its_own_slot_from_either_copy_and_is_wiped(tmp_path, all_five, name, damaged):
    assert (tmp_path / "keys").read_bytes() == (tmp_path / "keys.bak").read_bytes()
    if damaged:
        (tmp_path / damaged).write_bytes(b"damage")
    secret = _given(name)
    assert keys.unlock(tmp_path, secret).page_key() == all_five.page_key()
    assert not any(secret.words + secret.token)


def test_the_slots_are_listed_without_a_secret(tmp_path, all_five):
    cost_ = (FLOOR.memory, FLOOR.passes, FLOOR.lanes)
    kinds = ("passphrase", "key file", "recovery code", "two-factor")
    listed = [SlotInfo(n, kind, NOON, cost_, None) for n, kind in enumerate(kinds, 1)]
    listed.append(SlotInfo(5, "escrow key", NOON, None, factors.fingerprint(PUBLIC)))
    assert list(keys.slots(tmp_path)) == listed
    (tmp_path / "keys").write_bytes(b"damage")
    assert len(keys.slots(tmp_path)) == 5
    (tmp_path / "keys.bak").write_bytes(b"damage")
    with pytest.raises(KeyFileError):
        keys.slots(tmp_path)


def test_only_slots_of_the_secrets_kind_are_tried_and_all_of_those(tmp_path, all_five, monkeypatch):
    _add(tmp_path, all_five, "passphrase")
    tried = []
    monkeypatch.setattr(slots, "argon2id", lambda *a: tried.append(a[2]) or mutations.cheap(*a))
    keys.unlock(tmp_path, _given("passphrase"))
    assert len(tried) == 2, "the time must not tell which slot it was"
    tried.clear()
    keys.unlock(tmp_path, _given("escrow"))
    assert tried == []


def test_every_wrong_secret_of_every_kind_gets_the_same_message(tmp_path, all_five):
    wrong = (
        Secret.passphrase(bytearray(b"wrong")),
        Secret.key_file(bytearray(b"w" * 32)),
        Secret.recovery_code(factors.generate_recovery_code()),
        Secret.two_factor(bytearray(b"wrong"), bytearray(parts.PHOTO)),
        Secret.escrow_key(factors.generate_officer_key()[0]),
    )
    said = set()
    for secret in wrong:
        with pytest.raises(WrongSecret) as caught:
            keys.unlock(tmp_path, secret)
        said.add((caught.value.message, caught.value.hint))
    for number in (2, 3, 4, 5):
        keys.remove_slot(tmp_path, all_five, number)
    for name in list(parts.SECRETS)[1:]:
        with pytest.raises(WrongSecret) as caught:
            keys.unlock(tmp_path, _given(name))
        said.add((caught.value.message, caught.value.hint))
    assert len(said) == 1


@pytest.mark.parametrize(
    "secret",
    [
        Secret.recovery_code(bytearray(parts.CODE[:-1].encode())),
        Secret.key_file(bytearray(31)),
        Secret.key_file(bytearray(factors.MOST_KEY_FILE + 1)),
        Secret.escrow_key(bytearray(parts.OFFICER_PUBLIC)),
    ],
)
def test_a_slip_is_told_from_a_wrong_secret_and_nothing_is_tried(tmp_path, made, secret, monkeypatch):
    monkeypatch.setattr(copies, "read_all", None)
    with pytest.raises(UsageError):
        keys.unlock(tmp_path, secret)
    assert not any(secret.words + secret.token)


@pytest.mark.parametrize("words", [b"", b"\xff\xfe"])
@pytest.mark.parametrize("make", [Secret.passphrase, lambda words: Secret.two_factor(words, bytearray(32))])
def test_words_that_nobody_could_type_again_make_no_slot(tmp_path, made, words, make):
    before = (tmp_path / "keys").read_bytes()
    with pytest.raises(UsageError):
        keys.add_slot(tmp_path, made, make(bytearray(words)), kdf=FLOOR, clock=noon)
    assert (tmp_path / "keys").read_bytes() == (tmp_path / "keys.bak").read_bytes() == before


@pytest.mark.parametrize("kdf", [Kdf(1024, 3, 4), Kdf(95 * 2**20, 3, 4), Kdf(FLOOR.memory, 3, 17)])
def test_no_slot_is_made_below_the_floor_or_above_the_ceiling(tmp_path, made, kdf):
    secret = _given("key_file")
    with pytest.raises(UsageError):
        keys.add_slot(tmp_path, made, secret, kdf=kdf, clock=noon)
    assert not any(secret.token)


def test_a_new_slot_takes_the_lowest_free_number_and_there_are_at_most_eight(tmp_path, made):
    numbers = [_add(tmp_path, made, "passphrase") for _ in range(7)]
    assert numbers == list(range(2, 9))
    with pytest.raises(UsageError, match="at most 8"):
        _add(tmp_path, made, "passphrase")
    keys.remove_slot(tmp_path, made, 3)
    assert _add(tmp_path, made, "key_file") == 3
    assert keys.unlock(tmp_path, _given("key_file")).page_key() == made.page_key()


def test_no_two_slots_share_salt_or_nonce(tmp_path, made):
    for _ in range(7):
        _add(tmp_path, made, "passphrase")
    made_slots = keys.current(tmp_path, made).slots
    assert len({slot.salt for slot in made_slots}) == len({slot.nonce for slot in made_slots}) == 8


def test_an_officer_has_one_slot_and_must_have_a_public_key(tmp_path, made):
    _add(tmp_path, made, "escrow")
    for public in (PUBLIC, b"", PUBLIC[:-1], b"\xff" * 1216, PUBLIC[:-32] + bytes(32)):
        with pytest.raises(UsageError):
            keys.add_slot(tmp_path, made, public, kdf=FLOOR, clock=noon)


def test_the_private_half_given_for_the_public_one_is_named():
    with pytest.raises(UsageError, match="private half"):
        factors.read_officer_public(parts.OFFICER)


def test_the_last_slot_that_opens_without_an_officer_stays(tmp_path, made):
    _add(tmp_path, made, "escrow")
    with pytest.raises(UsageError, match="last slot"):
        keys.remove_slot(tmp_path, made, 1)
    with pytest.raises(UsageError, match="no key slot 3"):
        keys.remove_slot(tmp_path, made, 3)
    assert _add(tmp_path, made, "recovery_code") == 3
    keys.remove_slot(tmp_path, made, 1)
    assert [slot.number for slot in keys.slots(tmp_path)] == [2, 3]
    with pytest.raises(WrongSecret):
        keys.unlock(tmp_path, _given("passphrase"))


def test_a_slot_added_by_half_is_undone_and_its_secret_never_opens(tmp_path, made):
    before = (tmp_path / "keys").read_bytes()
    _add(tmp_path, made, "key_file")
    (tmp_path / "keys").write_bytes(before)  # killed between the two copies
    with pytest.raises(WrongSecret):
        keys.unlock(tmp_path, _given("key_file"))
    assert (tmp_path / "keys.bak").read_bytes() == before


def test_a_removed_slot_put_back_into_the_second_copy_does_not_open(tmp_path, made):
    _add(tmp_path, made, "key_file")
    stale = (tmp_path / "keys.bak").read_bytes()
    keys.remove_slot(tmp_path, made, 2)
    (tmp_path / "keys.bak").write_bytes(stale)
    with pytest.raises(WrongSecret):
        keys.unlock(tmp_path, _given("key_file"))
    assert (tmp_path / "keys.bak").read_bytes() == (tmp_path / "keys").read_bytes() != stale


def test_a_stale_second_copy_is_mended_by_the_next_unlock_unless_somebody_is_changing_it(tmp_path, made):
    stale = (tmp_path / "keys.bak").read_bytes()
    _add(tmp_path, made, "key_file")
    (tmp_path / "keys.bak").write_bytes(stale)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    keys.unlock(tmp_path, _given("passphrase"))
    assert (tmp_path / "keys.bak").read_bytes() == stale
    os.close(held)
    keys.unlock(tmp_path, _given("passphrase"))
    assert (tmp_path / "keys.bak").read_bytes() == (tmp_path / "keys").read_bytes()


def test_while_another_rewrites_the_vault_no_slot_is_changed_and_no_copy_mended(tmp_path, made):
    stale = (tmp_path / "keys.bak").read_bytes()
    _add(tmp_path, made, "key_file")
    (tmp_path / "keys.bak").write_bytes(stale)
    before = (tmp_path / "keys").read_bytes()
    rewriting = sole(tmp_path)
    for change in (
        lambda: _add(tmp_path, made, "recovery_code"),
        lambda: keys.remove_slot(tmp_path, made, 2),
        lambda: keys.renew_slot(tmp_path, made, _given("key_file"), kdf=FLOOR, clock=noon),
    ):
        with pytest.raises(VaultBusy):
            change()
    keys.unlock(tmp_path, _given("passphrase"))
    assert [(tmp_path / name).read_bytes() for name in keys.COPIES] == [before, stale]
    rewriting.close()
    keys.remove_slot(tmp_path, made, 2)


def test_a_medium_that_cannot_be_written_still_unlocks(tmp_path, made, monkeypatch):
    stale = (tmp_path / "keys.bak").read_bytes()
    _add(tmp_path, made, "key_file")
    (tmp_path / "keys.bak").write_bytes(stale)
    for error in (OSError(30, "read-only"), StorageFull("full")):
        monkeypatch.setattr(copies.durable, "supersede", _raise(error))
        assert keys.unlock(tmp_path, _given("passphrase")).page_key() == made.page_key()


def _raise(error):
    def act(*_):
        raise error

    return act


def test_a_change_starts_from_the_copy_that_is_authentic_and_mends_the_other(tmp_path, made):
    (tmp_path / "keys").write_bytes(b"damage")
    _add(tmp_path, made, "key_file")
    assert (tmp_path / "keys").read_bytes() == (tmp_path / "keys.bak").read_bytes()
    for name in keys.COPIES:
        (tmp_path / name).write_bytes(b"damage")
    with pytest.raises(KeyFileError):
        _add(tmp_path, made, "recovery_code")


def test_without_room_nothing_is_changed(tmp_path, made, monkeypatch):
    before = (tmp_path / "keys").read_bytes()
    monkeypatch.setattr(copies.durable, "supersede", _raise(StorageFull("full")))
    with pytest.raises(StorageFull):
        _add(tmp_path, made, "key_file")
    assert (tmp_path / "keys").read_bytes() == (tmp_path / "keys.bak").read_bytes() == before


@pytest.mark.parametrize("name", DERIVED)
def test_renewing_keeps_the_given_slot_and_the_officers_and_names_the_others(tmp_path, all_five, name):
    old = keys.current(tmp_path, all_five)
    secret = _given(name)
    later = datetime(2027, 1, 1, tzinfo=UTC)
    file, key, dropped = keys.renew(old, secret, cipher="aegis", kdf=FLOOR, clock=lambda: later)
    assert not any(secret.words + secret.token)
    assert (file.vault, file.cipher) == (old.vault, "aegis")
    number = list(parts.SECRETS).index(name) + 1
    assert [slot.number for slot in file.slots] == [number, 5]
    assert [slot.number for slot in dropped] == [n for n in (1, 2, 3, 4) if n != number]
    assert key.page_key() != all_five.page_key()
    assert key.page_salt() != all_five.page_salt()
    for other in parts.SECRETS:
        with slots.Opener(_given(other)) as opener:
            if other in (name, "escrow"):
                opened = keys.open_bytes(keyfile.encode(file), opener)
                assert opened.page_key() == key.page_key()
            else:
                with pytest.raises(WrongSecret):
                    keys.open_bytes(keyfile.encode(file), opener)


@pytest.mark.parametrize("name", DERIVED)
def test_a_slot_made_anew_at_another_cost_opens_with_the_same_secret(tmp_path, all_five, name):
    before = keys.current(tmp_path, all_five)
    number = list(parts.SECRETS).index(name) + 1
    dearer, secret = Kdf(FLOOR.memory * 2, 3, 4), _given(name)
    keys.renew_slot(tmp_path, all_five, secret, kdf=dearer, clock=noon)
    assert not any(secret.words + secret.token)
    after = keys.current(tmp_path, all_five)
    changed = [new for old, new in zip(before.slots, after.slots, strict=True) if old != new]
    assert [(slot.number, slot.kdf) for slot in changed] == [(number, dearer)]
    assert keys.described(tmp_path).cipher == "sqlcipher"
    for other in parts.SECRETS:
        assert keys.unlock(tmp_path, _given(other)).page_key() == all_five.page_key()


def test_a_slot_is_made_anew_only_with_its_secret(tmp_path, all_five):
    before = (tmp_path / "keys").read_bytes()
    for secret, error in (
        (Secret.passphrase(bytearray(b"wrong")), WrongSecret),
        (_given("escrow"), WrongSecret),
    ):
        with pytest.raises(error):
            keys.renew_slot(tmp_path, all_five, secret, kdf=FLOOR, clock=noon)
        assert not any(secret.words + secret.token)
    with pytest.raises(UsageError):
        keys.renew_slot(tmp_path, all_five, _given("key_file"), kdf=Kdf(1, 3, 4), clock=noon)
    assert (tmp_path / "keys").read_bytes() == (tmp_path / "keys.bak").read_bytes() == before


def test_nothing_is_renewed_with_a_wrong_secret_or_an_officers(tmp_path, all_five):
    old = keys.current(tmp_path, all_five)
    wrong = Secret.passphrase(bytearray(b"wrong"))
    with pytest.raises(WrongSecret):
        keys.renew(old, wrong, cipher="aegis", kdf=FLOOR, clock=noon)
    assert not any(wrong.words)
    with pytest.raises(UsageError):
        keys.renew(old, _given("escrow"), cipher="aegis", kdf=FLOOR, clock=noon)


def test_the_exported_page_key_is_what_the_stock_tool_takes(made):
    exported = made.export_page_key()
    assert exported == f"x'{made.page_key().hex()}{made.page_salt().hex()}'"
    assert len(exported) == 99
    assert made.tree_key() not in (made.page_key(), bytearray(32))


def test_what_is_generated_is_new_each_time_and_reads_back():
    codes = {bytes(factors.generate_recovery_code()) for _ in range(20)}
    files = {bytes(factors.generate_key_file()) for _ in range(20)}
    officers = [factors.generate_officer_key() for _ in range(3)]
    assert (len(codes), len(files), len({bytes(private) for private, _ in officers})) == (20, 20, 3)
    assert all(len(factors.read_recovery_code(bytearray(code))) * 8 == 128 for code in codes)
    for private, public in officers:
        raw = factors.read_officer_private(private)
        assert hybrid.public_half(raw) == factors.read_officer_public(public)


def test_what_is_sealed_to_an_officer_is_his_alone_and_never_the_same_twice():
    sealed = [hybrid.seal(PUBLIC, b"x" * 32, info=b"a") for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert len(sealed[0]) == 32 + hybrid.OVERHEAD_BYTES
    assert hybrid.unseal(bytearray(parts.PRIVATE), sealed[0], info=b"a") == b"x" * 32
    assert hybrid.unseal(bytearray(parts.PRIVATE), sealed[0], info=b"b") is None
    assert hybrid.unseal(bytearray(parts.OTHER_PRIVATE), sealed[0], info=b"a") is None
    for wrong in (bytearray(), bytearray(95)):
        with pytest.raises(ValueError, match="not a private key"):
            hybrid.unseal(wrong, sealed[0], info=b"a")


GIB = 2**20


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [
        (0.125, 8 * GIB, Kdf(6 * 64 * 1024, 3, 4)),  # memory grows with the speed
        (7.0, 8 * GIB, FLOOR),  # slower than the target even at the floor: the floor it is
        (0.01, 8 * GIB, Kdf(GIB, 14, 4)),  # memory at its ceiling: then the passes
        (1e-6, 8 * GIB, Kdf(GIB, 16, 4)),
        (0.125, GIB // 8, Kdf(GIB // 8, 9, 4)),  # a small machine
        (0.125, 1, Kdf(FLOOR.memory, 16, 4)),  # too small a one: never below the floor
    ],
)
def test_the_cost_follows_the_machine_within_the_bounds(seconds, most, expected):
    chosen = cost.choose(FLOOR, seconds, target_s=0.75, most=most)
    assert chosen == expected
    assert keyfile.allowed(chosen)


def test_calibrating_aims_at_the_target_by_measuring_near_it():
    def machine(kdf):
        return 0.02 + kdf.memory * kdf.passes * 6e-7

    assert 0.63 < machine(cost.calibrate(measure=machine)) < 0.72
    assert machine(cost.calibrate(0.5, measure=machine)) < 0.52


def test_the_ceiling_of_a_key_file_is_what_eight_officers_need():
    file = keyfile.KeyFile("sqlcipher", bytes(16), 0, (), bytes(32))
    for number in range(1, 9):
        file = slots.with_slot(file, keyfile.Escrow(number, 0, bytes([number]) * 1216, bytes(1168)))
    assert len(keyfile.encode(file)) == keyfile.MAX_BYTES
    assert CEILING.memory == GIB


def test_a_slot_never_becomes_cheaper(tmp_path, all_five):
    dear = Kdf(FLOOR.memory, FLOOR.passes + 1, FLOOR.lanes)
    assert keys.renew_slot(tmp_path, all_five, _given("key_file"), kdf=dear, clock=noon) == dear
    before = (tmp_path / "keys").read_bytes()
    assert keys.renew_slot(tmp_path, all_five, _given("key_file"), kdf=FLOOR, clock=noon) == dear
    assert (tmp_path / "keys").read_bytes() == before
