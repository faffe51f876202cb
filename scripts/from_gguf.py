"""A GGUF model -> the Hugging Face folder that it would have been converted from, without torch.

    python -m scripts.from_gguf MODEL.gguf FOLDER

For what takes folders only: cutting layers out (scripts/cut.py), and trainers of others. The opposite of
scripts/to_gguf.py: what is written there becomes the same bytes again, but for the model's name. Weights are
written in F32, which holds every type exactly. Known is the Llama family with a byte-level vocabulary, which
SmolLM2 and what is made of it belong to; another family's folder is had from whoever published it. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from safetensors.numpy import save

from appliance import durable
from appliance.errors import ApplianceError
from scripts import families, floats, gguf, hf, to_gguf, values, vocabulary
from scripts.families import Sizes
from scripts.floats import Float
from scripts.gguf import Model
from scripts.hf import BadCheckpoint

_ARCH: Final = "llama"
_TOKENS: Final = "tokenizer.ggml"
_SPECIAL: Final = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_T = TypeVar("_T")


def folder_of(model: Model) -> dict[str, bytes]:
    """Return the folder's files by name.

    Raises:
        BadCheckpoint: the model is of another family, or has what this cannot say in config.json.
    """
    if _told(model, "general.architecture", values.read_text) != _ARCH:
        raise BadCheckpoint("Only a model of the Llama family can be made a folder of.", hint=_ELSEWHERE)
    sizes = _sizes(model)
    tensors = _tensors(model, sizes)
    tokenizer, settings = _tokenizer(model)
    config = _config(model, sizes)
    return {
        hf.WHOLE: save(tensors, {"format": "pt"}),
        "tokenizer.json": _json(tokenizer),
        "tokenizer_config.json": _json(settings),
        "config.json": _json(config),
    }


_ELSEWHERE: Final = "Nothing was written. Take the folder that the model was published as."
_MISSING: Final = "Nothing was written. Fetch the file again, or take the folder it was made from."


def _told(model: Model, key: str, read: Callable[[bytes], _T], default: _T | None = None) -> _T:
    """Return a value of the metadata, `default` where there is none and one is known."""
    if key not in model.pairs and default is not None:
        return default
    try:
        return read(model.pairs[key])
    except (KeyError, ValueError, struct.error):
        raise BadCheckpoint(f"The model's metadata has no {key} that makes sense.", hint=_MISSING) from None


def _sizes(model: Model) -> Sizes:
    def number(key: str, default: int | None = None) -> int:
        return _told(model, f"{_ARCH}.{key}", values.read_number, default)

    hidden, heads = number("embedding_length"), number("attention.head_count")
    return Sizes(
        hidden=hidden,
        forward=number("feed_forward_length"),
        layers=number("block_count"),
        heads=heads,
        key_heads=number("attention.head_count_kv", heads),
        head=number("attention.key_length", hidden // heads),
        words=len(_told(model, f"{_TOKENS}.tokens", values.read_texts)),
        context=number("context_length"),
        epsilon=_told(model, f"{_ARCH}.attention.layer_norm_rms_epsilon", values.read_real),
    )


def _config(model: Model, sizes: Sizes) -> dict[str, Any]:
    scaled = [key for key in model.pairs if key.startswith(f"{_ARCH}.rope.scaling")]
    if scaled:
        raise BadCheckpoint(f"The model scales its positions ({scaled[0]}).", hint=_ELSEWHERE)
    theta = families.FAMILIES["LlamaForCausalLM"].theta
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.forward,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_heads,
        "head_dim": sizes.head,
        "vocab_size": sizes.words,
        "max_position_embeddings": sizes.context,
        "rms_norm_eps": sizes.epsilon,
        "rope_theta": _told(model, f"{_ARCH}.rope.freq_base", values.read_real, theta),
        "tie_word_embeddings": _is_tied(model),
        "dtype": "float32",
    } | {f"{short}_token_id": number for short, number in _special(model).items()}


def _is_tied(model: Model) -> bool:
    return gguf.OUTPUT not in {each.name for each in model.tensors}


def _tensors(model: Model, sizes: Sizes) -> dict[str, Float]:
    """Return the weights by their names there, rows of queries and keys in transformers' order."""
    family = families.FAMILIES["LlamaForCausalLM"]
    held = {each.name: each for each in model.tensors}
    wanted = families.expected(family, sizes, tied=_is_tied(model))
    if odd := sorted(held.keys() ^ {place.name for place in wanted.values()}):
        raise BadCheckpoint(f"The tensor {odd[0]} is missing, or has no place in this family.", hint=_MISSING)
    found = dict[str, Float]()
    for name, place in wanted.items():
        weights = floats.unpack(held[place.name])
        if weights.shape != place.shape:
            raise BadCheckpoint(
                f"The tensor {place.name} has another shape than the metadata say.", hint=_MISSING
            )
        heads = to_gguf.heads_of(place.name, sizes.heads, sizes.key_heads)
        found[name] = weights if heads is None else to_gguf.turn_neighbours(weights, heads)
    return found


def _special(model: Model) -> dict[str, int]:
    """Return the numbers of the special tokens that the model names."""
    keys = {short: f"{_TOKENS}.{long}_token_id" for short, long in _SPECIAL.items()}
    return {short: _told(model, key, values.read_number) for short, key in keys.items() if key in model.pairs}


def _tokenizer(model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return tokenizer.json and tokenizer_config.json."""
    if _told(model, f"{_TOKENS}.model", values.read_text) != "gpt2":
        raise BadCheckpoint("The model's vocabulary is not of the byte-level sort.", hint=_ELSEWHERE)
    cutting = _told(model, f"{_TOKENS}.pre", values.read_text)
    texts = _told(model, f"{_TOKENS}.tokens", values.read_texts)
    types = _told(model, f"{_TOKENS}.token_type", values.read_integers)
    special = _special(model)
    if len(types) != len(texts) or any(number >= len(texts) for number in special.values()):
        raise BadCheckpoint("The model's vocabulary is not whole.", hint=_MISSING)
    settings: dict[str, Any] = {
        f"add_{short}_token": _told(model, f"{_TOKENS}.add_{short}_token", values.read_flag, default=False)
        for short in ("bos", "eos")
    }
    settings |= {f"{short}_token": texts[number] for short, number in special.items()}
    words = {
        "type": "BPE",
        # Added tokens too: one that is not in it gets another number from the tokenizers package.
        "vocab": {text: number for number, text in enumerate(texts) if types[number] != vocabulary.UNUSED},
        "merges": _told(model, f"{_TOKENS}.merges", values.read_texts),
        "ignore_merges": vocabulary.takes_whole_words(cutting),
    }
    made = {
        "version": "1.0",
        "added_tokens": _added(texts, types),
        "pre_tokenizer": vocabulary.steps(cutting),
        "decoder": vocabulary.BYTE_LEVEL,
        "model": words,
    }
    return made, settings


def _added(texts: list[str], types: list[int]) -> list[dict[str, Any]]:
    """Return the tokens that no merge makes: control tokens, and words that stand for themselves."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": number, "content": text, **plain, "special": types[number] == vocabulary.CONTROL}
        for number, text in enumerate(texts)
        if types[number] in (vocabulary.CONTROL, vocabulary.USER_DEFINED)
    ]


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def main() -> int:
    """Write the folder; the config last, so that one that was cut off is no folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        files = folder_of(to_gguf.read(options.model))
        options.folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            durable.replace(options.folder / name, content, mode=0o644)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"folder": options.folder.name, "bytes": sum(map(len, files.values()))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
