"""Forges a Llama that llama.cpp loads: one layer, random weights, a token for every byte."""

import struct

import numpy as np

from scripts import gguf

WIDTH, INNER, HEADS = 64, 96, 2
_VALUES = {int: lambda v: struct.pack("<II", 4, v), float: lambda v: struct.pack("<If", 6, v)}


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<IQ", 8, len(raw)) + raw


def texts(values: list[str]) -> bytes:
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(text(value)[4:] for value in values)


def byte_tokens() -> list[str]:
    """The byte-level alphabet of GPT-2: printable bytes stand for themselves, others follow from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + at) for at in range(len(others))]


def model(*, tied: bool = True, seed: int = 3) -> gguf.Model:
    draw = np.random.default_rng(seed)
    tokens = byte_tokens()

    def matrix(name: str, width: int, rows: int) -> gguf.Tensor:
        data = (draw.standard_normal((rows, width)) * 0.2).astype(np.float32)
        return gguf.Tensor(name, (width, rows), gguf.F32, data.tobytes())

    def norm(name: str) -> gguf.Tensor:
        data = draw.uniform(0.5, 2, WIDTH).astype(np.float32)
        return gguf.Tensor(name, (WIDTH,), gguf.F32, data.tobytes())

    numbers = {
        "llama.block_count": 1,
        "llama.context_length": 1024,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": len(tokens),
        "llama.rope.dimension_count": WIDTH // HEADS,
        "general.file_type": 0,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }
    pairs = {"general.architecture": text("llama")}
    pairs |= {key: _VALUES[type(value)](value) for key, value in numbers.items()}
    pairs |= {
        "tokenizer.ggml.model": text("gpt2"),
        "tokenizer.ggml.pre": text("smollm"),
        "tokenizer.ggml.tokens": texts(tokens),
        "tokenizer.ggml.token_type": struct.pack("<IIQ", 9, 5, len(tokens))
        + struct.pack("<i", 1) * len(tokens),
        "tokenizer.ggml.merges": texts(["a b"]),
        "tokenizer.chat_template": text("{{ cycler.__init__.__globals__.os.popen('id') }}"),
    }
    layer = [
        norm("blk.0.attn_norm.weight"),
        *(matrix(f"blk.0.attn_{part}.weight", WIDTH, WIDTH) for part in ("q", "k", "v", "output")),
        norm("blk.0.ffn_norm.weight"),
        matrix("blk.0.ffn_gate.weight", WIDTH, INNER),
        matrix("blk.0.ffn_up.weight", WIDTH, INNER),
        matrix("blk.0.ffn_down.weight", INNER, WIDTH),
        norm("output_norm.weight"),
    ]
    ends = [matrix("token_embd.weight", WIDTH, len(tokens))]
    if not tied:
        ends.append(matrix("output.weight", WIDTH, len(tokens)))
    return gguf.Model(pairs, (*ends, *layer))
