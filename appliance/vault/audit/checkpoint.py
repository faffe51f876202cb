"""The bytes of a checkpoint of the audit log <-> its fields. No file, no clock, no randomness (AUDIT.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import AuditDamaged
from appliance.vault.audit import canonical
from appliance.vault.audit.canonical import Fields
from appliance.vault.audit.entry import FORMAT, MAX_LINE, MAX_N, At, at_fields, at_of, mac


@dataclass(frozen=True, slots=True)
class Countersignature:
    """A reviewer's Ed25519 key and signature over all lines before and their own name."""

    by: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement that entry `n` of a vault's log was, at `time`, the line of hash `head`."""

    vault: bytes
    n: int
    head: bytes
    time: datetime
    signer: bytes
    store: At | None = None
    mac: bytes = b""
    signature: bytes = b""
    countersigned: tuple[Countersignature, ...] = ()


def make(point: Checkpoint, *, key: bytes, signing: bytes) -> bytes:
    """Return the file of a checkpoint, given its fields, the MAC key of entry n and the signing key."""
    point = replace(point, mac=mac(key, message(point)))
    return canonical.signed(
        _signable(point), "signature", Ed25519PrivateKey.from_private_bytes(signing).sign(_signable(point))
    )


def message(point: Checkpoint) -> bytes:
    """Return what the checkpoint's MAC covers."""
    fields: Fields = {"format": FORMAT, "vault": point.vault.hex(), "n": point.n}
    fields |= {"head": point.head.hex(), "time": canonical.shown(point.time)}
    if point.store:
        fields["store"] = at_fields(point.store)
    return canonical.opened(fields | {"signer": point.signer.hex()})


def countersign(data: bytes, *, by: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the checkpoint with one line more: the owner of the Ed25519 key `by` puts their name to it.

    Raises:
        AuditDamaged: it is no checkpoint, or a signature in it does not fit.
    """
    parse(data)
    line = canonical.opened({"by": by.hex()})
    return data + canonical.signed(line, "signature", sign(data + line))


def parse(data: bytes) -> Checkpoint:
    """Read a checkpoint strictly and check all signatures; whose the keys are is for the caller to know.

    Raises:
        AuditDamaged: it is not of this form, or a signature does not fit.
    """
    if len(data) > MAX_LINE:
        raise AuditDamaged("The checkpoint is too long.")
    first, *others = data.splitlines(keepends=True) or [b""]
    point = canonical.strictly(first, _point)
    _need_only(canonical.signed(_signable(point), "signature", point.signature), first)
    _verify(point.signer, _signable(point), point.signature)
    before = first
    names: list[Countersignature] = []
    for line in others:
        names.append(_countersignature(line, before))
        before += line
    return replace(point, countersigned=tuple(names))


def _countersignature(line: bytes, before: bytes) -> Countersignature:
    name = canonical.strictly(
        line,
        lambda raw: Countersignature(canonical.hexed(raw["by"], 32), canonical.hexed(raw["signature"], 64)),
    )
    text = canonical.opened({"by": name.by.hex()})
    _need_only(canonical.signed(text, "signature", name.signature), line)
    _verify(name.by, before + text, name.signature)
    return name


def _signable(point: Checkpoint) -> bytes:
    return canonical.signed(message(point), "mac", point.mac).removesuffix(b"}\n")


def _point(raw: Fields) -> Checkpoint:
    canonical.need(raw["format"] == FORMAT)
    return Checkpoint(
        vault=canonical.hexed(raw["vault"], 16),
        n=canonical.number(raw["n"], MAX_N),
        head=canonical.hexed(raw["head"], 32),
        time=canonical.moment(raw["time"]),
        signer=canonical.hexed(raw["signer"], 32),
        store=at_of(raw.get("store")),
        mac=canonical.hexed(raw["mac"], 32),
        signature=canonical.hexed(raw["signature"], 64),
    )


def _verify(key: bytes, message: bytes, signature: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise AuditDamaged("A signature of the checkpoint does not fit.") from None


def _need_only(expected: bytes, line: bytes) -> None:
    if expected != line:
        raise AuditDamaged("The checkpoint is not in its only encoding.")
