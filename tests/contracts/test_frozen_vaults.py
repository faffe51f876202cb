"""A vault that an older program wrote opens for ever: one folder for each schema that was ever on main."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.secret import Secret
from appliance.vault.folder import open_vault

VAULTS = Path(__file__).parents[1] / "vectors" / "vaults"


def opened(folder: Path):
    return open_vault(
        folder,
        Secret.passphrase(bytearray(b"frozen in version 1")),
        clock=lambda: datetime(2026, 11, 24, tzinfo=UTC),
    )


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
