"""A key that never leaves a PKCS#11 token (smart card, HSM) -> a Secret: HMAC-SHA256 of the slot's salt.

The handle is the token's label, a zero byte and the key's label, in UTF-8. The module that speaks to the
token is named by the user each time and kept in no slot: a key file that names code to be loaded would let
whoever can change the file run theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.devices import Asked, Person, answered, asked_by
from appliance.errors import UsageError, WrongSecret
from appliance.secret import DeviceKind, Secret
from appliance.types import SlotInfo

try:
    import pkcs11
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, Session, Token
    from pkcs11 import exceptions as refusals
except ImportError as error:
    raise UsageError(
        "Nothing that speaks PKCS#11 is installed.",
        hint="Install the extra where its source lies: pip install '.[pkcs11]'.",
    ) from error

_KIND: Final[DeviceKind] = "PKCS#11 key"
_KEY_BITS: Final = 256
_PIN_REFUSED: Final = (refusals.PinIncorrect, refusals.PinLenRange, refusals.PinInvalid)
# What it is made with: it never leaves the token in the clear or wrapped, and does nothing but this MAC.
_TEMPLATE: Final = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}


def make(module: Path, person: Person, *, card: str, label: str) -> Secret:
    """Return a secret for a new slot, by the key `label` of the token `card`.

    The key is made where there is none; one that is there is used if it cannot leave the token.

    Raises:
        UsageError: the module, the token or the key is not there, or of no use.
        WrongSecret: the token refuses the PIN.
    """
    try:
        asked = Asked.new(_handle(card, label))
    except ValueError as error:
        raise UsageError(f"These labels cannot name a key: {error}.") from None
    with _tokens(module) as tokens:
        found = [one for one in tokens if one.label == card]
        with _opened(found, person, writable=True) as session:
            if not _keys(session, label):
                session.generate_key(
                    KeyType.GENERIC_SECRET,
                    _KEY_BITS,
                    label=label,
                    store=True,
                    capabilities=MechanismFlag.SIGN,
                    template=_TEMPLATE,
                )
            return _answer(session, asked, label)


def open_with(module: Path, person: Person, slots: Iterable[SlotInfo]) -> Secret:
    """Return the secret that opens one of `slots`, the first whose token and key are there.

    The token is asked for its PIN once, so that no second try at another one uses up its patience.

    Raises:
        UsageError: the module, the token or the key is not there.
        WrongSecret: the token refuses the PIN.
    """
    wanted = [(asked, *_labels(asked.handle)) for asked in asked_by(slots, _KIND)]
    if not wanted:
        raise UsageError(
            "No slot of this vault opens with a PKCS#11 token.", hint="See `appliance keys list`."
        )
    with _tokens(module) as tokens:
        there = {one.label for one in tokens}
        first = next((card for _, card, _ in wanted if card in there), None)
        with _opened([one for one in tokens if one.label == first], person, writable=False) as session:
            for asked, card, label in wanted:
                if card == first and _keys(session, label):
                    return _answer(session, asked, label)
    raise UsageError("The token has no key of this vault.", hint="`appliance keys list` names the keys.")


def _handle(card: str, label: str) -> bytes:
    if not card or not label or "\0" in card + label:
        raise ValueError("a label is not empty and has no zero byte")
    return f"{card}\0{label}".encode()


def _labels(handle: bytes) -> tuple[str, str]:
    """Return the labels of token and key; of a handle that nobody authenticated, at worst ones of no key."""
    card, _, label = handle.decode("utf-8", "replace").partition("\0")
    return card, label


@contextmanager
def _tokens(module: Path) -> Iterator[list[Token]]:
    """Load the module and unload it in the end, so that no session outlives this call."""
    name = str(module.absolute())  # a bare name would be looked for along the loader's path
    try:
        yield list(pkcs11.lib(name).get_tokens())
    except _PIN_REFUSED:
        raise WrongSecret(
            "The token refuses this PIN.", hint="A token locks itself after a few wrong ones. Check it first."
        ) from None
    except refusals.PinLocked:
        raise WrongSecret(
            "The token has locked itself after too many wrong PINs.",
            hint="Its officer's PIN can set a new one.",
        ) from None
    except RuntimeError as error:  # what the package raises for all that goes wrong in a module
        said = str(error) or type(error).__name__
        raise UsageError(f"The PKCS#11 module {module} did not do it: {said}.") from error
    finally:
        pkcs11.unload(name)


@contextmanager
def _opened(found: list[Token], person: Person, *, writable: bool) -> Iterator[Session]:
    if not found:
        raise UsageError("The token is not there.", hint="Put it in, and check its label and the module.")
    if len(found) > 1:
        raise UsageError("More than one token has this label.", hint="Leave only the right one in.")
    with found[0].open(rw=writable, user_pin=person.pin_text()) as session:
        yield session


def _keys(session: Session, label: str) -> list[pkcs11.SecretKey]:
    attributes = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label}
    return [key for key in session.get_objects(attributes) if isinstance(key, pkcs11.SecretKey)]


def _answer(session: Session, asked: Asked, label: str) -> Secret:
    found = _keys(session, label)
    if len(found) > 1:
        raise UsageError("More than one key of the token has this label.", hint="Give one of them another.")
    key = found[0]
    if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
        raise UsageError(
            "This key can be copied off its token, so it is no better than a file.",
            hint="Name another label: a key that cannot be is made under it.",
        )
    if not isinstance(key, pkcs11.SignMixin):
        raise UsageError("This key of the token makes no MACs.", hint="Name another label.")
    try:
        return answered(_KIND, asked, key.sign(asked.salt, mechanism=Mechanism.SHA256_HMAC))
    except ValueError as error:
        raise UsageError(f"The token answers with something else: {error}.") from None
