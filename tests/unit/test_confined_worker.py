"""What the holder of the key may still do once it is confined, and what it may not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import sandbox

pytestmark = pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")

SETUP = """
import os, signal, socket, subprocess, sys
from pathlib import Path
home, outside = Path(sys.argv[1]), Path(sys.argv[2])
from appliance import kernel, sandbox
sandbox.confine_worker([home])
"""


def worker(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process confined as the worker is; its parent is this one."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir(exist_ok=True)
    outside.mkdir(exist_ok=True)
    (outside / "document.txt").write_text("a document")
    command = [sys.executable, "-I", "-c", SETUP + code, str(home), str(outside)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    "code",
    [
        "print((outside / 'document.txt').read_text())",
        "(home / 'a').mkdir(); (home / 'a/b').write_text('x'); (home / 'a/b').rename(home / 'c')",
        "(home / 'a').write_text('x'); os.truncate(home / 'a', 0); (home / 'a').unlink()",
        "subprocess.run([sys.executable, '-I', '-c', ''], stdin=subprocess.DEVNULL, check=True)",
        "left, right = socket.socketpair(); left.send(b'x'); right.recv(1)",
        "pair = socket.socketpair(1, socket.SOCK_SEQPACKET); socket.send_fds(pair[0], [b'x'], [0])",
        "__import__('threading').Thread(target=print).start()",
        "f = os.memfd_create('x'); os.write(f, b'x'); print(open(f'/proc/self/fd/{f}').read())",
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1); child.kill(); child.wait()",
    ],
)
def test_what_the_worker_needs_works(tmp_path: Path, code: str) -> None:
    done = worker(tmp_path, code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "code",
    [
        "(outside / 'new').write_text('x')",
        "(outside / 'document.txt').write_text('x')",
        "(outside / 'document.txt').unlink()",
        "(outside / 'document.txt').rename(home / 'stolen')",
        "os.link(outside / 'document.txt', home / 'linked')",
        "os.truncate(outside / 'document.txt', 0)",
        "os.symlink('/etc/passwd', home / 'link')",
        "os.mkfifo(home / 'pipe')",
        "open('/tmp/appliance-test', 'w')",
        "subprocess.run(['/bin/true'])",
        "subprocess.run(['/bin/sh', '-c', 'true'])",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "os.kill(os.getppid(), 0)",
        "kernel.checked(kernel.libc.syscall(101 if kernel.X86 else 117, 0x4206, os.getppid(), 0, 0))",
        "kernel.checked(kernel.libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
        "Path(f'/proc/{os.getppid()}/mem').open('rb').read(1)",
    ],
)
def test_what_it_does_not_need_is_denied(tmp_path: Path, code: str) -> None:
    done = worker(tmp_path, code + "\nprint('did it')")
    assert "did it" not in done.stdout
    assert "PermissionError" in done.stderr or "OSError: [Errno 1" in done.stderr or "EXDEV" in done.stderr, (
        done
    )
    assert (tmp_path / "outside" / "document.txt").read_text() == "a document"


def test_a_child_may_confine_itself_further(tmp_path: Path) -> None:
    inner = "from appliance import sandbox\nsandbox.confine(sandbox.Limits())\nopen('/etc/passwd')"
    code = f"print(subprocess.run([sys.executable, '-I', '-c', {inner!r}], capture_output=True).stderr)"
    assert "PermissionError" in worker(tmp_path, code).stdout


def test_a_folder_that_is_not_there_yet_can_be_made(tmp_path: Path) -> None:
    code = SETUP.replace("[home]", "[home / 'vaults']") + "(home / 'vaults/a').mkdir(parents=True)"
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "home"), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_with_several_threads_is_not_taken_for_confined(tmp_path: Path) -> None:
    code = (
        "import threading; from pathlib import Path; from appliance import sandbox\n"
        "stop = threading.Event(); threading.Thread(target=stop.wait, daemon=True).start()\n"
        "try: sandbox.confine_worker([Path('/nonexistent')])\n"
        "except sandbox.SandboxUnavailable as error: print(error.message)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert "several threads" in done.stdout, done.stderr


def test_the_interpreter_s_own_loader_is_found() -> None:
    needed = sandbox.kernel.programs_needed(Path(sys.executable))
    assert needed[0] == Path(os.path.realpath(sys.executable))
    assert all(path.is_file() for path in needed)
