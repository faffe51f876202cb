"""The commands for the audit log. All work while the vault is locked but `reviewer`, which lets one in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance import render
from appliance.clean import clean_line
from appliance.cli.asking import chosen, contents, must_exist, typed, unlocked
from appliance.cli.output import CHECK_FAILED, Options, narrate, print_json, show_report
from appliance.client import Client
from appliance.config import Config
from appliance.secret import Secret
from appliance.types import Report


def verify(options: Options, settings: Config) -> int:
    """Check the log, every MAC of it where a credential is given."""
    _must_be_there(options, settings)
    with Client(settings) as client, _words(options) as words:
        found = _log(client, options, words, checkpoints=options.checkpoint)
    return show_report(found, options)


def show(options: Options, settings: Config) -> int:
    """Print the last entries."""
    _must_be_there(options, settings)
    with Client(settings) as client, _words(options) as words:
        found = client.audit_show(
            options.vault, log=options.log, last=options.last, credential=options.credential, words=words
        )
        bad = [check for check in _log(client, options, words).checks if not check.ok]
    if options.json:
        print_json({"entries": list(found), "sound": not bad})
    else:
        print(render.entries(found), end="")
    for check in bad:
        narrate(f"BAD  {check.name}: {clean_line(check.detail)}")
    return CHECK_FAILED if bad else 0


def checkpoint(options: Options, settings: Config) -> int:
    """Write a signed checkpoint to a file or a medium."""
    must_exist(options, settings)
    target = options.to / "checkpoint" if options.to.is_dir() else options.to
    with Client(settings, writes=[target]) as client:
        written = client.audit_checkpoint(options.vault, options.to)
    if options.json:
        print_json({"file": written})
    narrate(f"Checkpoint written to {written}. Keep it where the vault's owner cannot change it.")
    return 0


def export(options: Options, settings: Config) -> int:
    """Copy the log to a file."""
    must_exist(options, settings)
    with Client(settings, writes=[options.to]) as client:
        client.audit_export(options.vault, options.to)
    if options.json:
        print_json({"file": str(options.to)})
    narrate(f"The log is in {options.to}.")
    return 0


def credential(options: Options, settings: Config) -> int:
    """Make a reviewer's credential."""
    files = [options.private, options.public]
    with Client(settings, writes=files) as client, _chosen(options) as words:
        fingerprint = client.make_credential(options.private, options.public, words)
    if options.json:
        names = {"private": str(options.private), "public": str(options.public)}
        print_json(names | {"fingerprint": fingerprint})
    narrate(f"Fingerprint {fingerprint}. Give {options.public} to the vault's owner, keep the other.")
    return 0


def reviewer(options: Options, settings: Config) -> int:
    """Let a reviewer check the log's MACs and read its content from now on."""
    with unlocked(options, settings) as client:
        fingerprint = client.add_reviewer(options.public)
    if options.json:
        print_json({"fingerprint": fingerprint})
    narrate(
        f"From now on questions and answers are recorded, sealed to the reviewer {fingerprint}.\n"
        "Compare the fingerprint with theirs by voice. They can read no document."
    )
    return 0


def _log(
    client: Client, options: Options, words: Secret | None, *, checkpoints: Sequence[Path] = ()
) -> Report:
    return client.audit_verify(
        options.vault, log=options.log, checkpoints=checkpoints, credential=options.credential, words=words
    )


def _must_be_there(options: Options, settings: Config) -> None:
    if options.log is None:
        must_exist(options, settings)


@contextlib.contextmanager
def _words(options: Options) -> Iterator[Secret | None]:
    """Ask for the passphrase of the credential where it has one; wipe it afterwards."""
    if options.credential is None or b"under a passphrase" not in contents(options.credential)[:80]:
        yield None
        return
    secret = Secret.passphrase(typed(options.passphrase_file, "Passphrase of the credential: "))
    try:
        yield secret
    finally:
        secret.wipe()


@contextlib.contextmanager
def _chosen(options: Options) -> Iterator[Secret | None]:
    """Ask for a new credential's passphrase unless it is to have none."""
    if options.no_passphrase:
        yield None
        return
    secret = Secret.passphrase(chosen(options.passphrase_file))
    try:
        yield secret
    finally:
        secret.wipe()
