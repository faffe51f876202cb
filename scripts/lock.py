"""pyproject.toml + requirements/build.in -> requirements/*.lock, hashed, naming no registry.

Needs `uv` on the PATH. Each lock holds only what the one before it does not: build < run < factory < dev.
Packages that the override in pyproject.toml leaves out do not appear at all.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "requirements"
NEVER = "sys_platform == 'never'"


def compile_lock(source: Path, *extras: str) -> dict[str, str]:
    """Resolve `source` for every platform and return each package's lines by its name."""
    command = ["uv", "pip", "compile", "-q", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", str(source)]
    for extra in extras:
        command += ["--extra", extra]
    text = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    return {entry.split("==")[0]: entry for entry in entries if NEVER not in entry.splitlines()[0]}


def main() -> None:
    """Write the four locks and print how many packages each holds."""
    project = ROOT / "pyproject.toml"
    build = compile_lock(FOLDER / "build.in")
    run = compile_lock(project)
    factory = compile_lock(project, "factory")
    dev = compile_lock(project, "factory", "dev", "fido2", "pkcs11")  # what is optional has tests too
    locks = {
        "build": build,
        "run": run,
        "factory": {name: entry for name, entry in factory.items() if name not in run},
        "dev": {name: entry for name, entry in dev.items() if name not in factory},
    }
    for name, entries in locks.items():
        text = "".join(f"{entry.rstrip()}\n" for entry in entries.values())
        (FOLDER / f"{name}.lock").write_text(text, "utf-8")
    print(json.dumps({name: len(entries) for name, entries in locks.items()}))


if __name__ == "__main__":
    main()
