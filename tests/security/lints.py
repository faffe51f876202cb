"""The core's syntax trees -> each line that could break a cryptographic or parsing promise.

Every function takes (path, tree) and yields `path:line: what`. They are heuristics over names and shapes:
they find the mistake that is made by accident, not the one that is hidden on purpose. What is fine after all
stands in a list with its reason; an entry that nothing needs any more is an error too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts import cbom

ROOT = Path(__file__).parents[2]
Lint = Callable[[str, ast.Module], Iterator[str]]

# (file, the line's code) -> why it is fine.
RANDOM_ALLOWED = {
    ("appliance/evaluation/metrics.py", "np.random"): "resamples of figures, by a seed that is printed",
    ("appliance/evaluation/sets.py", "np.random"): "a sample of questions, by a seed that is printed",
}
XOR_ALLOWED = {
    (
        "appliance/vault/database/coarse.py",
        "lane ^ bits",
    ): "Hamming distance of public-size bit vectors, no cipher",
}
# The seal's MACs are compared once, where a store is opened or read: whoever changed it learns one bit,
# "refused", and pays an unlock for it.
_SEAL = "a MAC of the store's own rows"
EQUAL_ALLOWED = {
    ("appliance/generate/check.py", "key == other"): "a word of the text",
    ("appliance/posture.py", "key == name"): "a name",
    ("appliance/vault/seal/ledger.py", "self._sealer.mac('pages', number, *starts) != sealed.pages"): _SEAL,
    (
        "appliance/vault/seal/ledger.py",
        "self._sealer.mac('chunk', *row) != self.index().entries['text'][at].tobytes()",
    ): _SEAL,
    ("appliance/vault/seal/ledger.py", "self._sealer.mac('text', number, row[0]) != sealed.text"): _SEAL,
    (
        "appliance/vault/seal/ledger.py",
        "self._sealer.mac('signs', number, signs[at:at + count].tobytes()) != mac",
    ): _SEAL,
    ("appliance/vault/seal/ledger.py", "self._nodes.get(number) == node"): _SEAL,
    (
        "appliance/vault/seal/ledger.py",
        "self._sealer.mac('document', *found[number]) != self._nodes[number]",
    ): _SEAL,
    (
        "appliance/vault/audit/trail.py",
        "self._keys.at(found.n) != key",
    ): "two keys the verifier derived itself",
    ("appliance/vault/audit/trail.py", "key != after.state.key"): "two keys the verifier derived itself",
}
NONCE_ALLOWED = {
    (
        "appliance/vault/seal/copying.py",
        "key.page_salt()",
    ): "derived, no secret: each vault has its own data key",
    ("appliance/vault/store.py", "key.page_salt()"): "derived, no secret: each vault has its own data key",
    (
        "appliance/vault/access/keyfile.py",
        "b'' if isinstance(slot, Escrow) else slot.nonce",
    ): "an officer's slot has none",
}
SQL_ALLOWED = {
    ("appliance/vault/seal/ledger.py", "f'SELECT * FROM {table}'"): "one of our own tables",
    ("appliance/vault/seal/sealing.py", "f'SELECT * FROM {table} WHERE rowid = ?'"): "one of our own tables",
}

_SECRETIVE = {
    "mac",
    "tag",
    "hmac",
    "secret",
    "secrets",
    "passphrase",
    "password",
    "key",
    "keys",
    "token",
    "seed",
    "leaf",
    "node",
}
_FRESH = re.compile(r"(^|_)(nonce|salt|iv)s?$")
_RANDOM = {"secrets.token_bytes", "os.urandom"}
_SQL_CALLS = {"execute", "executemany", "run", "run_each", "rows", "row", "value", "each"}
_PICKLES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "jsonpickle", "torch"}
_EVAL = {"eval", "exec", "compile", "__import__"}


def core(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield (path, tree) for every file of the core, or of the packages named."""
    for package in packages or ("appliance",):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def weak_random(path: str, tree: ast.Module) -> Iterator[str]:
    """Find `random`, numpy's generators too: none of them is for secrets."""
    for node in ast.walk(tree):
        imports = isinstance(node, ast.Import) and any(
            each.name.split(".")[0] == "random" for each in node.names
        )
        imports |= isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1] == "random"
        if imports or (isinstance(node, ast.Attribute) and node.attr == "random"):
            yield from _unless(RANDOM_ALLOWED, path, node)


