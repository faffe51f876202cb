"""Rows 29, 30, 41 and 42: what errors say, what other processes see, what happens when a guard fails."""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.security.box import MODELS, PASSPHRASE, Box, Done, Terminal, box, offspring
from tests.security.opened import data_key
from tests.security.registry import Scale, Tried, row
from tests.security.rest import library, word
from tests.security.scan import Haystack, forms

# Put into the worker's and the command line's interpreter, this makes one function of each layer fail with a
# message that quotes what it was given, as a careless exception would.
SABOTAGE = """
import importlib.abc, importlib.machinery, os, sys
where, name = os.environ["SABOTAGE"].rsplit(":", 1)

def spoil(module):
    owner, parts = module, name.split(".")
    for part in parts[:-1]:
        owner = getattr(owner, part)
    def failing(*args, **kwargs):
        raise ValueError(f"careless: {args!r} {kwargs!r} " + os.environ["CANARY"])
    setattr(owner, parts[-1], failing)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname != where:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        real = spec.loader.exec_module
        def loading(module):
            real(module)
            spoil(module)
        spec.loader.exec_module = loading
        return spec

sys.meta_path.insert(0, Finder())
"""
LAYERS = (
    ("appliance.vault.access.keys:unlock", "list"),
    ("appliance.vault.access.keyfile:parse", "list"),
    ("appliance.vault.database.engine:Database.rows", "list"),
    ("appliance.vault.store:open_store", "list"),
    ("appliance.vault.library:Library.text", "show"),
    ("appliance.vault.library:Library.pages", "show"),
    ("appliance.vault.library:Library.match", "ask"),
    ("appliance.vault.library:Library.passages", "ask"),
    ("appliance.retrieve.retriever:Retriever.retrieve", "ask"),
    ("appliance.retrieve.words:query", "ask"),
    ("appliance.generate.prompt:compose", "ask"),
    ("appliance.generate.check:check", "ask"),
    ("appliance.assistant:Assistant.ask", "ask"),
    ("appliance.assistant:Assistant.documents", "list"),
    ("appliance.render:answer_json", "ask"),
    ("appliance.render:documents", "list"),
    ("appliance.render:pages", "show"),
    ("appliance.ingest.pipeline:Ingest.add", "add"),
    ("appliance.ingest.chunk:chunks", "add"),
    ("appliance.ingest.parse.nursery:parse_file", "add"),
    ("appliance.wire:send", "ask"),
    ("appliance.client:Client.documents", "list"),
)


@row(29, "No content in messages, logs, crash reports")
def no_content(scale: Scale) -> Tried:
    """Make one function of each layer fail with a message full of content; look through all it leaves."""
    tried = Tried()
    canaries = [word() for _ in range(75)]
    planted, asked = word(), word()
    haystack = Haystack(
        (form, needle) for each in (*canaries, planted, asked) for form, needle in forms(each).items()
    )
    reached = 0
    with box() as owner:
        paths = library(owner, canaries, 3)
        owner.init()
        owner.add(paths[0].parent)
        hooks = owner.luggage / "hooks"
        owner.write("hooks/sitecustomize.py", SABOTAGE)
        fresh = owner.write(f"{canaries[0]}.md", f"# {canaries[1]}\n\nThe {canaries[2]} must be open.\n")
        words = {"ask": ("ask", "--json", f"Where is {canaries[5]} and {asked}?"), "list": ("list",)}
        words |= {"show": ("show", paths[0].name), "add": ("add", fresh)}
        for place, command in LAYERS[:: 1 if scale.factor >= 1 else 6]:
            said = owner.run(
                *words[command], environment={"PYTHONPATH": str(hooks), "SABOTAGE": place, "CANARY": planted}
            )
            hits = list(haystack.search(said.err, "stderr"))
            if said.code not in (0, 3):  # 3 is an answer too: not in the documents
                reached += 1
                hits += haystack.search(said.out if command == "ask" else b"", "stdout")
                tried.case(b"Traceback" not in said.err, f"{place}: a traceback: {said.err[-200:]!r}")
            tried.case(not hits, f"{place}: {hits[:2]}")
        tried.case(reached >= min(3, len(LAYERS)), f"only {reached} of the spoiled functions were reached")
        _killed_while_asking(tried, owner, haystack, f"Where is {canaries[5]} and {asked}?")
        left, files, size = haystack.files(owner.files())
        tried.case(not left, f"left on the disk: {left[:3]}")
    tried.note = f"{reached} forced exceptions, {files} files and {size / 1e6:.1f} MB looked through"
    return tried


