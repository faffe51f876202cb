"""Where secrets come from: a prompt without echo, or a file. Never an argument, never the environment."""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Iterator
from pathlib import Path

from appliance.cli.output import Options, narrate
from appliance.client import Client
from appliance.config import Config
from appliance.devices import Person
from appliance.errors import UsageError, VaultMissing, WrongSecret
from appliance.secret import Secret, wipe
from appliance.types import SlotInfo

SHORTEST_PASSPHRASE = 8
_NEW = f"New passphrase (at least {SHORTEST_PASSPHRASE} characters): "
_TOO_SHORT = f"A passphrase has at least {SHORTEST_PASSPHRASE} characters; several words are better."
_TRIES = 3
_LONGEST_LINE = 4096
_LARGEST_KEY = 1024 * 1024
_WAYS = ("key_file", "recovery_code", "escrow_key", "fido2", "pkcs11")


@contextlib.contextmanager
def unlocked(options: Options, settings: Config) -> Iterator[Client]:
    """Open the vault for one command; its worker, and with it the key, ends with the command."""
    must_exist(options, settings)
    with Client(settings) as client:
        with given(options, client) as secret:
            client.unlock(options.vault, secret, accept_weaker=options.accept_weaker)
        yield client


def ways(options: Options) -> list[str]:
    """Return the options that name something else than a passphrase to open a vault with.

    Raises:
        UsageError: there is more than one, and only one is used.
    """
    named = [f"--{way.replace('_', '-')}" for way in _WAYS if getattr(options, way)]
    if len(named) > 1:
        raise UsageError(f"A vault opens with one of {' and '.join(named)}.", hint="Name one of them.")
    return named


def must_exist(options: Options, settings: Config) -> None:
    """Look for the vault before anybody types a secret.

    Raises:
        VaultMissing: there is none of that name.
    """
    if not settings.vault_folder(options.vault).is_dir():
        raise VaultMissing(f"There is no vault {options.vault!r}.", hint="Make it with `appliance init`.")


def refuse_taken(path: Path, *, what: str, name: str) -> None:
    """Look at the place of a new file or folder before anybody types a secret.

    `what` it is to be, and a `name` for it, are for whoever named the medium where it should be put.

    Raises:
        UsageError: there is something.
    """
    if path.exists() or path.is_symlink():
        free = path.is_dir() and not (path / name).exists()
        raise UsageError(
            f"There is something at {path} already; nothing was overwritten.",
            hint=f"Name a {what} that is not there yet{f', such as {path / name}' if free else ''}.",
        )


@contextlib.contextmanager
def given(options: Options, client: Client, *, backup: Path | None = None) -> Iterator[Secret]:
    """Ask for the secret that the options name, a passphrase where they name none; wipe it afterwards.

    It is the vault's, or that of the `backup` in a folder.
    """
    secret = _secret(options, client, backup)
    try:
        yield secret
    finally:
        secret.wipe()


@contextlib.contextmanager
def new_passphrase(options: Options) -> Iterator[Secret]:
    """Ask for a passphrase that did not exist before, twice where it is typed; wipe it afterwards.

    Raises:
        UsageError: it is too short, or the two differ.
    """
    words = chosen(options.passphrase_file)
    try:
        yield Secret.passphrase(words)
    finally:
        wipe(words)


def chosen(file: Path | None) -> bytearray:
    """Return the words of a new passphrase, from `file` or typed twice; too short ones are asked for again.

    Raises:
        UsageError: they stay too short, or the two differ.
    """
    words = typed(file, _NEW)
    # Who is told so on a terminal may have begun to type it again: the shell must not get that.
    for _ in range(0 if file is not None else _TRIES - 1):
        if len(words) >= SHORTEST_PASSPHRASE:
            break
        narrate(_TOO_SHORT)
        wipe(words)
        words = typed(None, _NEW)
    if len(words) < SHORTEST_PASSPHRASE:
        raise UsageError(_TOO_SHORT)
    if file is None and words != typed(None, "Again, to be sure: "):
        raise UsageError("The two passphrases differ; nothing was made.")
    return words