def own_xor(path: str, tree: ast.Module) -> Iterator[str]:
    """Find `^`: what a home-made cipher is made of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.BitXor):
            yield from _unless(XOR_ALLOWED, path, node)


def unknown_primitives(path: str, tree: ast.Module) -> Iterator[str]:
    """Find names of cryptographic libraries that the inventory does not list."""
    for name in sorted(cbom.names_used(tree) - set(cbom.USED)):
        yield f"{path}:0: {name}"


def stale_nonces(path: str, tree: ast.Module) -> Iterator[str]:
    """Find a nonce, salt or IV that is given a constant, or is not fresh from the system's random source.

    Read from a file (a name, an attribute, a slice) is fine: that is the other side.
    """
    for target, value in _assignments(tree):
        if not _FRESH.search(target) or isinstance(value, ast.Name | ast.Attribute | ast.Subscript):
            continue
        if isinstance(value, ast.Call) and ast.unparse(value.func) in _RANDOM:
            continue
        yield from _unless(NONCE_ALLOWED, path, value)


def leaky_equality(path: str, tree: ast.Module) -> Iterator[str]:
    """Find `==` and `!=` on what is named like a secret or its MAC: it takes longer the more is right."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant | ast.Set) or _last_name(side).isupper() for side in sides):
                continue  # a name, a number: no secret of ours is written down
            if any(_SECRETIVE & set(_last_name(side).lower().split("_")) for side in sides):
                yield from _unless(EQUAL_ALLOWED, path, node)


def formatted_sql(path: str, tree: ast.Module) -> Iterator[str]:
    """Find a statement that is put together at run time."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if node.func.attr in _SQL_CALLS and _put_together(node.args[0]):
            yield from _unless(SQL_ALLOWED, path, node.args[0])


def object_makers(path: str, tree: ast.Module) -> Iterator[str]:
    """Find what turns bytes into objects or code."""
    for node in ast.walk(tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        calls = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _EVAL
        allow = isinstance(node, ast.keyword) and node.arg == "allow_pickle"
        if calls or allow or any(name.split(".")[0] in _PICKLES for name in names):
            yield f"{path}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


LINTS: dict[str, Lint] = {
    "weak random": weak_random,
    "own xor": own_xor,
    "unknown primitives": unknown_primitives,
    "stale nonces": stale_nonces,
    "leaky equality": leaky_equality,
    "formatted sql": formatted_sql,
    "object makers": object_makers,
}
ALLOWED = {
    "weak random": RANDOM_ALLOWED,
    "own xor": XOR_ALLOWED,
    "leaky equality": EQUAL_ALLOWED,
    "stale nonces": NONCE_ALLOWED,
    "formatted sql": SQL_ALLOWED,
}
_needed: set[tuple[str, str]] = set()


def findings(name: str) -> list[str]:
    """Run one lint over the core and the screens."""
    return [found for path, tree in core("appliance", "tui") for found in LINTS[name](path, tree)]


def unneeded(name: str) -> set[tuple[str, str]]:
    """Return the exceptions of a lint that no line needs."""
    findings(name)
    return set(ALLOWED[name]) - _needed


def _unless(allowed: dict[tuple[str, str], str], path: str, node: ast.AST) -> Iterator[str]:
    code = ast.unparse(node)
    if (path, code) in allowed:
        _needed.add((path, code))
        return
    yield f"{path}:{getattr(node, 'lineno', 0)}: {code}"


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _pairs(target, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield from _pairs(node.target, node.value)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, other)
    else:
        yield _last_name(target), value


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Subscript | ast.Starred):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _constant(part: ast.FormattedValue) -> bool:
    """Tell whether a module's constant or a number is put in, neither of which holds anybody's text."""
    number = (
        isinstance(part.format_spec, ast.JoinedStr) and ast.unparse(part.format_spec).strip("f'\"") == "d"
    )
    return number or _last_name(part.value).isupper()


def _put_together(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) and not _constant(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod)
    return isinstance(node, ast.Call) and _last_name(node.func) in ("format", "join")
