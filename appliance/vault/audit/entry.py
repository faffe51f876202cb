"""The bytes of the audit log's entries and state <-> their fields. No file, no clock, no randomness.

AUDIT.md is the specification. There is exactly one encoding of each: whatever is parsed here is encoded
back into the same bytes, or refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, cast, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.errors import AuditDamaged
from appliance.vault.audit import canonical
from appliance.vault.audit.canonical import Fields
from appliance.vault.audit.reviewer import ReviewerPublic

At = tuple[int, bytes]
"""The store's sequence and its 32-byte head."""

Action = Literal[
    "init",
    "unlock",
    "lock",
    "ask",
    "answer",
    "add",
    "remove",
    "show",
    "export",
    "verify",
    "keys",
    "rotate",
    "backup",
    "restore",
    "reviewer",
    "checkpoint",
    "model",
    "config",
    "policy",
    "erase",
    "repair",
]
"""What a writer records; a reader shows others too."""
Fault = Literal["behind", "ahead", "missing", "torn", "wrong", "damaged"]
"""What a writer found wrong with the state or the log's end before it wrote an entry (AUDIT.md)."""

FORMAT: Final = 1
MAX_N: Final = 10**9
MAX_LINE: Final = 1 << 20
MAX_JUMP: Final = 10**6
"""Entries that may lie between log and state: bounds the work that a forged number can cause."""
MAX_CHUNKS: Final = 256
MAX_MODELS: Final = 16
MAX_REVIEWERS: Final = 4
MAX_CONTENT: Final = 1 << 17
START: Final = bytes(32)
"""What the first entry has for the hash of the line before it."""

_BUCKET: Final = 1 << 10
_NEXT: Final = b"appliance audit 1 next key\x01"
_STATE: Final = struct.Struct(">8sQ16s32s32s32s")
_MAGIC: Final = b"APLAUDIT"
STATE_BYTES: Final = 512
_WORD: Final = re.compile(r"[a-z]{1,16}")
_OUTCOME: Final = re.compile(r"[a-z][a-z0-9 -]{0,31}")
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Box:
    """Content sealed to one reviewer; `to` is the reviewer's fingerprint."""

    to: str
    box: bytes


@dataclass(frozen=True, slots=True)
class Introduction:
    """A reviewer's public key as an entry brings it in; `box` is that entry's MAC key sealed to them."""

    public: ReviewerPublic
    box: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. Everything but `boxes` and the boxes of `reviewers` is readable by anybody.

    `store` is the store's sequence and head after the action. `back` is by how many seconds the clock had
    gone back, `cut` how many bytes of a torn line were cut off before this one, `fault` what else was
    wrong; all three are as a rule absent. `vault` and `signer` stand in the first entry only. `mac` is
    None where the state was lost and nothing could be authenticated.
    """

    n: int
    time: datetime
    action: str
    outcome: str
    prev: bytes
    vault: bytes = b""
    signer: bytes = b""
    models: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[bytes, ...] = ()
    store: At | None = None
    back: int = 0
    cut: int = 0
    fault: Fault | None = None
    reviewers: tuple[Introduction, ...] = ()
    boxes: tuple[Box, ...] = ()
    mac: bytes | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the next entry needs: its number, vault's id, hash of the line before, MAC and signing key."""

    n: int
    vault: bytes
    head: bytes
    key: bytes
    signing: bytes


def line_hash(line: bytes) -> bytes:
    """Return the SHA-256 of a line with its line feed: what the next entry holds as `prev`."""
    return hashlib.sha256(line).digest()


def first_key(seed: bytes) -> bytes:
    """Return k_0 of a log."""
    return hmac.digest(seed, b"appliance audit 1 first key\x01", "sha256")


def signing_key(seed: bytes) -> bytes:
    """Return the 32 bytes of a log's Ed25519 signing key."""
    return hmac.digest(seed, b"appliance audit 1 signing key\x01", "sha256")


def next_key(key: bytes, steps: int = 1) -> bytes:
    """Return the MAC key `steps` entries on: HKDF-Expand with SHA-256 (RFC 5869, 2.3), one block a step.

    By the standard library, which is twice as fast as `cryptography` here and is held against it by a test.
    """
    for _ in range(steps):
        key = hmac.digest(key, _NEXT, "sha256")
    return key


