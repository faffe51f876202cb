"""The commands for keys: who may open a vault, and with what."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from appliance import render
from appliance.cli.asking import chosen, contents, given, must_exist, person, refuse_taken, typed
from appliance.cli.output import Options, followed, narrate, print_json
from appliance.client import Client
from appliance.config import Config
from appliance.errors import UsageError
from appliance.secret import Secret, wipe


def listing(options: Options, settings: Config) -> int:
    """List the ways to open a vault; needs no secret."""
    must_exist(options, settings)
    with Client(settings) as client:
        slots = client.slots(options.vault)
    if options.json:
        print_json({"slots": [render.slot_json(slot) for slot in slots]})
    else:
        print(render.slots(slots), end="")
    return 0


def add(options: Options, settings: Config) -> int:
    """Let one more secret open the vault."""
    must_exist(options, settings)
    _check_named(options)
    shown: dict[str, str] = {}
    with Client(settings) as client, given(options, client) as secret:
        if options.kind == "escrow":
            number = client.add_officer(options.vault, secret, options.public)
        else:
            with closing(_New(options, client)) as new:
                number = client.add_slot(options.vault, secret, new.secret)
                shown = new.shown
    if options.json:
        print_json({"slot": number} | shown)
    else:
        for text in shown.values():
            print(text, flush=True)
    narrate(f"Slot {number} opens the vault now ({options.kind}).")
    return 0


def remove(options: Options, settings: Config) -> int:
    """Let one secret open the vault no more."""
    must_exist(options, settings)
    with Client(settings) as client, given(options, client) as secret:
        client.remove_slot(options.vault, secret, options.number)
    if options.json:
        print_json({"removed": options.number})
    narrate(
        f"Slot {options.number} is gone. An older copy of the key file still opens with its secret:\n"
        "`appliance keys rotate` gives the vault a new key where that matters."
    )
    return 0


def rotate(options: Options, settings: Config) -> int:
    """Give the vault a new data key, and another cipher where one is named."""
    must_exist(options, settings)
    with Client(settings) as client, given(options, client) as secret:
        made = followed(client.rotate(options.vault, secret, cipher=options.cipher), client.cancel)
    if options.json:
        print_json(render.rewritten_json(made))
    narrate(f"The vault is under a new key ({render.rewritten(made)}).")
    return 0


def calibrate(options: Options, settings: Config) -> int:
    """Make a slot as dear to guess as this machine can afford."""
    must_exist(options, settings)
    with Client(settings) as client, given(options, client) as secret:
        memory, passes, lanes = client.calibrate(options.vault, secret)
    if options.json:
        print_json({"memory_kib": memory, "passes": passes, "lanes": lanes})
    narrate(f"Opening costs Argon2id {memory // 1024} MiB, {passes} passes, {lanes} lanes now.")
    return 0


def export(options: Options, settings: Config) -> int:
    """Write the page key for the stock `sqlcipher` tool to a new file."""
    must_exist(options, settings)
    refuse_taken(options.to, what="file", name="page.key")
    with Client(settings) as client, given(options, client) as secret:
        _write_new(options.to, client.export_key(options.vault, secret).encode() + b"\n")
    if options.json:
        print_json({"file": str(options.to)})
    narrate(f"The key is in {options.to}. Whoever has it reads everything: destroy it after use.")
    return 0


def officer(options: Options, settings: Config) -> int:
    """Make an officer's key pair for an escrow slot."""
    with Client(settings, writes=[options.private, options.public]) as client:
        fingerprint = client.make_officer(options.private, options.public)
    if options.json:
        print_json(
            {"private": str(options.private), "public": str(options.public), "fingerprint": fingerprint}
        )
    narrate(
        f"Fingerprint {fingerprint}. Keep {options.private} offline: it opens every vault with this slot."
    )
    return 0


def erase(options: Options, settings: Config) -> int:
    """Destroy the vault's keys for good."""
    must_exist(options, settings)
    if options.yes != options.vault:
        raise UsageError(
            "Nothing was erased: this cannot be undone.",
            hint=f"Say `--yes {options.vault}` to destroy the keys of that vault.",
        )
    with Client(settings) as client:
        record = client.destroy(options.vault)
    if options.json:
        print_json({"record": record})
    narrate("The keys are destroyed; no secret opens this vault any more. What this does not promise:")
    for line in record["not_promised"]:
        narrate(f"- {line}")
    return 0


