"""Bytes changed on disk: an error or no effect, never another answer. Nothing readable on disk either."""

from __future__ import annotations

import base64
import contextlib

import numpy as np
import pytest

from appliance.errors import ApplianceError, IntegrityError, StoreDamaged
from appliance.types import Hit
from appliance.vault.database.coarse import quantize
from appliance.vault.store import create_store, open_store
from tests.stores import a_draft, a_key, added, noon, unit_vectors

FLIPS = 120
CIPHERS = ["sqlcipher", "aegis", "chacha20"]
TEXTS = [f"paragraph{n} " + " ".join(f"word{n}x{m}" for m in range(60)) for n in range(40)]


@pytest.fixture(scope="module", params=CIPHERS)
def original(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("original")
    store = create_store(path, a_key(request.param), clock=noon)
    added(store, a_draft(*TEXTS))
    store.close()
    return request.param, (path / "store.db").read_bytes(), (path / "anchor").read_bytes()


def _answers(path, cipher, n):
    """Everything about one chunk by single-row reads, and a search for it."""
    store = open_store(path, a_key(cipher), clock=noon)
    try:
        (passage,) = store.passages([Hit(n + 1, 1.0, ("words",))])
        vector = store.vectors([n + 1])
        words = [found for found, _ in store.match([[f"word{n}x7"]], 5)]
        near = [found for found, _ in store.nearest(unit_vectors(len(TEXTS))[n], 1)]
        return passage.text, vector.tobytes(), words, near, store.text(1), store.chunk_count()
    finally:
        store.close()


def _expected(n):
    return TEXTS[n], unit_vectors(len(TEXTS))[n].tobytes(), [n + 1], [n + 1], "\n".join(TEXTS), len(TEXTS)


def _put(path, data, anchor):
    for name in ("store.db-wal", "store.db-shm"):
        (path / name).unlink(missing_ok=True)
    (path / "store.db").write_bytes(data)
    (path / "anchor").write_bytes(anchor)
    (path / "write.lock").touch()


def test_single_bits(original, tmp_path):
    cipher, good, anchor = original
    rng = np.random.default_rng(1)
    wrong = refused = 0
    for _ in range(FLIPS):
        at, n = int(rng.integers(len(good))), int(rng.integers(len(TEXTS)))
        data = bytearray(good)
        data[at] ^= 1 << int(rng.integers(8))
        _put(tmp_path, data, anchor)
        try:
            wrong += _answers(tmp_path, cipher, n) != _expected(n)
        except StoreDamaged:
            refused += 1
    assert wrong == 0
    assert refused > FLIPS / 4


def test_every_one_of_the_first_hundred_bytes(original, tmp_path):
    cipher, good, anchor = original
    for at in range(100):
        data = bytearray(good)
        data[at] ^= 0x10
        _put(tmp_path, data, anchor)
        with contextlib.suppress(StoreDamaged):
            assert _answers(tmp_path, cipher, 3) == _expected(3), at


def test_what_is_left_of_a_cut_page_is_never_taken_for_text(original, tmp_path):
    """The cipher layer does not decrypt a page that the file's end cuts: it would show forged bytes."""
    cipher, good, anchor = original
    for left in (8, 2000, 4095):
        _put(tmp_path, good[:-4096] + b"forged! " * (left // 8) + b"!" * (left % 8), anchor)
        store = open_store(tmp_path, a_key(cipher), clock=noon)
        assert (tmp_path / "store.db").stat().st_size == len(good)
        assert b"forged!" not in _readable(store)
        assert not all(check.ok for check in store.check(full=True))
        store.close()


def _readable(store):
    """Return all of the last page that the engine gives out, nothing where it refuses."""
    try:
        return store._database.image()[-4096:]
    except StoreDamaged:
        return b""


@pytest.mark.parametrize("damage", ["zeroed", "swapped", "cut", "cut in a page", "emptied", "replaced"])
def test_whole_pages(original, tmp_path, damage):
    cipher, good, anchor = original
    pages = [good[at : at + 4096] for at in range(0, len(good), 4096)]
    refused = 0
    for number in range(len(pages)):
        other = (number + 1) % len(pages)
        changed = list(pages)
        match damage:
            case "zeroed":
                changed[number] = bytes(4096)
            case "swapped":
                changed[number], changed[other] = pages[other], pages[number]
            case "cut":
                changed = pages[:number]
            case "cut in a page":
                changed = [*pages[:number], pages[number][:2000]]
            case "emptied":
                changed[number] = b""
            case _:
                changed[number] = pages[other]
        _put(tmp_path, b"".join(changed), anchor)
        try:
            assert _answers(tmp_path, cipher, number % len(TEXTS)) == _expected(number % len(TEXTS)), number
        except (StoreDamaged, IntegrityError):
            refused += 1
    assert refused > len(pages) / 4


def test_the_full_check_finds_a_flip_in_every_page_in_use(original, tmp_path):
    cipher, good, anchor = original
    missed, free = [], 0
    for at in range(2000, len(good), 4096):
        data = bytearray(good)
        data[at] ^= 1
        _put(tmp_path, data, anchor)
        try:
            store = open_store(tmp_path, a_key(cipher), clock=noon)
        except StoreDamaged:
            continue
        if all(check.ok for check in store.check(full=True)):
            missed.append(at // 4096)
            free = store._database.value("PRAGMA freelist_count")
        store.close()
    assert len(missed) <= free


def test_the_wrong_key_never_opens(original, tmp_path):
    cipher, good, anchor = original
    _put(tmp_path, good, anchor)
    messages = set()
    for secret in range(8, 40):
        with pytest.raises(ApplianceError) as caught:
            open_store(tmp_path, a_key(cipher, secret=secret), clock=noon)
        messages.add(str(caught.value))
    assert len(messages) == 1


def _disguises(text):
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
        yield text.encode(encoding)
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + text.encode())[4:-4]


@pytest.mark.parametrize("cipher", CIPHERS)
def test_nothing_readable_is_in_any_file(tmp_path, cipher):
    canaries = [f"canary{n:04}bird" for n in range(200)]
    vectors = unit_vectors(200, seed=5)
    store = create_store(tmp_path, a_key(cipher), clock=noon)
    draft = a_draft(*canaries, source="/in/canaryfilename.txt", title="canarytitle", heading="canaryheading")
    added(store, draft, vectors=vectors)
    store.set_setting("canarykey", "canaryvalue")
    texts = [*canaries, "canaryfilename", "canarytitle", "canaryheading", "canarykey", "canaryvalue"]
    needles = [needle for text in texts for needle in _disguises(text)]
    needles += [row.tobytes()[:16] for row in vectors] + [row.tobytes() for row in quantize(vectors)]
    image = store._database.image()
    assert sum(needle in image for needle in needles) > 400, "the scan itself must be able to find them"
    _assert_none(tmp_path, needles, at_least=4)
    store.close()
    _assert_none(tmp_path, needles, at_least=2)


def _assert_none(path, needles, *, at_least):
    files = [found for found in path.rglob("*") if found.is_file()]
    assert len(files) >= at_least
    for file in files:
        data = file.read_bytes()
        assert [needle for needle in needles if needle in data] == [], file.name
        assert file.stat().st_mode & 0o077 == 0, file.name
