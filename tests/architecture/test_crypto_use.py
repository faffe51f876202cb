"""Cryptography is used as the inventory says and in no other way (rows 7, 36, 38); each lint can fail."""

from __future__ import annotations

import ast

import pytest

from scripts import cbom
from tests.security import lints

BAD = {
    "weak random": [
        "import random",
        "from random import choice",
        "import numpy as np\nnp.random.default_rng()",
    ],
    "own xor": ["c = bytes(a ^ b for a, b in zip(x, y))", "key ^= pad"],
    "unknown primitives": [
        "import hashlib\nhashlib.md5(b'')",
        "from hashlib import sha1",
        "from cryptography.hazmat.primitives.ciphers.modes import ECB",
        "from cryptography.hazmat.primitives import hashes as h\nh.MD5()",
        "import cryptography.fernet",
    ],
    "stale nonces": [
        "nonce = b'0' * 12",
        "salt, nonce = secrets.token_bytes(16), bytes(12)",
        "Slot(nonce=counter.to_bytes(12, 'big'))",
    ],
    "leaky equality": [
        "if mac == wanted: pass",
        "ok = file.header_mac != other",
        "self.passphrase() == typed",
    ],
    "formatted sql": [
        "db.execute(f'SELECT {name} FROM t')",
        "db.run('SELECT ' + name)",
        "db.rows('SELECT %s' % name)",
        "db.value('SELECT {}'.format(name))",
    ],
    "object makers": ["import pickle", "eval(text)", "np.load(f, allow_pickle=True)", "import yaml.loader"],
}
GOOD = {
    "weak random": ["import secrets", "frandom = 1"],
    "own xor": ["a = b | c"],
    "unknown primitives": ["import hashlib\nhashlib.sha256(b'')", "from secrets import token_bytes"],
    "stale nonces": [
        "nonce = secrets.token_bytes(12)",
        "nonce = data[4:16]",
        "salt, nonce = os.urandom(16), kept",
    ],
    "leaky equality": ["hmac.compare_digest(mac, wanted)", "kind == 'key file'", "len(key) == KEY_BYTES"],
    "formatted sql": [
        "db.execute('SELECT ?', (name,))",
        "db.run(f'SELECT {_COLUMNS} FROM t')",
        "', '.join(rows)",
    ],
    "object makers": ["json.loads(text)", "re.compile(p)"],
}


@pytest.mark.parametrize("name", lints.LINTS)
def test_the_core_and_the_screens_are_clean(name: str) -> None:
    assert lints.findings(name) == []


@pytest.mark.parametrize("name", lints.ALLOWED)
def test_no_exception_outlives_its_reason(name: str) -> None:
    assert lints.unneeded(name) == set()


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, codes in BAD.items() for code in codes])
def test_the_lint_finds_what_is_wrong(name: str, code: str) -> None:
    assert list(lints.LINTS[name]("x.py", ast.parse(code)))


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, codes in GOOD.items() for code in codes])
def test_the_lint_leaves_what_is_right(name: str, code: str) -> None:
    assert list(lints.LINTS[name]("x.py", ast.parse(code))) == []


def test_the_inventory_lists_what_the_core_uses_and_nothing_else() -> None:
    assert set(cbom.inventory()) == set(cbom.USED)


def test_every_algorithm_in_the_inventory_is_one_that_something_stands_for() -> None:
    named = {algorithm for algorithm in cbom.USED.values() if algorithm} | set(cbom.IN_ENGINE)
    assert named == set(cbom.ALGORITHMS)
