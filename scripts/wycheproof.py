"""A folder of Wycheproof's vectors -> whether our primitives, used as we use them, agree with every one.

    python -m scripts.wycheproof FOLDER      FOLDER: a copy of C2SP/wycheproof, or its testvectors_v1

Each primitive is driven through the same class of `cryptography` with the same parameters as in the core:
keys of 256 bits, nonces of 96, whole tags. A vector with other parameters is not ours and is counted apart.
What Wycheproof has no vectors for (Argon2id, the hybrid seal as a whole) stands in published_vectors.py.
The last line is JSON; exit 1 on any disagreement. Vectors are read, never kept: none is in this repository.

Source: C2SP/wycheproof (Apache-2.0).
"""

from __future__ import annotations

import hmac as standard
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Vector = Mapping[str, Any]
# True or False: we agree or not. None: parameters that the core never uses.
Judge = Callable[[Vector, Vector], bool | None]


@dataclass(slots=True)
class Tally:
    """How the vectors of one file came out; `wrong` holds the numbers of those that disagree."""

    name: str
    agreed: int = 0
    not_ours: int = 0
    wrong: tuple[Any, ...] = ()


def aes_gcm(group: Vector, test: Vector) -> bool | None:
    """Judge AES-256-GCM as a slot of the key file uses it."""
    key, nonce, aad, message, body, tag = _bytes(test, "key", "iv", "aad", "msg", "ct", "tag")
    if (len(key), len(nonce), group["tagSize"]) != (32, 12, 128):
        return None
    try:
        opened = AESGCM(key).decrypt(nonce, body + tag, aad)
    except InvalidTag:
        return bool(test["result"] == "invalid")
    sealed = AESGCM(key).encrypt(nonce, message, aad)
    return bool(test["result"] == "valid" and opened == message and sealed == body + tag)


def hkdf(_: Vector, test: Vector) -> bool | None:
    """Judge HKDF-SHA256 as every key of a vault is derived."""
    secret, salt, info, wanted = _bytes(test, "ikm", "salt", "info", "okm")
    try:
        derived = HKDF(hashes.SHA256(), length=test["size"], salt=salt, info=info).derive(secret)
    except ValueError:  # longer than 255 blocks
        return bool(test["result"] == "invalid")
    return bool(test["result"] == "valid" and derived == wanted)


def hmac_sha256(group: Vector, test: Vector) -> bool | None:
    """Judge HMAC-SHA256 by both libraries that the core has it from; a shortened tag is not ours."""
    key, message, tag = _bytes(test, "key", "msg", "tag")
    if group["tagSize"] != 256:
        return None
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(message)
    valid = bool(test["result"] == "valid")
    alike = standard.compare_digest(standard.digest(key, message, "sha256"), tag) == valid
    try:
        mac.verify(tag)
    except InvalidSignature:
        return alike and not valid
    return alike and valid


def ed25519(group: Vector, test: Vector) -> bool | None:
    """Judge Ed25519's verification."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
    signature, message = _bytes(test, "sig", "msg")
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return bool(test["result"] == "invalid")
    return bool(test["result"] == "valid")


def x25519(_: Vector, test: Vector) -> bool | None:
    """Judge X25519, half of the hybrid seal; a shared secret of zeros may be refused."""
    private, public, shared = _bytes(test, "private", "public", "shared")
    try:
        made = X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError:
        return bool(test["result"] == "acceptable" and not any(shared))
    return bool(standard.compare_digest(made, shared))


def mlkem_keygen(_: Vector, test: Vector) -> bool | None:
    """Judge ML-KEM-768's keys from their seed."""
    seed, public = _bytes(test, "seed", "ek")
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw() == public


def mlkem_decapsulate(_: Vector, test: Vector) -> bool | None:
    """Judge ML-KEM-768's opening, half of the hybrid seal."""
    seed, sealed, secret = _bytes(test, "seed", "c", "K")
    try:
        opened = MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(sealed)
    except ValueError:  # of the wrong length
        return bool(test["result"] == "invalid")
    return bool(test["result"] == "valid" and standard.compare_digest(opened, secret))


def mlkem_public_key(_: Vector, test: Vector) -> bool | None:
    """Judge whether a public key that no honest pair has is refused; sealing draws fresh randomness."""
    (public,) = _bytes(test, "ek")
    try:
        MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        return bool(test["result"] == "invalid")
    return bool(test["result"] == "valid")


JUDGES: Final[Mapping[str, Judge]] = {
    "aes_gcm_test.json": aes_gcm,
    "hkdf_sha256_test.json": hkdf,
    "hmac_sha256_test.json": hmac_sha256,
    "ed25519_test.json": ed25519,
    "x25519_test.json": x25519,
    "mlkem_768_keygen_seed_test.json": mlkem_keygen,
    "mlkem_768_test.json": mlkem_decapsulate,
    "mlkem_768_encaps_test.json": mlkem_public_key,
}


def judge_file(path: Path, judge: Judge) -> Tally:
    """Run every vector of one file of Wycheproof."""
    groups = json.loads(path.read_text("utf-8"))["testGroups"]
    return tally(path.name, ((t["tcId"], judge(group, t)) for group in groups for t in group["tests"]))


def tally(name: str, outcomes: Iterable[tuple[Any, bool | None]]) -> Tally:
    """Count (number, outcome) pairs."""
    result = Tally(name)
    for number, outcome in outcomes:
        if outcome is None:
            result.not_ours += 1
        elif outcome:
            result.agreed += 1
        else:
            result.wrong += (number,)
    return result


def run(folder: Path) -> Iterator[Tally]:
    """Yield the outcome of every file of ours in `folder`.

    Raises:
        FileNotFoundError: it lacks one of them.
    """
    inner = folder / "testvectors_v1"
    for name, judge in JUDGES.items():
        yield judge_file((inner if inner.is_dir() else folder) / name, judge)


def report(results: Iterable[Tally]) -> int:
    """Print a line a file and a JSON line; return 1 on any disagreement, or where nothing was compared."""
    done = list(results)
    for each in done:
        print(f"{each.name:40} {each.agreed:6} agree, {len(each.wrong)} disagree, {each.not_ours} not ours")
    agreed, wrong = sum(each.agreed for each in done), sum(len(each.wrong) for each in done)
    not_ours = sum(each.not_ours for each in done)
    print(json.dumps({"vectors": agreed + wrong, "disagreements": wrong, "not_ours": not_ours}))
    return int(bool(wrong) or not agreed)


def _bytes(vector: Vector, *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


if __name__ == "__main__":
    sys.exit(report(run(Path(sys.argv[1]))))
