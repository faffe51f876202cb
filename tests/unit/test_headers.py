"""Forged model files: each has one lie in its header, and none reaches an engine."""

import struct

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from appliance import headers
from appliance.errors import ModelMismatch


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def text_pair(key: str, value: str) -> bytes:
    return string(key) + struct.pack("<I", 8) + string(value)


def number_pair(key: str, value: int) -> bytes:
    return string(key) + struct.pack("<II", 4, value)


def tensor(name: str, shape=(32, 2), kind=2, offset=0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(
    *,
    magic=b"GGUF",
    version=3,
    tensors=None,
    pairs=None,
    tensor_count=None,
    pair_count=None,
    data=64,
) -> bytes:
    pairs = [text_pair("general.architecture", "llama")] if pairs is None else pairs
    tensors = [tensor("a"), tensor("b", kind=0, shape=(4,), offset=64)] if tensors is None else tensors
    counts = (tensor_count or len(tensors), len(pairs) if pair_count is None else pair_count)
    head = magic + struct.pack("<IQQ", version, *counts) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data + 16)


LLAMA = text_pair("general.architecture", "llama")
HOSTILE = {
    "no magic": gguf(magic=b"GGML"),
    "version 1": gguf(version=1),
    "version 4": gguf(version=4),
    "no tensors": gguf(tensors=[]),
    "more tensors than are there": gguf(tensor_count=3),
    "2^63 tensors": gguf(tensor_count=1 << 63),
    "2^63 pairs": gguf(pair_count=1 << 63),
    "no architecture": gguf(pairs=[]),
    "an architecture nobody audited": gguf(pairs=[text_pair("general.architecture", "plamo2")]),
    "an architecture that is a number": gguf(pairs=[number_pair("general.architecture", 1)]),
    "a key twice": gguf(pairs=[LLAMA, LLAMA]),
    "alignment 0": gguf(pairs=[LLAMA, number_pair("general.alignment", 0)]),
    "alignment 48": gguf(pairs=[LLAMA, number_pair("general.alignment", 48)]),
    "alignment 4": gguf(pairs=[LLAMA, number_pair("general.alignment", 4)]),
    "alignment 2^31": gguf(pairs=[LLAMA, number_pair("general.alignment", 1 << 31)]),
    "alignment as text": gguf(pairs=[LLAMA, text_pair("general.alignment", "32")]),
    "a string of 2^63": gguf(pairs=[LLAMA, string("k") + struct.pack("<IQ", 8, 1 << 63)]),
    "a key of 2^63": gguf(pairs=[LLAMA, struct.pack("<Q", 1 << 63)]),
    "an array of 2^62": gguf(pairs=[LLAMA, string("k") + struct.pack("<IIQ", 9, 10, 1 << 62)]),
    "an array of 2^23 strings in no bytes": gguf(
        pairs=[LLAMA, string("k") + struct.pack("<IIQ", 9, 8, 1 << 23)]
    ),
    "a vocabulary that leaves the file": gguf(
        pairs=[LLAMA, string("k") + struct.pack("<IIQQ", 9, 8, 1, 1 << 19)]
    ),
    "an array of arrays": gguf(pairs=[LLAMA, string("k") + struct.pack("<IIQ", 9, 9, 1)]),
    "a value of type 13": gguf(pairs=[LLAMA, string("k") + struct.pack("<IQ", 13, 0)]),
    "a tensor past the end": gguf(tensors=[tensor("a", offset=1 << 20)]),
    "a tensor larger than the file": gguf(tensors=[tensor("a", shape=(32, 1 << 30))]),
    "sizes that wrap at 2^64": gguf(tensors=[tensor("a", shape=(1 << 31, 1 << 31, 4, 1))]),
    "an axis of 2^63": gguf(tensors=[tensor("a", shape=(1 << 63, 2))]),
    "an axis of 0": gguf(tensors=[tensor("a", shape=(0, 2))]),
    "no axes": gguf(tensors=[tensor("a", shape=())]),
    "five axes": gguf(tensors=[tensor("a", shape=(32, 1, 1, 1, 1))]),
    "a row of half a block": gguf(tensors=[tensor("a", shape=(16, 4))]),
    "an unknown type": gguf(tensors=[tensor("a", kind=4)]),
    "an offset off the grid": gguf(tensors=[tensor("a", offset=8)]),
    "an offset that wraps": gguf(tensors=[tensor("a", offset=(1 << 64) - 32)]),
    "two tensors in one place": gguf(tensors=[tensor("a"), tensor("b")]),
    "a long name": gguf(tensors=[tensor("a" * 64)]),
    "an empty file": b"",
}


