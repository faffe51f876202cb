"""A checkpoint folder, or a GGUF file of another type -> a GGUF model in F32, F16 or BF16.

Written by `scripts.gguf`, not by the `gguf` package: that is one more dependency to pin, would bring its own
reader, and serves the families of the whole world; what is needed of it is a header and padded arrays. The
whole model is built in memory and then put in place at once, so an error leaves nothing behind; it takes
about twice the file's size.

A chat template is always left out: it is a program, and the appliance has its own (CVE-2024-34359).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from appliance import headers
from appliance.errors import ModelMismatch
from scripts import families, floats, gguf, hf, values, vocabulary
from scripts.families import Expected, Family, Sizes
from scripts.floats import FILE_TYPES, Float
from scripts.gguf import Model, Tensor
from scripts.hf import BadCheckpoint, Json, Stored

# A multimodal checkpoint calls its language model by one of these; what else it has is not for text.
_RENAMED = {
    "language_model.model.": "model.",
    "model.language_model.": "model.",
    "language_model.lm_head.": "lm_head.",
}
_NOT_TEXT = ("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector.")
_FROM_CONFIG = ".rotary_emb.inv_freq"  # old checkpoints store what config.json says
_FLOATS = frozenset({gguf.F32, gguf.F16, gguf.BF16})
_DROPPED = frozenset({"tokenizer.chat_template"})


def from_folder(folder: Path, kind: int) -> tuple[Model, tuple[str, ...]]:
    """Convert a checkpoint; return the model and notes on what llama.cpp does otherwise than the source.

    Raises:
        BadCheckpoint: it is damaged, incomplete, or of a family that cannot be converted.
        UsageError: its weights do not fit the type.
    """
    config = hf.read_json(folder / "config.json")
    family, text = families.identify(config)
    sizes = families.read_sizes(text, family)
    tied = families.is_tied(text, family)
    pairs, turned = families.metadata(text, family, sizes)
    words = vocabulary.read(hf.read_json(folder / "tokenizer.json"), _settings(folder), text)
    wanted = families.expected(family, sizes, tied=tied)
    stored = _matched(hf.read_tensors(folder), wanted, tied=tied)
    tensors = [_converted(stored[name], place, family, sizes, kind) for name, place in wanted.items()]
    head = {
        "general.architecture": values.text(family.arch),
        "general.name": values.text(_name(family, words)),
        "general.file_type": gguf.number(FILE_TYPES[kind]),
    }
    model = Model(head | pairs | words.pairs, (*turned.tensors, *tensors))
    return model, (*words.notes, *_notes(text, family, words))


def read(path: Path) -> Model:
    """Read a GGUF file, every size in it checked before it is believed.

    Raises:
        BadCheckpoint: it is damaged, or of a sort that the factory does not know.
    """
    data = path.read_bytes()
    try:
        headers.check_gguf(memoryview(data))
        model = gguf.parse(data)
    except (ModelMismatch, ValueError) as error:
        raise BadCheckpoint(f"{path.name} cannot be converted. {error}") from None
    if model.pairs.get("general.alignment", gguf.number(gguf.ALIGNMENT)) != gguf.number(gguf.ALIGNMENT):
        raise BadCheckpoint(f"{path.name} aligns its tensors otherwise than by {gguf.ALIGNMENT} bytes.")
    return model


def from_gguf(model: Model, kind: int) -> tuple[Model, tuple[str, ...]]:
    """Bring a GGUF model of any type the factory knows to a float type."""
    tensors = tuple(floats.tensor(each.name, floats.unpack(each), kind) for each in model.tensors)
    return Model(metadata_of(model, kind), tensors), _losses(model, kind)


def metadata_of(model: Model, kind: int) -> dict[str, bytes]:
    """Return the metadata of a model when its weights are of the type `kind`, without a chat template."""
    pairs = {key: value for key, value in model.pairs.items() if key not in _DROPPED}
    return pairs | {"general.file_type": gguf.number(FILE_TYPES[kind])}


def turn_halves(rows: Float, heads: int) -> Float:
    """Reorder the rows of each head from two halves, as transformers turns them, to neighbours.

    Row i of the first half and row i of the second become rows 2i and 2i + 1.
    """
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def turn_neighbours(rows: Float, heads: int) -> Float:
    """Undo `turn_halves`: rows 2i and 2i + 1 of a head go to the first half and to the second."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def heads_of(name: str, heads: int, key_heads: int) -> int | None:
    """Return how many heads the rows of this GGUF tensor turn in, None where they do not turn."""
    return {"attn_q": heads, "attn_k": key_heads}.get(name.split(".")[-2])


