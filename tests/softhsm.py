"""SoftHSM: PKCS#11 tokens in software, in a folder of their own. Tests skip where it is absent."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

_FOLDERS = ("/usr/lib/softhsm", "/usr/lib/x86_64-linux-gnu/softhsm", "/usr/lib/aarch64-linux-gnu/softhsm")
_CONFIG = "SOFTHSM2_CONF"


def prepare(folder: Path, set_variable: Callable[[str, str], None]) -> Path:
    """Give SoftHSM an empty store in `folder` and return its module."""
    found = [path for path in (Path(name, "libsofthsm2.so") for name in _FOLDERS) if path.exists()]
    if not found or not shutil.which("softhsm2-util"):
        pytest.skip("needs SoftHSM: `apt-get install softhsm2`")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    set_variable(_CONFIG, str(config))
    return found[0]


def tokens() -> Path:
    """Return the folder that holds the tokens."""
    return Path(os.environ[_CONFIG]).with_name("tokens")


def add_token(label: str, pin: str) -> None:
    """Make one more token."""
    command = [
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        label,
        "--so-pin",
        "87654321",
        "--pin",
        pin,
    ]
    subprocess.run(command, check=True, capture_output=True)
