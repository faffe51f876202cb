"""requirements/run.lock, what is installed, the models' cards, the core's source -> appliance/sbom.json.

    python -m scripts.sbom           write it anew; the last line says how much is in it
    python -m scripts.sbom --check   only say whether it is current; exit 1 where it is not

CycloneDX 1.6. No time and no random number is in it: the same inputs give the same bytes. Content digests of
packages hold for one kind of wheel; those that other machines have put there are kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import apsw
import pypdfium2
from cryptography.hazmat.backends.openssl import backend

from appliance import supply
from scripts import cbom

ROOT: Final = Path(__file__).parent.parent
LOCK: Final = ROOT / "requirements" / "run.lock"
_NAMESPACE: Final = uuid.UUID("6f1c2a52-7d0e-5b0b-9d0c-61706c616e63")
# Compiled anew on each machine, so its files differ from one to the next.
_BUILT_HERE: Final = {"llama-cpp-python"}
# Where the metadata says too little: what the licence files in the package say.
_LICENCES: Final = {
    "apsw-sqlite3mc": "any licence the OSI approved (apsw); MIT (SQLite3 Multiple Ciphers)",
    "docutils": "public domain, BSD-2-Clause and Python-2.0; GPL-3.0-or-later for an Emacs file",
    "pypdfium2": "Apache-2.0 or BSD-3-Clause (pypdfium2); BSD-3-Clause and others (PDFium)",
    "sqlite-vec": "MIT OR Apache-2.0",
}
_SPDX: Final = {
    "MIT": "MIT",
    "MIT License": "MIT",
    "Apache 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "PSFL": "PSF-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
}


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock: `hashes` are the SHA-256 of every artefact it admits."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_lock(text: str) -> list[Locked]:
    """Parse a lock written by scripts/lock.py."""
    return [_locked(entry) for entry in re.split(r"\n(?=[a-z0-9])", text.strip())]


def build(lock: str, previous: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the SBOM as a dictionary; content digests that `previous` has for other wheels are kept."""
    locked = read_lock(lock)
    kept = _kept(previous)
    components = [_package(item, kept.get(item.name, {})) for item in locked]
    components += [*_bundled(), *_models(), *cbom.assets(cbom.inventory())]
    components.sort(key=lambda item: str(item["bom-ref"]))
    bom: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _program()},
        "components": components,
        "dependencies": _dependencies([item.name for item in locked]),
    }
    digest = hashlib.sha256(encoded(bom)).hexdigest()
    return {"serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}", **bom}


def main() -> None:
    """Write the SBOM or say whether it is current."""
    previous = supply.load() if supply.SBOM.exists() else None
    made = encoded(build(LOCK.read_text("utf-8"), previous))
    current = supply.SBOM.exists() and supply.SBOM.read_bytes() == made
    if "--check" not in sys.argv[1:]:
        supply.SBOM.write_bytes(made)
    kinds = [item["type"] for item in json.loads(made)["components"]]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    print(json.dumps({"file": supply.SBOM.relative_to(ROOT).as_posix(), "was_current": current, **counts}))
    sys.exit("--check" in sys.argv[1:] and not current)


def encoded(bom: Mapping[str, Any]) -> bytes:
    """Return the file's bytes."""
    return (json.dumps(bom, indent=1, ensure_ascii=True, sort_keys=True) + "\n").encode("ascii")


def _locked(entry: str) -> Locked:
    head = entry.splitlines()[0].rstrip(" \\").split(" ;")[0]
    name, _, version = head.partition("==")
    return Locked(name, version, tuple(sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))))


def _package(item: Locked, kept: Mapping[str, str]) -> dict[str, Any]:
    found = distribution(item.name)
    if found.version != item.version:
        raise SystemExit(
            f"{item.name} {found.version} is installed, the lock has {item.version}: make install"
        )
    digests = dict(kept)
    if item.name not in _BUILT_HERE:
        digests[supply.CONTENT + supply.tags(found)] = supply.content_digest(found)
    return {
        "type": "library",
        "bom-ref": _ref(item.name),
        "name": item.name,
        "version": item.version,
        "scope": "required",
        "purl": f"pkg:pypi/{item.name}@{item.version}",
        "licenses": [_licence(item.name, found)],
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in item.hashes],
        "properties": [
            {"name": "appliance:hashes", "value": "of every artefact that requirements/run.lock admits"},
            *({"name": name, "value": value} for name, value in sorted(digests.items())),
        ],
    }


