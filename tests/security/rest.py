"""Rows 1 and 14: what lies on the disk, while it is written, after a kill, after a removal."""

from __future__ import annotations

import contextlib
import os
import secrets
import string
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.security.box import Box, box, kill
from tests.security.opened import database
from tests.security.registry import Scale, Tried, row
from tests.security.scan import Haystack, forms

# Where else a program could leave something behind.
ELSEWHERE = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
_MOST_BYTES = 1 << 28
_DEEPEST = 4


def word() -> str:
    """A canary: sixteen letters that nobody else writes."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def library(owner: Box, canaries: list[str], files: int) -> list[Path]:
    """Write documents that hold every canary once: in names, titles, headings, text, tables."""
    paths = []
    for number in range(files):
        name, title, heading, *rest = canaries[number::files]
        lines = [
            f"# {title}\n",
            f"## The {heading} pump\n",
            "| part | mark |",
            "|---|---|",
            f"| seal | {rest[0]} |\n",
        ]
        lines += [
            f"The valve {each} must be open before the pump starts, at {n} bar.\n"
            for n, each in enumerate(rest[1:])
        ]
        paths.append(owner.write(f"docs/{name}.md", "\n".join(lines)))
    return paths


def vector_needles(folder: Path, per_row: int = 6) -> Iterator[tuple[str, bytes]]:
    """Cut the stored vectors and their signs into pieces to look for."""
    with database(folder) as opened:
        for bits, value in opened.each("SELECT bits, value FROM vector"):
            row_ = np.frombuffer(value, dtype="<f4")
            for at in range(0, len(row_) - 4, len(row_) // per_row):
                yield "f32", row_[at : at + 4].tobytes()
            for at in range(0, len(bits) - 16, 16):
                yield "signs", bytes(bits[at : at + 16])


def _young(since: float, root: Path) -> Iterator[Path]:
    """Yield files outside of the box that changed since then; a few folders deep, some are bottomless."""
    waiting = [(folder, 0) for folder in ELSEWHERE if folder.is_dir()]
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST and Path(entry) not in (root, *root.parents):
                    waiting.append((Path(entry), depth + 1))
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_mtime >= since and status.st_size <= _MOST_BYTES:
                        yield Path(entry)


@row(1, "No plaintext at rest, not even after a kill")
def no_plaintext(scale: Scale) -> Tried:
    """Add and ask with kills at random moments; look through every file for every canary in every form."""
    tried, began = Tried(), time.time()
    files = scale.of(40, least=3)
    canaries = [word() for _ in range(25 * files)]
    asked = [word() for _ in range(scale.of(20, least=2))]
    haystack = Haystack((form, needle) for each in canaries + asked for form, needle in forms(each).items())
    tried.case(
        _finds_what_is_there(haystack, canaries[0]), "the search did not find what was put there for it"
    )
    total_files = total_bytes = kills = 0
    with box() as owner:
        paths = library(owner, canaries, files)
        owner.init()

        def look(search: Haystack, when: str) -> None:
            nonlocal total_files, total_bytes
            hits, count, size = search.files([*owner.files(), *_young(began, owner.root)])
            total_files, total_bytes = total_files + count, total_bytes + size
            tried.case(not hits, f"{when}: {hits[:3]}")

        questions = [f"What of {each} and {canaries[n]}?" for n, each in enumerate(asked)]
        for number in range(scale.of(8, least=1)):
            running = (
                owner.start("add", paths[0].parent) if number % 2 == 0 else owner.start("ask", questions[0])
            )
            time.sleep(0.4 + 3 * secrets.randbelow(1000) / 1000)
            kill(running)
            kills += 1
            look(haystack, f"after kill {number}")
        added = owner.add(paths[0].parent)
        tried.case(
            all(each["status"] in ("ok", "duplicate") for each in added["files"]), f"not added: {added}"
        )
        tried.case(len(owner.ask(*questions)) == len(questions), "not every question was answered")
        for words in (("show", paths[0].name), ("verify", "--full")):
            done = owner.run(*words)
            tried.case(done.code == 0, f"{words[0]} ended with {done.code}: {done.said[:200]}")
        look(haystack, "at the end")
        look(Haystack(set(vector_needles(owner.vault))), "vectors")
        tried.case(
            _stored(owner.vault, haystack) >= len(canaries) * 0.9, "the canaries never reached the store"
        )
    tried.cases += len(canaries) + len(asked)
    looked = f"{total_files} files, {total_bytes / 1e6:.0f} MB"
    tried.note = f"{len(canaries) + len(asked)} canaries, {kills} kills, {looked}"
    return tried


def _finds_what_is_there(haystack: Haystack, canary: str) -> bool:
    """Put each form of a canary between noise and see that it is found."""
    found = set()
    for needle in forms(canary).values():
        found |= {
            hit.form for hit in haystack.search(secrets.token_bytes(37) + needle + b"\0" * 9, "planted")
        }
    return found == set(forms(canary))


def _stored(folder: Path, haystack: Haystack) -> int:
    """Return how many different needles the decrypted image holds: the same search must see them there."""
    with database(folder) as opened:
        image = opened.image()
    return len(
        {
            image[hit.offset : hit.offset + 12]
            for hit in haystack.search(image, "image")
            if hit.form == "utf-8"
        }
    )


@row(14, "Delete really deletes")
def deletion(scale: Scale) -> Tried:
    """Remove documents and look for their text, terms, names and vectors in the decrypted image."""
    tried = Tried()
    files = scale.of(20, least=4)
    canaries = [word() for _ in range(25 * files)]
    with box() as owner:
        paths = library(owner, canaries, files)
        owner.init()
        owner.add(paths[0].parent)
        kept = len(paths) // 2
        doomed = [each for number in range(kept, files) for each in canaries[number::files]]
        vectors = _vectors_of(owner.vault, [path.name for path in paths[kept:]])
        needles = {
            ("utf-8", needle) for each in doomed for form, needle in forms(each).items() if form == "utf-8"
        }
        text, numbers = Haystack(needles), Haystack(vectors)
        before = _image(owner)
        tried.case(
            len(list(text.search(before, ""))) >= len(doomed) * 0.9, "the search saw too little before"
        )
        tried.case(len(list(numbers.search(before, ""))) >= len(vectors), "the vectors were not seen before")
        for path in paths[kept:]:
            done = owner.run("remove", path.name)
            tried.case(done.code == 0, f"remove ended with {done.code}: {done.said[:200]}")
        after = _image(owner)
        for needle in {found.offset for found in text.search(after, "")}:
            tried.case(ok=False, failure=f"text left at byte {needle}: {after[needle : needle + 20]!r}")
        for needle in {found.offset for found in numbers.search(after, "")}:
            tried.case(ok=False, failure=f"a vector left at byte {needle}")
        again = owner.run("remove", paths[-1].name)
        tried.case(again.code in (0, 2), f"removing it again ended with {again.code}")
        tried.case(owner.run("verify", "--full").code == 0, "what is left does not verify")
        tried.cases += len(doomed) + len(vectors)
    tried.note = f"{len(doomed)} words and {len(vectors)} pieces of vectors of {files - kept} documents"
    return tried


def _vectors_of(folder: Path, names: list[str]) -> set[tuple[str, bytes]]:
    sql = (
        "SELECT value FROM vector WHERE id IN (SELECT chunk.id FROM chunk JOIN document"
        " ON document.id = chunk.document WHERE document.name = ?)"
    )
    with database(folder) as opened:
        values = [
            np.frombuffer(value, dtype="<f4") for name in names for (value,) in opened.rows(sql, (name,))
        ]
    return {("f32", value[at : at + 4].tobytes()) for value in values for at in range(0, 380, 96)}


def _image(owner: Box) -> bytes:
    with database(owner.vault) as opened:
        return opened.image()
