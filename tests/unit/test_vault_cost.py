"""What a slot costs to guess is chosen once; no later work on the keys makes one that costs less."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from appliance import custody
from appliance.journal import Journal
from appliance.secret import Secret
from appliance.vault import folder
from appliance.vault.access import slots
from appliance.vault.access.keyfile import DEFAULT_KDF, FLOOR, Kdf
from tests import mutations
from tests.stores import noon
from tests.vectors.keys import parts

MIB = 1024
DEAR = Kdf(320 * MIB, 4, 4)
LONG = Kdf(128 * MIB, 12, 4)
"""Of a machine with little memory: dearer than the default by its passes."""


@pytest.fixture(autouse=True)
def _cheap_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "argon2id", mutations.cheap)


def words(text: bytes = b"a dear secret") -> Secret:
    return Secret.passphrase(bytearray(text))


def vault_at(path: Path, kdf: Kdf) -> Path:
    store = folder.create_vault(path, words(), clock=noon, kdf=kdf)
    Journal.open(path, store, clock=noon, config="22" * 32, models={}).close()
    store.close()
    return path


def costs(path: Path) -> list[Kdf]:
    return [Kdf(*slot.kdf) for slot in custody.slots(path) if slot.kdf]


def rotated(path: Path) -> Path:
    custody.rotate(path, words(), cipher=None, tell=lambda _: None, stop=threading.Event())
    return path


def backed_up(path: Path) -> Path:
    copy = path.with_name("copy")
    custody.backup(path, words(), copy, tell=lambda _: None, stop=threading.Event())
    return copy


def restored(path: Path) -> Path:
    back = path.with_name("back")
    custody.restore(path, words(), back, tell=lambda _: None, stop=threading.Event())
    return back


@pytest.mark.parametrize("rewritten", [rotated, backed_up, restored])
@pytest.mark.parametrize(
    ("before", "after"),
    [(DEAR, DEAR), (LONG, Kdf(256 * MIB, 12, 4)), (FLOOR, DEFAULT_KDF)],
    ids=["dearer", "longer", "cheaper"],
)
def test_a_slot_that_is_made_anew_costs_at_least_what_it_did_and_the_default(
    tmp_path: Path, rewritten, before: Kdf, after: Kdf
) -> None:
    assert costs(rewritten(vault_at(tmp_path / "main", before))) == [after]


@pytest.mark.parametrize("name", ["recovery_code", "key_file", "two_factor"])
def test_an_added_slot_costs_as_much_as_the_dearest_that_is_there(tmp_path: Path, name: str) -> None:
    path = vault_at(tmp_path / "main", DEAR)
    number = custody.add_slot(path, words(), parts.SECRETS[name].secret(), stop=threading.Event())
    assert costs(path) == [DEAR, DEAR]
    custody.remove_slot(path, words(), number, stop=threading.Event())
    custody.add_slot(path, words(), words(b"cheap, it was hoped"), stop=threading.Event(), kdf=FLOOR)
    assert costs(path) == [DEAR, DEAR]


def test_a_slot_added_to_a_cheap_vault_costs_what_is_chosen_for_it(tmp_path: Path) -> None:
    path = vault_at(tmp_path / "main", FLOOR)
    custody.add_slot(path, words(), words(b"another"), stop=threading.Event())
    custody.add_slot(path, words(), words(b"a third"), stop=threading.Event(), kdf=LONG)
    assert costs(path) == [FLOOR, DEFAULT_KDF, Kdf(256 * MIB, 12, 4)]