def _licence(name: str, found: Distribution) -> dict[str, Any]:
    metadata = found.metadata
    if name in _LICENCES:
        return {"license": {"name": _LICENCES[name]}}
    if metadata["License-Expression"]:
        return {"expression": metadata["License-Expression"]}
    said = metadata["License"] or next(c for c in metadata.get_all("Classifier", []) if "License ::" in c)
    return {"license": {"id": _SPDX[said]} if said in _SPDX else {"name": said}}


def _bundled() -> Iterator[dict[str, Any]]:
    """Yield the native libraries that lie inside packages, as those say it: advisories name these."""
    openssl = backend.openssl_version_text().split()[1]
    ciphers = str(vars(apsw)["mc_version"]).split()[-1]
    inside = {
        ("sqlite", apsw.sqlite_lib_version()): "apsw-sqlite3mc",
        ("sqlite3-multiple-ciphers", ciphers): "apsw-sqlite3mc",
        ("openssl", openssl): "cryptography",
        ("pdfium", pypdfium2.PDFIUM_INFO.tag): "pypdfium2",
        (
            "llama.cpp",
            f"as in llama-cpp-python {distribution('llama-cpp-python').version}",
        ): "llama-cpp-python",
    }
    for (name, version), package in inside.items():
        yield {
            "type": "library",
            "bom-ref": f"native:{name}",
            "name": name,
            "version": version,
            "properties": [{"name": "appliance:inside", "value": package}],
        }


def _models() -> Iterator[dict[str, Any]]:
    for path in sorted((ROOT / "models").glob("*.toml")):
        card = tomllib.loads(path.read_text("utf-8"))
        for file in card["files"]:
            yield {
                "type": "machine-learning-model",
                "bom-ref": f"model:{card['name']}/{file['name']}",
                "name": f"{card['name']}/{file['name']}",
                "version": card["revision"],
                "description": f"{card['source']}; {card['quantization']}",
                "licenses": [{"license": {"name": card["licence"]}}],
                "hashes": [{"alg": "SHA-256", "content": file["sha256"]}],
            }


def _program() -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {
        "type": "application",
        "bom-ref": _ref(project["name"]),
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "purl": f"pkg:pypi/{project['name']}@{project['version']}",
    }


def _dependencies(names: list[str]) -> list[dict[str, Any]]:
    """Return who needs whom inside the lock; what the override leaves out does not appear."""
    edges = {name: _needs(distribution(name), names) for name in names}
    edges["appliance"] = {
        item.split("==")[0]
        for item in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    }
    return [
        {"ref": _ref(name), "dependsOn": sorted(_ref(each) for each in needed)}
        for name, needed in sorted(edges.items())
    ]


def _needs(found: Distribution, names: list[str]) -> set[str]:
    wanted = {
        re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in found.requires or ()
    }
    return wanted & set(names)


def _kept(previous: Mapping[str, Any] | None) -> dict[str, dict[str, str]]:
    """Return each package's content digests of other machines, where its version is the same."""
    kept: dict[str, dict[str, str]] = {}
    for item in (previous or {}).get("components", ()):
        if item.get("scope") != "required" or not _same_version(item):
            continue
        digests = {each["name"]: each["value"] for each in item.get("properties", ())}
        kept[item["name"]] = {
            name: value for name, value in digests.items() if name.startswith(supply.CONTENT)
        }
    return kept


def _same_version(item: Mapping[str, Any]) -> bool:
    try:
        return bool(distribution(item["name"]).version == item["version"])
    except PackageNotFoundError:
        return False


def _ref(name: str) -> str:
    return f"package:{name}"


if __name__ == "__main__":
    main()
