"""Four bits: near to the float weights, no worse than llama.cpp's own, and always the same bytes."""

import ctypes
import hashlib
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance import headers
from appliance.models import parse_card
from scripts import blocks, gguf, llamacpp, quantize

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / ".cache" / "models" / "smollm2" / "published.gguf"
CARD = parse_card((ROOT / "models" / "gate" / "smollm2-135m-instruct.toml").read_bytes())
columns = arrays(np.float32, st.tuples(st.just(32), st.integers(1, 5)), elements=st.floats(-50, 50, width=32))


def text(value: str) -> bytes:
    return struct.pack("<IQ", 8, len(value)) + value.encode()


def model() -> gguf.Model:
    draw = np.random.default_rng(3)

    def floats(name, *shape, kind=gguf.F32):
        data = draw.standard_normal(shape[::-1]).astype(np.float16 if kind == gguf.F16 else np.float32)
        return gguf.Tensor(name, shape, kind, data.tobytes())

    return gguf.Model(
        {
            "general.architecture": text("llama"),
            "general.file_type": gguf.number(1),
            "tokenizer.ggml.tokens": struct.pack("<IIQ", 9, 8, 2) + text("a")[4:] + text("bc")[4:],
            "tokenizer.chat_template": text("{{ cycler.__init__.__globals__.os.popen('id') }}"),
        },
        (
            floats("token_embd.weight", 64, 10, kind=gguf.F16),
            floats("blk.0.attn_norm.weight", 64),
            floats("blk.0.ffn_up.weight", 64, 300),
            floats("blk.0.odd.weight", 33, 2),
        ),
    )


def tensors(made: gguf.Model) -> dict[str, gguf.Tensor]:
    return {tensor.name: tensor for tensor in made.tensors}


def test_a_file_comes_back_as_it_was_written():
    raw = gguf.serialize(model())
    headers.check_gguf(memoryview(raw))
    assert gguf.serialize(gguf.parse(raw)) == raw
    assert gguf.parse(raw).pairs == model().pairs
    assert {name: bytes(t.data) for name, t in tensors(gguf.parse(raw)).items()} == {
        name: t.data for name, t in tensors(model()).items()
    }


def test_another_version_or_type_is_refused():
    raw = bytearray(gguf.serialize(model()))
    raw[4] = 2
    with pytest.raises(ValueError, match="version 3"):
        gguf.parse(bytes(raw))


def test_matrices_take_four_bits_the_word_table_eight_and_vectors_stay():
    made = quantize.quantize(model(), threads=1)
    kinds = {name: tensor.kind for name, tensor in tensors(made).items()}
    assert kinds == {
        "token_embd.weight": gguf.Q8_0,
        "blk.0.attn_norm.weight": gguf.F32,
        "blk.0.ffn_up.weight": gguf.IQ4_NL,
        "blk.0.odd.weight": gguf.F32,
    }
    headers.check_gguf(memoryview(gguf.serialize(made)))


def test_the_files_own_template_is_left_out():
    """It is a program that some loaders run (CVE-2024-34359)."""
    raw = gguf.serialize(quantize.quantize(model(), threads=1))
    assert b"cycler" not in raw
    assert b"general.architecture" in raw


def test_the_bytes_do_not_depend_on_the_number_of_threads():
    assert gguf.serialize(quantize.quantize(model(), threads=1)) == gguf.serialize(
        quantize.quantize(model(), threads=4)
    )


def back(packed: np.ndarray, kind: int) -> np.ndarray:
    return blocks.to_float(gguf.Tensor("x", (32,), kind, packed.tobytes()))


@given(columns)
def test_eight_bits_are_near(weights):
    largest = np.abs(weights).max(axis=0)
    # Half a step, and what float16 rounds off the scale (subnormal for the smallest of weights).
    assert (np.abs(back(blocks.q8_0(weights), gguf.Q8_0) - weights) <= largest * 0.0051 + 1e-5).all()


