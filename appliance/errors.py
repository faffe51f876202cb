"""The error tree: each class has its exit code, each instance a message and a hint.

    ApplianceError                1   something unexpected
    ├── UsageError                2   the call makes no sense as it stands
    │   ├── VaultMissing          2
    │   │   └── VaultErased       2   it was made unreadable on purpose
    │   ├── VaultExists           2
    │   ├── VaultBusy             2   another process holds the vault
    │   └── EncoderChanged        2   documents were embedded by another model than the one that is set
    ├── StorageFull               1   no room; nothing half-written is kept
    ├── ModelMissing              1   no such model is installed
    ├── GeneratorDied             1   the process that writes answers ended; the quote stands
    ├── NoRoom                    1   the prompt is longer than the model's context
    ├── WrongSecret               5   one message for every wrong secret
    ├── IntegrityError            6   what is on disk is not what was written
    │   ├── KeyFileError          6
    │   ├── StoreDamaged          6
    │   ├── AuditDamaged          6
    │   ├── RolledBack            6   authentic, but not the newest, or not where it belongs
    │   └── ModelMismatch         6
    ├── PolicyRefused             7
    │   └── SandboxUnavailable    7
    ├── ParseError                4   this file could not be read
    │   ├── Unsupported           4
    │   ├── NeedsPassword         4
    │   ├── LimitExceeded         4
    │   └── NoText                4
    └── Cancelled               130   the user stopped it

A message says what happened; the hint says what is safe and what to do. Neither holds document text.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import ClassVar


class ApplianceError(Exception):
    """The root. Raised itself only for what nobody foresaw."""

    exit_code: ClassVar[int] = 1
    hint: str = "Nothing in the vault was changed by this. `appliance doctor` shows the state."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint


class UsageError(ApplianceError):
    """The call makes no sense as it stands."""

    exit_code = 2
    hint = "See `appliance --help`."


class VaultMissing(UsageError):
    """There is no vault of that name."""

    hint = "Make one with `appliance init`, or name another with --vault."


class VaultErased(VaultMissing):
    """Its keys were destroyed on purpose; no secret opens it any more."""

    hint = "erased.json in its folder says when, and what erasing cannot promise. A backup can be restored."


class VaultExists(UsageError):
    """A vault of that name is there already; it is left as it is."""

    hint = "Nothing was overwritten. Choose another name with --vault."


class VaultBusy(UsageError):
    """Another process holds the vault open for writing."""

    hint = "Close the other window or wait for its work to end; nothing was changed."


class EncoderChanged(UsageError):
    """The configured encoder is not the one that embedded the documents: similarities would mean nothing."""

    hint = "Nothing is lost. Put the former model back into config.toml, or add the documents again."


class StorageFull(ApplianceError):
    """The disk is full. What was committed before stays; nothing half-written is kept."""

    hint = "Free some space and run the same command again: it resumes where it stopped."


class ModelMissing(ApplianceError):
    """No such model is installed."""

    hint = "Install the default models with `make models`; `appliance models` lists what is there."


class GeneratorDied(ApplianceError):
    """The process that writes answers ended; a question can still be answered by the quote."""

    hint = "The vault is not affected. Ask again: it is started anew."


class NoRoom(ApplianceError):
    """The prompt leaves no room for an answer."""


class WrongSecret(ApplianceError):
    """The secret opens no slot. One message whatever the reason, so that it tells an attacker nothing."""

    exit_code = 5
    hint = "Check the vault's name and the secret, then try again. Nothing was changed."


class IntegrityError(ApplianceError):
    """What is on disk is not what was written: damage or tampering."""

    exit_code = 6
    hint = "Do not add to this vault. Keep the folder as it is and restore a backup beside it."


class KeyFileError(IntegrityError):
    """The key file is not canonical, not complete or not authentic."""


class StoreDamaged(IntegrityError):
    """The store fails its page authentication or its own consistency checks."""


class RolledBack(IntegrityError):
    """What is on disk was authentic once or elsewhere: an older state, or parts of two."""

    hint = (
        "Nothing was changed or answered from it. Keep the folder as it is and restore a backup beside it. "
        "Only if you put an older copy back yourself: `appliance repair` accepts it as it is, on record."
    )


class AuditDamaged(IntegrityError):
    """The audit log or its state is not what was written, or cannot be written to."""

    hint = (
        "What cannot be recorded is not done. Keep the folder as it is; `appliance audit verify` says more, "
        "and `appliance repair` goes on with the log as it is, on record."
    )


class ModelMismatch(IntegrityError):
    """A model file is not the one its card names."""

    hint = "The model was not loaded. Rebuild it with `make models`, or install it again from its bundle."


class PolicyRefused(ApplianceError):
    """The policy of this machine or vault forbids it."""

    exit_code = 7
    hint = "Nothing was done."


class SandboxUnavailable(PolicyRefused):
    """The kernel cannot confine the parsers, so no document is parsed."""

    hint = "A kernel with Landlock (5.13 or later) and seccomp is needed to parse documents."


class ParseError(ApplianceError):
    """This file could not be read; the others go on."""

    exit_code = 4
    hint = "The other files are not affected."


class Unsupported(ParseError):
    """No parser knows this format."""


class NeedsPassword(ParseError):
    """The file is encrypted and does not open with an empty password."""


class LimitExceeded(ParseError):
    """The file asked for more time, memory, pages or bytes than a document may have."""


class NoText(ParseError):
    """The file was read and holds no text, for example a scan without a text layer."""


class Cancelled(ApplianceError):
    """The user stopped it; what was committed stays."""

    exit_code = 130
    hint = "Run the same command again to go on."


def by_name(name: str) -> type[ApplianceError]:
    """Return the class of that name in the tree, the root where there is none (for errors off the wire)."""
    return _tree(ApplianceError).get(name, ApplianceError)


def unexpected(error: BaseException) -> str:
    """Say what kind of error happened at which line of ours; its own words may quote a document."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "appliance" in frame.filename]
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"Unexpected {type(error).__name__}{place}."


def _tree(root: type[ApplianceError]) -> dict[str, type[ApplianceError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found
