"""The tiny checkpoints of tests/vectors/checkpoints, and llama.cpp to hold their conversions against."""

import ctypes
import json
import struct
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from appliance.generate.llm import llama
from scripts import convert, gguf, to_gguf

HERE = Path(__file__).parent / "vectors" / "checkpoints"
NAMES = ("llama", "smollm", "smollm3", "qwen2", "qwen3", "gemma2", "gemma3", "phi3")
NASTY = json.loads((HERE / "nasty.json").read_text("utf-8"))
CONTEXT = 128  # not longer than the tiny Phi-3's original one: llama.cpp turns the long way beyond


def expected(name):
    return load_file(HERE / name / "expected.safetensors")


def expected_tokens(name):
    found = expected(name)
    ends = np.cumsum(found["nasty.lengths"])
    return [row.tolist() for row in np.split(found["nasty.tokens"], ends[:-1])]


def a_llama(*, layers=2):
    """Return a random model of whole blocks of weights, of torch's, which only the training has."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=488, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def an_importance(folder, target):
    """Write a made-up importance of a checkpoint's columns, as scripts/importance.py writes one."""
    draw = np.random.default_rng(3)
    matrices = [each for each in to_gguf.from_folder(folder, gguf.F32)[0].tensors if len(each.shape) > 1]
    rows = {each.name: draw.lognormal(sigma=2, size=each.shape[0]).astype(np.float32) for each in matrices}
    save_file(rows, target)
    return target


@contextmanager
def loaded(path):
    """Yield a model of llama.cpp's, whole: every tensor and key it wants was there."""
    library = llama()
    options = library.llama_model_default_params()
    options.n_gpu_layers = 0
    model = library.llama_model_load_from_file(bytes(path), options)
    assert model, f"llama.cpp does not load {path.name}"
    try:
        yield library, model
    finally:
        library.llama_model_free(model)


def logits(path, tokens, adapter=None):
    """Return the logits (n, vocabulary) at every place of `tokens`."""
    with loaded(path) as (library, model):
        options = library.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = CONTEXT
        options.n_threads = options.n_threads_batch = 2
        context = library.llama_init_from_model(model, options)
        try:
            if adapter is not None:
                lora = library.llama_adapter_lora_init(model, bytes(adapter))
                assert lora, f"llama.cpp does not load {adapter.name}"
                adapters, scales = (library.llama_adapter_lora_p_ctypes * 1)(lora), (ctypes.c_float * 1)(1.0)
                assert library.llama_set_adapters_lora(context, adapters, 1, scales) == 0
            return _evaluated(library, context, model, tokens)
        finally:
            library.llama_free(context)


def _evaluated(library, context, model, tokens):
    batch = library.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for place, token in enumerate(tokens):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
        batch.seq_id[place][0], batch.logits[place] = 0, 1
    assert library.llama_decode(context, batch) == 0
    library.llama_batch_free(batch)
    size = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
    pointer = ctypes.cast(library.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, (len(tokens), size)).copy()


def cut(library, model, text):
    """Tokenize `text` as llama.cpp does, special tokens in it included."""
    raw = text.encode()
    room = 2 * len(raw) + 8
    buffer = (library.llama_token * room)()
    vocabulary = library.llama_model_get_vocab(model)
    return list(buffer[: library.llama_tokenize(vocabulary, raw, len(raw), buffer, room, 0, 1)])


def piece(library, model, token):
    """Return what a token is as output."""
    buffer = ctypes.create_string_buffer(64)
    vocabulary = library.llama_model_get_vocab(model)
    size = library.llama_token_to_piece(vocabulary, token, buffer, len(buffer), 0, 0)
    return buffer.raw[:size]


def cosines(found, wanted):
    wanted = wanted.astype(np.float32)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return (found * wanted).sum(axis=1) / norms


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
    return convert.main()


def split(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(path, header, data, length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)


def edit(name, change):
    """Return what changes a JSON file of a folder."""

    def apply(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return apply


def config(**changes):
    return edit("config.json", lambda content: content.update(changes))
