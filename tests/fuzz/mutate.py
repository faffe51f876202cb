"""One file -> another, broken in a way that parsers stumble over; the same seed gives the same file."""

from __future__ import annotations

import contextlib
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

_NUMBER = re.compile(rb"\d+")
_ELEMENT = re.compile(rb"<([\w:]+)(?=[\s/>])[^<>]*(?:/>|>(?:[^<]|<(?!/\1>))*</\1>)")
_NAME = re.compile(rb"<[\w:]+")
_EXTREMES = (b"0", b"-1", b"1", b"255", b"256", b"65535", b"65536", b"2147483647", b"2147483648",
             b"4294967296", b"9223372036854775807", b"18446744073709551616", b"-2147483649", b"1e308",
             b"0.0000001", b"NaN")  # fmt: skip
_BYTES = (0, 1, 9, 10, 13, 27, 32, 34, 38, 40, 47, 60, 62, 91, 92, 123, 127, 128, 155, 192, 237, 254, 255)
_MARKS = b" \t\n\r\"#&'()*+,-./0:;<=>[\\]^_`{|}~"
_WIDE = (b"\xef\xbb\xbf", "\u202e".encode(), "\U000e0041".encode(), "\u200b".encode(),
         b"\xed\xa0\x80", b"\xff\xfe", "\u0301".encode() * 20, b"\x1b]0;x\x07",
         b"\x00", b"\xc2\x9b31m", "\u2028".encode())  # fmt: skip
MOST = 20_000
"""Bytes of a mutant: a larger one is cut, so that a run's time is bounded."""


def mutant(seeds: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """Return a mutant of one of the seeds: one to eight changes, some of them with `tokens` of the format."""
    data = bytearray(random.choice(seeds))
    if data.startswith(b"PK\x03\x04") and random.random() < 0.8:
        with contextlib.suppress(
            zipfile.BadZipFile, zlib.error, ValueError
        ):  # a kept case may be broken itself
            return _inside(bytes(data), tokens, random)
    return bytes(_changed(data, seeds, tokens, random)[:MOST])


def _changed(data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytearray:
    for _ in range(random.choice((1, 1, 1, 2, 3, 5, 8))):
        change = random.choice(_CHANGES if b"\x00" in data or random.random() < 0.1 else _TEXT_CHANGES)
        change(data, random)
        if tokens and random.random() < 0.4:
            at = random.randrange(len(data) + 1)
            data[at:at] = random.choice(tokens)
        if random.random() < 0.05:
            other = random.choice(seeds)
            at, start = random.randrange(len(data) + 1), random.randrange(len(other))
            data[at:at] = other[start : start + random.randrange(1, 2000)]
    return data


def _inside(archive: bytes, tokens: Sequence[bytes], random: Random) -> bytes:
    """Mutate one part of a zip and pack it again: a flipped bit in packed bytes only breaks its checksum."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        chosen = random.choice(old.namelist())
        for name in old.namelist():
            data = bytearray(old.read(name))
            if name == chosen or random.random() < 0.1:
                data = (
                    _edited(data, tokens, random)
                    if random.random() < 0.8
                    else _changed(data, [b"x"], tokens, random)
                )
            new.writestr(zipfile.ZipInfo(name), bytes(data[:MOST]), zipfile.ZIP_DEFLATED)  # a fixed time
    return buffer.getvalue()


def _edited(data: bytearray, tokens: Sequence[bytes], random: Random) -> bytearray:
    """Change XML so that it mostly stays well-formed: numbers, and elements taken out, doubled, nested."""
    for _ in range(random.choice((1, 2, 4))):
        tags = [tag.start() for tag in _NAME.finditer(data, 1)]
        found = _ELEMENT.match(data, random.choice(tags)) if tags else None
        whole = [token for token in tokens if token.endswith(b"/>")]
        change = random.randrange(5)
        if change == 0 or found is None:
            _number(data, random)
            continue
        start, end = found.span()
        if change == 1:
            del data[start:end]
        elif change == 2:
            data[start:start] = (bytes(data[start:end]) * random.choice((1, 10, 1000)))[:MOST]
        elif change == 3 and whole:
            data[start:start] = random.choice(whole)
        else:
            name, depth = found[1], random.choice((1, 10, 2000))
            data[start:end] = b"<%s>" % name * depth + bytes(data[start:end]) + b"</%s>" % name * depth
    return data


def _flip(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _put(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice(_BYTES)


def _print(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice(_MARKS)


def _cut(data: bytearray, random: Random) -> None:
    start = random.randrange(len(data) + 1)
    del data[start : start + random.choice((1, 2, 8, 64, 1024))]


def _end(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data) + 1) :]


def _repeat(data: bytearray, random: Random) -> None:
    start = random.randrange(len(data) + 1)
    piece = bytes(data[start : start + random.choice((1, 2, 5, 20, 200))])
    times = random.choice((2, 2, 10, 10, 100, 1000))
    data[start:start] = (piece * times)[:MOST]


def _swap(data: bytearray, random: Random) -> None:
    size = random.choice((1, 4, 16, 100))
    first, second = (random.randrange(len(data) + 1) for _ in range(2))
    one, two = data[first : first + size], data[second : second + size]
    data[first : first + size], data[second : second + size] = two, one


def _number(data: bytearray, random: Random) -> None:
    found = list(_NUMBER.finditer(data))
    if found:
        chosen = random.choice(found)
        data[slice(*chosen.span())] = random.choice(_EXTREMES)


def _insert(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.choice((1, 4, 32)))


def _widen(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.choice(_WIDE)


def _integer(data: bytearray, random: Random) -> None:
    """Overwrite with a number of four or eight bytes, as binary headers hold them."""
    size = random.choice((2, 4, 8))
    at = random.randrange(len(data) + 1)
    value = random.choice((0, 1, 0x7F, 0xFF, 1 << 15, (1 << (8 * size)) - 1, 1 << (8 * size - 1)))
    data[at : at + size] = (value % (1 << (8 * size))).to_bytes(size, random.choice(("little", "big")))


_CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip, _flip, _put, _put, _cut, _cut, _end, _repeat, _swap, _number, _number, _insert, _integer,
)  # fmt: skip
_TEXT_CHANGES = (_print, _print, _cut, _cut, _end, _repeat, _swap, _number, _number, _widen)
