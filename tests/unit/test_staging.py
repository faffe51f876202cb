"""The folder of a run: nobody else's, and what dead runs left in the clear is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.staging import ended_by_signals, held
from appliance.errors import VaultBusy

HOLDING = (
    "import sys, time; from pathlib import Path; from appliance.cli.staging import held\n"
    "with held(Path(sys.argv[1])):\n"
    "    Path(sys.argv[1], 'letter.html').write_text('Dear friend'); print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def living(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the folder `one`."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "eval" / "one")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child
        child.kill()


def test_a_second_run_of_the_same_documents_is_refused_and_hurts_nothing(
    living: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    letter = tmp_path / "eval" / "one" / "letter.html"
    with pytest.raises(VaultBusy, match="Another run"), held(letter.parent):
        pytest.fail("It had the folder too.")
    with held(tmp_path / "eval" / "two"):
        assert letter.read_text() == "Dear friend"


def test_what_a_killed_run_left_in_the_clear_is_gone_with_the_next_of_any_documents(
    living: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    living.kill()
    living.wait()
    assert (tmp_path / "eval" / "one" / "letter.html").exists()
    with held(tmp_path / "eval" / "two"):
        assert list((tmp_path / "eval").iterdir()) == [tmp_path / "eval" / "two"]
    assert list((tmp_path / "eval").iterdir()) == []


def test_what_a_killed_run_of_the_same_documents_left_is_not_added(tmp_path: Path) -> None:
    (tmp_path / "eval" / "one").mkdir(parents=True)
    (tmp_path / "eval" / "one" / "letter.html").write_text("Dear friend")
    with held(tmp_path / "eval" / "one"):
        assert list((tmp_path / "eval" / "one").iterdir()) == []


def test_a_planted_link_leads_to_no_one_elses_files(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letter").touch()
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "link").symlink_to(tmp_path / "own")
    (tmp_path / "eval" / "file").touch()
    with held(tmp_path / "eval" / "one"):
        pass
    assert (tmp_path / "own" / "letter").exists()


@pytest.fixture
def unhandled(number: signal.Signals) -> Iterator[None]:
    """Whoever runs the tests under nohup ignores one of them."""
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.usefixtures("unhandled")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_heard_once_and_then_all_is_as_before(number: signal.Signals) -> None:
    cleaned = []
    with pytest.raises(KeyboardInterrupt), ended_by_signals():  # noqa: PT012 - the second must not be heard
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
            cleaned.append(True)
    assert cleaned == [True]
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
