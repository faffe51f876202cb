"""The shipped SBOM and the installed packages -> every difference between them, from the standard library.

`sbom.json` (CycloneDX 1.6, made by `python -m scripts.sbom`) names each package of the lock, the hashes of
all artefacts that the lock admits, and each cryptographic primitive with the files that use it.

A file is held against its package's RECORD, and the RECORD against the digest that the SBOM has for this
kind of machine, so changing both is noticed too; where the SBOM has none, as for what was compiled here,
only the first holds. Not covered: compiled caches (`__pycache__`), the interpreter, our own source.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from appliance.errors import IntegrityError
from appliance.types import Check

SBOM: Final = Path(__file__).with_name("sbom.json")
CONTENT: Final = "appliance:content:"
"""The property that holds a package's content digest; the wheel's tags follow the colon."""

Kind = Literal["missing", "version", "changed", "lost", "record", "unlisted", "stray"]

# What an installer adds to a wheel's RECORD, by name; scripts (a path that leaves the folder) come on top.
_INSTALLERS: Final = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD", "uv_cache.json"}
_CACHED: Final = re.compile(r"(.*/)?__pycache__/[^/]*\.pyc")


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which what is installed is not what the SBOM says.

    `kind`: a package is missing, of another version, not in the SBOM (unlisted), or its RECORD is not the
    wheel's (record); a file of it is changed or lost; a file belongs to no package (stray).
    """

    package: str
    kind: Kind
    detail: str


def load(path: Path = SBOM) -> dict[str, Any]:
    """Read an SBOM.

    Raises:
        IntegrityError: it is missing or not one.
    """
    try:
        sbom = json.loads(path.read_bytes())
        if sbom["bomFormat"] == "CycloneDX" and isinstance(sbom["components"], list):
            return dict(sbom)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise IntegrityError("The list of what the program is made of (sbom.json) is missing or damaged.")


def verify_installed(sbom: Mapping[str, Any], folders: Iterable[Path] | None = None) -> list[Difference]:
    """Compare the packages installed in `folders` (default: those of this interpreter) with `sbom`."""
    places = None if folders is None else [str(folder) for folder in folders]
    installed = list(_distributions(places))
    found = {_canonical(each.name): each for each in reversed(installed)}  # the first one is imported
    packages = {item["name"]: item for item in sbom["components"] if "purl" in item and _is_package(item)}
    differences = [
        difference for name, item in packages.items() for difference in _compare(name, item, found.get(name))
    ]
    own = _canonical(sbom["metadata"]["component"]["name"])
    differences += [
        Difference(name, "unlisted", f"{each.version} is installed beside what the SBOM lists")
        for name, each in sorted(found.items())
        if name not in packages and name != own
    ]
    return [*differences, *_twice(installed), *_strays(installed)]


def check(differences: Iterable[Difference]) -> Check:
    """Sum up in one line; packages beside those of the SBOM are no fault: a development tree has them."""
    kinds: dict[str, list[str]] = {}
    for difference in differences:
        kinds.setdefault(difference.kind, []).append(difference.package)
    beside = len(kinds.pop("unlisted", []))
    faults = [f"{kind}: {', '.join(sorted(set(names)))}" for kind, names in kinds.items()]
    detail = "; ".join(faults) or "every listed package is as its wheel was"
    return Check(
        "packages", ok=not faults, detail=detail + (f"; {beside} others installed" if beside else "")
    )


def content_digest(distribution: Distribution) -> str:
    """Return the SHA-256 over the RECORD's lines that came with the wheel, in order of their paths."""
    lines = sorted(",".join(entry) for entry in _record(distribution) if _from_wheel(entry[0]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def tags(distribution: Distribution) -> str:
    """Return the tags of the wheel that was installed, for example `cp311-cp311-manylinux_2_28_x86_64`."""
    wheel = distribution.read_text("WHEEL") or ""
    return " ".join(re.findall(r"^Tag: (\S+)$", wheel, re.MULTILINE))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distributions(places: list[str] | None) -> Iterable[Distribution]:
    return distributions() if places is None else distributions(path=places)


def _is_package(item: Mapping[str, Any]) -> bool:
    return str(item["purl"]).startswith("pkg:pypi/") and item.get("scope") == "required"


def _compare(name: str, item: Mapping[str, Any], found: Distribution | None) -> Iterator[Difference]:
    if found is None:
        yield Difference(name, "missing", "in the SBOM, not installed")
        return
    if found.version != item["version"]:
        yield Difference(name, "version", f"{found.version} is installed, the SBOM has {item['version']}")
        return
    wanted = {entry["name"]: entry["value"] for entry in item.get("properties", ())}
    digest = wanted.get(CONTENT + tags(found))
    if digest is not None and digest != content_digest(found):
        yield Difference(name, "record", "its list of files is not the one of the wheel")
    yield from _files(name, found)


def _twice(installed: Iterable[Distribution]) -> Iterator[Difference]:
    """Yield each package that is there a second time: which files are its own would be anyone's guess."""
    seen = set()
    for each in installed:
        name = _canonical(each.name)
        if name in seen:
            yield Difference(name, "record", f"{each.version} is installed besides")
        seen.add(name)


def _files(name: str, found: Distribution) -> Iterator[Difference]:
    for path, digest, _ in _record(found):
        if not digest:
            continue  # the RECORD itself and compiled caches carry no hash
        try:
            content = Path(str(found.locate_file(path))).read_bytes()
        except OSError:
            yield Difference(name, "lost", path)
            continue
        if _encoded(content, digest.partition("=")[0]) != digest:
            yield Difference(name, "changed", path)


def _encoded(content: bytes, algorithm: str) -> str:
    """Hash as a RECORD does (PEP 376, PEP 427); another algorithm than SHA-256 never fits."""
    if algorithm != "sha256":
        return ""
    raw = hashlib.sha256(content).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _record(distribution: Distribution) -> list[tuple[str, str, str]]:
    rows = csv.reader(io.StringIO(distribution.read_text("RECORD") or ""))
    return [(row[0], row[1], row[2]) for row in rows if len(row) == 3]


def _from_wheel(path: str) -> bool:
    name = PurePosixPath(path).name
    return not path.startswith("../") and name not in _INSTALLERS and not name.endswith(".pyc")


def _strays(found: Iterable[Distribution]) -> Iterator[Difference]:
    """Yield each file beside the packages that no RECORD knows: a `.pth` put there is run at every start."""
    known: dict[Path, set[str]] = {}
    for each in found:
        folder = Path(str(each.locate_file("")))
        known.setdefault(folder, set()).update(path for path, _, _ in _record(each))
    for folder, paths in sorted(known.items()):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if name not in paths and not _CACHED.fullmatch(name) and not path.is_dir():
                yield Difference("", "stray", name)
