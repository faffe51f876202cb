"""The suite runs without a network: the kernel refuses every socket but AF_UNIX, in all children too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from appliance import sandbox
from appliance.config import Config

SHARED = Path(__file__).parents[2] / "shared" / "data"
MODELS = Path(sys.prefix) / "share" / "appliance" / "models"
PASSPHRASE = b"a passphrase for tests"


def pytest_configure() -> None:
    sandbox.no_network()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data sets; tests that need them skip where they are absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data sets in {SHARED.parent.name}/{SHARED.name} beside the clone")
    return SHARED


@pytest.fixture(scope="session")
def built_models() -> Path:
    """The folder of the default models, built by `make models`."""
    if not (MODELS / ".built").exists():
        pytest.skip("needs the default models: `make models`")
    return MODELS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own."""
    folder = tmp_path / "home"
    monkeypatch.setitem(os.environ, "APPLIANCE_HOME", str(folder))
    return folder


@pytest.fixture
def settings(home: Path) -> Config:
    """The default configuration in a state folder of its own."""
    return Config(home=home)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A file that holds the tests' passphrase."""
    path = tmp_path / "secret"
    path.write_bytes(PASSPHRASE + b"\n")
    return path
