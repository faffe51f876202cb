"""A folder with a card -> a model whose files are the ones the card names, byte for byte.

    MODELS/<name>/card.toml      what it is, where from, its files' hashes, what was measured
    MODELS/<name>/model.onnx     and tokenizer.json for an embedding or a reader
    MODELS/<name>/model.gguf     for a generator

An engine is never given a path on the disk. It gets `open_verified`: a sealed copy in memory that was hashed
after nobody, not even this process, could change it any more.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from appliance import headers
from appliance.errors import ModelMismatch, ModelMissing, UsageError
from appliance.types import Level

Kind = Literal["embedding", "reader", "generator"]

CARD = "card.toml"
_MOST_CARD_BYTES = 64 * 1024
_LEAST_TOKENS = 128
"""A question and its passage's headings may take three quarters of this."""
_MOST_FILE_BYTES = 64 * 1024**3
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILES: Mapping[Kind, tuple[str, ...]] = {
    "embedding": ("model.onnx", "tokenizer.json"),
    "reader": ("model.onnx", "tokenizer.json"),
    "generator": ("model.gguf",),
}
_SETTINGS: Mapping[Kind, tuple[str, ...]] = {
    "embedding": ("dimensions", "max_tokens", "pooling"),
    "reader": ("max_tokens", "calibration", "refusal"),
    "generator": ("template", "context"),
}
_OPTIONAL: Mapping[Kind, tuple[str, ...]] = {"embedding": (), "reader": (), "generator": ("likelihood",)}
_CHECKS = {".onnx": headers.check_onnx, ".gguf": headers.check_gguf}
_TYPES: Mapping[str, type] = {"str": str, "int": int, "float": float}
# Linux 5.1; Python 3.11 has no name for it. It forbids every write and writable mapping from then on, and
# there is none before. F_SEAL_WRITE waits for pages in flight too: on a busy machine that was EBUSY (seen).
_F_SEAL_FUTURE_WRITE = 0x10
_SEALS = _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model: `sha256` in hex, `bytes` its size."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured figure and the command that measures it again."""

    what: str
    value: str
    command: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a reader's readings are used; scripts/fit_reader.py found it on documents kept from the training.

    `order` is the share of relevance in the order of the passages. Logits of relevance, answerability and
    the span's margin are divided by their temperatures. `bias` and the others are the logistic regression
    over the signals of those names (appliance/retrieve/refusal.py) that says whether an answer is there.
    Where `answers` is under the `floor`, that estimate falls with it: what reads like no answer at all is
    none, however near the subject. 0 is no floor.
    """

    order: float
    relevance_temperature: float
    answerable_temperature: float
    margin_temperature: float
    bias: float
    cosine: float
    lead: float
    covered: float
    missing: float
    agreed: float
    answers: float
    floor: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """At `level` nothing under `threshold` is answered; `measured` says how often that was right or wrong."""

    level: str
    threshold: float
    measured: str


_Entry = TypeVar("_Entry", File, Measured, Calibration, Refusal)


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a model.

    `dimensions`, `max_tokens` and `pooling` belong to an embedding, `max_tokens`, `calibration` and `refusal`
    to a reader, `template` and `context` to a generator; they are empty elsewhere. `refusal` has one entry a
    level, from strict to open. `likelihood` is what a logit of a generator that chooses is worth beside the
    reader's (appliance/generate/choice.py), None where its card does not say.
    """

    name: str
    kind: Kind
    source: str
    revision: str
    licence: str
    quantization: str
    files: tuple[File, ...]
    measured: tuple[Measured, ...] = ()
    dimensions: int = 0
    max_tokens: int = 0
    pooling: str = ""
    template: str = ""
    context: int = 0
    likelihood: float | None = None
    calibration: Calibration | None = None
    refusal: tuple[Refusal, ...] = ()

    def file(self, name: str) -> File:
        """Return the entry of the file `name`.

        Raises:
            ModelMissing: the card names no such file.
        """
        for entry in self.files:
            if entry.name == name:
                return entry
        raise ModelMissing(f"The card of {self.name} names no file {name!r}.")


@dataclass(frozen=True, slots=True)
class Installed:
    """A card and the folder it was found in."""

    card: Card
    folder: Path


def find(name: str, folders: Sequence[Path]) -> Installed:
    """Return the model `name` from the first of `folders` that has it.

    Raises:
        ModelMissing: none has it.
        UsageError: its card is malformed.
    """
    if not _NAME.fullmatch(name):
        raise ModelMissing(f"{name!r} is no name of a model.")
    for folder in folders:
        if (folder / name / CARD).is_file():
            return _read(folder / name)
    raise ModelMissing(f"The model {name!r} is not installed.")


