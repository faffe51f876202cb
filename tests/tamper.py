"""A small store with a past, the ways to change its files, and the count of what came of it.

`make security` runs this with many cases, tests/faults/test_store_rolled_back.py with few. A case is a set of
files. It is "not opened" or "refused" where opening or a question raises an IntegrityError, "right" where
every question gets the true answer, and "wrong" where one gets another: a silent wrong answer.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from appliance.errors import IntegrityError, UsageError
from appliance.types import Hit
from appliance.vault.store import Store, create_store, open_store
from tests.stores import ENCODER, a_draft, a_key, added, noon, unit_vectors

PAGE = 4096
FRAME = 24 + PAGE
WAL_HEAD = 32
NAMES = ("store.db", "store.db-wal", "anchor")
Files = dict[str, bytes]
Question = Callable[[Store], object]


@dataclass
class Specimen:
    """A store after each of its changes, its files with the log empty and as they lay; all true answers."""

    cipher: str
    whole: list[Files] = field(default_factory=list)
    logged: list[Files] = field(default_factory=list)
    asked: list[tuple[Question, object]] = field(default_factory=list)


def build(folder: Path, cipher: str = "sqlcipher") -> Specimen:
    """Return a store that was added to, updated, removed from and set, a picture taken after every change."""
    found = Specimen(cipher)
    log = create_store(folder, a_key(cipher), clock=noon)
    log._database.run("PRAGMA wal_autocheckpoint = 0")

    def picture() -> None:
        found.logged.append(_read(folder))
        beside = folder / "whole"
        put(beside, found.logged[-1])
        open_store(beside, a_key(cipher), clock=noon).close()  # the last to close empties the log
        found.whole.append(_read(beside))

    for _ in _changes(log):
        picture()
    found.asked = [(question, _asked(log, question)) for question in questions(range(1, 6), range(1, 25))]
    log.close()
    return found


def _changes(store: Store) -> Iterator[None]:
    yield
    store.set_setting("kept", "first")
    yield
    for name in ("a", "b", "c"):
        added(store, _draft(name, 4), vectors=unit_vectors(4, seed=ord(name)))
        yield
    draft, vectors = _draft("d", 6), unit_vectors(6, seed=4)
    begun = store.begin(draft, model=ENCODER)
    yield
    for at in range(0, 6, 2):
        store.append(begun.document_id, draft.chunks[at : at + 2], vectors[at : at + 2])
        yield
    store.remove(2)
    yield
    added(store, _draft("a", 5, version="later"), vectors=unit_vectors(5, seed=9))
    yield
    store.finish(begun.document_id)
    yield
    store.set_setting("kept", "second")
    yield


def _draft(name: str, count: int, *, version: str = "first"):
    texts = [
        f"{name}{n}word {version} pump " + " ".join(f"{name}{n}x{m}" for m in range(60)) for n in range(count)
    ]
    return a_draft(*texts, source=f"/in/{name}.txt", title=f"Manual {name}", heading=f"Part {version}")


# Asking


def questions(documents: Iterable[int], chunks: Iterable[int]) -> list[Question]:
    """Return all that a store can be asked, each question reading as few rows as can be."""
    words = [f"{name}{n}x7" for name in "abcd" for n in range(6)]
    return [
        *(partial(ask, chunk) for chunk in chunks for ask in (_passage, _vector, _neighbours, _leaf)),
        *(partial(ask, number) for number in documents for ask in (_document, _text, _pages, _page_at)),
        *(partial(_match, word) for word in ("pump", "first", "later", *words)),
        *(partial(_near, seed) for seed in (97, 98, 99, 4, 9)),
        *(partial(_source, f"/in/{name}.txt") for name in "abcd"),
        lambda store: (store.documents(), store.unfinished(), store.chunk_count()),
        lambda store: (store.setting("kept"), store.setting("other")),
        lambda store: store.document_frequency(["pump", "first", "later", *words]),
    ]


def _passage(chunk: int, store: Store) -> object:
    return store.passages([Hit(chunk, 1.0, ("words",))])


def _vector(chunk: int, store: Store) -> object:
    return store.vectors([chunk]).tobytes()


def _neighbours(chunk: int, store: Store) -> object:
    return store.neighbours(chunk)


def _leaf(chunk: int, store: Store) -> object:
    return len(store.leaf(chunk))


def _document(number: int, store: Store) -> object:
    return store.document(number)


def _text(number: int, store: Store) -> object:
    return store.text(number)


def _pages(number: int, store: Store) -> object:
    return store.pages(number)


def _page_at(number: int, store: Store) -> object:
    return store.page_at(number, 700)


def _match(word: str, store: Store) -> object:
    return store.match([[word]], 9)


def _near(seed: int, store: Store) -> object:
    return store.nearest(unit_vectors(1, seed=seed)[0], 9)


def _source(source: str, store: Store) -> object:
    return store.by_source(source)


def _asked(store: Store, question: Question) -> object:
    """Return the answer, UsageError's class where there is no such thing."""
    try:
        return question(store)
    except UsageError:
        return UsageError


