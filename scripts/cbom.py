"""The core's syntax trees -> which file uses which cryptographic primitive, and what each is used for.

`USED` is the allow-list: a name of `cryptography`, `hashlib`, `hmac`, `secrets` or the system's random source
that stands in the core and not here, or the other way round, fails tests/architecture/test_crypto_use.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
ENGINE: Final = "appliance/vault/database/engine.py"
_LIBRARIES: Final = ("cryptography", "hashlib", "hmac", "secrets")
_FLAT: Final = ("hashlib.", "secrets.", "hmac.")  # modules of functions
_HAZMAT: Final = "cryptography.hazmat.primitives"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One primitive as CycloneDX 1.6 describes it; `classical` and `quantum` are security levels.

    `classical` is in bits; `quantum` is NIST's category, 0 where none applies or a large quantum computer
    breaks it.
    """

    name: str
    primitive: str
    functions: tuple[str, ...]
    parameter: str
    purpose: str
    library: str = "cryptography"
    mode: str | None = None
    classical: int = 256
    quantum: int = 5


_PAGES = "apsw-sqlite3mc"
_SEAL = "an officer's escrow slot, and the audit log's content for a reviewer: HPKE (RFC 9180)"
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "aes-256-gcm": Algorithm(
        "AES-256-GCM",
        "ae",
        ("encrypt", "decrypt", "tag"),
        "256",
        "the data key in each slot, a reviewer's credential, inside HPKE; random nonces, a key seals once",
        mode="gcm",
    ),
    "argon2id": Algorithm(
        "Argon2id",
        "kdf",
        ("keyderive",),
        "256 MiB, 3 passes, 4 lanes; at least 64 MiB, 3, 4",
        "wrapping keys from passphrases, key files, recovery codes",
        quantum=0,
    ),
    "hkdf-sha256": Algorithm(
        "HKDF-SHA256", "kdf", ("keyderive",), "256", "all keys of a vault from its data key; inside HPKE"
    ),
    "hmac-sha256": Algorithm(
        "HMAC-SHA256",
        "mac",
        ("tag", "verify", "keyderive"),
        "256",
        "the key file's MAC; the audit log's MACs, and the next key from each key",
        library="cryptography, hmac",
    ),
    "sha-256": Algorithm(
        "SHA-256",
        "hash",
        ("digest",),
        "256",
        "model files, documents, packages, the audit log's chain; inside HKDF and HMAC",
        library="cryptography, hashlib",
        classical=128,
        quantum=2,
    ),
    "blake2b": Algorithm(
        "BLAKE2b-MAC",
        "mac",
        ("tag", "verify"),
        "256",
        "the store's MAC tree and anchor: the vault's id as salt, the kind of leaf as person (RFC 7693)",
        library="hashlib",
    ),
    "ed25519": Algorithm(
        "Ed25519",
        "signature",
        ("sign", "verify"),
        "255",
        "checkpoints of the audit log, by the log and by a reviewer",
        classical=128,
        quantum=0,
    ),
    "hpke": Algorithm(
        "HPKE, ML-KEM-768 with X25519 (0x647a), HKDF-SHA256, AES-256-GCM",
        "combiner",
        ("encapsulate", "decapsulate", "encrypt", "decrypt"),
        "768 + 255",
        _SEAL,
        classical=192,
        quantum=3,
    ),
    "ml-kem-768": Algorithm(
        "ML-KEM-768",
        "kem",
        ("keygen", "encapsulate", "decapsulate"),
        "768",
        _SEAL,
        classical=192,
        quantum=3,
    ),
    "x25519": Algorithm(
        "X25519", "key-agree", ("keygen", "keyderive"), "255", _SEAL, classical=128, quantum=0
    ),
    "random": Algorithm(
        "getrandom(2)",
        "drbg",
        ("generate",),
        "the kernel's",
        "keys, salts, nonces, vault ids, names of temporary files",
        library="secrets",
        quantum=0,
    ),
    "aes-256-cbc": Algorithm(
        "AES-256-CBC",
        "block-cipher",
        ("encrypt", "decrypt"),
        "256",
        "pages of a store of profile `sqlcipher`; a random IV a write; MAC over page, IV and page number",
        library=_PAGES,
        mode="cbc",
    ),
    "hmac-sha512": Algorithm(
        "HMAC-SHA512", "mac", ("tag", "verify"), "256", "pages of profile `sqlcipher`", library=_PAGES
    ),
    "pbkdf2-hmac-sha512": Algorithm(
        "PBKDF2-HMAC-SHA512",
        "kdf",
        ("keyderive",),
        "2 rounds",
        "the pages' MAC key from the page key, which is random already (SQLCipher 4 format)",
        library=_PAGES,
    ),
    "aegis-256": Algorithm(
        "AEGIS-256", "ae", ("encrypt", "decrypt", "tag"), "256", "pages of profile `aegis`", library=_PAGES
    ),
    "chacha20-poly1305": Algorithm(
        "ChaCha20-Poly1305",
        "ae",
        ("encrypt", "decrypt", "tag"),
        "256",
        "pages of profile `chacha20`",
        library=_PAGES,
    ),
}

