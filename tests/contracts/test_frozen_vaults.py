"""A vault that an older program wrote opens for ever: one folder for each schema that was ever on main.

`schema2` has, besides the passphrase's, a slot for each device of `tests/vectors/keys/parts.py`.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.errors import WrongSecret
from appliance.secret import Secret
from appliance.vault.folder import open_vault
from tests.vectors.keys import parts

VAULTS = Path(__file__).parents[1] / "vectors" / "vaults"


def opened(folder: Path, secret: Secret | None = None):
    secret = secret or Secret.passphrase(bytearray(b"frozen in version 1"))
    return open_vault(folder, secret, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC))


@pytest.mark.parametrize("name", sorted(path.name for path in VAULTS.iterdir()))
def test_an_older_vault_opens_is_brought_up_to_date_and_holds_what_it_held(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    shutil.copytree(VAULTS / name, folder)
    store = opened(folder)
    try:
        assert [document.name for document in store.documents()] == ["frozen 0.txt", "frozen 1.txt"]
        assert "greased every 500 hours" in store.text(store.documents()[0].id)
        assert store.match([["diesel"]], 5)
        assert all(check.ok for check in store.check(full=True))
        assert len(store.head) == 32
    finally:
        store.close()
    again = opened(folder)  # as the present program leaves it
    again.close()


@pytest.mark.parametrize("device", list(parts.DEVICES))
def test_a_device_that_opened_it_opens_it_still(device: str, tmp_path: Path) -> None:
    folder, given = tmp_path / "vault", parts.DEVICES[device]
    shutil.copytree(VAULTS / "schema2", folder)
    store = opened(folder, given.secret())
    assert len(store.documents()) == 2
    store.close()
    with pytest.raises(WrongSecret):
        opened(folder, replace(given, token=parts.flip(given.token, 0)).secret())
