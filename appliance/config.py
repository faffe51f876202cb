"""config.toml and the environment -> one frozen Config and the paths of all state."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from appliance.errors import UsageError
from appliance.types import Level

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Config:
    """All that a site may set, with the defaults.

    `home` holds models/, vaults/ and config.toml. `generator` is a model's name, "" for quotes only;
    `reader` is one too, "" to rank sentences without a trained one; `rerank` is how many of the passages
    found it reads, 0 none: then it is not loaded. `refusal` is how much must speak for an answer: "strict",
    "balanced" or "open". `threads` is for the models alike; `lock_minutes` of idleness close a vault in the
    terminal UI, 0 never does.
    """

    home: Path
    vault: str = "main"
    embedding: str = "all-minilm-l6-v2-int8"
    reader: str = "reader-minilm-l6"
    generator: str = "smollm2-135m-cited"
    rerank: int = 6
    refusal: Level = "balanced"
    threads: int = 0
    lock_minutes: int = 15

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """Where models are looked for, in order: the site's own, then those installed beside the program."""
        return (self.home / "models", Path(sys.prefix) / "share" / "appliance" / "models")

    @property
    def cores(self) -> int:
        """The number of threads to compute with: the setting, at most every core this process may run on."""
        most = len(os.sched_getaffinity(0))
        return min(self.threads, most) or most

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the configured models."""
        return tuple(name for name in (self.embedding, self.reader, self.generator) if name)

    def digest(self) -> str:
        """Return the SHA-256, in hex, of all settings: it changes where one of them does."""
        settings = {name: value for name, value in asdict(self).items() if name != "home"}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def vault_folder(self, name: str) -> Path:
        """Return the folder of the vault `name`.

        Raises:
            UsageError: the name could leave the vaults' folder or confuse a terminal.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                "A vault's name has 1 to 63 letters, digits, '-' or '_', the first a letter or digit."
            )
        return self.home / "vaults" / name


def default_home() -> Path:
    """Return APPLIANCE_HOME, else the XDG data folder's `appliance`.

    Raises:
        UsageError: neither is set and this user has no home folder.
    """
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    named = os.environ.get("APPLIANCE_HOME") or f"{base}/appliance"
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError:
        raise UsageError(
            "There is no home folder to keep state in.", hint="Name a folder in APPLIANCE_HOME."
        ) from None


def load(home: Path | None = None) -> Config:
    """Read `home`/config.toml where there is one.

    Raises:
        UsageError: it cannot be read, is not TOML, names an unknown setting, or gives one of the wrong type.
    """
    home = home or default_home()
    path = home / "config.toml"
    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Config(home=home)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    return Config(home=home, **_checked(settings, path))


def _checked(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    defaults = {item.name: item.default for item in fields(Config) if item.name != "home"}
    for name, value in settings.items():
        if name not in defaults:
            raise UsageError(f"{path} has an unknown setting {name!r}; there are: {', '.join(defaults)}.")
        if type(value) is not type(defaults[name]):
            raise UsageError(f"{path}: {name} must be a {type(defaults[name]).__name__}.")
        if isinstance(value, int) and value < 0:
            raise UsageError(f"{path}: {name} must not be negative.")
    if settings.get("refusal", "balanced") not in get_args(Level):
        raise UsageError(f"{path}: refusal must be one of {', '.join(get_args(Level))}.")
    return settings