def _killed_while_asking(tried: Tried, owner: Box, haystack: Haystack, question: str) -> None:
    """Let the worker crash in the middle of a question."""
    for blow in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL):
        running = subprocess.Popen(
            owner.argv("ask", question),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=owner.environment,
        )
        time.sleep(1.5)
        for each in offspring(running.pid)[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                os.kill(each.pid, blow)
        _, err = running.communicate(timeout=60)
        tried.case(not list(haystack.search(err, "stderr")), f"after {blow.name}: {err[-200:]!r}")
        tried.case(b"Traceback" not in err, f"after {blow.name}: a traceback")


@row(30, "No key in argv, environment, memory of others, core, swap")
def no_key_outside(_: Scale) -> Tried:
    """Look at a running, unlocked program with the eyes of the same user and of the disk."""
    tried = Tried()
    with box() as owner:
        owner.init()
        owner.write("docs/a.md", "# Pump\n\nThe shut-off head is 42 m.\n")
        owner.add(owner.luggage / "docs")
        key = data_key(owner.vault)
        needles = [bytes(key.page_key()), bytes(key.page_key()).hex().encode(), PASSPHRASE]
        with Terminal(owner, "tui") as screen:
            tried.case(screen.wait("Ask your documents"), f"the screen never opened: {screen.raw[-200:]!r}")
            processes = offspring(screen.process.pid)
            for each in processes:
                _look_at(tried, each.pid, needles)
            worker = processes[-1].pid
            _debugger(tried, worker)
            os.kill(worker, signal.SIGSEGV)
            time.sleep(0.5)
        cores = [path for path in owner.root.rglob("*") if path.name.startswith("core")]
        cores += [path for path in Path.cwd().glob("core*") if path.is_file()]
        tried.case(not cores, f"a core dump: {cores}")
        for path in owner.files():
            data = path.read_bytes()
            tried.case(not any(needle in data for needle in needles), f"a key lies in {path.name}")
            tried.case(not stat.S_IMODE(path.stat().st_mode) & 0o077, f"others may read {path.name}")
        doctor = {each["name"]: each for each in owner.run("doctor", "--json", secret=False).json()["checks"]}
        tried.case("swap" in doctor and "core dumps" in doctor, "doctor says nothing of swap or core dumps")
        tried.note = f"{len(processes)} processes; swap here: {doctor['swap']['detail']}"
    return tried


def _look_at(tried: Tried, process: int, needles: list[bytes]) -> None:
    for name in ("cmdline", "environ"):
        data = Path(f"/proc/{process}/{name}").read_bytes()
        tried.case(not any(needle in data for needle in needles), f"a secret in {name} of {process}")
    limits = Path(f"/proc/{process}/limits").read_text()
    tried.case(re.search(r"Max core file size +0 ", limits), f"{process} may leave a core dump")
    # The kernel gives the files of a process that may not be dumped to root.
    if os.getuid() != 0:
        owner = Path(f"/proc/{process}/environ").stat().st_uid
        tried.case(owner == 0, f"{process} may be read by other programs of its user")


def _debugger(tried: Tried, process: int) -> None:
    """Let a process of the same user try to read the worker's memory."""
    code = f"open('/proc/{process}/mem', 'rb')"
    if os.getuid() == 0:
        tried.skip(
            "a debugger of the same user: the suite runs as root, whom nothing stops; run it as a user"
        )
        return
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    tried.case(done.returncode != 0, "another process of this user can read the worker's memory")
    gdb = shutil.which("gdb")
    if gdb:
        asked = subprocess.run(
            [gdb, "-p", str(process), "-batch"], capture_output=True, text=True, check=False
        )
        tried.case("not permitted" in asked.stdout + asked.stderr, "gdb attached to the worker")


@row(41, "Fail secure")
def fail_secure(_: Scale) -> Tried:
    """Break each guard in turn: nothing may be answered, added or shown as if it had held."""
    tried = Tried()
    broken = 0
    with box() as owner:
        folder = owner.write("docs/a.md", "# Pump\n\nThe shut-off head is 42 m.\n").parent
        owner.init()
        owner.add(folder)
        fresh = owner.write("b.md", "# Fan\n\nThe fan turns at 900 rpm.\n")
        for name, doing in _broken_guards(owner):
            broken += 1
            with doing:
                said = owner.run("ask", "--json", "What is the shut-off head?")
                tried.case(b"Traceback" not in said.err, f"{name}: a traceback")
                if name.startswith("audit.key"):
                    # The log's state may be lost with the power; who holds the vault's key may make it anew,
                    # and that is in the log for ever.
                    noticed = said.code not in (0, 3) or owner.run("audit", "verify", secret=False).code == 6
                    tried.case(noticed, f"{name}: a question was answered, and the log looks whole")
                    continue
                tried.case(said.code not in (0, 3), f"{name}: a question was answered ({said.code})")
                added = owner.run("add", "--json", fresh)
                tried.case(added.code != 0, f"{name}: a document was added ({added.code})")
        said = owner.run("ask", "--json", "What is the shut-off head?")
        tried.case(said.code == 0, f"with every guard whole again it does not work: {said.said[:200]}")
    tried.note = f"{broken} guards broken in turn"
    return tried


def _broken_guards(owner: Box) -> Iterator[tuple[str, contextlib.AbstractContextManager[None]]]:
    for name in ("keys", "store.db", "anchor", "audit.log", "audit.key"):
        path = owner.vault / name
        if path.exists():
            yield f"{name} missing", _moved(path)
            yield f"{name} overwritten", _overwritten(path)
    yield "audit.log a folder", _replaced(owner.vault / "audit.log")
    model = "all-minilm-l6-v2-int8"
    yield "encoder's file changed", _model(owner, model, lambda folder: _flip(folder / "model.onnx"))
    yield "encoder's tokenizer changed", _model(owner, model, lambda folder: _flip(folder / "tokenizer.json"))
    yield "encoder's card broken", _model(owner, model, lambda folder: (folder / "card.toml").write_text("x"))


@contextlib.contextmanager
def _moved(path: Path) -> Iterator[None]:
    """Take a file away, its second copy too, and put it back."""
    pair = [each for each in (path, path.with_name(path.name + ".bak")) if each.exists()]
    for each in pair:
        each.rename(each.with_name(each.name + ".away"))
    try:
        yield
    finally:
        for each in pair:
            each.with_name(each.name + ".away").replace(each)


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[None]:
    """Put a folder where a file should be: nothing can be written to it."""
    with _moved(path):
        path.mkdir()
        yield
        path.rmdir()


@contextlib.contextmanager
def _overwritten(path: Path) -> Iterator[None]:
    pair = {each: each.read_bytes() for each in (path, path.with_name(path.name + ".bak")) if each.exists()}
    for each, data in pair.items():
        each.write_bytes(secrets.token_bytes(len(data)))
    try:
        yield
    finally:
        for each, data in pair.items():
            each.write_bytes(data)


@contextlib.contextmanager
def _model(owner: Box, name: str, spoil: object) -> Iterator[None]:
    """Put a spoiled copy of a model where the site's own are, which come first."""
    folder = owner.state / "models" / name
    shutil.copytree(MODELS / name, folder)
    spoil(folder)  # type: ignore[operator]
    try:
        yield
    finally:
        shutil.rmtree(folder)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@row(42, "No traceback is ever shown")
def no_traceback(scale: Scale) -> Tried:
    """Type nonsense: arguments, questions, keys."""
    tried = Tried()
    dice = random.Random(42)
    with box() as owner:
        owner.init()
        owner.write("docs/a.md", "# Pump\n\nThe shut-off head is 42 m.\n")
        owner.add(owner.luggage / "docs")
        lines = [_nonsense(dice) for _ in range(scale.of(300, least=20))]
        asked = owner.run("ask", "--json", "-", given=b"\n".join(lines), timeout=580)
        _judge(tried, asked, "questions")
        tried.case(asked.out.count(b'"question":') >= len(lines) * 0.9, "not every question was answered")
        for number in range(scale.of(60, least=4)):
            done = owner.run(*_arguments(dice, owner), secret=bool(dice.randrange(4)), timeout=60)
            _judge(tried, done, f"arguments {number}")
        with Terminal(owner, "tui") as screen:
            screen.wait("Ask your documents")
            for _ in range(scale.of(150, least=20)):
                screen.type(dice.choice(_KEYS))
                screen.wait("never", seconds=0.05)
            tried.cases += scale.of(150, least=20)
            tried.case(b"Traceback" not in screen.raw, f"on the screen: {screen.raw[-300:]!r}")
    tried.note = f"{len(lines)} questions, arguments, keys"
    return tried


# Everything but what ends the program.
_KEYS = (
    *(
        "\r",
        "\t",
        "\x1b",
        "\x1b[A",
        "\x1b[B",
        "\x1b[C",
        "\x1b[5~",
        "\x1bOP",
        "\x1bOQ",
        "\x1bOR",
        "\x1bOS",
        "/",
        "n",
    ),
    *("u", "x", "v", "a", "é", "\u202e", "漢", "\x7f", "\x15", "\x1b[200~paste\x1b[201~", "What is it?\r"),
)


def _judge(tried: Tried, done: Done, what: str) -> None:
    text = done.said
    tried.case("Traceback" not in text and 'File "' not in text, f"{what}: {text[-300:]}")
    tried.case(0 <= done.code <= 7 or done.code == 130, f"{what} ended with {done.code}: {text[-200:]}")


def _nonsense(dice: random.Random) -> bytes:
    kind = dice.randrange(5)
    if kind == 0:
        return bytes(dice.randrange(1, 256) for _ in range(dice.randrange(1, 60))).replace(b"\n", b" ")
    if kind == 1:
        return "".join(chr(dice.randrange(32, 0x2FFF)) for _ in range(30)).encode("utf-8", "replace")
    if kind == 2:
        return b'"' * dice.randrange(1, 9) + b" OR NEAR( * ^ -" + b"(" * 30
    if kind == 3:
        return b"a " * dice.randrange(1, 3000)
    return b"What is \x00\x1b[31m the {head} %s %d \\u0000?"


def _arguments(dice: random.Random, owner: Box) -> list[str]:
    commands = (
        "init",
        "add",
        "ask",
        "list",
        "show",
        "remove",
        "verify",
        "doctor",
        "audit",
        "keys",
        "export",
        "no-such",
    )
    odd = (
        *("", " ", "-", "--", "--json", "--page", "-1", "99999999999999999999", "../../etc", "/dev/null"),
        *(
            "/dev/zero",
            "/proc/self/mem",
            "a" * 5000,
            "\udcff",
            "--vault",
            "../x",
            "\x1b[2J",
            "a.md",
            "--full",
        ),
        str(owner.root),
    )
    words = [dice.choice(commands), *(dice.choice(odd) for _ in range(dice.randrange(0, 4)))]
    # Adding an endless device is what limits are for, but it would take their whole time.
    return [each for each in words if each != "/dev/zero" or words[0] != "add"]