@given(columns)
def test_four_bits_are_near(weights):
    largest = np.abs(weights).max(axis=0)
    assert (np.abs(back(blocks.iq4_nl(weights), gguf.IQ4_NL) - weights) <= largest * 0.22 + 1e-5).all()


@given(columns)
def test_the_largest_weight_decides_the_error_of_the_classic_rule(weights):
    largest = np.abs(weights).max(axis=0)
    # A whole step at the end that the grid lacks, an eighth of the largest weight, and the scale's float16.
    made = back(blocks.q4_0(weights, scale="largest"), gguf.Q4_0)
    assert (np.abs(made - weights) <= largest * 0.1255 + 1e-5).all()


def lost(weights, packed, kind, importance=1.0):
    return ((back(packed, kind) - weights).astype(np.float64) ** 2 * importance).sum(axis=0)


FOUR = [(blocks.q4_0, gguf.Q4_0), (blocks.iq4_nl, gguf.IQ4_NL)]


@pytest.mark.parametrize(("pack", "kind"), FOUR)
@given(weights=columns)
def test_the_best_scale_loses_no_more_than_the_classic_one(pack, kind, weights):
    best, classic = (np.sqrt(lost(weights, pack(weights, scale=scale), kind)) for scale in blocks.SCALES)
    # The scale found is rounded to float16 afterwards; the classic one may come out of that unharmed.
    rounding = np.abs(weights).max(axis=0) * np.sqrt(32) * 2.0**-11 + 1e-4
    assert (best <= classic + 2 * rounding).all()


@pytest.mark.parametrize(("pack", "kind"), FOUR)
def test_importance_moves_the_error_to_where_it_costs_least(pack, kind):
    draw = np.random.default_rng(11)
    weights = draw.standard_normal((32, 2000)).astype(np.float32)
    importance = draw.lognormal(sigma=2, size=weights.shape).astype(np.float32)
    weighted = lost(weights, pack(weights, importance=importance), kind, importance).sum()
    assert weighted < 0.9 * lost(weights, pack(weights), kind, importance).sum()


@pytest.mark.parametrize(("pack", "kind"), FOUR)
@pytest.mark.parametrize("scale", blocks.SCALES)
def test_nothing_stays_nothing(pack, kind, scale):
    assert not back(pack(np.zeros((32, 3), np.float32), scale=scale), kind).any()


@given(st.floats(-140, 140, width=32))
def test_a_value_goes_to_the_nearest_of_the_grid(value):
    for grid in (blocks.IQ4_NL, blocks.Q4_0):
        chosen = grid.values[blocks.nearest(np.array([value], np.float32), grid)][0]
        assert abs(chosen - value) <= np.abs(grid.values - value).min() + 0.5


def llama_cpps_own(weights: np.ndarray, kind: int, size: int) -> np.ndarray:
    """Quantize rows with ggml, called directly: the oracle for the format and for the error."""
    folder = Path(importlib.util.find_spec("llama_cpp").submodule_search_locations[0]) / "lib"
    library = ctypes.CDLL(str(folder / "libggml-base.so"))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    rows = np.ascontiguousarray(weights.T.reshape(1, -1))
    out = np.empty(rows.size // 32 * size, np.uint8)
    pointer = ctypes.POINTER(ctypes.c_float)
    library.ggml_quantize_chunk(
        kind,
        rows.ctypes.data_as(pointer),
        out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0),
        ctypes.c_int64(1),
        ctypes.c_int64(rows.size),
        None,
    )
    return out


def test_it_reads_what_llama_cpp_writes_and_loses_no_more():
    weights = np.random.default_rng(5).standard_normal((32, 4000)).astype(np.float32)
    theirs = back(llama_cpps_own(weights, gguf.IQ4_NL, 18), gguf.IQ4_NL)
    ours = back(blocks.iq4_nl(weights), gguf.IQ4_NL)
    energy = (weights**2).sum()
    assert ((theirs - weights) ** 2).sum() / energy < 0.01
    assert ((ours - weights) ** 2).sum() < ((theirs - weights) ** 2).sum()