def installed(folders: Sequence[Path]) -> tuple[Installed, ...]:
    """List all models by name; of two with one name, the one `find` would return.

    Raises:
        UsageError: a card is malformed.
    """
    names = {card.parent.name for folder in folders for card in folder.glob(f"*/{CARD}")}
    return tuple(find(name, folders) for name in sorted(names) if _NAME.fullmatch(name))


def hashes(names: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Return for each of the models `names` that is installed the SHA-256, in hex, of its card.

    The card names the hash of every file, and it alone has the thresholds that decide what is answered.
    """
    found: dict[str, str] = {}
    for name in names:
        with suppress(ModelMissing):
            found[name] = hashlib.sha256((find(name, folders).folder / CARD).read_bytes()).hexdigest()
    return found


def weights(names: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Return for each of the models `names` that is installed the SHA-256, in hex, of its weights."""
    found: dict[str, str] = {}
    for name in names:
        with suppress(ModelMissing):
            found[name] = find(name, folders).card.files[0].sha256
    return found


def verify(found: Installed) -> None:
    """Check every file of the model against its card, and its header where it has one.

    Raises:
        ModelMissing: a file is not there.
        ModelMismatch: a file is not the one the card names.
    """
    for entry in found.card.files:
        with open_verified(found, entry.name):
            pass


@contextmanager
def open_verified(found: Installed, name: str) -> Iterator[Path]:
    """Yield a path at which an engine may open the file `name`, until the end of the block.

    What is verified must be what is parsed (time of check, time of use): between a hash and an engine's own
    open of the same path, an attacker could rename another file there or write into this one. So the file
    is opened once and copied into anonymous memory, which is sealed against writing and only then hashed; the
    path leads to that memory. An engine that maps it keeps it alive past the block.

    Raises:
        ModelMissing: the file is not there.
        ModelMismatch: wrong size, wrong hash, a link, or a header that no honest model has.
    """
    descriptor = _sealed(found.folder / name, found.card.file(name), found.card.name)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def read_verified(found: Installed, name: str) -> bytes:
    """Return the content of a small file, verified as `open_verified` does.

    Raises:
        ModelMissing: the file is not there.
        ModelMismatch: it is not the one the card names.
    """
    with open_verified(found, name) as path:
        return path.read_bytes()


def _sealed(path: Path, entry: File, model: str) -> int:
    """Return a descriptor of a sealed, verified copy of `path` in memory."""
    source = _open(path, entry, model)
    try:
        copy = os.memfd_create(entry.name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            _copy(source, copy, entry.bytes)
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
            _check(copy, entry, model)
        except BaseException:
            os.close(copy)
            raise
    finally:
        os.close(source)
    return copy


def _open(path: Path, entry: File, model: str) -> int:
    try:
        # No link is followed, and a pipe put there does not make the open wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ModelMissing(f"{entry.name} of the model {model} is missing.") from error
    except OSError as error:
        raise ModelMismatch(
            f"{entry.name} of the model {model} cannot be opened: {error.strerror}."
        ) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != entry.bytes:
        os.close(descriptor)
        raise ModelMismatch(f"{entry.name} of the model {model} has not the size on its card.")
    return descriptor


def _copy(source: int, target: int, size: int) -> None:
    offset = 0
    while offset < size:
        sent = os.sendfile(target, source, offset, size - offset)
        if sent == 0:
            return  # it was cut short behind our back; the hash will not match
        offset += sent


def _check(descriptor: int, entry: File, model: str) -> None:
    if os.fstat(descriptor).st_size != entry.bytes:
        raise ModelMismatch(f"{entry.name} of the model {model} changed while it was read.")
    with mmap.mmap(descriptor, entry.bytes, prot=mmap.PROT_READ) as content:
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ModelMismatch(f"{entry.name} of the model {model} is not the file its card names.")
        check = _CHECKS.get(Path(entry.name).suffix)
        if check:
            with memoryview(content) as view:
                check(view)


def _read(folder: Path) -> Installed:
    raw = (folder / CARD).read_bytes()
    card = parse_card(raw)
    if card.name != folder.name:
        raise UsageError(f"The card in {folder.name} is that of {card.name!r}: folder and name must agree.")
    return Installed(card, folder)


def parse_card(raw: bytes) -> Card:
    """Parse a card; every key must be known, of its type, and needed by the model's kind.

    Raises:
        UsageError: it is not; the message says where.
    """
    if len(raw) > _MOST_CARD_BYTES:
        raise UsageError(f"A model's card has at most {_MOST_CARD_BYTES} bytes.")
    try:
        values = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"A model's card is not valid TOML: {error}") from error
    where = f"The card of {values.get('name', 'a model')!r}"
    kind: Any = values.get("kind")
    if kind not in get_args(Kind):
        raise UsageError(f"{where}: kind must be one of {', '.join(get_args(Kind))}.")
    _check_keys(values, kind, where)
    tables = {"files", "measured", "calibration", "refusal"}
    calibration = values.get("calibration")
    card = Card(
        **{key: value for key, value in values.items() if key not in tables},
        files=tuple(_entry(File, value, f"{where}, files") for value in values["files"]),
        measured=tuple(_entry(Measured, value, f"{where}, measured") for value in values.get("measured", [])),
        calibration=_entry(Calibration, calibration, f"{where}, calibration") if calibration else None,
        refusal=tuple(_entry(Refusal, value, f"{where}, refusal") for value in values.get("refusal", [])),
    )
    _check_values(card, where)
    _check_reader(card, where)
    return card


def _check_keys(values: Mapping[str, Any], kind: Kind, where: str) -> None:
    text = ("name", "kind", "source", "revision", "licence", "quantization")
    needed = {*text, "files", *_SETTINGS[kind]}
    if missing := sorted(needed - set(values)):
        raise UsageError(f"{where} lacks {', '.join(missing)}.")
    if unknown := sorted(set(values) - needed - {"measured", *_OPTIONAL[kind]}):
        raise UsageError(f"{where}: a card of kind {kind} has no {', '.join(unknown)}.")
    types = {field.name: _TYPES.get(str(field.type), str) for field in fields(Card)}
    types |= {"likelihood": float, "files": list, "measured": list, "calibration": dict, "refusal": list}
    for key, value in values.items():
        if type(value) is not types[key]:
            raise UsageError(f"{where}: {key} must be a {types[key].__name__}.")


def _entry(kind: type[_Entry], values: Any, where: str) -> _Entry:
    types = {field.name: _TYPES[str(field.type)] for field in fields(kind)}
    if not isinstance(values, dict) or {key: type(value) for key, value in values.items()} != types:
        wanted = ", ".join(f"{name} ({kind.__name__})" for name, kind in types.items())
        raise UsageError(f"{where}: each needs exactly {wanted}.")
    return kind(**values)


def _check_values(card: Card, where: str) -> None:
    if not _NAME.fullmatch(card.name):
        raise UsageError(f"{where}: a name has lower-case letters, digits, '.', '_' and '-', at most 63.")
    names = [entry.name for entry in card.files]
    if len(set(names)) != len(names):
        raise UsageError(f"{where} names a file twice.")
    if missing := sorted(set(_FILES[card.kind]) - set(names)):
        raise UsageError(f"{where}: a {card.kind} needs the file {', '.join(missing)}.")
    for entry in card.files:
        # A path instead of a name would lead the verifier out of the model's folder.
        if not _FILE.fullmatch(entry.name) or not _DIGEST.fullmatch(entry.sha256):
            raise UsageError(f"{where}: {entry.name!r} needs a plain name and 64 lower-case hex digits.")
        if not 0 < entry.bytes <= _MOST_FILE_BYTES:
            raise UsageError(f"{where}: {entry.name} has an impossible size.")
    for setting in _SETTINGS[card.kind]:
        value = getattr(card, setting)
        if not value or (isinstance(value, int) and not 0 < value <= 1 << 20):
            raise UsageError(f"{where}: {setting} is empty or out of range.")
    if card.likelihood is not None and not 0 <= card.likelihood <= 1:
        raise UsageError(f"{where}: likelihood lies between 0.0 and 1.0.")


def _check_reader(card: Card, where: str) -> None:
    """Check what decides whether a question is answered: a card must not answer everything by a NaN."""
    if card.calibration is None:
        return
    if card.max_tokens < _LEAST_TOKENS:
        raise UsageError(f"{where}: a reader with a max_tokens under {_LEAST_TOKENS} sees no passage.")
    values = asdict(card.calibration)
    heats = [value for name, value in values.items() if name.endswith("_temperature")]
    if not all(map(isfinite, values.values())) or min(heats) <= 0 or not 0 <= card.calibration.order <= 1:
        raise UsageError(f"{where}, calibration: a figure is out of range.")
    if [entry.level for entry in card.refusal] != list(get_args(Level)):
        raise UsageError(f"{where}, refusal: the levels are {', '.join(get_args(Level))}, in this order.")
    thresholds = [1.0, *(entry.threshold for entry in card.refusal), 0.0]
    if not all(above >= below for above, below in pairwise(thresholds)):
        raise UsageError(f"{where}, refusal: thresholds lie between 1 and 0 and fall from strict to open.")
