"""What importing really loads, seen from outside in a fresh interpreter."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEVER = {
    "torch",
    "transformers",
    "diskcache",
    "jinja2",
    "fastembed",
    "huggingface_hub",
    "requests",
    "httpx",
    "urllib3",
}
ENGINES = {
    "apsw": ["appliance/vault/database/engine.py"],
    "sqlite_vec": ["appliance/vault/database/engine.py"],
    "llama_cpp": ["appliance/generate/llm.py"],
    "onnxruntime": ["appliance/inference.py"],
    "tokenizers": ["appliance/inference.py"],
    "pypdfium2": ["appliance/ingest/parse/pdf.py", "appliance/ingest/parse/pdf_drawn.py"],
    "docutils": ["appliance/ingest/parse/rst.py"],
    "markdown_it": ["appliance/ingest/parse/markdown.py"],
    "selectolax": ["appliance/ingest/parse/html.py"],
}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level names of all modules in a fresh interpreter after `statement`."""
    names = "{name.split('.')[0] for name in sys.modules}"
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({names})))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_worker_loads_no_screen_no_trainer_no_network_client() -> None:
    loaded = loaded_by("import appliance.worker, appliance.embed, appliance.generate.llm as llm; llm.llama()")
    assert not loaded & (NEVER | {"textual", "rich"})


def test_importing_the_command_line_loads_no_engine() -> None:
    assert not loaded_by("import appliance.cli.main") & (
        NEVER | {"textual", "apsw", "onnxruntime", "llama_cpp", "numpy"}
    )


def test_importing_the_screens_loads_no_engine() -> None:
    assert not loaded_by("import tui.app") & (NEVER | {"apsw", "onnxruntime", "llama_cpp"})


@pytest.mark.parametrize(("engine", "homes"), ENGINES.items())
def test_each_engine_is_named_in_one_place(engine: str, homes: list[str]) -> None:
    users = [path for path in (ROOT / "appliance").rglob("*.py") if engine in imported_by(path)]
    assert sorted(str(path.relative_to(ROOT)) for path in users) == homes


@pytest.mark.parametrize("package", ["fido2", "pkcs11"])
def test_a_devices_package_is_imported_by_one_file_and_by_nobody_who_has_no_device(package: str) -> None:
    users = [path for path in (ROOT / "appliance").rglob("*.py") if package in statements(path)]
    assert [str(path.relative_to(ROOT)) for path in users] == [f"appliance/devices/{package}.py"]
    assert package not in loaded_by("import appliance.worker, appliance.cli.main, tui.app")


def test_nothing_turns_bytes_into_objects() -> None:
    banned = {"pickle", "marshal", "shelve", "dill", "yaml"}
    calls = {"eval", "exec"}
    for path in [*(ROOT / "appliance").rglob("*.py"), *(ROOT / "tui").rglob("*.py")]:
        assert not imported_by(path) & banned, path
        names = {
            n.func.id
            for n in ast.walk(tree(path))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert not names & calls, path


@pytest.mark.parametrize("package", ["appliance", "tui"])
def test_every_package_says_what_goes_in_and_what_comes_out(package: str) -> None:
    for init in (ROOT / package).rglob("__init__.py"):
        assert "->" in (ast.get_docstring(tree(init)) or ""), init


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for folder in ("appliance", "tui", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: lines for name, lines in long.items() if lines > 420} == {}


def imported_by(path: Path) -> set[str]:
    """Return the top-level packages that `path` imports, strings given to import machinery included."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def statements(path: Path) -> set[str]:
    """Return the top-level packages in the import statements of `path`."""
    nodes = list(ast.walk(tree(path)))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in named}


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of `path`."""
    return ast.parse(path.read_text("utf-8"))