@pytest.mark.parametrize(("kind", "size"), [(gguf.Q4_0, 18), (gguf.Q4_1, 20), (gguf.Q8_0, 34)])
def test_it_reads_the_other_types_of_llama_cpp(kind, size):
    weights = np.random.default_rng(6).standard_normal((32, 500)).astype(np.float32)
    found = back(llama_cpps_own(weights, kind, size), kind)
    assert ((found - weights) ** 2).sum() / (weights**2).sum() < 0.01


@pytest.mark.parametrize(
    ("pack", "kind"),
    [(blocks.q4_0, gguf.Q4_0), (blocks.iq4_nl, gguf.IQ4_NL), (blocks.q8_0, gguf.Q8_0), (blocks.f32, gguf.F32),
     (blocks.f16, gguf.F16), (blocks.bf16, gguf.BF16)],
)  # fmt: skip
def test_llama_cpp_reads_in_our_bytes_what_we_do(pack, kind):
    weights = np.random.default_rng(7).standard_normal((32, 500)).astype(np.float32)
    tensor = gguf.Tensor("x", (32, 500), kind, pack(weights).tobytes())
    assert len(tensor.data) == gguf.size_of(tensor.shape, kind)
    assert (llamacpp.to_float(tensor) == blocks.to_float(tensor).T.ravel()).all()


@pytest.mark.parametrize(("pack", "kind", "size"), [(blocks.f16, gguf.F16, 64), (blocks.bf16, gguf.BF16, 64)])
def test_the_float_types_are_rounded_as_llama_cpp_rounds(pack, kind, size):
    weights = np.random.default_rng(9).standard_normal((32, 3000)).astype(np.float32)
    weights[:, :2] = 1 + np.arange(64).reshape(32, 2) * 2.0**-12  # many of them half way between two
    assert pack(weights).tobytes() == llama_cpps_own(weights, kind, size).tobytes()


def test_the_classic_rule_is_llama_cpps():
    """All but a few codes that lie between two values: C multiplies by the inverse of the scale."""
    weights = np.random.default_rng(10).standard_normal((32, 4000)).astype(np.float32)
    ours = blocks.q4_0(weights, scale="largest")
    same = ours == llama_cpps_own(weights, gguf.Q4_0, 18).reshape(-1, 18)
    assert same[:, :2].all()
    assert same.mean() > 0.999


@pytest.mark.parametrize("kind", gguf.TYPES)
def test_the_table_of_types_is_llama_cpps(kind):
    name, block, size = llamacpp.traits(kind)
    assert gguf.TYPES[kind] == (name, block, size)


@pytest.mark.parametrize("kind", [gguf.F32, gguf.F16, gguf.BF16])
def test_it_reads_the_float_types(kind):
    weights = np.random.default_rng(8).standard_normal((32, 50)).astype(np.float32)
    rows = np.ascontiguousarray(weights.T)
    raw = {
        gguf.F32: rows.tobytes(),
        gguf.F16: rows.astype(np.float16).tobytes(),
        gguf.BF16: (rows.view(np.uint32) >> 16).astype(np.uint16).tobytes(),
    }[kind]
    assert np.abs(blocks.to_float(gguf.Tensor("x", (32, 50), kind, raw)) - weights).max() < 0.03


def test_the_built_model_is_the_one_on_the_card_byte_for_byte():
    if not SOURCE.exists():
        pytest.skip("needs the published weights: `make models`")
    made = gguf.serialize(quantize.quantize(gguf.parse(SOURCE.read_bytes()), threads=4))
    entry = CARD.file("model.gguf")
    assert (len(made), hashlib.sha256(made).hexdigest()) == (entry.bytes, entry.sha256)
    assert len(made) <= 92_000_000
