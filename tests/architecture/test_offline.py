"""The offline guard: the kernel refuses every socket that could leave the machine, children too."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

FAMILIES = ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_socket_but_a_local_one(family: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - EPERM or EACCES, as the kernel likes
        socket.socket(
            getattr(socket, family), socket.SOCK_DGRAM if family != "AF_ALG" else socket.SOCK_SEQPACKET
        )


def test_children_inherit_the_guard() -> None:
    attempt = "socket.create_connection(('192.0.2.1', 80), 1)"
    code = f"import socket\ntry:\n {attempt}\nexcept PermissionError: print('refused')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "refused\n"


def test_no_engine_keeps_a_diary_in_the_users_home(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"}
    code = "import appliance.worker, appliance.generate.llm"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_local_sockets_still_work() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"


def test_the_command_line_refuses_itself_the_network_before_anything_else() -> None:
    code = (
        "import socket, sys\nfrom appliance.cli import main as cli\n"
        "sys.argv = ['appliance']\ncli.main(['tui'])\n"
        "try:\n socket.socket(socket.AF_INET)\nexcept PermissionError: print('refused')"
    )
    environment = {"PATH": "/usr/bin", "APPLIANCE_HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "refused\n"