def _settings(folder: Path) -> Json:
    path = folder / "tokenizer_config.json"
    return hf.read_json(path) if path.exists() else {}


def _matched(found: Mapping[str, Stored], wanted: Mapping[str, Expected], *, tied: bool) -> dict[str, Stored]:
    """Pair what is stored with what is wanted, by name and shape, with nothing left on either side."""
    stored = {_text_name(name): each for name, each in found.items() if not _is_aside(name, tied=tied)}
    if missing := sorted(wanted.keys() - stored.keys()):
        raise BadCheckpoint(f"The tensor {missing[0]} is missing ({len(missing)} in all).")
    if extra := sorted(stored.keys() - wanted.keys()):
        raise BadCheckpoint(f"The tensor {extra[0]} has no place in this family ({len(extra)} in all).")
    for name, place in wanted.items():
        if stored[name].shape != place.shape:
            shapes = f"{_written(stored[name].shape)}, by config.json it is {_written(place.shape)}"
            raise BadCheckpoint(f"The tensor {name} has the shape {shapes}.")
    return stored


def _is_aside(name: str, *, tied: bool) -> bool:
    """Tell whether a tensor is left out: not for text, said by config.json, or the table once more."""
    tied_head = tied and _text_name(name) == "lm_head.weight"
    return name.startswith(_NOT_TEXT) or name.endswith(_FROM_CONFIG) or tied_head


def _text_name(name: str) -> str:
    for prefix, plain in _RENAMED.items():
        if name.startswith(prefix):
            return plain + name.removeprefix(prefix)
    return name


def _converted(stored: Stored, place: Expected, family: Family, sizes: Sizes, kind: int) -> Tensor:
    weights = stored.values()
    heads = heads_of(place.name, sizes.heads, sizes.key_heads) if family.halves else None
    if heads is not None:
        weights = turn_halves(weights, heads)
    if family.shifted and place.name.endswith("norm.weight"):
        weights = weights + 1
    return floats.tensor(place.name, weights, kind)


def _name(family: Family, words: vocabulary.Vocabulary) -> str:
    """Name the model by its family: a folder's name would make the bytes depend on the machine.

    llama.cpp lets special tokens eat the spaces after them where the name has "phi-3" or "phi3" in it.
    """
    return "phi-3" if words.strips else family.arch.replace("phi3", "phi 3")


def _notes(config: Json, family: Family, words: vocabulary.Vocabulary) -> list[str]:
    found = []
    if family.arch == "phi3" and config.get("sliding_window"):
        found.append(
            f"beyond {config['sliding_window']} tokens llama.cpp attends to all, the source to a window"
        )
    original = config.get("original_max_position_embeddings")
    if family.arch == "phi3" and original:
        found.append(
            f"in a context of more than {original} tokens llama.cpp always turns by the long factors"
        )
    if family.arch != "phi3" and words.strips:
        found.append("spaces after special tokens are kept by llama.cpp; the source drops them")
    return found


def _losses(model: Model, kind: int) -> tuple[str, ...]:
    coarse = [each.name for each in model.tensors if each.kind not in _FLOATS and each.kind != gguf.Q8_0]
    narrowed = [each.name for each in model.tensors if len(each.shape) > 1 and _narrows(each.kind, kind)]
    found = []
    if coarse:
        found.append(f"{len(coarse)} tensors come from 4 bits: what that step lost stays lost")
    if narrowed:
        found.append(f"{len(narrowed)} tensors are rounded to a type that cannot hold them exactly")
    return tuple(found)


def _narrows(source: int, target: int) -> bool:
    """Tell whether weights of one type are not all weights of the other."""
    return target not in (gguf.F32, source)


def _written(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} ({math.prod(shape)} weights)" if len(shape) > 1 else str(shape[0])
