"""The two ends of the pipe when one of them dies, lies or is stopped."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from appliance import wire
from appliance.client import Client, _drain
from appliance.config import Config
from appliance.errors import ApplianceError, Cancelled, UsageError, VaultMissing
from appliance.secret import Secret
from appliance.session import CALLS, Replies
from appliance.worker import answer


@pytest.fixture
def client(settings: Config) -> Iterator[Client]:
    made = Client(settings)
    yield made
    made.close()


def test_a_call_before_unlocking_is_refused(client: Client) -> None:
    with pytest.raises(UsageError, match="locked"):
        client.documents()


def test_an_error_crosses_the_pipe_as_its_class_with_its_hint(client: Client) -> None:
    with pytest.raises(VaultMissing) as caught:
        client.unlock("nowhere", Secret.passphrase(bytearray(b"any passphrase")))
    assert "appliance init" in caught.value.hint


def test_an_unforeseen_error_says_where_and_nothing_else(client: Client) -> None:
    with pytest.raises(ApplianceError) as caught:
        client._one("unlock", canary="the secret text")
    assert "Unexpected TypeError" in caught.value.message
    assert "canary" not in caught.value.message
    with pytest.raises(UsageError):  # and the session goes on
        client.documents()


def test_a_worker_killed_from_outside_is_an_error_not_a_hang(client: Client) -> None:
    client._process.send_signal(signal.SIGKILL)
    with pytest.raises(ApplianceError, match="ended unexpectedly"):
        client.documents()


def test_a_worker_that_stopped_is_killed_when_the_client_closes(settings: Config) -> None:
    client = Client(settings)
    client._process.send_signal(signal.SIGSTOP)
    client.close()
    assert client._process.returncode == -signal.SIGKILL


def test_a_cancel_with_nothing_to_cancel_does_no_harm(client: Client) -> None:
    client.cancel()
    with pytest.raises(UsageError):
        client.documents()


def test_a_cancel_from_another_thread_does_not_fall_between_a_call_and_its_secret(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, threads = wire.send_secret, []

    def interrupted(link: socket.socket, secret: bytearray) -> None:
        threads.append(threading.Thread(target=client.cancel, daemon=True))
        threads[-1].start()
        threads[-1].join(0.2)
        real(link, secret)

    monkeypatch.setattr(wire, "send_secret", interrupted)
    for _ in range(2):  # and the worker goes on
        with pytest.raises((VaultMissing, Cancelled)):
            client.unlock("nowhere", Secret.passphrase(bytearray(b"any passphrase")))
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize(("module", "name"), [(wire, "send"), (wire, "receive")])
def test_ctrl_c_before_a_call_is_sent_or_behind_its_last_reply_does_not_hang(
    client: Client, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    real, struck = getattr(module, name), []

    def interrupted(*arguments: object) -> object:
        first, _ = not struck, struck.append(True)
        if first and name == "send":
            raise KeyboardInterrupt
        result = real(*arguments)
        if first:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(module, name, interrupted)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            client.documents()
        except BaseException as error:  # noqa: BLE001 - which one it is, is the test
            caught.append(error)

    for kind in (KeyboardInterrupt, UsageError):  # and the next call is understood
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(30)
        assert not asking.is_alive()
        assert type(caught[-1]) is kind


def test_ctrl_c_in_the_middle_of_a_frame_ends_the_talk_without_a_second_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'": "the rest of a frame whose head was read before"}')
        _drain(ours)
        with pytest.raises(wire.Closed):
            wire.send(ours, {})


def test_an_event_is_sent_before_the_next_one_exists_and_the_result_last() -> None:
    happened = []

    def streaming(_: object, stop: threading.Event) -> Replies:
        for number in range(2):
            happened.append(number)
            yield number
        happened.append("end")
        return "result"

    message = {"call": "streaming", "arguments": {}}
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(CALLS, "streaming", streaming)
        sent = answer(None, message, threading.Event())
        assert (next(sent), happened) == ({"event": 0}, [0])
        assert (next(sent), happened) == ({"event": 1}, [0, 1])
        assert list(sent) == [{"result": "result"}]


def test_locking_ends_the_process_that_held_the_key(client: Client) -> None:
    before = client._process
    client.lock()
    assert before.returncode is not None
    assert client._process.pid != before.pid


def test_the_key_does_not_outlive_a_front_end_that_was_killed(settings: Config) -> None:
    code = (
        "import sys, time; from pathlib import Path; from appliance.client import Client;"
        "from appliance.config import Config; c = Client(Config(home=Path(sys.argv[1])));"
        "print(c._process.pid, flush=True); time.sleep(60)"
    )
    front = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.home)], stdout=subprocess.PIPE, text=True
    )
    assert front.stdout is not None
    worker = int(front.stdout.readline())
    watched = os.pidfd_open(worker)
    front.kill()
    front.wait()
    front.stdout.close()
    assert select.select([watched], [], [], 10)[0], "the worker is still there"
    os.close(watched)


def test_the_worker_has_no_network_and_no_core(client: Client) -> None:
    with pytest.raises(UsageError):
        client.documents()  # it is up: the filter was set before it listened
    status = Path(f"/proc/{client._process.pid}/status").read_text()
    limits = Path(f"/proc/{client._process.pid}/limits").read_text()
    assert "Seccomp:\t2" in status
    assert "Max core file size        0" in limits
