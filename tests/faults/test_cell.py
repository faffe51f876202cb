"""The generator's cell when it dies, lies, is fed a malicious model, or tries to get out."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance import models, sandbox
from appliance.config import Config
from appliance.errors import GeneratorDied, ModelMismatch, SandboxUnavailable, UsageError
from appliance.generate import cell, frames, inmate
from appliance.generate.cell import CellGenerator, cell_checks
from appliance.generate.choice import LIKELIHOOD
from appliance.models import Installed
from appliance.types import Prompt

pytestmark = pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")
PROMPT = Prompt("You answer briefly.", "Name a colour and say where it is seen.")
ROOT = Path(__file__).parents[2]
GO = threading.Event()  # never set


@pytest.fixture(scope="module")
def installed(built_models: Path) -> Installed:
    return models.find(Config(home=built_models).generator, [built_models])


@pytest.fixture
def generator(installed: Installed) -> Iterator[CellGenerator]:
    made = CellGenerator.load(installed, threads=2)
    yield made
    made.close()


def gone(pid: int) -> bool:
    """Wait until the process has ended."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 10)[0])
    finally:
        os.close(watched)


# --- what it can reach


def test_eighteen_of_eighteen_operations_are_denied_in_the_process_that_holds_the_model(
    generator: CellGenerator,
) -> None:
    assert "".join(generator.stream(PROMPT, max_tokens=4, stop=GO))
    assert [check for check in generator.probe() if not check.ok] == []
    assert len(generator.probe()) == 18


def test_the_same_holds_before_a_model_is_there() -> None:
    assert [check.ok for check in cell_checks()] == [True] * 18


def test_it_holds_its_pipe_and_nothing_else(generator: CellGenerator) -> None:
    generator.count("x")
    held = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{generator.pid}/fd").iterdir()}
    assert held.pop("0").startswith("socket:")
    assert held == {"1": "/dev/null", "2": "/dev/null"}


