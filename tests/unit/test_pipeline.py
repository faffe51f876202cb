"""What becomes of every file, on the store's twin and an encoder that hashes words."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading

import numpy as np
import pytest

from appliance import render
from appliance.errors import Cancelled, IntegrityError, LimitExceeded, NeedsPassword, NoText, StorageFull
from appliance.ingest.pipeline import BATCH, Ingest
from appliance.types import Added, Block, FileDone, Hit, Parsed, Progress
from tests.fakes import FakeClock, FakeEncoder
from tests.stores import FakeStore

SENTENCE = "Valve V-{n} must be opened by hand before the pump is started again."


def text_parser(path):
    """Parse a file as the sandboxed parser would: what it says decides what becomes of it."""
    data = path.read_bytes()
    text = data.decode()
    if text.startswith("LOCKED"):
        raise NeedsPassword("It needs a password.")
    if not text.strip():
        raise NoText("It holds no text.")
    lost = ("a picture",) if "PICTURE" in text else ()
    blocks = tuple(Block("paragraph", part, 1) for part in text.split("\n\n"))
    return Parsed(path.stem, blocks, 1, lost), hashlib.sha256(data).hexdigest(), len(data)


class Bench:
    """A store, an encoder and an ingest over them."""

    def __init__(self, store=None, parse=text_parser):
        self.store = store or FakeStore()
        self.encoder = FakeEncoder()
        self.clock = FakeClock()
        self.ingest = Ingest(self.store, self.encoder, parse, self.clock)

    def add(self, *paths, stop=None):
        return list(self.ingest.add(paths, stop=stop or threading.Event()))

    def files(self, *paths):
        return {result.path.rsplit("/", 1)[-1]: result for result in self.add(*paths)[-1].files}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def long_text(sentences):
    return "\n\n".join(SENTENCE.format(n=n) * 10 for n in range(sentences))


def interrupted(bench, path):
    """Add `path` and stop behind its first batch."""
    stop = threading.Event()
    run = bench.ingest.add([path], stop=stop)
    while not (isinstance(event := next(run), Progress) and event.chunks_done):
        pass
    stop.set()
    with pytest.raises(Cancelled):
        list(run)


def test_a_folder_ends_with_one_line_for_every_visible_file(tmp_path):
    write(tmp_path / "a.txt", "Alpha is the first.")
    write(tmp_path / "sub" / "b.txt", "LOCKED")
    write(tmp_path / "sub" / "c.txt", "  ")
    write(tmp_path / "d.txt", "PICTURE of a pump, and a word.")
    write(tmp_path / ".hidden", "no")
    write(tmp_path / ".git" / "config", "no")
    added = Bench().add(tmp_path)[-1]
    assert added.hidden == 2, "a hidden folder counts once, and is not looked into"
    assert render.added(added).endswith("; 2 hidden, left out")
    assert Bench().add(tmp_path, tmp_path)[-1].hidden == 2, "nor twice where a folder is named twice"
    found = {result.path.rsplit("/", 1)[-1]: result for result in added.files}
    assert {name: result.status for name, result in found.items()} == {
        "a.txt": "ok",
        "b.txt": "failed",
        "c.txt": "no-text",
        "d.txt": "partial",
    }
    assert found["b.txt"].reason == "It needs a password."
    assert found["d.txt"].reason == "a picture"
    assert found["a.txt"].chunks == 1


def test_names_are_relative_to_the_folder_and_made_unique(tmp_path):
    write(tmp_path / "one" / "in" / "a.txt", "Alpha.")
    write(tmp_path / "two" / "in" / "a.txt", "Beta.")
    write(tmp_path / "a.txt", "Gamma.")
    bench = Bench()
    bench.add(tmp_path / "one", tmp_path / "two", tmp_path / "a.txt")
    assert [document.name for document in bench.store.documents()] == ["in/a.txt", "two/in/a.txt", "a.txt"]


def test_the_same_file_again_is_unchanged_and_embeds_nothing(tmp_path):
    path = write(tmp_path / "a.txt", "Alpha.")
    bench = Bench()
    bench.add(path)
    bench.encoder.batches.clear()
    assert [(r.status, r.reason) for r in bench.files(path).values()] == [("duplicate", "unchanged")]
    assert bench.encoder.batches == []


def test_the_same_content_elsewhere_names_the_other(tmp_path):
    write(tmp_path / "a.txt", "Alpha.")
    write(tmp_path / "b.txt", "Alpha.")
    bench = Bench()
    found = bench.files(tmp_path)
    assert found["b.txt"].status == "duplicate"
    assert "a.txt" in found["b.txt"].reason
    assert len(bench.store.documents()) == 1


def test_a_changed_file_takes_the_place_of_its_older_version(tmp_path):
    path = write(tmp_path / "a.txt", "Alpha.")
    bench = Bench()
    bench.add(path)
    write(path, "Beta.")
    assert bench.files(path)["a.txt"].status == "ok"
    assert [bench.store.text(document.id) for document in bench.store.documents()] == ["Beta."]
    assert [document.name for document in bench.store.documents()] == ["a.txt"]


def test_a_file_that_became_a_copy_of_another_loses_its_older_version(tmp_path):
    write(tmp_path / "a.txt", "Alpha.")
    other = write(tmp_path / "b.txt", "Beta.")
    bench = Bench()
    bench.add(tmp_path)
    write(other, "Alpha.")
    assert bench.files(other)["b.txt"].status == "duplicate"
    assert [document.name for document in bench.store.documents()] == ["a.txt"]


def test_content_that_was_replaced_in_this_very_run_is_added_where_it_turns_up_next(tmp_path):
    first = write(tmp_path / "a.txt", "Alpha.")
    bench = Bench()
    bench.add(first)
    write(first, "Beta.")
    write(tmp_path / "b.txt", "Alpha.")
    assert {name: r.status for name, r in bench.files(tmp_path).items()} == {"a.txt": "ok", "b.txt": "ok"}
    assert [document.name for document in bench.store.documents()] == ["a.txt", "b.txt"]


def test_a_file_that_can_no_longer_be_read_keeps_its_older_version_and_says_so(tmp_path):
    path = write(tmp_path / "a.txt", "Alpha.")
    bench = Bench()
    bench.add(path)
    write(path, "LOCKED")
    assert bench.files(path)["a.txt"].reason.endswith("The version that was added before stays.")
    assert len(bench.store.documents()) == 1


def test_what_is_not_there_is_a_failed_line(tmp_path):
    found = Bench().files(tmp_path / "gone.pdf")
    assert (found["gone.pdf"].status, found["gone.pdf"].reason) == ("failed", "No such file or directory.")


def test_no_paths_end_at_once():
    assert [type(event) for event in Bench().add()] == [Added]


def test_links_and_pipes_in_a_folder_are_reported_and_not_followed(tmp_path):
    inside = tmp_path / "in"
    write(inside / "a.txt", "Alpha.")
    (inside / "loop").symlink_to(inside)
    write(tmp_path / "secret.txt", "Beta.")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(inside / "pipe")
    found = Bench().files(inside)
    assert {name: result.status for name, result in found.items()} == {
        "a.txt": "ok",
        "link.txt": "failed",
        "loop": "failed",
        "pipe": "failed",
    }


def test_a_name_that_is_not_utf8_is_stored_readably(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    with open(path, "w") as file:  # noqa: PTH123
        file.write("Alpha.")
    bench = Bench()
    bench.add(tmp_path)
    assert [document.name for document in bench.store.documents()] == ["caf\\xe9.txt"]


def test_text_that_is_not_unicode_fails_its_file_alone(tmp_path):
    write(tmp_path / "a.txt", "Alpha.")
    write(tmp_path / "b.txt", "Beta.")

    def parse(path):
        parsed, digest, size = text_parser(path)
        broken = Parsed("T", (Block("paragraph", "lone \ud800 half"),), None)
        return (broken if path.name == "a.txt" else parsed), digest, size

    found = Bench(parse=parse).files(tmp_path)
    assert [found[name].status for name in ("a.txt", "b.txt")] == ["failed", "ok"]


def test_a_file_of_a_terabyte_is_not_read_to_its_end_before_it_is_refused(tmp_path):
    with (tmp_path / "sparse.txt").open("wb") as file:
        file.truncate(1 << 40)
    write(tmp_path / "stored.txt", "Alpha.")

    def parse(path):
        if path.name == "sparse.txt":
            raise LimitExceeded("The file is too large.")
        return text_parser(path)

    bench = Bench(parse=parse)
    for _ in range(2):
        assert bench.files(tmp_path)["sparse.txt"].reason == "The file is too large."


def test_folders_nested_to_exhaust_the_stack_are_refused_and_stop_nothing(tmp_path):
    write(tmp_path / "a.txt", "Alpha.")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    reasons = [(result.status, result.reason) for result in Bench().add(tmp_path)[-1].files]
    assert reasons == [("ok", ""), ("failed", "The folder is nested too deeply.")]
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # deeper than Python's own sweep can go


def test_progress_counts_files_and_chunks_and_estimates_by_bytes(tmp_path):
    for name in "abcd":
        write(tmp_path / f"{name}.txt", f"{name} is a letter. " * 3)
    bench = Bench()
    progress = []
    for event in bench.ingest.add([tmp_path], stop=threading.Event()):
        bench.clock.now += 3 if isinstance(event, FileDone) else 0
        progress += [event] if isinstance(event, Progress) else []
    assert progress[0].eta_s is None
    opened = [event for event in progress if event.eta_s is not None and event.files_done == 2]
    assert opened[0].eta_s == pytest.approx(6.0)
    assert [event.files_total for event in progress] == [4] * len(progress)


@pytest.mark.parametrize(("each", "first"), [(0.1, None), (0.8, 7), (11, 6)])
def test_no_time_is_told_before_there_is_something_to_judge_it_by(tmp_path, each, first):
    for name in "abcdefgh":
        write(tmp_path / f"{name}.txt", f"{name} is a letter.")
    write(tmp_path / "i.txt", f"{SENTENCE.format(n=1)}\n\n" * 30)
    bench = Bench()
    told = []
    for event in bench.ingest.add([tmp_path], stop=threading.Event()):
        bench.clock.now += each if isinstance(event, FileDone) else 0
        if isinstance(event, Progress) and event.eta_s is not None:
            told.append(event)
    assert (told[0].files_done if told else None) == first


def test_every_chunk_is_stored_with_its_own_vector(tmp_path):
    lengths = [3, 14, 1, 9, 5, 12, 2, 7] * 20  # out of order, for batches are embedded by length
    text = "\n\n".join(SENTENCE.format(n=n) * length for n, length in enumerate(lengths))
    path = write(tmp_path / "a.txt", text)
    bench = Bench()
    bench.add(path)
    (document,) = bench.store.documents()
    assert document.chunks > BATCH
    ids = [chunk for chunk, _ in bench.store.match([("valve",)], 10_000)]
    passages = bench.store.passages([Hit(chunk, 0.5, ()) for chunk in ids])
    expected = bench.encoder.encode([f"a\n{passage.text}" for passage in passages])
    assert np.allclose(bench.store.vectors(ids), expected, atol=1e-6)


def test_stop_keeps_what_is_stored_and_the_next_run_goes_on_there(tmp_path):
    path = write(tmp_path / "a.txt", long_text(400))
    bench = Bench()
    interrupted(bench, path)
    assert bench.store.documents() == ()
    before = sum(bench.encoder.batches)
    bench.add(path)
    (document,) = bench.store.documents()
    assert sum(bench.encoder.batches) - before == document.chunks - BATCH


def test_a_name_that_an_unfinished_document_has_is_given_to_no_other(tmp_path):
    first = write(tmp_path / "one" / "manual.txt", long_text(400))
    second = write(tmp_path / "two" / "manual.txt", "Beta.")
    bench = Bench()
    interrupted(bench, first)
    bench.add(second)
    assert [document.name for document in bench.store.unfinished()] == ["manual.txt"]
    assert [document.name for document in bench.store.documents()] == ["two/manual.txt"]
    before = sum(bench.encoder.batches)
    bench.add(first)  # it keeps its name, and so what is stored of it
    assert sorted(document.name for document in bench.store.documents()) == ["manual.txt", "two/manual.txt"]
    assert sum(bench.encoder.batches) - before == bench.store.by_source(str(first)).chunks - BATCH


def test_stop_does_not_wait_for_a_parser(tmp_path):
    path = write(tmp_path / "a.txt", "Alpha.")
    started, release = threading.Event(), threading.Event()

    def slow(_):
        started.set()
        release.wait(20)
        raise NoText("late")

    stop = threading.Event()
    bench = Bench(parse=slow)
    threading.Thread(target=lambda: (started.wait(20), stop.set()), daemon=True).start()
    with pytest.raises(Cancelled):
        bench.add(path, stop=stop)
    release.set()


@pytest.mark.parametrize("error", [StorageFull("full"), IntegrityError("damaged")])
def test_a_store_that_fails_stops_the_run(tmp_path, error):
    class Failing(FakeStore):
        def append(self, document_id, chunks, vectors):
            raise error

    write(tmp_path / "a.txt", "Alpha.")
    with pytest.raises(type(error)):
        Bench(Failing()).add(tmp_path)


def test_a_fault_of_the_parser_itself_is_not_hidden(tmp_path):
    def broken(_):
        raise ZeroDivisionError

    write(tmp_path / "a.txt", "Alpha.")
    with pytest.raises(ZeroDivisionError):
        Bench(parse=broken).add(tmp_path)
