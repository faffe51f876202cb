"""Rows 7, 34 and 36: what the program is made of, and the primitives and parsers that it uses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from appliance import supply
from scripts import cbom, published_vectors, sbom, wycheproof
from scripts.wycheproof import Tally
from tests.security import lints
from tests.security.box import ROOT
from tests.security.registry import Scale, Tried, row

_CRYPTO = ("weak random", "own xor", "unknown primitives", "stale nonces", "leaky equality")


@row(7, "Standard primitives only, used right")
def primitives(_: Scale) -> Tried:
    """Compare with published vectors, run the lints, hold the inventory against the source."""
    tried = Tried()
    published = _judged(tried, published_vectors.run())
    folder = os.environ.get("WYCHEPROOF")
    traps = _judged(tried, wycheproof.run(Path(folder))) if folder else 0
    if not folder:
        tried.skip("Wycheproof's vectors: name a copy of C2SP/wycheproof in WYCHEPROOF")
    found = [each for name in _CRYPTO for each in lints.findings(name)]
    tried.case(not found, f"unsafe: {found[:5]}")
    files = sum(1 for _path in lints.core("appliance", "tui"))
    difference = set(cbom.inventory()) ^ set(cbom.USED)
    tried.case(not difference, f"not as the crypto inventory says: {sorted(difference)}")
    tried.note = f"{traps} Wycheproof + {published} published vectors, unsafe {len(found)} in {files} files"
    return tried


def _judged(tried: Tried, results: Iterable[Tally]) -> int:
    total = 0
    for each in results:
        count = each.agreed + len(each.wrong)
        total += count
        tried.cases += max(0, count - 1)
        tried.case(
            count and not each.wrong, f"{each.name}: {len(each.wrong)} of {count} disagree: {each.wrong[:5]}"
        )
    return total


@row(34, "SBOM and CBOM current; installed as locked")
def bill(_: Scale) -> Tried:
    """Regenerate the SBOM, verify every installed file, look for what nobody listed."""
    tried = Tried()
    shipped = supply.load()
    made = sbom.build(sbom.LOCK.read_text("utf-8"), shipped)
    tried.case(made == shipped, "appliance/sbom.json is not current: make sbom")
    differences = supply.verify_installed(shipped)
    packages = [each for each in shipped["components"] if each.get("scope") == "required"]
    tried.cases += len(packages)
    for each in differences:
        tried.case(each.kind == "unlisted", f"{each.package}: {each.kind}: {each.detail}")
    command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # What the override of pyproject.toml leaves out on purpose is missing on purpose.
    wrong = [line for line in done.stdout.splitlines() if "requires" in line and not _left_out(line)]
    tried.case(not wrong, f"pip check: {wrong[:3]}")
    hashes = sum(len(each["hashes"]) for each in packages)
    tried.note = f"{len(packages)} packages, {hashes} locked hashes; two builds were not compared"
    return tried


def _left_out(line: str) -> bool:
    return any(name in line for name in ("diskcache", "jinja2", "huggingface-hub", "huggingface_hub"))


@row(36, "Bytes never become objects")
def deserialisation(_: Scale) -> Tried:
    """Look for pickle and its kin in the source, and in what the running program loads."""
    tried = Tried()
    for found in lints.findings("object makers"):
        tried.case(ok=False, failure=found)
    tried.cases += sum(1 for _path in lints.core("appliance", "tui"))
    code = (
        "import appliance.worker, appliance.embed, appliance.ingest.parse.helper, sys\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = set(done.stdout.split())
    tried.case(done.returncode == 0, done.stderr[-200:])
    for name in ("diskcache", "jinja2", "yaml", "dill", "joblib", "torch", "cloudpickle"):
        tried.case(name not in loaded, f"{name} is imported by the worker")
    tried.note = "every file of the core and the screens, and what a worker imports"
    return tried
