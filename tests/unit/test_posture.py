"""What the posture report says of machines that are well and badly kept."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import posture, sandbox
from appliance.config import Config
from appliance.posture import Machine, models_report, posture_report
from appliance.retrieve.refusal import SENTENCES_REFUSAL
from appliance.sandbox import Level
from appliance.types import Check
from tests.unit.test_models import card_text, put

FRONT_END = 4711


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without swap on which worker and front end are filtered."""
    made = Machine(proc=tmp_path / "proc", blocks=tmp_path / "block", front_end=FRONT_END)
    for process in ("self", str(FRONT_END)):
        write(made.proc / process / "status", "Name:\tpython\nSeccomp:\t2\nSeccomp_filters:\t1\n")
    write(made.proc / "swaps", "Filename\tType\tSize\tUsed\tPriority\n")
    write(made.proc / "sys/kernel/core_pattern", "core\n")
    return made


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def swap_on(machine: Machine, *devices: str) -> Check:
    rows = "".join(f"{device} partition 1 0 -2\n" for device in devices)
    write(machine.proc / "swaps", f"Filename\tType\tSize\tUsed\tPriority\n{rows}")
    return posture._swap(machine)


def test_the_report_is_one_screen_and_every_check_has_a_name_of_its_own(
    settings: Config, machine: Machine
) -> None:
    checks = posture_report(settings, machine).checks
    names = [check.name for check in checks]
    assert len(set(names)) == len(names) < 20
    assert all(check.detail and "\n" not in check.detail for check in checks)


@pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")
def test_both_sandboxes_are_probed(settings: Config, machine: Machine) -> None:
    found = {check.name: check for check in posture_report(settings, machine).checks}
    for name in ("parsers' sandbox", "generator's cell"):
        assert (found[name].ok, found[name].detail) == (True, "18 of 18 forbidden operations denied")


def test_the_levels_of_refusal_are_told_with_their_rates(settings: Config, tmp_path: Path) -> None:
    sentences = replace(settings, reader="")
    found = [check for check in models_report(sentences).checks if check.name.startswith("refusal ")]
    assert [check.name for check in found] == ["refusal strict", "refusal balanced", "refusal open"]
    assert [check.detail.endswith("(chosen)") for check in found] == [False, True, False]
    assert all("of the questions about another subject" in check.detail for check in found)
    made = settings.home / "models" / "tiny"
    made.mkdir(parents=True)
    (made / "card.toml").write_text(card_text("tiny"))
    chosen = replace(settings, reader="tiny", refusal="open")
    read = [check for check in models_report(chosen).checks if check.name.startswith("refusal ")]
    assert [check.detail for check in read] == ["so and so", "so and so", "so and so (chosen)"]
    without = models_report(replace(chosen, rerank=0)).checks[-1]
    assert without.detail.startswith(SENTENCES_REFUSAL[2].measured)


def test_the_models_in_use_are_told_from_those_that_only_lie_there(settings: Config) -> None:
    for name in ("one", "two"):
        put(settings.home / "models", name, card_text(name))
    found = {each.name: each for each in models_report(replace(settings, reader="two")).checks}
    assert not found["two"].ok  # what lies there is no graph; that it is the one in use is said all the same
    assert [found[name].detail.endswith("(chosen)") for name in ("one", "two")] == [False, True]
    sound = found[settings.embedding]
    assert sound.detail.endswith("(chosen)") or not sound.ok  # where the default models are not built


def test_swap(machine: Machine) -> None:
    write(machine.blocks / "dm-0/dm/uuid", "CRYPT-PLAIN-swap\n")
    write(machine.blocks / "dm-1/dm/uuid", "LVM-abcdef\n")
    assert posture._swap(machine).detail == "none"
    assert swap_on(machine, "/dev/dm-0", "/dev/zram0").ok
    assert not swap_on(machine, "/dev/dm-1").ok  # a logical volume is mapped, but not encrypted
    bad = swap_on(machine, "/dev/dm-0", "/dev/sda2", "/swapfile")
    assert not bad.ok
    assert "/dev/sda2, /swapfile" in bad.detail
    assert "swapoff" in bad.detail


@pytest.mark.parametrize("process", ["self", str(FRONT_END)])
def test_a_process_without_a_network_filter_is_named(machine: Machine, process: str) -> None:
    assert posture._network(machine).ok  # this test suite is filtered
    write(machine.proc / process / "status", "Name:\tpython\nSeccomp:\t0\n")
    check = posture._network(machine)
    assert (check.ok, check.detail) == (
        False,
        f"not closed: {'worker' if process == 'self' else 'front end'}",
    )


def test_a_filter_that_lets_a_socket_through_is_not_believed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Open:
        def close(self) -> None:
            pass

    monkeypatch.setattr(posture.socket, "socket", lambda _: Open())
    assert not posture._network(machine).ok


DUMPS = """
import resource, sys
from appliance import posture, sandbox
{setup}
machine = posture.Machine()
print(posture._dumps(machine).ok, posture._debuggers(machine).ok)
"""


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ("sandbox.harden()", "True True"),
        ("resource.setrlimit(resource.RLIMIT_CORE, (0, 0))", "False False"),
        ("", "False False"),
    ],
)
def test_a_process_that_may_be_dumped_is_found(setup: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DUMPS.format(setup=setup)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == said


def test_a_core_pattern_that_pipes_is_mentioned(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "dumpable", lambda: False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))
    assert posture._dumps(machine).detail == "off"
    write(machine.proc / "sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P\n")
    assert "to a program" in posture._dumps(machine).detail


def test_yama_is_named_where_it_is_there(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "dumpable", lambda: False)
    assert "Yama: not there" in posture._debuggers(machine).detail
    write(machine.proc / "sys/kernel/yama/ptrace_scope", "1\n")
    assert "Yama: 1" in posture._debuggers(machine).detail


def test_root_is_told_that_nothing_is_kept_from_root(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "you are root" in posture._debuggers(machine).detail
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" not in posture._debuggers(machine).detail


def test_a_kernel_without_landlock_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "level", lambda: Level(0, seccomp=True))
    check = posture._sandbox()
    assert not check.ok
    assert "no Landlock" in check.detail
    assert "--accept-weaker" in check.detail


def test_a_probe_that_something_escaped_says_what() -> None:
    results = (Check("mount", ok=False, detail="permitted"), Check("fork", ok=True, detail="denied (EPERM)"))
    check = posture._probe("cell", results)
    assert (check.ok, check.detail) == (False, "1 of 2 forbidden operations denied; not: mount")