def mac(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256. Messages begin with `{"n"` or `{"format"`, which no derivation's label does."""
    return hmac.digest(key, message, "sha256")


def verifier(signing: bytes) -> bytes:
    """Return the public half of an Ed25519 signing key."""
    return Ed25519PrivateKey.from_private_bytes(signing).public_key().public_bytes_raw()


# Entries


def encode_head(entry: Entry) -> bytes:
    """Return what boxes are bound to: the entry up to them, without what its MAC key or content adds."""
    return canonical.opened(_head(entry))


def beginning(n: int) -> bytes:
    """Return how the line of entry `n` begins, whatever it says."""
    return f'{{"n":{n},"time":"'.encode()


def encode_body(entry: Entry) -> bytes:
    """Return what the MAC covers: the whole line before `,"mac":`."""
    return canonical.opened(_head(entry) | _sealed(entry))


def body_of(line: bytes) -> bytes:
    """Return the same of a line that was parsed, without encoding it anew."""
    return line[: line.rindex(b',"mac":')]


def encode(entry: Entry) -> bytes:
    """Return the only encoding of `entry`, with its line feed."""
    return canonical.signed(encode_body(entry), "mac", entry.mac)


def parse(line: bytes) -> Entry:
    """Read one line strictly.

    Raises:
        AuditDamaged: it is too long, not of this form, or not the only encoding of what it says.
    """
    if len(line) > MAX_LINE:
        raise AuditDamaged("An entry of the audit log is too long.")
    entry = canonical.strictly(line, _entry)
    if encode(entry) != line:
        raise AuditDamaged("An entry of the audit log is not in its only encoding.")
    return entry


def content_info(entry: Entry, purpose: Literal["content", "key"]) -> bytes:
    """Return what a box of `entry` is bound to, so that it opens nowhere else."""
    return f"appliance audit 1 {purpose}\n".encode() + encode_head(entry)


def pad(content: Mapping[str, Any]) -> bytes:
    """Return canonical JSON filled with spaces to 1, 2, 4 ... 128 KiB: its length says little.

    Raises:
        ValueError: it is longer than 128 KiB or holds what JSON does not.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    size = _BUCKET
    while size < len(text):
        size *= 2
    if size > MAX_CONTENT:
        raise ValueError("too long")
    return text.ljust(size)


def unpad(data: bytes) -> Fields:
    """Undo `pad`.

    Raises:
        AuditDamaged: it is not what `pad` returns.
    """
    content = canonical.strictly(data, lambda raw: raw)
    try:
        if pad(content) == data:
            return content
    except ValueError:
        pass
    raise AuditDamaged("Sealed content is not in its only encoding.")


def _head(entry: Entry) -> Fields:
    raw: Fields = {"n": entry.n, "time": canonical.shown(entry.time)}
    raw |= {"action": entry.action, "outcome": entry.outcome}
    if entry.vault or entry.signer:
        raw |= {"format": FORMAT, "vault": entry.vault.hex(), "signer": entry.signer.hex()}
    if entry.models:
        raw["models"] = dict(sorted(entry.models.items()))
    if entry.chunks:
        raw["chunks"] = [chunk.hex() for chunk in entry.chunks]
    if entry.store:
        raw["store"] = at_fields(entry.store)
    raw |= {"back": entry.back} if entry.back else {}
    raw |= {"cut": entry.cut} if entry.cut else {}
    raw |= {"fault": entry.fault} if entry.fault else {}
    return raw | {"prev": entry.prev.hex()}


def _sealed(entry: Entry) -> Fields:
    raw: Fields = {}
    if entry.reviewers:
        raw["reviewers"] = [
            [canonical.base64_of(who.public.raw), canonical.base64_of(who.box)] for who in entry.reviewers
        ]
    if entry.boxes:
        raw["sealed"] = [[box.to, canonical.base64_of(box.box)] for box in entry.boxes]
    return raw


def _entry(raw: Fields) -> Entry:
    fault = raw.get("fault")
    canonical.need(fault is None or fault in get_args(Fault))
    models = raw.get("models", {})
    canonical.need(type(models) is dict and len(models) <= MAX_MODELS)
    return Entry(
        n=canonical.number(raw["n"], MAX_N),
        time=canonical.moment(raw["time"]),
        action=canonical.text(raw["action"], _WORD),
        outcome=canonical.text(raw["outcome"], _OUTCOME),
        vault=canonical.hexed(raw["vault"], 16) if "vault" in raw else b"",
        signer=canonical.hexed(raw["signer"], 32) if "signer" in raw else b"",
        models={
            canonical.text(name, _MODEL): canonical.hexed(value, 32).hex() for name, value in models.items()
        },
        chunks=tuple(
            canonical.hexed(value, 16) for value in canonical.listed(raw.get("chunks", []), MAX_CHUNKS)
        ),
        store=at_of(raw.get("store")),
        back=canonical.number(raw.get("back", 0), 1 << 40),
        cut=canonical.number(raw.get("cut", 0), 1 << 50),
        fault=cast("Fault | None", fault),
        prev=canonical.hexed(raw["prev"], 32),
        reviewers=tuple(
            _introduction(pair) for pair in canonical.listed(raw.get("reviewers", []), MAX_REVIEWERS)
        ),
        boxes=tuple(_box(pair) for pair in canonical.listed(raw.get("sealed", []), MAX_REVIEWERS)),
        mac=None if raw["mac"] is None else canonical.hexed(raw["mac"], 32),
    )


def _introduction(pair: Any) -> Introduction:
    public, box = canonical.pair(pair)
    return Introduction(ReviewerPublic(canonical.based(public)), canonical.based(box))


def _box(pair: Any) -> Box:
    to, box = canonical.pair(pair)
    return Box(canonical.hexed(to, 16).hex(), canonical.based(box))


def at_fields(at: At) -> list[Any]:
    """Return how the store's sequence and head are written."""
    return [at[0], at[1].hex()]


def at_of(value: Any) -> At | None:
    """Undo `at_fields`; None where there is none."""
    if value is None:
        return None
    sequence, head = canonical.pair(value)
    return canonical.number(sequence, 1 << 62), canonical.hexed(head, 32)


# The state


def encode_state(state: State) -> bytes:
    """Return the only encoding of `state`, one sector, so that a disk writes it whole."""
    data = _STATE.pack(_MAGIC, state.n, state.vault, state.head, state.key, state.signing)
    return (data + hashlib.sha256(data).digest()).ljust(STATE_BYTES, b"\0")


def parse_state(data: bytes) -> State:
    """Read the state strictly.

    Raises:
        AuditDamaged: it is torn, changed or of another length.
    """
    magic, *fields = _STATE.unpack_from(data.ljust(_STATE.size, b"\0"))
    state = State(*fields)
    if magic != _MAGIC or state.n > MAX_N or encode_state(state) != data:
        raise AuditDamaged("The audit log's state is damaged.")
    return state
