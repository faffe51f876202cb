"""Verify an audit log by its written format alone, appliance/vault/AUDIT.md: no code of the program.

    python scripts/verify_log.py FOLDER [--memory F] [--checkpoint F]... [--backup] [--json]

FOLDER holds `audit.log` and `audit.key`. Without a secret, form, chain, state and the signatures of
checkpoints are verified. `--memory` is a JSON object with what the store's setting `audit` says (`seed`,
`at`, ...) and the vault's id (`vault`); with the seed every MAC is verified. `-` reads it from a pipe, as
verify_vault.py does. Exit status: 0 all is as it was written, 6 something is not. Needs cryptography.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand


class Wrong(Exception):
    """Something is not as the format says."""


FAULTS: Final = (Wrong, InvalidSignature, OSError, ValueError, LookupError, TypeError, RecursionError)


def need(fact: object, why: str) -> None:
    """Raise `Wrong` saying `why` where `fact` is not so."""
    if not fact:
        raise Wrong(why)


# "Entry": the whole grammar of a line. Names of models are what JSON makes of any text in ASCII.
H16, H32, BOX = (
    "[0-9a-f]{32}",
    "[0-9a-f]{64}",
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
)
MODEL, NUMBER = rf'"(?:[^"\\]|\\.)*":"{H32}"', "[1-9][0-9]{0,9}"
FAULT: Final = "damaged|ahead|behind|wrong|missing|torn"
LINE: Final = re.compile(
    rf'(?P<head>\{{"n":(?P<n>0|{NUMBER}),"time":"(?P<time>[0-9-]{{10}}T[0-9:]{{8}}Z)","action":"(?P<action>[a-z]{{1,16}})"'
    rf',"outcome":"[a-z][a-z0-9 -]{{0,31}}"(?P<first>,"format":1,"vault":"(?P<vault>{H16})"'
    rf',"signer":"(?P<signer>{H32})")?'
    rf'(?:,"models":(?P<models>\{{{MODEL}(?:,{MODEL}){{0,15}}\}}))?(?:,"chunks":\["{H16}"(?:,"{H16}"){{0,255}}\])?'
    rf'(?:,"store":(?P<store>\[(?:0|{NUMBER}),"{H32}"\]))?(?:,"back":(?P<back>{NUMBER}))?(?:,"cut":{NUMBER})?'
    rf'(?:,"fault":"(?P<fault>{FAULT})")?,"prev":"(?P<prev>{H32})")'
    rf'(?:,"reviewers":(?P<reviewers>\[\["{BOX}","{BOX}"\](?:,\["{BOX}","{BOX}"\]){{0,3}}\]))?'
    rf'(?:,"sealed":(?P<sealed>\[\["{H16}","{BOX}"\](?:,\["{H16}","{BOX}"\]){{0,3}}\]))?'
    rf',"mac":(?:"(?P<mac>{H32})"|null)\}}'
)
POINT: Final = re.compile(
    rf'\{{"format":1,"vault":"(?P<vault>{H16})","n":(?P<n>{NUMBER}),"head":"(?P<head>{H32})","time":"(?P<time>[0-9T:Z-]+)"'
    rf'(?:,"store":(?P<store>\[(?:0|{NUMBER}),"{H32}"\]))?,"signer":"(?P<signer>{H32})","mac":"(?P<mac>{H32})"'
    rf',"signature":"(?P<signature>[0-9a-f]{{128}})"\}}'
)
COUNTER: Final = re.compile(
    rf'(?P<own>\{{"by":"(?P<by>{H32})"),"signature":"(?P<signature>[0-9a-f]{{128}})"\}}'
)


def matched(form: re.Pattern[str], line: str, what: str) -> dict[str, str]:
    """Return the named parts of `line`, the empty text for what is absent."""
    found = form.fullmatch(line)
    need(found and len(line) < 1 << 20, f"it is not in the one form of {what}")
    return found.groupdict("") if found else {}


def seconds(time: str) -> int:
    """Return the seconds since 1970 at the time of an entry; a ValueError where there is no such day."""
    return int(datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def digest(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def expanded(key: bytes, label: str) -> bytes:
    """Return the key that comes after, or from, `key`."""
    return HKDFExpand(hashes.SHA256(), 32, f"appliance audit 1 {label}".encode()).derive(key)


@dataclass
class Log:
    """The log as far as it was verified; `key` is that of the next MAC, None without the seed."""

    vault: str
    seed: bytes | None
    entries: list[dict[str, str]] = field(default_factory=list)
    hashes: list[str] = field(default_factory=lambda: ["0" * 64])
    keys: list[bytes] = field(default_factory=list)
    reviewers: set[str] = field(default_factory=set)
    marks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.seed:
            self.keys.append(expanded(self.seed, "first key"))

    def read(self, data: bytes) -> str:
        """Verify every line, and that what follows the last is the beginning of the next."""
        *lines, rest = data.decode("ascii").split("\n")
        for at, line in enumerate(lines):
            try:
                self.entry(at, line)
            except FAULTS as error:
                raise Wrong(f"entry {at}: {error}") from error
        begin = f'{{"n":{len(lines)},'
        need(rest[: len(begin)] == begin[: len(rest)], "after the last line is something that is no entry")
        need(lines, "there is no entry")
        return f"{len(lines)} entries" + (", then a torn one" if rest else "")

    def entry(self, at: int, line: str) -> None:
        """Verify one line."""
        entry = matched(LINE, line, "an entry")
        need(entry["n"] == str(at) and entry["prev"] == self.hashes[at], "it does not follow the one before")
        begins = at == 0 and (not self.vault or self.vault == entry["vault"])
        need((at == 0) == (entry["action"] == "init") == bool(entry["first"]), "it begins, or does not")
        need(begins or at, "it is the log of another vault")
        if entry["fault"] or entry["action"] == "repair" or not entry["mac"]:
            self.marks.append(at)
        back = seconds(self.entries[-1]["time"]) - seconds(entry["time"]) if at else 0
        need((entry["back"] or "0") == str(max(back, 0)), "the clock went back, and it is not said so")
        models = list(json.loads(entry["models"] or "{}"))
        need(models == sorted(set(models)), "the models are not in order")
        self.sealed(entry)
        if self.keys:
            self.authentic(at, line, entry)
        self.entries.append(entry)
        self.hashes.append(digest(f"{line}\n".encode()))

    def sealed(self, entry: dict[str, str]) -> None:
        """Hold those whom content is sealed to against the reviewers on record."""
        for public, _ in json.loads(entry["reviewers"] or "[]"):
            self.reviewers.add(digest(base64.b64decode(public))[:32])
        strangers = {name for name, _ in json.loads(entry["sealed"] or "[]")} - self.reviewers
        need(not strangers, "content is sealed to somebody who is not on record")

    def authentic(self, at: int, line: str, entry: dict[str, str]) -> None:
        """Verify the MAC of an entry, and go on to the next key."""
        mac = hmac.digest(self.keys[at], line[: line.rindex(',"mac":')].encode(), "sha256").hex()
        need(hmac.compare_digest(mac, entry["mac"] or mac), "the MAC is another")
        self.keys.append(expanded(self.keys[at], "next key"))

    def state(self, data: bytes) -> str:
        """Hold `audit.key` against the log: one entry less is what a kill between the two writes leaves."""
        count = len(self.entries)
        need(len(data) == 512 and data[128:160] == hashlib.sha256(data[:128]).digest(), "it is torn")
        need(data[:8] == b"APLAUDIT" and not any(data[160:]), "it is of another form")
        known = int.from_bytes(data[8:16], "big")
        need(known in (count, count - 1) and known > 0, f"it knows of {known} entries, the log has {count}")
        need(data[16:32].hex() == self.entries[0]["vault"], "it is another vault's")
        need(data[32:64].hex() == self.hashes[known], "it knows another last line")
        signer = Ed25519PrivateKey.from_private_bytes(data[96:128]).public_key().public_bytes_raw()
        need(signer.hex() == self.entries[0]["signer"], "it has another signing key")
        if self.seed:
            right = self.keys[known] + expanded(self.seed, "signing key")
            need(data[64:128] == right, "its keys are not those that come from the seed")
        return f"next entry: {known}"

    def known(self, at: list[Any]) -> str:
        """Hold the log against the last line that the store remembers."""
        need(
            len(self.entries) > at[0] and self.hashes[at[0] + 1] == at[1],
            f"entry {at[0]} is another, or gone",
        )
        return f"entry {at[0]}"

    def checkpoint(self, data: bytes) -> str:
        """Verify the signatures of a checkpoint and hold it against the log."""
        lines = data.decode("ascii").removesuffix("\n").split("\n")
        point, own = matched(POINT, lines[0], "a checkpoint"), lines[0][: lines[0].rindex(',"signature":')]
        need(self.entries, "there is no log")
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.entries[0]["signer"])).verify(
            bytes.fromhex(point["signature"]), own.encode()
        )
        number = int(point["n"])
        need(number < len(self.entries), "the log ends before it")
        entry = self.entries[number] | {name: self.entries[0][name] for name in ("vault", "signer")}
        same = [name for name in ("vault", "signer", "time", "store") if point[name] != entry[name]]
        need(not same and self.hashes[number + 1] == point["head"], f"entry {number} is another: {same}")
        need(entry["action"] == "checkpoint", f"entry {number} is no checkpoint")
        if self.keys:
            mac = hmac.digest(self.keys[number], own[: own.rindex(',"mac":')].encode(), "sha256").hex()
            need(hmac.compare_digest(mac, point["mac"]), "the MAC is another")
        for at, line in enumerate(lines[1:], 1):
            by = matched(COUNTER, line, "a countersignature")
            signed = "".join(f"{each}\n" for each in lines[:at]) + by["own"]
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(by["by"]))
            key.verify(bytes.fromhex(by["signature"]), signed.encode())
        return f"entry {number} of {point['time']}, {len(lines) - 1} countersignatures"


@dataclass
class Report:
    """Name, outcome and detail of each check; the outcome of what could not be tried is None."""

    checks: list[tuple[str, bool | None, str]] = field(default_factory=list)

    @contextmanager
    def checking(self, name: str) -> Iterator[Callable[[str], None]]:
        """Note whether the block inside, which says details, ends without a fault."""
        said: list[str] = []
        try:
            yield said.append
            self.checks.append((name, True, "; ".join(said)))
        except FAULTS as error:
            self.checks.append((name, False, str(error) or type(error).__name__))


def verify(folder: Path, memory: dict[str, Any], checkpoints: list[Path], *, backup: bool = False) -> Report:
    """Verify the log in `folder` as far as `memory` allows."""
    report = Report()
    log = Log(memory.get("vault", ""), bytes.fromhex(memory["seed"]) if "seed" in memory else None)
    with report.checking("lines" if log.seed else "lines, without MACs") as say:
        say(log.read((folder / "audit.log").read_bytes()))
    with report.checking("marks"):
        need(not log.marks, f"faults are on record, or were repaired: entries {log.marks[:10]}")
    with report.checking("state") as say:
        if backup:
            need(not (folder / "audit.key").exists(), "a backup has none")
        else:
            say(log.state((folder / "audit.key").read_bytes()))
    if memory.get("at"):
        with report.checking("the store's memory") as say:
            say(log.known(memory["at"]))
    for path in checkpoints:
        with report.checking(f"checkpoint {path.name}") as say:
            say(log.checkpoint(path.read_bytes()))
    return report


def main() -> int:
    """Verify one log and print what was found."""
    parser = argparse.ArgumentParser(description="Verify an audit log by its written format alone.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--memory", metavar="FILE")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--backup", action="store_true", help="a backup: its log has no state")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    memory = "{}"
    if options.memory:
        memory = sys.stdin.read() if options.memory == "-" else Path(options.memory).read_text()
    report = verify(options.folder, json.loads(memory), options.checkpoint, backup=options.backup)
    if options.json:
        print(json.dumps({"checks": report.checks}))
    else:
        for name, ok, detail in report.checks:
            print(f"{'ok' if ok else 'WRONG':6}{name}: {detail}")
    return 0 if all(ok for _, ok, _ in report.checks) else 6


if __name__ == "__main__":
    sys.exit(main())
