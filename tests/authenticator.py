"""A FIDO2 security key in software: CTAP 2.1 as far as PIN, credentials and hmac-secret go. For tests only.

It is what the real `fido2` client talks to, byte for byte, below the USB frames. Written from the CTAP
specification (6.1, 6.2, 6.4, 6.5, 12.5), and with the standard library where the client has its own code.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from fido2 import cbor
from fido2.ctap import STATUS, CtapDevice, CtapError
from fido2.hid import CAPABILITY

ERR = CtapError.ERR
_AAGUID = bytes(range(16))
_UP, _UV, _AT, _ED = 1, 4, 64, 128


def _sha256(data):
    return hashlib.sha256(data).digest()


def _hkdf(secret, info):
    """RFC 5869 with 32 zero bytes of salt and one block of output."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\1", "sha256")


def _aes(key, iv):
    return Cipher(algorithms.AES(key), modes.CBC(iv))


class PinProtocolTwo:
    """6.5.7: its own key pair, and the secret it comes to share with whoever sends another."""

    def __init__(self):
        self._private = ec.generate_private_key(ec.SECP256R1())

    def public(self):
        numbers = self._private.public_key().public_numbers()
        return {
            1: 2,
            3: -25,
            -1: 1,
            -2: numbers.x.to_bytes(32, "big"),
            -3: numbers.y.to_bytes(32, "big"),
        }

    def shared(self, peer):
        x, y = (int.from_bytes(peer[at], "big") for at in (-2, -3))
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        z = self._private.exchange(ec.ECDH(), public)
        return _hkdf(z, b"CTAP2 HMAC key"), _hkdf(z, b"CTAP2 AES key")

    @staticmethod
    def decrypt(shared, data):
        decryptor = _aes(shared[1], data[:16]).decryptor()
        return decryptor.update(data[16:]) + decryptor.finalize()

    @staticmethod
    def encrypt(shared, data):
        iv = secrets.token_bytes(16)
        encryptor = _aes(shared[1], iv).encryptor()
        return iv + encryptor.update(data) + encryptor.finalize()


@dataclass
class _Credential:
    private: ec.EllipticCurvePrivateKey
    party: bytes
    with_uv: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    without_uv: bytes = field(default_factory=lambda: secrets.token_bytes(32))