def test_an_honest_gguf_passes():
    headers.check_gguf(memoryview(gguf()))
    headers.check_gguf(memoryview(gguf(pairs=[LLAMA, number_pair("general.alignment", 64)], data=128)))


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_gguf_with_one_lie_is_refused(raw):
    with pytest.raises(ModelMismatch):
        headers.check_gguf(memoryview(raw))


@pytest.mark.parametrize("alignment", [0, 4, 48, 1 << 21, 1 << 31])
def test_the_alignment_itself_is_what_is_refused(alignment):
    """Its padding sums wrap around in the loader: no other check may be what stands in the way."""
    raw = gguf(pairs=[LLAMA, number_pair("general.alignment", alignment)], tensors=[tensor("a")])
    with pytest.raises(ModelMismatch, match="alignment is out of range"):
        headers.check_gguf(memoryview(raw))


def test_a_gguf_cut_anywhere_is_refused():
    honest = gguf(data=64)[:-16]
    for size in range(len(honest) - 16):
        with pytest.raises(ModelMismatch):
            headers.check_gguf(memoryview(honest[:size]))


@settings(max_examples=500)
@given(st.data())
def test_no_change_makes_the_gguf_check_fail_in_another_way(data):
    raw = bytearray(gguf())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        headers.check_gguf(memoryview(raw))
    except ModelMismatch:
        return


def onnx_model(
    *, nodes=None, initializers=None, domain="", functions=(), opsets=("", "com.microsoft")
) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"], domain=domain)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [weight] if initializers is None else initializers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(name, 1) for name in opsets], functions=list(functions)
    )


def weight(**changes) -> TensorProto:
    made = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    for key, value in changes.items():
        if key == "dims":
            made.dims[:] = value
        else:
            setattr(made, key, value)
    return made


def external() -> TensorProto:
    made = weight(data_location=TensorProto.EXTERNAL)
    made.ClearField("raw_data")
    entry = made.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    return made


def branch() -> onnx.NodeProto:
    inner = helper.make_graph([], "inner", [], [])
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)


HOSTILE_ONNX = {
    "weights in another file": onnx_model(initializers=[external()]),
    "more elements than bytes": onnx_model(initializers=[weight(dims=[4, 3])]),
    "sizes that wrap at 2^64": onnx_model(initializers=[weight(dims=[1 << 31, 1 << 31, 4])]),
    "a negative axis": onnx_model(initializers=[weight(dims=[-4, -2])]),
    "an unknown element type": onnx_model(initializers=[weight(data_type=99)]),
    "strings for weights": onnx_model(initializers=[weight(data_type=TensorProto.STRING)]),
    "a branch": onnx_model(nodes=[branch()]),
    "an operator of somebody's library": onnx_model(domain="evil.ops"),
    "an import of somebody's library": onnx_model(opsets=("", "evil.ops")),
    "weights hidden in an attribute": onnx_model(
        nodes=[helper.make_node("Constant", [], ["y"], value=external())]
    ),
    "a function": onnx_model(
        functions=[helper.make_function("", "f", ["a"], ["b"], [], [helper.make_opsetid("", 1)])]
    ),
}


def test_an_honest_onnx_passes():
    headers.check_onnx(memoryview(onnx_model().SerializeToString()))


@pytest.mark.parametrize("model", HOSTILE_ONNX.values(), ids=HOSTILE_ONNX)
def test_an_onnx_with_one_lie_is_refused(model):
    with pytest.raises(ModelMismatch):
        headers.check_onnx(memoryview(model.SerializeToString()))


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xff" * 40, b"GGUF", b"\x3a\x7f", b"\x38\x01", b"{}"])
def test_what_is_no_onnx_is_refused(raw):
    with pytest.raises(ModelMismatch):
        headers.check_onnx(memoryview(raw))


@settings(max_examples=500)
@given(st.data())
def test_no_change_makes_the_onnx_check_fail_in_another_way(data):
    raw = bytearray(onnx_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    try:
        headers.check_onnx(memoryview(raw))
    except ModelMismatch:
        return