_TRIES = 3


class _New:
    """A secret that did not exist before, as `keys add KIND` names it; wiped on close."""

    def __init__(self, options: Options, client: Client) -> None:
        self.secret = _MAKERS[options.kind](options, client)
        # Where nobody sits at a terminal to copy it and type it back, the code is the command's result.
        printed = self.secret.kind == "recovery code" and not sys.stdin.isatty()
        self.shown = {"recovery_code": self.secret.words.decode()} if printed else {}

    def close(self) -> None:
        self.secret.wipe()


def _new_words(options: Options, _: Client) -> Secret:
    return Secret.passphrase(chosen(options.new_passphrase_file))


def _new_file(options: Options, _: Client) -> Secret:
    return Secret.key_file(_token(options))


def _new_pair(options: Options, _: Client) -> Secret:
    return Secret.two_factor(chosen(options.new_passphrase_file), _token(options))


def _new_code(_options: Options, _: Client) -> Secret:
    """Show a recovery code once, and take it only when it was typed back."""
    # Loads `cryptography`, needed only here.
    from appliance.vault.access.factors import generate_recovery_code

    code = generate_recovery_code()
    if not sys.stdin.isatty():
        return Secret.recovery_code(code)
    narrate(
        f"Write this down and keep it apart from the machine; it is shown only now:\n\n  {code.decode()}\n"
    )
    for _attempt in range(_TRIES):
        if _typed_back(code):
            return Secret.recovery_code(code)
        narrate("That is not the code above.")
    raise UsageError("No slot was made: the code was not typed back.", hint="Throw this code away.")


def _typed_back(code: bytearray) -> bool:
    from appliance.vault.access.factors import read_recovery_code  # as above

    words = typed(None, "Type it back: ")
    try:
        return read_recovery_code(words) == read_recovery_code(code)
    except UsageError:  # mistyped
        return False
    finally:
        wipe(words)


def _new_security_key(options: Options, client: Client) -> Secret:
    from appliance.devices import fido2  # an optional package

    if options.fido2 and sys.stdin.isatty():  # only one may be plugged in, and that one has opened the vault
        narrate("Take that security key out, put the new one in, and press Enter.")
        sys.stdin.readline()
    return fido2.make(person(options.new_passphrase_file), client.slots(options.vault))


def _new_token_key(options: Options, _: Client) -> Secret:
    from appliance.devices import pkcs11  # an optional package

    who = person(options.new_passphrase_file)
    return pkcs11.make(options.module, who, card=options.token, label=options.label)


_MAKERS = {
    "passphrase": _new_words,
    "key-file": _new_file,
    "two-factor": _new_pair,
    "recovery-code": _new_code,
    "fido2": _new_security_key,
    "pkcs11": _new_token_key,
}
KINDS = (*_MAKERS, "escrow")
_NEEDED = {
    "escrow": ("public",),
    "key-file": ("new_key_file",),
    "two-factor": ("new_key_file",),
    "pkcs11": ("module", "token", "label"),
}


def _token(options: Options) -> bytearray:
    """Return the contents of the new key file, which is made where there is none."""
    path: Path = options.new_key_file
    if not path.exists():
        from appliance.vault.access.factors import generate_key_file

        _write_new(path, bytes(generate_key_file()))
        narrate(f"Made the key file {path}. Keep it on another medium than the vault.")
    return contents(path)


def _check_named(options: Options) -> None:
    """Look for what a kind of slot is made of before anybody types a secret.

    Raises:
        UsageError: the option is not there.
    """
    for needed in _NEEDED.get(options.kind, ()):
        if getattr(options, needed) is None:
            what = "LABEL" if needed in ("token", "label") else "FILE"
            raise UsageError(f"This kind of slot needs --{needed.replace('_', '-')} {what}.")


def _write_new(path: Path, data: bytes) -> None:
    """Write a file of secrets that must not exist yet, readable by its owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise UsageError(f"There is something at {path} already; nothing was overwritten.") from None
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from error