class SoftwareKey(CtapDevice):
    """One security key; `pin` None is one that has none yet, `touched` whether somebody touches it."""

    def __init__(self, pin="2468", *, extensions=("hmac-secret",), handle_bytes=64):
        self._pin = pin and _sha256(pin.encode())[:16]
        self._extensions = list(extensions)
        self._handle_bytes = handle_bytes
        self._protocol = PinProtocolTwo()
        self._token = None
        self._made = {}
        self.touched = True
        self.retries = 8
        self._mismatches = 0
        self.touches = 0
        self.closed = 0
        self.salts = []

    capabilities = CAPABILITY.CBOR

    @classmethod
    def list_devices(cls):
        yield from ()

    def close(self):
        self.closed += 1

    def power_cycle(self):
        """Take it out and put it in again; what is left of its tries stays as it is."""
        self._mismatches = 0

    def call(self, cmd, data=b"", event=None, on_keepalive=None):
        assert cmd == 0x10, "CTAPHID_CBOR is all it speaks"
        asked = cbor.decode(data[1:]) if data[1:] else {}
        commands = {1: self._make, 2: self._assert, 4: self._info, 6: self._client_pin}
        try:
            reply = commands[data[0]](asked, on_keepalive)
        except CtapError as error:
            return bytes([error.code])
        return b"\0" + cbor.encode(reply)

    def _info(self, *_):
        return {
            1: ["FIDO_2_0", "FIDO_2_1"],
            2: self._extensions,
            3: _AAGUID,
            4: {"rk": False, "up": True, "clientPin": self._pin is not None, "pinUvAuthToken": True},
            5: 2048,
            6: [2],
            7: 8,
            8: 1023,
        }

    def _client_pin(self, asked, _):
        match asked[2]:
            case 1:
                return {3: self.retries}
            case 2:
                return {1: self._protocol.public()}
            case 9:
                return {2: self._new_token(asked)}
        raise CtapError(ERR.INVALID_SUBCOMMAND)

    def _new_token(self, asked):
        if self._pin is None:
            raise CtapError(ERR.PIN_NOT_SET)
        if not self.retries:
            raise CtapError(ERR.PIN_BLOCKED)
        if self._mismatches == 3:
            raise CtapError(ERR.PIN_AUTH_BLOCKED)
        self.retries -= 1
        shared = self._protocol.shared(asked[3])
        if self._protocol.decrypt(shared, asked[6]) != self._pin:
            self._protocol = PinProtocolTwo()
            self._mismatches += 1
            if not self.retries:
                raise CtapError(ERR.PIN_BLOCKED)
            raise CtapError(ERR.PIN_INVALID if self._mismatches < 3 else ERR.PIN_AUTH_BLOCKED)
        self.retries, self._mismatches = 8, 0
        self._token = secrets.token_bytes(32), asked[9], asked[10]
        return self._protocol.encrypt(shared, self._token[0])

    def _verified(self, param, digest, permission, party):
        if param is None:
            return False
        if self._token is None or self._token[2] != party or not self._token[1] & permission:
            raise CtapError(ERR.PIN_AUTH_INVALID)
        if not hmac.compare_digest(hmac.digest(self._token[0], digest, "sha256"), param):
            raise CtapError(ERR.PIN_AUTH_INVALID)
        return True

    def _touch(self, on_keepalive):
        if on_keepalive:
            on_keepalive(STATUS.UPNEEDED)
        if not self.touched:
            raise CtapError(ERR.USER_ACTION_TIMEOUT)
        self.touches += 1

    def _make(self, asked, on_keepalive):
        party = asked[2]["id"]
        verified = self._verified(asked.get(8), asked[1], 1, party)
        if self._pin and not verified:
            raise CtapError(ERR.PUAT_REQUIRED)
        self._touch(on_keepalive)
        if any(self._owns(each["id"], _sha256(party.encode())) for each in asked.get(5, ())):
            raise CtapError(ERR.CREDENTIAL_EXCLUDED)
        handle = secrets.token_bytes(self._handle_bytes)
        made = _Credential(ec.generate_private_key(ec.SECP256R1()), _sha256(party.encode()))
        self._made[handle] = made
        numbers = made.private.public_key().public_numbers()
        public = {
            1: 2,
            3: -7,
            -1: 1,
            -2: numbers.x.to_bytes(32, "big"),
            -3: numbers.y.to_bytes(32, "big"),
        }
        attested = _AAGUID + struct.pack(">H", len(handle)) + handle + cbor.encode(public)
        wanted = asked.get(6, {}).get("hmac-secret") and "hmac-secret" in self._extensions
        extensions = {"hmac-secret": True} if wanted else {}
        return {1: "none", 2: self._data(made.party, _AT, verified, extensions, attested), 3: {}}

    def _assert(self, asked, on_keepalive):
        party = _sha256(asked[1].encode())
        verified = self._verified(asked.get(6), asked[2], 2, asked[1])
        silent = asked.get(5, {}).get("up") is False
        if not silent:
            self._touch(on_keepalive)
        handle = next((each["id"] for each in asked[3] if self._owns(each["id"], party)), None)
        if handle is None:
            raise CtapError(ERR.NO_CREDENTIALS)
        made, extensions = self._made[handle], {}
        if "hmac-secret" in asked.get(4, {}) and not silent:
            extensions["hmac-secret"] = self._hmac_secret(asked[4]["hmac-secret"], made, verified)
        data = self._data(party, 0 if silent else _UP, verified, extensions)
        signature = made.private.sign(data + asked[2], ec.ECDSA(hashes.SHA256()))
        return {1: {"type": "public-key", "id": handle}, 2: data, 3: signature}

    def _owns(self, handle, party):
        return handle in self._made and self._made[handle].party == party

    def _hmac_secret(self, asked, made, verified):
        shared = self._protocol.shared(asked[1])
        if not hmac.compare_digest(hmac.digest(shared[0], asked[2], "sha256"), asked[3]):
            raise CtapError(ERR.PIN_AUTH_INVALID)
        salt = self._protocol.decrypt(shared, asked[2])
        assert len(salt) == 32
        self.salts.append(salt)
        key = made.with_uv if verified else made.without_uv
        return self._protocol.encrypt(shared, hmac.digest(key, salt, "sha256"))

    @staticmethod
    def _data(party, flags, verified, extensions, attested=b""):
        flags |= (_UV if verified else 0) | (_UP if attested else 0) | (_ED if extensions else 0)
        tail = cbor.encode(extensions) if extensions else b""
        return party + struct.pack(">BI", flags, 1) + attested + tail
