"""llama.cpp's own quantizers and its view of a tensor, through the compiled library of the appliance.

A file type ("Q4_K_M") is a mixture that llama.cpp chooses tensor by tensor; a tensor type ("Q4_K") is one
format of blocks. Source: llama.h and ggml.h of the release that llama-cpp-python 0.3.36 compiles.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.errors import UsageError
from appliance.generate.llm import llama
from scripts.gguf import Tensor

Float = npt.NDArray[np.float32]

_PREFIX = "LLAMA_FTYPE_MOSTLY_"
_SHORT = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
"""What llama.cpp's own tool takes these names for."""
_NO_TYPE = 43  # GGML_TYPE_COUNT: "not chosen"
_F32 = 0
_WARNING = 3  # GGML_LOG_LEVEL_WARN; errors are above


class _Traits(ctypes.Structure):
    """struct ggml_type_traits."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleave", ctypes.c_int64),
        ("bytes", ctypes.c_size_t),
        ("quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        ("from_float", ctypes.c_void_p),
    )


def file_types() -> dict[str, int]:
    """Return every file type of this llama.cpp by name, in its order."""
    found = {
        name.removeprefix(_PREFIX): value
        for name, value in vars(llama()).items()
        if name.startswith(_PREFIX) and isinstance(value, int)
    }
    return found | {short: found[name] for short, name in _SHORT.items()}


def traits(kind: int) -> tuple[str, int, int]:
    """Return the name, elements in a block and bytes of a block of a tensor type."""
    found = _traits(kind)
    return found.name.decode().upper(), found.block, found.bytes


def _traits(kind: int) -> Any:
    get = llama()._lib.ggml_get_type_traits
    get.restype = ctypes.POINTER(_Traits)
    return get(kind).contents


def to_float(tensor: Tensor) -> Float:
    """Return the weights as llama.cpp reads them, shape (n,)."""
    raw = np.frombuffer(tensor.data, np.uint8)
    if tensor.kind == _F32:
        return raw.view(np.float32)
    made = np.empty(int(np.prod(tensor.shape)), np.float32)
    _traits(tensor.kind).to_float(raw.ctypes.data, made.ctypes.data, made.size)
    return made


def quantize(
    source: Path,
    target: Path,
    *,
    file_type: int,
    threads: int,
    embedding: int | None = None,
    output: int | None = None,
    importance: Mapping[str, Float] | None = None,
) -> None:
    """Let llama.cpp write `target`; word table and output take their own tensor types where given.

    Raises:
        UsageError: it would not; the message holds its reason.
    """
    library = llama()
    options = library.llama_model_quantize_default_params()
    options.nthread, options.ftype, options.allow_requantize = threads, file_type, True
    options.token_embedding_type = _NO_TYPE if embedding is None else embedding
    options.output_tensor_type = _NO_TYPE if output is None else output
    entries = _entries(library, importance) if importance else None
    if entries:
        options.imatrix = entries
    with _complaints(library) as heard:
        failed = library.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(options))
    if failed:
        raise UsageError(
            f"llama.cpp would not quantize this: {heard[-1] if heard else 'it gave no reason'}",
            hint="Nothing was written. Some types of two bits and fewer need --importance.",
        )


def _entries(library: Any, importance: Mapping[str, Float]) -> Any:
    """Return the array that llama.cpp takes, ended by an entry without a name."""
    pointer = ctypes.POINTER(ctypes.c_float)
    entry = library.llama_model_imatrix_data
    entries = [
        entry(name.encode(), values.ctypes.data_as(pointer), values.size)
        for name, values in importance.items()
    ]
    return (entry * (len(entries) + 1))(*entries, entry())


@contextmanager
def _complaints(library: Any) -> Iterator[list[str]]:
    """Hear the library's warnings and errors for a while; it is silent otherwise."""
    heard: list[str] = []
    said = library.llama_log_callback(
        lambda level, text, _data: (
            heard.append(text.decode(errors="replace").strip()) if level >= _WARNING else None
        )
    )
    before, data = library.llama_log_callback(), ctypes.c_void_p()
    library.llama_log_get(ctypes.byref(before), ctypes.byref(data))
    library.llama_log_set(said, data)
    try:
        yield heard
    finally:
        library.llama_log_set(before, data)