# Trying


def put(folder: Path, files: Files) -> None:
    """Make `folder` hold just these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def outcome(folder: Path, specimen: Specimen, files: Files, *, first: int = 0) -> str:
    """Return "not opened", "refused", "right" or "wrong" for a store of these files.

    All questions are asked, the one at `first` before the others.
    """
    put(folder, files)
    try:
        store = open_store(folder, a_key(specimen.cipher), clock=noon)
    except IntegrityError:
        return "not opened"
    try:
        asked = [*specimen.asked[first:], *specimen.asked[:first]]
        return max((_judged(store, *each) for each in asked), key=_BADNESS.index)
    finally:
        store.close()


_BADNESS = ("right", "refused", "wrong")


def _judged(store: Store, question: Question, answer: object) -> str:
    try:
        return "right" if _asked(store, question) == answer else "wrong"
    except IntegrityError:
        return "refused"


def count(folder: Path, specimen: Specimen, cases: Iterable[Files]) -> Counter[str]:
    """Return how many of the cases came to what."""
    numbers = random.Random(3)
    return Counter(
        outcome(folder, specimen, files, first=numbers.randrange(len(specimen.asked))) for files in cases
    )


# Cases


def older_pages(specimen: Specimen) -> Iterator[Files]:
    """Put back every page, each of its older versions, one at a time."""
    newest = specimen.whole[-1]
    for number in range(len(newest["store.db"]) // PAGE):
        at = slice(number * PAGE, (number + 1) * PAGE)
        versions = {files["store.db"][at] for files in specimen.whole} - {b"", newest["store.db"][at]}
        for page in sorted(versions):
            yield _with_page(newest, number, page)


def older_files(specimen: Specimen) -> Iterator[Files]:
    """Put back each older store, whole, beside the newest anchor."""
    for files in specimen.whole[:-1]:
        yield specimen.whole[-1] | {"store.db": files["store.db"]}


def older_logs(specimen: Specimen) -> Iterator[Files]:
    """Put back each older log, and each older store with the log it had."""
    newest = specimen.logged[-1]
    for files in specimen.logged[:-1]:
        yield newest | {"store.db-wal": files["store.db-wal"]}
        yield files | {"anchor": newest["anchor"]}


def cut_logs(specimen: Specimen) -> Iterator[Files]:
    """Cut the longest log that there was at each frame and in the middle of each, and take it away."""
    files = max(specimen.logged, key=lambda files: len(files.get("store.db-wal", b"")))
    log = files["store.db-wal"]
    for frame in range((len(log) - WAL_HEAD) // FRAME):
        for cut in (WAL_HEAD + frame * FRAME, WAL_HEAD + frame * FRAME + 2000):
            yield files | {"store.db-wal": log[:cut]}
    yield {name: data for name, data in files.items() if name != "store.db-wal"}


def other_anchors(specimen: Specimen) -> Iterator[Files]:
    """Put each older anchor beside the newest store, and take the anchor away or spoil it."""
    newest = specimen.whole[-1]
    for files in specimen.whole[:-1]:
        yield newest | {"anchor": files["anchor"]}
    yield {name: data for name, data in newest.items() if name != "anchor"}
    for spoilt in (b"", bytes(8192), newest["anchor"][:100], newest["anchor"][::-1]):
        yield newest | {"anchor": spoilt}


def flips(specimen: Specimen, number: int, *, seed: int) -> Iterator[Files]:
    """Flip one bit of the store or its anchor."""
    numbers = random.Random(seed)
    for _ in range(number):
        name = numbers.choice(("store.db", "store.db", "store.db", "anchor"))
        data = bytearray(specimen.whole[-1][name])
        data[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)
        yield specimen.whole[-1] | {name: bytes(data)}


def torn_pages(specimen: Specimen, number: int, *, seed: int) -> Iterator[Files]:
    """Zero a page, exchange two, or put one in another's place."""
    numbers, newest = random.Random(seed), specimen.whole[-1]
    pages = len(newest["store.db"]) // PAGE

    def page(at: int) -> bytes:
        return newest["store.db"][at * PAGE : (at + 1) * PAGE]

    for _ in range(number):
        one_of, other = numbers.sample(range(pages), 2)
        match numbers.choice(("zeroed", "swapped", "copied")):
            case "zeroed":
                yield _with_page(newest, one_of, bytes(PAGE))
            case "swapped":
                yield _with_page(_with_page(newest, one_of, page(other)), other, page(one_of))
            case _:
                yield _with_page(newest, one_of, page(other))


def _with_page(files: Files, number: int, page: bytes) -> Files:
    data = files["store.db"]
    return files | {"store.db": data[: number * PAGE] + page + data[(number + 1) * PAGE :]}


def _read(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in NAMES if (folder / name).exists()}
