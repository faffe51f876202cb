"""The whole journey with the real models, through the command line, as a person would go it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PASSPHRASE

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "scripts" / "demo"
COMMAND = [sys.executable, "-m", "appliance.cli"]


class Person:
    """Somebody with a state folder and a passphrase."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.secret = folder / "secret"
        self.secret.write_bytes(PASSPHRASE + b"\n")
        self.environment = os.environ | {"APPLIANCE_HOME": str(self.home)}

    def types(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        arguments = [*COMMAND, *words, "--passphrase-file", str(self.secret)]
        return subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=ROOT,
            input=stdin,
            timeout=120,
        )

    def reads(self, *words: str) -> dict[str, Any]:
        """Run one command with --json and return what it printed."""
        return dict(json.loads(self.types(*words, "--json").stdout))


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, built_models: Path) -> Person:
    someone = Person(tmp_path_factory.mktemp("journey"))
    assert someone.types("init").returncode == 0
    added = someone.types("add", str(SAMPLES))
    assert added.returncode == 0, added.stderr
    return someone


def test_a_question_is_answered_with_the_page(person: Person) -> None:
    done = person.types("ask", "What must be done when alarm E04 shows?", "--json")
    shown = json.loads(done.stdout)
    assert done.returncode == 0
    assert shown["passages"][0]["document"] == "pump-station-manual.txt"
    assert shown["passages"][0]["page"] == 3
    assert not shown["abstained"]
    assert shown["citations"]
    assert all(citation["supported"] for citation in shown["citations"])


def test_every_quote_stands_on_the_page_it_names(person: Person) -> None:
    shown = person.reads("ask", "How much diesel does the tank hold?")
    for citation in shown["citations"]:
        stored = person.reads("show", citation["document"])
        text = " ".join(page["text"] for page in stored["text"] if page["page"] == citation["page"])
        assert " ".join(citation["quote"].split()) in " ".join(text.split())


def test_what_is_not_there_is_refused_with_exit_code_3(person: Person) -> None:
    done = person.types("ask", "Who composed the opera about the flying Dutchman?")
    assert done.returncode == 3
    assert "Not in your documents" in done.stdout


def test_several_questions_share_one_start(person: Person) -> None:
    done = person.types(
        "ask", "-", "--json", stdin="How long may a pump run dry?\n\nWhen is the nurse there?\n"
    )
    questions = [json.loads(line)["question"] for line in done.stdout.splitlines()]
    assert questions == ["How long may a pump run dry?", "When is the nurse there?"]


def test_adding_again_does_nothing_twice(person: Person) -> None:
    again = person.reads("add", str(SAMPLES))
    assert {item["status"] for item in again["files"]} == {"duplicate"}


def test_the_library_lists_shows_and_verifies(person: Person) -> None:
    names = [item["name"] for item in person.reads("list")["documents"]]
    assert names == ["first-aid-post.html", "pump-station-manual.txt", "site-generator.md"]
    assert "Alarms" in person.types("show", "pump-station-manual.txt", "--page", "3").stdout
    near = person.types("show", "PUMP-station")
    assert (near.returncode, "Is it pump-station-manual.txt?" in near.stderr) == (2, True)
    beyond = person.types("show", "pump-station-manual.txt", "--page", "99")
    assert (beyond.returncode, "It has 1 to " in beyond.stderr) == (2, True)
    assert person.types("verify", "--full").returncode == 0


def test_a_wrong_passphrase_is_exit_code_5(person: Person, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the passphrase\n")
    done = subprocess.run(
        [*COMMAND, "list", "--passphrase-file", str(wrong)],
        capture_output=True,
        text=True,
        env=person.environment,
    )
    assert done.returncode == 5
    assert done.stdout == ""


def test_a_changed_store_is_exit_code_6(person: Person, tmp_path: Path) -> None:
    copy = Person(tmp_path)
    subprocess.run(["cp", "-a", str(person.home), str(copy.home)], check=True)
    store = copy.home / "vaults" / "main" / "store.db"
    damaged = bytearray(store.read_bytes())
    damaged[5000] ^= 1
    store.write_bytes(damaged)
    assert copy.types("verify", "--full").returncode == 6


def test_mistakes_are_exit_code_2_and_change_nothing(person: Person) -> None:
    assert person.types("init").returncode == 2
    assert person.types("show", "no-such-document").returncode == 2
    assert person.types("list", "--vault", "nowhere").returncode == 2
    assert person.types("frobnicate").returncode == 2


def test_a_removed_document_answers_no_more(person: Person, tmp_path: Path) -> None:
    copy = Person(tmp_path)
    subprocess.run(["cp", "-a", str(person.home), str(copy.home)], check=True)
    assert copy.types("remove", "pump-station-manual.txt").returncode == 0
    shown = copy.reads("ask", "What does alarm E04 mean?")
    assert "pump-station-manual.txt" not in {passage["document"] for passage in shown["passages"]}


def test_ctrl_c_stops_an_answer_within_a_second(person: Person) -> None:
    asking = subprocess.Popen(
        [
            *COMMAND,
            "ask",
            "What does the whole manual say about pumps?",
            "--passphrase-file",
            str(person.secret),
        ],
        env=person.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asking.stdout is not None
    asking.stdout.readline()  # the evidence is on screen, the generator at work
    asking.send_signal(signal.SIGINT)
    begun = time.monotonic()
    code = asking.wait(10)
    assert time.monotonic() - begun < 2
    assert code in (130, 0)  # 0 where the answer was quicker than the signal
    asking.stdout.close()
    if asking.stderr:
        asking.stderr.close()


def test_nothing_readable_is_left_on_disk(person: Person) -> None:
    canaries = [b"P-101", b"defibrillator", b"MS-4421", b"pump-station-manual", b"site-generator"]
    wide = [word.decode().encode("utf-16-le") for word in canaries]
    files = [path for path in person.home.rglob("*") if path.is_file()]
    hits = [(path.name, word) for path in files for word in canaries + wide if word in path.read_bytes()]
    assert len(files) >= 2
    assert hits == []


def test_without_a_generator_the_quote_answers(person: Person) -> None:
    settings = person.home / "config.toml"
    settings.write_text('generator = ""\n')
    try:
        shown = person.reads("ask", "How much diesel does the tank hold?")
    finally:
        settings.unlink()
    assert "380 litres" in shown["answer"]
    assert shown["models"]["generator"] is None


def test_an_interrupted_add_is_listed_and_can_be_removed(built_models: Path, tmp_path: Path) -> None:
    somebody = Person(tmp_path)
    assert somebody.types("init").returncode == 0
    long = tmp_path / "long.txt"
    words = "The valve of line {0} is checked every {0} days by the crew of shift {0}. "
    long.write_text("".join(words.format(number) for number in range(40_000)))
    adding = subprocess.Popen(
        [*COMMAND, "add", str(long), "--json", "--passphrase-file", str(somebody.secret)],
        env=somebody.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    store = somebody.home / "vaults" / "main" / "store.db-wal"
    while time.monotonic() < deadline and not (store.exists() and store.stat().st_size > 1_000_000):
        assert adding.poll() is None
    adding.send_signal(signal.SIGINT)
    adding.communicate(timeout=20)
    assert adding.returncode == 130
    (item,) = somebody.reads("list")["documents"]
    assert "not finished" in item["lost"][0]
    assert somebody.types("remove", "long.txt").returncode == 0
    assert somebody.reads("list")["documents"] == []
