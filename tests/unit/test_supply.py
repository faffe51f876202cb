"""Installed packages that were changed in every way there is, held against an SBOM."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from appliance import supply
from appliance.errors import IntegrityError
from appliance.supply import Difference, verify_installed
from scripts import sbom


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def install(
    folder: Path, name: str = "pump", version: str = "1.0", code: bytes = b"x = 1\n"
) -> PathDistribution:
    """Put a package there as an installer would."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / name).mkdir()
    files = {
        f"{name}/__init__.py": code,
        f"{info.name}/METADATA": f"Name: {name}\nVersion: {version}\n".encode(),
        f"{info.name}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{info.name}/INSTALLER": b"pip\n",
    }
    for path, data in files.items():
        (folder / path).write_bytes(data)
    lines = [record_line(path, data) for path, data in files.items()]
    (info / "RECORD").write_text(
        "\n".join([*lines, f"{name}/__pycache__/__init__.cpython-311.pyc,,", f"{info.name}/RECORD,,"])
    )
    return PathDistribution(info)


def listing(*found: PathDistribution) -> dict:
    """Return the SBOM of what is installed."""
    return {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"name": "appliance"}},
        "components": [
            {
                "name": each.name,
                "version": each.version,
                "scope": "required",
                "purl": f"pkg:pypi/{each.name}@{each.version}",
                "properties": [
                    {"name": supply.CONTENT + supply.tags(each), "value": supply.content_digest(each)}
                ],
            }
            for each in found
        ],
    }


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, dict]:
    return tmp_path, listing(install(tmp_path))


def kinds(place: tuple[Path, dict]) -> list[str]:
    return [difference.kind for difference in verify_installed(place[1], [place[0]])]


def test_what_was_installed_is_as_listed(place) -> None:
    (place[0] / "pump" / "__pycache__").mkdir()
    (place[0] / "pump" / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"cache")
    assert kinds(place) == []


def test_a_changed_file_is_noticed(place) -> None:
    (place[0] / "pump" / "__init__.py").write_bytes(b"x = 2\n")
    assert verify_installed(place[1], [place[0]]) == [Difference("pump", "changed", "pump/__init__.py")]


def test_a_changed_file_whose_record_was_changed_with_it_is_noticed(place) -> None:
    evil = b"x = 666\n"
    (place[0] / "pump" / "__init__.py").write_bytes(evil)
    record = place[0] / "pump-1.0.dist-info" / "RECORD"
    lines = record.read_text().splitlines()
    record.write_text("\n".join([record_line("pump/__init__.py", evil), *lines[1:]]))
    assert kinds(place) == ["record"]


def test_a_file_taken_out_of_the_record_is_noticed(place) -> None:
    record = place[0] / "pump-1.0.dist-info" / "RECORD"
    record.write_text("\n".join(record.read_text().splitlines()[1:]))
    assert kinds(place) == ["record", "stray"]


def test_a_hash_of_another_kind_proves_nothing(place) -> None:
    record = place[0] / "pump-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("sha256=", "md5="))
    assert set(kinds(place)) == {"record", "changed"}


def test_a_removed_file_is_noticed(place) -> None:
    (place[0] / "pump" / "__init__.py").unlink()
    assert kinds(place) == ["lost"]


@pytest.mark.parametrize("name", ["evil.pth", "sitecustomize.py", "pump/extra.py", "deep/er/mod.so"])
def test_a_file_of_nobody_is_noticed(place, name: str) -> None:
    path = place[0] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"import os\n")
    assert verify_installed(place[1], [place[0]]) == [Difference("", "stray", name)]


def test_another_version_is_noticed(place) -> None:
    place[1]["components"][0]["version"] = "1.1"
    assert kinds(place) == ["version"]


def test_a_missing_package_is_noticed(place, tmp_path_factory) -> None:
    assert [each.kind for each in verify_installed(place[1], [tmp_path_factory.mktemp("empty")])] == [
        "missing"
    ]


