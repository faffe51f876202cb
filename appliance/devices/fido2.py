"""A FIDO2 security key -> a Secret, by WebAuthn's PRF (CTAP2's hmac-secret): an HMAC of the slot's salt.

The handle is the credential's id; nothing is stored on the security key. It asks for a touch and verifies the
user (its PIN, or a finger): without verification it would answer with other bytes, and whoever found it could
open the vault.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from appliance.devices import Asked, Person, answered, asked_by
from appliance.errors import ApplianceError, UsageError, WrongSecret
from appliance.secret import DeviceKind, Secret
from appliance.types import SlotInfo

try:
    from fido2.client import ClientError, DefaultClientDataCollector, Fido2Client, UserInteraction
    from fido2.ctap import CtapDevice, CtapError
    from fido2.ctap2.extensions import AuthenticatorExtensionsPRFInputs as PRFInputs
    from fido2.ctap2.extensions import AuthenticatorExtensionsPRFValues as PRFValues
    from fido2.ctap2.extensions import HmacSecretExtension
    from fido2.hid import ConnectionFailure, CtapHidDevice
    from fido2.utils import websafe_encode
    from fido2.webauthn import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialCreationOptions,
        PublicKeyCredentialDescriptor,
        PublicKeyCredentialParameters,
        PublicKeyCredentialRequestOptions,
        PublicKeyCredentialRpEntity,
        PublicKeyCredentialType,
        PublicKeyCredentialUserEntity,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )
except ImportError as error:
    raise UsageError(
        "Nothing that speaks FIDO2 is installed.",
        hint="Install the extra where its source lies: pip install '.[fido2]'.",
    ) from error

_KIND: Final[DeviceKind] = "FIDO2 key"
_PARTY: Final = "appliance.invalid"
"""No site on the web can ever have this name (RFC 2606), so no page can ask for one of these credentials."""
_ALGORITHMS: Final = (-7, -8)  # ES256, EdDSA; nothing is ever signed that anybody would look at
_TIMEOUT_MS: Final = 60_000
_CODES: Final = CtapError.ERR
_REFUSALS: Final[tuple[tuple[tuple[int, ...], type[ApplianceError], str, str], ...]] = (
    (
        (_CODES.PIN_INVALID, _CODES.PIN_AUTH_INVALID, _CODES.UV_INVALID),
        WrongSecret,
        "The security key refuses this PIN.",
        "It locks itself after eight wrong ones. Check it first.",
    ),
    (
        (_CODES.PIN_BLOCKED, _CODES.PIN_AUTH_BLOCKED, _CODES.UV_BLOCKED),
        WrongSecret,
        "The security key has locked itself after too many wrong PINs.",
        "Take it out and put it in again. If it stays locked, only a reset helps, which destroys its keys.",
    ),
    (
        (_CODES.NO_CREDENTIALS, _CODES.INVALID_CREDENTIAL),
        WrongSecret,
        "This security key does not open the vault.",
        "Put in one that was added to it.",
    ),
    (
        (_CODES.CREDENTIAL_EXCLUDED,),
        UsageError,
        "This security key has a slot of this vault already; nothing was added.",
        "Put in the one that is to be added, and no other.",
    ),
    (
        (_CODES.KEEPALIVE_CANCEL, _CODES.ACTION_TIMEOUT, _CODES.USER_ACTION_TIMEOUT),
        UsageError,
        "The security key was not touched in time.",
        "Run the command again.",
    ),
)


def make(person: Person, slots: Iterable[SlotInfo]) -> Secret:
    """Return a secret for a new slot, by a new credential of the security key that is plugged in.

    One that already opens one of `slots` is refused: two slots of one key look like a spare, and are none.

    Raises:
        UsageError: there is not exactly one, it is in `slots`, has no PIN, or cannot do this.
        WrongSecret: it refuses the PIN.
    """
    known = [asked.handle for asked in asked_by(slots, _KIND)]
    with _client(person) as client:
        if HmacSecretExtension.NAME not in client.info.extensions:
            raise UsageError("This security key cannot open a vault: it lacks hmac-secret.")
        made = client.make_credential(_creation(known))
        try:
            asked = Asked.new(made.raw_id)
        except ValueError as error:
            raise UsageError(f"This security key cannot open a vault: {error}.") from None
        return _answer(client, [asked])


def open_with(person: Person, slots: Iterable[SlotInfo]) -> Secret:
    """Return the secret that opens the one of `slots` that the security key plugged in was added for.

    Raises:
        UsageError: there is not exactly one security key, or no slot for any.
        WrongSecret: it refuses the PIN, or was added to none of the slots.
    """
    asked = asked_by(slots, _KIND)
    if not asked:
        raise UsageError(
            "No slot of this vault opens with a security key.", hint="See `appliance keys list`."
        )
    with _client(person) as client:
        return _answer(client, asked)


class _Interaction(UserInteraction):
    def __init__(self, person: Person) -> None:
        self._person = person

    def prompt_up(self) -> None:
        self._person.told("Touch the security key.")

    def request_pin(self, *_: object) -> str:
        return self._person.pin_text()

    def request_uv(self, *_: object) -> bool:
        self._person.told("Let the security key verify you.")
        return True


def _plugged_in() -> list[CtapDevice]:
    return list(CtapHidDevice.list_devices())


@contextmanager
def _client(person: Person) -> Iterator[Fido2Client]:
    """Give the one security key that is plugged in; what it refuses becomes an error of ours."""
    found: list[CtapDevice] = []
    try:
        found = _plugged_in()
        if len(found) != 1:
            raise UsageError(
                "No security key is plugged in."
                if not found
                else "More than one security key is plugged in.",
                hint="Put exactly one in; udev must let you open it (/dev/hidraw*).",
            )
        collector = DefaultClientDataCollector(f"https://{_PARTY}")
        yield Fido2Client(found[0], collector, _Interaction(person), [HmacSecretExtension()])  # type: ignore[no-untyped-call]
    except ClientError as error:
        raise _refusal(error) from error
    except (CtapError, ConnectionFailure, OSError, ValueError) as error:
        raise UsageError(
            f"The security key does not do as it should: {error}.",
            hint="Take it out, put it in again, and see that no other program uses it.",
        ) from error
    finally:
        for device in found:
            device.close()


def _refusal(error: ClientError) -> ApplianceError:
    code = _CODES.ACTION_TIMEOUT if error.code == ClientError.ERR.TIMEOUT else None
    code = getattr(error.cause, "code", code)
    for codes, kind, message, hint in _REFUSALS:
        if code in codes:
            return kind(message, hint=hint)
    if error.code == ClientError.ERR.CONFIGURATION_UNSUPPORTED:
        return UsageError(
            "This security key has no PIN yet, or cannot verify its user.",
            hint="Give it one first, for example with `fido2-token -S` or in a browser's settings.",
        )
    return UsageError(f"The security key did not do it: {error.cause or error.code.name}.")


def _creation(known: Iterable[bytes]) -> PublicKeyCredentialCreationOptions:
    kind = PublicKeyCredentialType.PUBLIC_KEY
    return PublicKeyCredentialCreationOptions(
        rp=PublicKeyCredentialRpEntity(id=_PARTY, name="appliance"),
        user=PublicKeyCredentialUserEntity(id=secrets.token_bytes(32), name="vault"),
        challenge=secrets.token_bytes(32),
        pub_key_cred_params=[PublicKeyCredentialParameters(type=kind, alg=number) for number in _ALGORITHMS],
        timeout=_TIMEOUT_MS,
        exclude_credentials=_descriptors(known),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        extensions={"prf": {}},
    )


def _answer(client: Fido2Client, asked: list[Asked]) -> Secret:
    """Ask once for all slots: the security key picks the credential it knows, each has a salt of its own."""
    known = {one.handle: one for one in reversed(asked)}
    wanted = {websafe_encode(handle): PRFValues(first=one.salt) for handle, one in known.items()}
    options = PublicKeyCredentialRequestOptions(
        challenge=secrets.token_bytes(32),
        timeout=_TIMEOUT_MS,
        rp_id=_PARTY,
        allow_credentials=_descriptors(known),
        user_verification=UserVerificationRequirement.REQUIRED,
        extensions={"prf": PRFInputs(eval_by_credential=wanted)},
    )
    response = client.get_assertion(options).get_response(0)
    made = response.client_extension_results.prf
    if response.raw_id not in known or made is None or made.results is None:
        raise UsageError("This security key cannot open a vault: it answered without hmac-secret.")
    return answered(_KIND, known[response.raw_id], made.results.first)


def _descriptors(handles: Iterable[bytes]) -> list[PublicKeyCredentialDescriptor]:
    kind = PublicKeyCredentialType.PUBLIC_KEY
    return [PublicKeyCredentialDescriptor(type=kind, id=handle) for handle in handles]
