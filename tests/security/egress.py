"""Rows 21 and 22: no packet, no connection, only local sockets, in whole journeys and at every import."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

from tests.security import watch
from tests.security.box import ROOT, Box, Done, box
from tests.security.registry import Scale, Tried, row

ENGINES = (
    *("apsw", "sqlite_vec", "cryptography.hazmat.primitives.hpke", "numpy", "onnxruntime", "tokenizers"),
    *("pypdfium2", "selectolax.lexbor", "docutils.core", "markdown_it", "textual.app", "charset_normalizer"),
)
# The parent package as it is imported in earnest: without the disk cache that it does not need.
LLAMA = "import appliance.generate.llm as m; getattr(m, 'llama', lambda: None)()"


def journey(owner: Box) -> list[tuple[str, list[str], bytes]]:
    """The whole life of a vault: name, words, what is typed."""
    folder = owner.write(
        "docs/manual.md", "# Pump\n\nThe shut-off head is 42 m. See https://example.com/x.\n"
    ).parent
    owner.write(
        "docs/page.html", "<p>Text <img src='http://192.0.2.1/t.png'><link href='//192.0.2.1/a.css'></p>"
    )
    owner.write(
        "docs/mail.rst",
        "Head\n====\n\n.. image:: http://192.0.2.1/i.png\n\n.. include:: /etc/passwd\n\nText.\n",
    )
    ask = b"What is the shut-off head?\nWhere is http://192.0.2.1/?\n"
    return [
        ("init", ["init"], b""),
        ("add", ["add", str(folder)], b""),
        ("ask", ["ask", "--json", "-"], ask),
        ("list", ["list"], b""),
        ("show", ["show", "manual.md"], b""),
        ("verify", ["verify", "--full"], b""),
        ("models", ["models"], b""),
        ("doctor", ["doctor"], b""),
        ("remove", ["remove", "page.html"], b""),
        ("wrong", ["show", "nothing"], b""),
    ]


@row(21, "No egress ever")
def egress(_: Scale) -> Tried:
    """Live through a vault's life under strace, and once more in a network that counts what leaves."""
    tried, notes = Tried(), []
    if watch.STRACE:
        notes.append(_traced(tried))
    else:
        tried.skip("strace is not installed")
    if watch.UNSHARE and _can_unshare():
        notes.append(_counted(tried))
    else:
        tried.skip("no network namespace can be made here")
    tried.case(notes, "neither strace nor a network namespace: nothing could be looked at")
    tried.note = "; ".join(notes)
    return tried


def _traced(tried: Tried) -> str:
    control, seen = watch.watched(lambda before: _python(before, _SEND))
    tried.case(seen.opened, f"the watch did not see a socket that was made for it ({control.returncode})")
    opened = refused = calls = 0
    with box() as owner:
        for name, words, given in journey(owner):
            done, seen = watch.watched(lambda before, w=words, g=given: owner.run(*w, given=g, before=before))
            _expect(tried, name, done)
            tried.case(not seen.opened, f"{name}: {seen.opened[:2]}")
            opened = opened + len(seen.opened)
            if name != "doctor":  # its probe asks on purpose, inside the sandbox, to see itself refused
                refused += len(seen.refused)
                tried.case(not seen.refused, f"{name} asked for: {seen.refused[:2]}")
            calls += seen.calls.total()
    return f"strace: {calls} socket calls, inet granted {opened}, inet asked for {opened + refused}"


def _expect(tried: Tried, name: str, done: Done) -> None:
    usual = {"ask": (0, 3), "wrong": (2,)}.get(name, (0,))
    tried.case(done.code in usual, f"{name} ended with {done.code} while watched: {done.said[:200]}")


_SEND = (
    "import socket\n"
    "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n"
    " try: s.sendto(b'x', ('192.0.2.1', 9))\n"
    " except OSError: pass\n"
)


def _python(before: list[str], code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def _namespace() -> list[str]:
    return [str(watch.UNSHARE), "--user", "--map-root-user", "--net", sys.executable, "-c", watch.COUNTERS]


def _can_unshare() -> bool:
    return subprocess.run([*_namespace(), "true"], capture_output=True, check=False).returncode == 0


def _counted(tried: Tried) -> str:
    """Run the journey where there is no way out, and read the kernel's counters of what tried to leave."""
    control = json.loads(_python(_namespace(), _SEND).stdout)
    tried.case(control["sent"], "a datagram that was sent on purpose was not counted")
    sent: dict[str, int] = {}
    with box() as owner:
        for name, words, given in journey(owner):
            done = owner.run(*words, given=given, before=_namespace())
            told = json.loads(done.out)
            for counter, number in told["sent"].items():
                sent[counter] = sent.get(counter, 0) + number
            tried.case(not told["sent"], f"{name}: {told['sent']}")
            usual = {"ask": (0, 3), "wrong": (2,)}.get(name, (0,))
            tried.case(told["code"] in usual, f"{name} ended with {told['code']}: {told['said'][:200]}")
    return f"namespace: packets {sum(sent.values())}, the control's counted as {control['sent']}"


@row(22, "No network code runs at import")
def imports(scale: Scale) -> Tried:
    """Import every module of ours and every engine in a process of its own and watch its sockets."""
    tried = Tried()
    if not watch.STRACE:
        tried.skip("strace is not installed")
        return tried
    _, seen = watch.watched(lambda before: _python(before, _SEND))
    tried.case(seen.opened, "the watch did not see a socket that was made for it")
    modules = [f"import {name}" for name in (*_ours(), *ENGINES)] + [LLAMA]
    total = 0
    for code in modules if scale.factor >= 1 else modules[:: max(1, round(0.1 / scale.factor))]:
        done, seen = watch.watched(lambda before, c=code: _python(before, c))
        tried.case(done.returncode == 0, f"{code}: {done.stderr[-200:]}")
        tried.case(not seen.opened and not seen.refused, f"{code}: {(seen.opened + seen.refused)[:2]}")
        total += 1
    tried.note = f"{total} imports in processes of their own"
    return tried


def _ours() -> list[str]:
    names = []
    for package in ("appliance", "tui"):
        for each in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if not each.name.endswith("__main__"):
                names.append(each.name)
    return names