def test_a_second_copy_of_a_package_is_noticed(place, tmp_path_factory) -> None:
    shadow = tmp_path_factory.mktemp("shadow")
    install(shadow, code=b"x = 3\n")
    found = verify_installed(place[1], [place[0], shadow])
    assert [each.kind for each in found] == ["record"]
    # And put in front, it is the copy that counts.
    assert "record" in [each.kind for each in verify_installed(place[1], [shadow, place[0]])][:1]


def test_a_package_beside_the_list_is_named_but_no_fault(place) -> None:
    install(place[0], "tool")
    differences = verify_installed(place[1], [place[0]])
    assert [each.kind for each in differences] == ["unlisted"]
    assert supply.check(differences).ok
    assert "1 others" in supply.check(differences).detail


def test_every_other_difference_is_a_fault() -> None:
    for kind in ("missing", "version", "changed", "lost", "record", "stray"):
        assert not supply.check([Difference("pump", kind, "")]).ok


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"bomFormat": "CycloneDX", "components": 1}'])
def test_what_is_no_sbom_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "sbom.json").write_bytes(data)
    with pytest.raises(IntegrityError):
        supply.load(tmp_path / "sbom.json")
    with pytest.raises(IntegrityError):
        supply.load(tmp_path / "none.json")


def test_this_installation_is_as_shipped() -> None:
    faults = [each for each in verify_installed(supply.load()) if each.kind != "unlisted"]
    assert faults == []


# The generator.


def test_the_shipped_sbom_is_current() -> None:
    """Where this fails, something it describes has changed: `make sbom`, read the difference, commit it."""
    shipped = supply.load()
    assert sbom.build(sbom.LOCK.read_text("utf-8"), shipped) == shipped


def test_the_same_inputs_give_the_same_bytes() -> None:
    shipped = supply.load()
    once, again = (sbom.encoded(sbom.build(sbom.LOCK.read_text("utf-8"), shipped)) for _ in range(2))
    assert once == again == supply.SBOM.read_bytes()


def test_it_lists_every_package_of_the_lock_with_every_hash() -> None:
    text = sbom.LOCK.read_text("utf-8")
    listed = {each["name"]: each for each in supply.load()["components"] if each.get("scope") == "required"}
    locked = sbom.read_lock(text)
    assert {each.name for each in locked} == set(listed)
    assert sum(len(each["hashes"]) for each in listed.values()) == text.count("--hash=sha256:")


def test_it_names_no_host_no_time_and_no_place_on_this_machine() -> None:
    text = supply.SBOM.read_text("ascii")
    assert "://" not in text
    assert "timestamp" not in text
    assert str(Path.home()) not in text


def test_every_package_has_a_licence_and_every_reference_leads_somewhere() -> None:
    bom = supply.load()
    assert all(each["licenses"][0] for each in bom["components"] if "purl" in each)
    known = {each["bom-ref"] for each in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    for edge in bom["dependencies"]:
        assert {edge["ref"], *edge["dependsOn"]} <= known


def test_digests_of_other_machines_are_kept_until_the_version_changes() -> None:
    text, bom = sbom.LOCK.read_text("utf-8"), json.loads(json.dumps(supply.load()))
    numpy = next(each for each in bom["components"] if each["name"] == "numpy")
    numpy["properties"].append({"name": supply.CONTENT + "cp311-cp311-manylinux_aarch64", "value": "ab"})
    kept = next(each for each in sbom.build(text, bom)["components"] if each["name"] == "numpy")
    assert {"name": supply.CONTENT + "cp311-cp311-manylinux_aarch64", "value": "ab"} in kept["properties"]
    numpy["version"] = "0.1"
    fresh = next(each for each in sbom.build(text, bom)["components"] if each["name"] == "numpy")
    assert "ab" not in [each["value"] for each in fresh["properties"]]