def test_the_weights_are_in_memory_once(generator: CellGenerator, installed: Installed) -> None:
    weights = installed.card.file("model.gguf").bytes

    def resident(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    assert "VmSwap:\t       0 kB" in Path(f"/proc/{generator.pid}/status").read_text()
    assert "RssShmem:\t       0 kB" in Path(f"/proc/{generator.pid}/status").read_text()
    assert resident(generator.pid) < 1.9 * weights + 100_000_000
    ours = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert not [name for name in ours if "memfd:model.gguf" in name]


def test_neither_its_arguments_nor_its_environment_say_anything(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_CANARY", "canary-in-the-environment")
    made = CellGenerator.load(installed, threads=1)
    try:
        environment = Path(f"/proc/{made.pid}/environ").read_bytes()
        arguments = Path(f"/proc/{made.pid}/cmdline").read_bytes().split(b"\0")
        assert b"canary" not in environment
        assert arguments[1:-2] == [b"-I", b"-B", b"-m", b"appliance.generate.inmate"]
    finally:
        made.close()


# --- when it dies


def test_its_death_in_the_middle_is_an_error_for_that_answer_and_no_other(generator: CellGenerator) -> None:
    whole = "".join(generator.stream(PROMPT, max_tokens=8, stop=GO))
    stream = generator.stream(PROMPT, max_tokens=64, stop=GO)
    next(stream)
    first = generator.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(GeneratorDied):
        list(stream)
    assert "".join(generator.stream(PROMPT, max_tokens=8, stop=GO)) == whole
    assert generator.pid != first


def test_a_death_between_two_answers_costs_neither(generator: CellGenerator) -> None:
    first = generator.pid
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    assert generator.count("text") == 1
    assert generator.pid != first


def test_one_that_hangs_is_killed_when_it_is_told_to_stop(generator: CellGenerator) -> None:
    stop = threading.Event()
    stream = generator.stream(PROMPT, max_tokens=64, stop=stop)
    next(stream)
    hung = generator.pid
    os.kill(hung, signal.SIGSTOP)
    stop.set()
    assert "".join(stream).count(" ") < 64  # it ends quietly
    assert gone(hung)
    assert generator.count("text") == 1


def test_it_does_not_outlive_the_holder_of_the_key(installed: Installed) -> None:
    code = (
        "import sys, threading, time; from pathlib import Path; from appliance import models\n"
        "from appliance.generate.cell import CellGenerator\n"
        "found = models.find(sys.argv[1], [Path(sys.argv[2])]); made = []\n"
        "loader = threading.Thread(target=lambda: made.append(CellGenerator.load(found, threads=1)))\n"
        "loader.start(); loader.join()\n"
        # The thread that loaded it has ended, and the cell must not have ended with it.
        "print(made[0].count('text'), made[0].pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, installed.card.name, str(installed.folder.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        count, pid = map(int, holder.stdout.readline().split())
        os.kill(pid, signal.SIGSTOP)  # a cell that was taken over would not care that its pipe has closed
        holder.kill()
    assert count == 1
    assert gone(pid)


# --- when it lies


class Liar:
    """Stands in for the process: says `said` once it is asked something, then holds its end until killed."""

    pid = 0

    def __init__(self, pipe: socket.socket, said: bytes) -> None:
        self._pipe = pipe.dup()
        self._thread = threading.Thread(target=self._run, args=(said,), daemon=True)
        self._thread.start()

    def _run(self, said: bytes) -> None:
        try:
            _, files, _, _ = socket.recv_fds(self._pipe, 4096, 1)
            for file in files:
                os.close(file)
            self._pipe.sendall(frames.encode({"ready": True, "context": 2048}, most=4096))
            self._pipe.recv(4096)
            self._pipe.sendall(said)
            while self._pipe.recv(4096):
                pass
        except OSError:
            pass

    def kill(self) -> None:
        self._pipe.close()

    def wait(self) -> None:
        self._thread.join(5)


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


LIES = {
    "longer than a frame may be": struct.pack(">I", 1 << 31) + b"{",
    "no JSON": frame(b"\xff\xfe"),
    "nested deeply": frame(b"[" * 60_000),
    "no object": frame(b"[1]"),
    "no such message": frame(b'{"hello": 1}'),
    "a piece that is no text": frame(b'{"piece": 5}'),
    "an end without numbers": frame(b'{"end": "now"}'),
    "an end with impossible numbers": frame(b'{"end": [1e99, true, 0.5]}'),
    "more tokens than asked for": frame(b'{"end": [1, 100000, 0.5]}'),
    "an end that says nothing of how sure it is": frame(b'{"end": [1, 1]}'),
    "as sure as a number": frame(b'{"end": [1, 1, 1]}'),
    "less than unsure": frame(b'{"end": [1, 1, -0.5]}'),
    "surer than sure": frame(b'{"end": [1, 1, 1.5]}'),
    "sure of nothing": frame(b'{"end": [1, 1, NaN]}'),
    "sure in words": frame(b'{"end": [1, 1, "very"]}'),
    "more pieces than tokens": frame(b'{"piece": "x"}') * 40,
    "a count that is no number": frame(b'{"count": "7"}'),
    "a negative count": frame(b'{"count": -1}'),
    "more tokens than bytes": frame(b'{"count": 99999999}'),
    "half a frame": struct.pack(">I", 100) + b'{"piece',
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_ends_the_cell_and_not_the_holder(
    installed: Installed, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    monkeypatch.setattr(cell, "_SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(cell, "_STOP_SECONDS", 0.1)
    monkeypatch.setattr(cell, "_spawn", lambda pipe: Liar(pipe, LIES[lie]))
    made = CellGenerator.load(installed, threads=1)
    counting = "count" in lie or "bytes" in lie
    with pytest.raises(GeneratorDied):
        made.count("the pump") if counting else list(made.stream(PROMPT, max_tokens=8, stop=GO))
    assert made._cell is None


def test_a_text_with_half_characters_is_made_whole(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = frame(b'{"piece": "a\\ud800b"}') + frame(b'{"end": [3, 1, 0.5]}')
    monkeypatch.setattr(cell, "_spawn", lambda pipe: Liar(pipe, said))
    made = CellGenerator.load(installed, threads=1)
    assert "".join(made.stream(PROMPT, max_tokens=8, stop=GO)) == "a?b"
    made.close()


# --- what it is given


def load_anyway(content: bytes, *, size: int | None = None, space: int = 2 << 30) -> str:
    """Give a cell these bytes without our own check of them; say what came of it."""
    model = os.memfd_create("forged", os.MFD_CLOEXEC)
    made = cell._Cell()
    try:
        os.write(model, content)
        os.ftruncate(model, size or len(content))
        order: dict[str, object] = {"name": "x", "template": "chatml", "threads": 1}
        order |= {"context": 256, "likelihood": 0.2}
        made.begin({**order, "address_space": space, "accept_weaker": False}, model)
    except (ModelMismatch, GeneratorDied):
        return "refused"
    else:
        return "loaded"
    finally:
        made.end()
        os.close(model)


def mutants(installed: Installed, count: int) -> Iterator[tuple[bytes, int]]:
    """Yield so many headers with a few bytes changed, and the size of the file they claim to start."""
    path = installed.folder / "model.gguf"
    with path.open("rb") as file:
        head = file.read(3 << 20)
    numbers = np.random.default_rng(20261123)
    for number in range(count):
        mutant = bytearray(head)
        # Half of them near the start, where the counts and the model's own sizes stand.
        reach = 4096 if number % 2 else len(head)
        for at in numbers.integers(4, reach, size=int(numbers.integers(1, 5))):
            mutant[at] = int(numbers.choice([0, 1, 0x7F, 0x80, 0xFF, int(numbers.integers(256))]))
        yield bytes(mutant), path.stat().st_size


def test_the_holder_lives_whatever_a_header_does_to_its_cell(installed: Installed) -> None:
    outcomes = [load_anyway(content, size=size) for content, size in mutants(installed, 12)]
    assert "refused" in outcomes
    assert set(outcomes) <= {"refused", "loaded"}


def test_a_model_that_wants_more_memory_than_it_may_have_is_refused(installed: Installed) -> None:
    content = (installed.folder / "model.gguf").read_bytes()
    assert load_anyway(content) == "loaded"
    assert load_anyway(content, space=200 << 20) == "refused"


def test_an_unknown_template_is_refused_before_anything_is_started(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell, "known_template", lambda _: (_ for _ in ()).throw(UsageError("no template")))
    monkeypatch.setattr(cell, "_spawn", lambda _: pytest.fail("started"))
    with pytest.raises(UsageError):
        CellGenerator.load(installed, threads=1)


def test_a_cell_is_told_what_its_models_likelihoods_are_worth(installed: Installed) -> None:
    assert CellGenerator(installed, threads=1)._order()["likelihood"] == LIKELIHOOD
    for said in (0.05, 0.0):
        other = replace(installed, card=replace(installed.card, likelihood=said))
        assert CellGenerator(other, threads=1)._order()["likelihood"] == said


def test_the_cell_takes_likelihoods_for_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, object] = {}
    monkeypatch.setattr(inmate, "LlamaGenerator", lambda _path, **given: told.update(given))
    order = {"name": "x", "template": "chatml", "threads": 1, "context": 256, "likelihood": 0.05}
    inmate._load(order, os.memfd_create("model", os.MFD_CLOEXEC))
    assert told["likelihood"] == 0.05


# --- on a kernel that offers less


WEAKER = """
import errno, sys
from pathlib import Path
from appliance import kernel, models, sandbox
from appliance.errors import SandboxUnavailable
from appliance.generate.cell import CellGenerator
from appliance.ingest.parse.nursery import Nursery
kernel.install(kernel.Program().deny((444, 444), error=errno.ENOSYS), allow_others=True)
found = models.find(sys.argv[1], [Path(sys.argv[2])])
for refused in (lambda: CellGenerator.load(found, threads=1), Nursery, sandbox.require):
    try: refused(); print("went on")
    except SandboxUnavailable as error: print(error.exit_code)
print(sandbox.require(accept_weaker=True))
made = CellGenerator.load(found, threads=1, accept_weaker=True)
print(made.count("text"), sum(check.ok for check in made.probe()))
made.close()
"""


def test_a_kernel_without_landlock_is_refused_unless_less_is_accepted(installed: Installed) -> None:
    command = [sys.executable, "-c", WEAKER, installed.card.name, str(installed.folder.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[:4] == ["7", "7", "7", "no Landlock, seccomp"], done.stderr
    counted, denied = map(int, done.stdout.splitlines()[4].split())
    # Seccomp alone still denies everything but reading files and folders.
    assert (counted, denied) == (1, 16)


COMMAND = """
import errno, os, sys
from appliance import kernel
kernel.install(kernel.Program().deny((444, 444), error=errno.ENOSYS), allow_others=True)
os.execv(sys.executable, [sys.executable, "-m", "appliance.cli", *sys.argv[1:]])
"""


def test_an_add_on_a_kernel_without_landlock_is_refused_with_its_own_exit_code(
    home: Path, secret_file: Path, tmp_path: Path
) -> None:
    document = tmp_path / "a.md"
    document.write_text("# Pumps\n\nThe feed pump runs at 1450 rpm.\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COMMAND, *words, "--passphrase-file", str(secret_file)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)

    assert run("init").returncode == 0
    added = run("add", str(document))
    assert (added.returncode, added.stdout) == (7, ""), added.stderr
    assert "--accept-weaker" in added.stderr


def test_a_kernel_without_landlock_starts_no_cell(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "level", lambda: sandbox.Level(0, seccomp=True))
    monkeypatch.setattr(cell, "_spawn", lambda _: pytest.fail("started"))
    with pytest.raises(SandboxUnavailable):
        CellGenerator.load(installed, threads=1)


def test_no_process_no_descriptor_or_no_memory_is_a_cell_that_did_not_start(installed, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(GeneratorDied, match="did not start"):
        CellGenerator.load(installed, threads=1)
