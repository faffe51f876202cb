"""The commands for a whole vault: backup, restore, and repair."""

from __future__ import annotations

from appliance import render
from appliance.clean import clean_line
from appliance.cli.asking import given, must_exist, refuse_taken
from appliance.cli.output import CHECK_FAILED, Options, followed, narrate, print_json, show_report
from appliance.client import Client
from appliance.config import Config
from appliance.errors import UsageError, VaultExists

LOG = "audit log"


def backup(options: Options, settings: Config) -> int:
    """Write a verified, encrypted copy to a new folder."""
    must_exist(options, settings)
    refuse_taken(options.target, what="folder", name=options.vault)
    with Client(settings, writes=[options.target]) as client, given(options, client) as secret:
        made = followed(client.backup(options.vault, secret, options.target), client.cancel)
    if options.json:
        print_json({"folder": str(options.target)} | render.rewritten_json(made))
    narrate(f"Backed up to {options.target} ({render.rewritten(made)}). The secret you gave opens it.")
    return 0


def repair(options: Options, settings: Config) -> int:
    """Accept a vault that is not the one it knew last."""
    must_exist(options, settings)
    with Client(settings) as client, given(options, client) as secret:
        needed = client.repair(options.vault, secret)
        found = followed(client.verify(full=True), client.cancel)
    if needed:
        narrate("The vault is accepted as it is; the log says so for good. What it holds now:")
    else:
        narrate("The vault opens as it is: nothing to repair, and nothing was changed. What it holds:")
    show_report(found, options)
    # A log that was accepted shows for good what is missing; that is no failure of this.
    return 0 if all(check.ok or check.name.startswith(LOG) for check in found.checks) else CHECK_FAILED


def restore(options: Options, settings: Config) -> int:
    """Make a vault from a backup."""
    if settings.vault_folder(options.vault).exists():
        raise VaultExists(f"There is a vault {options.vault!r} already.")
    if not options.source.is_dir():
        raise UsageError(f"There is no backup at {clean_line(str(options.source))}: it is no folder.")
    (settings.home / "vaults").mkdir(mode=0o700, parents=True, exist_ok=True)
    with Client(settings) as client, given(options, client, backup=options.source) as secret:
        made = followed(client.restore(options.vault, secret, options.source), client.cancel)
    if options.json:
        print_json({"vault": options.vault} | render.rewritten_json(made))
    narrate(f"Restored as the vault {options.vault!r} ({render.rewritten(made)}).")
    return 0