# Each name that the core may use -> the algorithm it stands for, None where it is none.
USED: Final[Mapping[str, str | None]] = {
    "cryptography.exceptions.InvalidSignature": None,
    "cryptography.exceptions.InvalidTag": None,
    f"{_HAZMAT}.asymmetric.ed25519.Ed25519PrivateKey": "ed25519",
    f"{_HAZMAT}.asymmetric.ed25519.Ed25519PublicKey": "ed25519",
    f"{_HAZMAT}.asymmetric.mlkem.MLKEM768PrivateKey": "ml-kem-768",
    f"{_HAZMAT}.asymmetric.mlkem.MLKEM768PublicKey": "ml-kem-768",
    f"{_HAZMAT}.asymmetric.x25519.X25519PrivateKey": "x25519",
    f"{_HAZMAT}.asymmetric.x25519.X25519PublicKey": "x25519",
    f"{_HAZMAT}.ciphers.aead.AESGCM": "aes-256-gcm",
    f"{_HAZMAT}.hashes.SHA256": "sha-256",
    f"{_HAZMAT}.hmac.HMAC": "hmac-sha256",
    f"{_HAZMAT}.hpke.AEAD": "hpke",
    f"{_HAZMAT}.hpke.KDF": "hpke",
    f"{_HAZMAT}.hpke.KEM": "hpke",
    f"{_HAZMAT}.hpke.MLKEM768X25519PrivateKey": "hpke",
    f"{_HAZMAT}.hpke.MLKEM768X25519PublicKey": "hpke",
    f"{_HAZMAT}.hpke.Suite": "hpke",
    f"{_HAZMAT}.kdf.argon2.Argon2id": "argon2id",
    f"{_HAZMAT}.kdf.hkdf.HKDF": "hkdf-sha256",
    "hashlib.blake2b": "blake2b",
    "hashlib.sha256": "sha-256",
    "hmac.compare_digest": None,
    "hmac.digest": "hmac-sha256",
    "secrets.token_bytes": "random",
    "secrets.token_hex": "random",
}
# What the SQLite driver brings; no import names it, the cipher profiles in keyfile.py do.
IN_ENGINE: Final = ("aes-256-cbc", "hmac-sha512", "pbkdf2-hmac-sha512", "aegis-256", "chacha20-poly1305")


def names_used(tree: ast.Module) -> set[str]:
    """Return the dotted names that a module takes from the cryptographic libraries.

    A class or function that is imported counts as it is; of an imported module, each attribute that is used.
    """
    modules, found = {}, set()
    for node in ast.walk(tree):
        for local, dotted in _imported(node):
            if isinstance(node, ast.Import) and "." in dotted:
                found.add(dotted)  # a module by its full path: not how we write it
            elif dotted.rpartition(".")[2].islower() and not dotted.startswith(_FLAT):
                modules[local] = dotted
            else:
                found.add(dotted)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found.add(f"{modules[node.value.id]}.{node.attr}")
    return found


def inventory(root: Path = ROOT) -> dict[str, set[str]]:
    """Return for each name used in the core the files that use it, relative to `root`."""
    found: dict[str, set[str]] = {}
    for path in sorted((root / "appliance").rglob("*.py")):
        for name in names_used(ast.parse(path.read_text("utf-8"))):
            found.setdefault(name, set()).add(path.relative_to(root).as_posix())
    return found


def assets(used: Mapping[str, set[str]]) -> list[dict[str, Any]]:
    """Return one CycloneDX component for each algorithm, with the files in which it occurs.

    Raises:
        KeyError: a name is used that `USED` does not know.
    """
    places: dict[str, set[str]] = {name: {ENGINE} for name in IN_ENGINE}
    for name, files in used.items():
        algorithm = USED[name]
        if algorithm is not None:
            places.setdefault(algorithm, set()).update(files)
    return [_asset(key, ALGORITHMS[key], sorted(files)) for key, files in sorted(places.items())]


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (local name, dotted name) for each import from the libraries."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] in _LIBRARIES:
                yield alias.asname or alias.name, alias.name
    elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in _LIBRARIES:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _asset(key: str, algorithm: Algorithm, files: list[str]) -> dict[str, Any]:
    properties = {
        "primitive": algorithm.primitive,
        "parameterSetIdentifier": algorithm.parameter,
        "executionEnvironment": "software-plain-ram",
        "cryptoFunctions": list(algorithm.functions),
        "classicalSecurityLevel": algorithm.classical,
        "nistQuantumSecurityLevel": algorithm.quantum,
    }
    if algorithm.mode:
        properties["mode"] = algorithm.mode
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"crypto:{key}",
        "name": algorithm.name,
        "cryptoProperties": {"assetType": "algorithm", "algorithmProperties": properties},
        "evidence": {"occurrences": [{"location": file} for file in files]},
        "properties": [
            {"name": "appliance:library", "value": algorithm.library},
            {"name": "appliance:purpose", "value": algorithm.purpose},
        ],
    }
