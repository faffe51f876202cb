"""Rows 19, 26, 33 and 43: confined processes, vaults as compartments, the machine's own posture."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from appliance import models, sandbox
from appliance.generate.cell import CellGenerator, cell_checks
from tests.faults import test_cell as cell_tests
from tests.fuzz import runner
from tests.security.box import MODELS, ROOT, Box, Terminal, box, offspring
from tests.security.opened import database
from tests.security.registry import Scale, Tried, row
from tests.security.rest import word

# Landlock's first call is answered as by a kernel that never heard of it; then the command goes on.
OLD_KERNEL = """
import errno, os, sys
from appliance import kernel
kernel.install(kernel.Program().deny((444, 444), error=errno.ENOSYS), allow_others=True)
os.execv(sys.argv[1], sys.argv[1:])
"""


@row(19, "A malicious GGUF stays in its cell")
def malicious_model(scale: Scale) -> Tried:
    """Feed broken models to our header check and, past it, to the engine in its cell; probe the cell."""
    tried = Tried()
    checked = runner.fuzz("gguf", scale.of(10_000, least=200))
    tried.cases += checked.cases
    tried.failures += [f"header check, mutant {number}: {what}" for number, what in checked.failures]
    found = models.find("smollm2-135m-cited", [MODELS])
    outcomes = [
        cell_tests.load_anyway(content, size=size)
        for content, size in cell_tests.mutants(found, scale.of(60, least=3))
    ]
    tried.cases += len(outcomes)
    tried.case(set(outcomes) <= {"refused", "loaded"}, f"outcomes: {set(outcomes)}")
    made = CellGenerator.load(found, threads=1)
    try:
        escapes = [check.name for check in made.probe() if not check.ok]
        tried.cases += len(made.probe())
        tried.case(not escapes, f"the cell may: {escapes}")
        tried.case(made.count("still here") > 0, "the holder did not live on")
    finally:
        made.close()
    refused = outcomes.count("refused")
    tried.note = (
        f"{checked.cases} headers, {len(outcomes)} broken models in the engine ({refused} ended or refused),"
        f" escapes {len(escapes)} of {len(cell_checks())}"
    )
    return tried


@row(26, "A vault is a compartment")
def compartments(scale: Scale) -> Tried:
    """Three vaults with their own passphrases: no question, list, file or key of one shows another's."""
    tried = Tried()
    names = ("alpha", "beta", "gamma")
    canaries = {name: [word() for _ in range(6)] for name in names}
    with box() as owner:
        secrets = {}
        for name in names:
            secrets[name] = owner.write(f"secrets/{name}", f"the passphrase of {name}\n")
            text = "".join(
                f"The {each} valve opens at {n} bar.\n\n" for n, each in enumerate(canaries[name][1:])
            )
            owner.write(f"{name}/{canaries[name][0]}.md", f"# Plan {name}\n\n{text}")
            owner.run("--vault", name, "init", "--passphrase-file", secrets[name], secret=False)
            owner.run(
                "--vault", name, "--passphrase-file", secrets[name], "add", owner.luggage / name, secret=False
            )
        for name in names:
            foreign = [each for other in names if other != name for each in canaries[other]]
            given = "\n".join(
                f"At how many bar does the {each} valve open?"
                for each in foreign[:: 1 if scale.factor >= 0.5 else 4]
            )
            opening = ("--vault", name, "--passphrase-file", secrets[name])
            outs = [owner.run(*opening, "ask", "--json", "-", given=given.encode(), secret=False).out]
            own = owner.run(
                *opening, "ask", f"At how many bar does the {canaries[name][3]} open?", secret=False
            )
            tried.case(
                canaries[name][3].encode() in own.out, f"{name} does not answer from its own documents"
            )
            tried.case(
                len(_lines(outs[0])) == given.count("\n") + 1, f"{name}: not every question was answered"
            )
            for number, out in enumerate(json.loads(line) for line in _lines(outs[0])):
                rows = json.dumps([out["passages"], out["citations"], out["answer"]])
                tried.case(
                    not any(each in rows for each in foreign), f"{name}, question {number}: {rows[:150]}"
                )
            for words in (("list", "--json"), ("show", "1"), ("verify", "--full", "--json")):
                said = owner.run(*opening, *words, secret=False).out.decode()
                tried.case(
                    not any(each in said for each in foreign), f"{name}, {words[0]}: another vault's words"
                )
            for other in names:
                if other != name:
                    wrong = owner.run(
                        "--vault", other, "--passphrase-file", secrets[name], "list", secret=False
                    )
                    tried.case(wrong.code == 5, f"{name}'s passphrase on {other} ended with {wrong.code}")
            with database(owner.state / "vaults" / name, secrets[name].read_bytes().strip()) as opened:
                image = opened.image()
            tried.cases += len(foreign)
            tried.case(
                not any(each.encode() in image for each in foreign), f"{name}'s store holds another's words"
            )
        _swapped_files(tried, owner, secrets)
    tried.note = "3 vaults, 36 foreign words; inside one vault there are no users and no labels"
    return tried


