"""Where a secret or a document's text could come out of the processes: memory, /proc, files, errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance import client, sandbox
from appliance.cli.main import main
from appliance.config import Config

pytestmark = pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")

PASSPHRASE = "canary passphrase 7f3a"
CONTENT = "Quillonbrake"
QUESTION = "How fast does the feed pump of the Zanzibarene hall run?"
NAME = "Ymirsdotter"
CANARIES = tuple(word.encode() for word in (PASSPHRASE, CONTENT, "Zanzibarene", NAME))
# Gives up every capability, so that root is held by what any user is held by, and runs the rest.
UNPRIVILEGED = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
if os.geteuid() == 0:
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""


def unprivileged(*command: str) -> list[str]:
    return [sys.executable, "-I", "-c", UNPRIVILEGED, *command]


# --- memory


HOLDER = """
import subprocess, sys
from pathlib import Path
from appliance import models, sandbox
from appliance.generate.cell import CellGenerator
if sys.argv[3] == "hardened": sandbox.harden()
made = CellGenerator.load(models.find(sys.argv[1], [Path(sys.argv[2])]), threads=1)
made.count("text")
import os
print(os.getpid(), made.pid, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def generator_name(built_models: Path) -> tuple[str, str]:
    return Config(home=built_models).generator, str(built_models)


def readable(pid: int) -> bool:
    """Tell whether another process of this user, without privileges, may read the memory of `pid`."""
    code = f"open('/proc/{pid}/mem', 'rb').close()"
    command = unprivileged(sys.executable, "-I", "-c", code)
    return subprocess.run(command, capture_output=True).returncode == 0


def dumped(pid: int, folder: Path) -> bool:
    """Tell whether gcore, without privileges, gets a core out of `pid`."""
    command = unprivileged(str(shutil.which("gcore")), "-o", str(folder / "core"), str(pid))
    subprocess.run(command, capture_output=True, timeout=60)
    return any(folder.iterdir())


@pytest.mark.parametrize("hardened", [True, False])
def test_another_program_of_the_same_user_cannot_read_the_memory(
    hardened: bool, generator_name: tuple[str, str], tmp_path: Path
) -> None:
    command = unprivileged(
        sys.executable, "-c", HOLDER, *generator_name, "hardened" if hardened else "as it is"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        ours, cell = map(int, holder.stdout.readline().split())
        try:
            assert (
                readable(ours) is not hardened
            )  # that it can be read otherwise shows that the test can fail
            assert not readable(cell)
            if shutil.which("gcore"):
                assert not dumped(cell, tmp_path)
                assert dumped(ours, tmp_path) is not hardened
        finally:
            holder.communicate("\n")


# --- what every process shows of itself


@dataclass
class Seen:
    """What was seen of one process while it lived."""

    arguments: bytes = b""
    environment: bytes = b""
    cores: str = ""
    maps: str = ""


@dataclass
class Watcher:
    """Looks at every process that descends from one, over and over, until told to stop."""

    root: int
    seen: dict[int, Seen] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(0.01):
            for pid in self._family():
                self._look(pid)

    def _family(self) -> list[int]:
        parents = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    parents[int(folder.name)] = int(
                        folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
                    )
                except (OSError, IndexError):
                    continue
        family = [self.root]
        for pid in family:
            family += [child for child, parent in parents.items() if parent == pid]
        return family

    def _look(self, pid: int) -> None:
        folder = Path(f"/proc/{pid}")
        try:
            now = Seen(
                folder.joinpath("cmdline").read_bytes(),
                folder.joinpath("environ").read_bytes(),
                folder.joinpath("limits").read_text().split("Max core file size")[1].split("\n")[0],
                folder.joinpath("maps").read_text(),
            )
        except (OSError, IndexError):
            return  # it has ended meanwhile
        if pid != self.root and now.arguments == self.seen[self.root].arguments:
            return  # forked, but not yet another program: what is read is still the parent's
        before = self.seen.get(pid, Seen())
        self.seen[pid] = Seen(
            now.arguments,
            before.environment + now.environment,
            now.cores,
            now.maps or before.maps,
        )

    def named(self, part: bytes) -> list[Seen]:
        """Return the processes in whose arguments `part` stood."""
        return [seen for seen in self.seen.values() if part in seen.arguments]


@dataclass(frozen=True)
class Place:
    """A home, a folder for everything temporary, and a document."""

    home: Path
    scratch: Path
    document: Path
    secret: Path

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "appliance.cli", *words, "--passphrase-file", str(self.secret)]

    @property
    def environment(self) -> dict[str, str]:
        named = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
        return {"PATH": os.environ["PATH"], "APPLIANCE_HOME": str(self.home)} | dict.fromkeys(
            named, str(self.scratch)
        )

    def runs(self, *words: str) -> tuple[str, Watcher]:
        """Run one command, watched; return all that it printed and what was seen."""
        done = subprocess.Popen(
            self.command(*words),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        watcher = Watcher(done.pid)
        thread = threading.Thread(target=watcher.run)
        thread.start()
        printed, _ = done.communicate(timeout=120)
        watcher.stop.set()
        thread.join()
        return printed, watcher


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, built_models: Path) -> Place:
    folder = tmp_path_factory.mktemp("leaks")
    made = Place(folder / "home", folder / "scratch", folder / f"{NAME}.md", folder / "secret")
    made.scratch.mkdir()
    made.secret.write_text(PASSPHRASE + "\n")
    made.document.write_text(
        f"# Pumps\n\nThe feed pump of the Zanzibarene hall runs at 1450 rpm. It was made by {CONTENT}.\n"
    )
    printed, _ = made.runs("init")
    assert (made.home / "vaults").is_dir(), printed
    return made


@pytest.fixture(scope="module")
def watched(place: Place) -> tuple[Watcher, Watcher]:
    """An add and an ask, watched from start to end."""
    added, adding = place.runs("add", str(place.document))
    answered, asking = place.runs("ask", QUESTION)
    assert "1450" in answered, added + answered
    return adding, asking


def test_every_kind_of_process_was_seen(watched: tuple[Watcher, Watcher]) -> None:
    adding, asking = watched
    for name in (b"appliance.cli", b"appliance.worker", b"appliance.ingest.parse.helper"):
        assert adding.named(name), name
    for name in (b"appliance.cli", b"appliance.worker", b"appliance.generate.inmate"):
        assert asking.named(name), name


def test_no_secret_and_no_text_stands_in_arguments_or_environment(
    watched: tuple[Watcher, Watcher],
) -> None:
    for watcher in watched:
        for pid, seen in watcher.seen.items():
            for canary in CANARIES:
                # The user's own words to the command itself are the user's; nothing passes them on.
                assert pid == watcher.root or canary not in seen.arguments
                assert canary not in seen.environment
            assert CANARIES[0] not in seen.arguments


def test_no_process_may_leave_a_core(watched: tuple[Watcher, Watcher]) -> None:
    for watcher in watched:
        ours = [seen for seen in watcher.seen.values() if b"appliance." in seen.arguments]
        assert [seen.arguments for seen in ours if seen.cores.split()[:2] != ["0", "0"]] == []


def test_the_library_that_reads_untrusted_text_is_never_in_the_process_that_holds_the_key(
    watched: tuple[Watcher, Watcher],
) -> None:
    _, asking = watched
    assert [seen for seen in asking.named(b"appliance.worker") if "libllama" in seen.maps] == []
    assert "libllama" in asking.named(b"appliance.generate.inmate")[0].maps


def test_nothing_is_left_outside_the_vault(place: Place, watched: tuple[Watcher, Watcher]) -> None:
    assert [str(path) for path in place.scratch.rglob("*") if path.is_file()] == []
    files = [path for path in place.home.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert [canary for canary in CANARIES if canary in content] == [], path


# --- errors

BREAK = """
import importlib, sys
def broken(*_, **__):
    try:
        raise KeyError("Quillonbrake")
    except KeyError as error:
        raise RuntimeError("Zanzibarene, Quillonbrake, Ymirsdotter") from error
module, path = "{target}".split(":")
owner = importlib.import_module(module)
*middle, name = path.split(".")
for part in middle:
    owner = getattr(owner, part)
assert hasattr(owner, name)
setattr(owner, name, broken)
from appliance import worker
worker.main()
"""
LAYERS = [
    ("appliance.retrieve.retriever:Retriever.retrieve", "ask"),
    ("appliance.retrieve.words:query", "ask"),
    ("appliance.embed:load", "ask"),
    ("appliance.generate.cell:CellGenerator.count", "ask"),
    ("appliance.generate.cell:CellGenerator.stream", "ask"),
    ("appliance.vault.library:Library.passages", "ask"),
    ("appliance.ingest.pipeline:Ingest.add", "add"),
    ("appliance.ingest.parse.nursery:decode", "add"),
    ("appliance.vault.store:Store.append", "add"),
    ("appliance.vault.store:Store.__init__", "list"),
    ("appliance.vault.library:Library.documents", "list"),
]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[list[str], Path]:
    """Have every worker started with the function that the list names broken; its stderr goes to the path."""
    target: list[str] = []
    log = tmp_path / "stderr"
    started = subprocess.Popen

    def start(command: list[str], *rest: object, **options: object) -> subprocess.Popen[bytes]:
        if "appliance.worker" in command:
            at = command.index("-m")
            command = [*command[:at], "-c", BREAK.format(target=target[0]), *command[at + 2 :]]
            with log.open("ab") as errors:
                return started(command, *rest, **options | {"stderr": errors})
        return started(command, *rest, **options)

    monkeypatch.setattr(client.subprocess, "Popen", start)
    return target, log


@pytest.mark.parametrize(("layer", "command"), LAYERS, ids=[layer for layer, _ in LAYERS])
def test_an_error_at_any_layer_says_where_and_never_what(
    layer: str,
    command: str,
    place: Place,
    watched: tuple[Watcher, Watcher],
    broken: tuple[list[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target, log = broken
    target.append(layer)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    another = place.document.with_name("another.md")
    another.write_text(f"# Valves\n\nThe drain valve opens at 6 bar, says {CONTENT}.\n")
    words = {
        "ask": ["ask", QUESTION],
        "add": ["add", str(another)],
        "list": ["list"],
    }
    code = main([*words[command], "--passphrase-file", str(place.secret)])
    shown, said = capsys.readouterr()
    assert code not in (0, 3)
    # What breaks while a word is written comes after the quote, which the asker sees as always.
    told = said if "generate.cell" in layer else shown + said
    assert [canary for canary in CANARIES if canary.decode() in told] == []
    assert "Traceback" not in shown + said
    assert log.read_bytes() == b""


# --- the first moment


INTERRUPTED = """
import os, signal, sys
from appliance.cli.__main__ import start
class Interrupt:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
module, sys.argv[1:] = sys.argv[1], ["list"]
sys.exit(start())
"""


@pytest.mark.parametrize("module", ["appliance.cli.main", "argparse", "appliance.config", "appliance.client"])
def test_ctrl_c_while_the_program_is_still_being_imported_prints_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (130, "")
