"""The verifiers without the program's code read key files and logs as it does: its committed vectors."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from scripts import verify_log, verify_vault

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests/vectors"


def test_it_shares_no_code_with_the_program():
    for path in (ROOT / "scripts/verify_vault.py", ROOT / "scripts/verify_log.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
        third = {name.split(".")[0] for name in named} - sys.stdlib_module_names
        assert third <= {"apsw", "cryptography"}


def _vectors(kind):
    for path in sorted((VECTORS / kind).glob("*.vector")):
        head, _, data = path.read_bytes().partition(b"\n\n")
        yield path.stem, dict(line.split(": ", 1) for line in head.decode().split("\n")), data


def test_it_reads_key_files_as_the_program_does():
    parsed, opened = 0, 0
    for name, fields, data in _vectors("keys"):
        try:
            file = verify_vault.parse_key_file(data)
        except verify_vault.FAULTS:
            assert fields["expect"] == "malformed", name
            continue
        assert fields["expect"] != "malformed", name
        parsed += 1
        if (
            fields["expect"] in ("success", "mac failure")
            and fields.get("secret", "passphrase") == "passphrase"
        ):
            data_key = file.unlocked(fields["passphrase"])
            assert data_key.hex() == fields["data key"], name
            if fields["expect"] == "success":
                file.verified(data_key)
            else:
                with pytest.raises(verify_vault.Wrong):
                    file.verified(data_key)
            opened += 1
    assert parsed > 90
    assert opened > 15


def test_it_reads_logs_as_the_program_does(tmp_path):
    seen = 0
    for name, fields, data in _vectors("audit"):
        if fields["level"] == "reviewer":
            continue
        seen += 1
        folder = tmp_path / name
        folder.mkdir()
        (folder / "audit.log").write_bytes(data)
        if fields["state"] != "missing":
            (folder / "audit.key").write_bytes(bytes.fromhex(fields["state"]))
        points = [folder / "point"] if "checkpoint" in fields else []
        for path in points:
            path.write_bytes(bytes.fromhex(fields["checkpoint"]))
        memory = {"seed": bytes(range(32)).hex()} if fields["level"] == "seed" else {}
        found = verify_log.verify(folder, memory, points).checks
        assert all(ok for _, ok, _ in found) == (fields["expect"] == "success"), (name, fields, found)
    assert seen > 70