def _lines(out: bytes) -> list[str]:
    return [line for line in out.decode().splitlines() if line.startswith("{")]


def _swapped_files(tried: Tried, owner: Box, secrets: dict[str, Path]) -> None:
    """Put one vault's files into another's folder, one at a time: none is taken for its own."""
    vaults = owner.state / "vaults"
    for name in ("keys", "store.db", "anchor"):
        mine, other = vaults / "alpha" / name, vaults / "beta" / name
        kept = mine.read_bytes()
        backup = vaults / "alpha" / "keys.bak"
        kept_backup = backup.read_bytes()
        mine.write_bytes(other.read_bytes())
        if name == "keys":
            backup.write_bytes(other.read_bytes())
        for whose in ("alpha", "beta"):
            said = owner.run("--vault", "alpha", "--passphrase-file", secrets[whose], "list", secret=False)
            tried.case(
                said.code in (5, 6), f"beta's {name} in alpha, {whose}'s passphrase: ended with {said.code}"
            )
        mine.write_bytes(kept)
        backup.write_bytes(kept_backup)


@row(33, "Least privilege, or refuse")
def least_privilege(_: Scale) -> Tried:
    """Probe 18 operations inside each worker; run on a kernel without Landlock."""
    tried, notes = Tried(), []
    with box() as owner:
        page = owner.write("docs/manual.md", "# Pump\n\nThe shut-off head is 42 m.\n")
        owner.init()
        doctor = owner.run("doctor", "--json", secret=False).json()["checks"]
        probes = {
            each["name"]: each for each in doctor if "probe" in each["name"] or "denied" in each["detail"]
        }
        for name, each in probes.items():
            denied = re.search(r"(\d+) of (\d+)", each["detail"])
            tried.cases += int(denied[2]) - 1 if denied else 0
            tried.case(each["ok"] and denied and denied[1] == denied[2], f"{name}: {each['detail']}")
            notes.append(f"{name}: {each['detail'].split(' forbidden')[0]}")
        tried.case(probes, "doctor does not probe the sandbox")
        old = [sys.executable, "-c", OLD_KERNEL]
        without = owner.run("add", page, before=old)
        tried.case(
            without.code == 7, f"without Landlock `add` ended with {without.code}: {without.said[:200]}"
        )
        told = owner.run("doctor", "--json", before=old, secret=False)
        tried.case(not told.json()["ok"], "without Landlock `doctor` is content")
        weaker = owner.run("--accept-weaker", "add", page, before=old)
        tried.case(weaker.code == 0, f"with --accept-weaker it ended with {weaker.code}: {weaker.said[:200]}")
        log = (owner.vault / "audit.log").read_text("ascii")
        tried.case("policy" in log or "weaker" in log, "--accept-weaker is not recorded")
        _running(tried, owner, notes)
    tried.case(sandbox.level().full, f"this kernel: {sandbox.level()}")
    tried.note = "; ".join(notes)
    return tried


def _running(tried: Tried, owner: Box, notes: list[str]) -> None:
    """Look at the state in which the kernel has each process of a running program."""
    with Terminal(owner, "tui") as screen:
        screen.wait("Ask your documents")
        for each in offspring(screen.process.pid):
            status = Path(f"/proc/{each.pid}/status").read_text()
            tried.case("NoNewPrivs:\t1" in status, f"{each.pid} may gain privileges")
            tried.case("Seccomp:\t2" in status, f"{each.pid} has no filter")
            tried.case(not _listens(each.pid), f"{each.pid} listens on a socket")
        notes.append("every process filtered, none listens")


def _listens(process: int) -> bool:
    inodes = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            inodes.add(str(entry.readlink()))
        except OSError:
            continue
    tcp = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:]
    ]
    return any(f"socket:[{fields[9]}]" in inodes for fields in tcp)


@row(43, "OS baseline documented")
def baseline(_: Scale) -> Tried:
    """Hold the document against what `doctor` reports: every check is explained."""
    tried = Tried()
    document = ROOT / "SECURITY.md"
    if not document.exists():
        tried.failures.append("SECURITY.md is not written yet")
        return tried
    text = document.read_text("utf-8")
    with box() as owner:
        checks = owner.run("doctor", "--json", secret=False).json()["checks"]
    cards = {each.card.name for each in models.installed([MODELS])}
    names = [each["name"] for each in checks if each["name"] not in cards]
    for name in names:
        tried.case(f"`{name}`" in text, f"SECURITY.md does not explain `{name}`, which doctor reports")
    for topic in ("Measured boot", "disk encryption", "updates"):
        tried.case(topic in text, f"SECURITY.md says nothing of {topic}, which doctor cannot see")
    tried.note = (
        f"{len(names)} checks of doctor explained; no CIS Benchmark was run: there is no reference image"
    )
    return tried