def typed(file: Path | None, prompt: str) -> bytearray:
    """Return the first line of `file`, or what is typed at the prompt, without echo.

    Raises:
        UsageError: there is no terminal, nothing was typed, or the file cannot be read.
    """
    if file is not None:
        return first_line(file)
    if not sys.stdin.isatty():
        raise UsageError("No terminal to ask for the secret.", hint="Give --passphrase-file FILE.")
    try:
        return bytearray(getpass.getpass(prompt, stream=sys.stderr).encode("utf-8", "surrogateescape"))
    except EOFError:
        raise UsageError("No passphrase was typed.") from None
    except UnicodeDecodeError:
        raise UsageError("What was typed is not UTF-8 text, as a passphrase must be.") from None


def person(file: Path | None) -> Person:
    """Return who is before a device: its PIN is asked for, or in `file`, and what to do is said."""
    return Person(lambda: typed(file, "PIN of the device: "), narrate)


def first_line(path: Path) -> bytearray:
    """Read the first line of a file of secrets, without its end.

    Raises:
        UsageError: it cannot be read.
    """
    return _read(path, _LONGEST_LINE).split(b"\n")[0].rstrip(b"\r")


def contents(path: Path) -> bytearray:
    """Read a key file whole.

    Raises:
        UsageError: it cannot be read, or is too large to be one.
    """
    token = _read(path, _LARGEST_KEY + 1)
    if len(token) > _LARGEST_KEY:
        raise UsageError(f"{path} is too large for a key file (over {_LARGEST_KEY} bytes).")
    return token


def _secret(options: Options, client: Client, backup: Path | None) -> Secret:
    ways(options)
    if options.fido2 or options.pkcs11:
        return _from_device(options, client, backup)
    if options.escrow_key is not None:
        return Secret.escrow_key(contents(options.escrow_key))
    if options.recovery_code:
        return Secret.recovery_code(typed(options.passphrase_file, "Recovery code: "))
    if options.key_file is None:
        return Secret.passphrase(typed(options.passphrase_file, "Passphrase: "))
    token = contents(options.key_file)
    if not _wants_words(options, client, backup):
        return Secret.key_file(token)
    return Secret.two_factor(typed(options.passphrase_file, "Passphrase: "), token)


def _from_device(options: Options, client: Client, backup: Path | None) -> Secret:
    """Ask the device that was named for what opens one of the vault's slots.

    Its refusal, of a PIN above all, is a failed unlock: on record before it is shown, as any other is.
    """
    try:
        return _answer(options, client.slots(options.vault, backup=backup))
    except WrongSecret:
        if backup is None:
            client.refused(options.vault)
        raise


def _answer(options: Options, slots: tuple[SlotInfo, ...]) -> Secret:
    who = person(options.passphrase_file)
    # Optional packages: who has no such device does without them.
    if options.fido2:
        from appliance.devices import fido2

        return fido2.open_with(who, slots)
    from appliance.devices import pkcs11

    return pkcs11.open_with(options.pkcs11, who, slots)


def _wants_words(options: Options, client: Client, backup: Path | None) -> bool:
    """Tell whether a key file needs a passphrase beside it: one was named, or no slot opens without."""
    if options.passphrase_file is not None:
        return True
    kinds = {slot.kind for slot in client.slots(options.vault, backup=backup)}
    return "two-factor" in kinds and "key file" not in kinds


def _read(path: Path, most: int) -> bytearray:
    buffer = bytearray(most)
    filled = 0
    try:
        with path.open("rb", buffering=0) as file:
            while filled < most and (got := file.readinto(memoryview(buffer)[filled:])):
                filled += got
    except OSError as error:
        raise UsageError(f"Cannot read the file of secrets {path}: {error.strerror}.") from error
    try:
        return buffer[:filled]
    finally:
        wipe(buffer)
