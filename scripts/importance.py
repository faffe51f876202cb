"""A float GGUF and a site's text -> how much each input column of each weight matrix matters.

    python -m scripts.importance MODEL.gguf TARGET.safetensors TEXT...

An error in a weight costs in proportion to the square of what it is multiplied with. So llama.cpp runs the
model over the text, and at every product with a weight matrix the squares of the input are added up: mean
squares by column, shape (width,), under the matrix's name. TEXT is any UTF-8 file, or the .jsonl of
scripts/corpus.py; a hundred windows are plenty. Take text that is not measured on afterwards. Source: what
llama.cpp's tools/imatrix does.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from appliance import durable
from appliance.errors import ApplianceError, UsageError
from appliance.generate.llm import llama
from scripts import readings

Double = npt.NDArray[np.float64]


class _Tensor(ctypes.Structure):
    """struct ggml_tensor of ggml.h, up to its name."""


_Tensor._fields_ = (
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(_Tensor) * 10),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
)


@dataclass(slots=True)
class Sums:
    """The sums of squares so far by matrix, shape (width,), and over how many inputs each."""

    squares: dict[str, Double] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, inputs: npt.NDArray[np.float32]) -> None:
        """Add inputs of a matrix, shape (n, width)."""
        squares = np.square(inputs, dtype=np.float64).sum(axis=0)
        self.squares[name] = self.squares.get(name, 0) + squares
        self.counts[name] = self.counts.get(name, 0) + len(inputs)

    def means(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the mean squares, by the matrices' names in order."""
        return {
            name: (self.squares[name] / self.counts[name]).astype(np.float32) for name in sorted(self.squares)
        }


def gather(path: Path, text: str, *, windows: int) -> Sums:
    """Run the model at `path` over the first `windows` windows of `text` and listen at its products.

    Raises:
        UsageError: no model that llama.cpp can load, or less text than one window.
    """
    sums = Sums()
    failures: list[BaseException] = []
    with _listener(sums, failures) as callback, readings.opened(path, callback=callback) as model:
        for window in readings.windows(model, text, most=windows):
            readings.logits(model, window)
            if failures:
                raise failures[0]
    return sums


@contextmanager
def _listener(sums: Sums, failures: list[BaseException]) -> Iterator[Any]:
    """Give what llama.cpp calls before and after each operation; an exception cannot pass through C."""
    library = llama()
    product = _operation(library, b"MUL_MAT")

    def hear(address: int, ask: bool, _data: object) -> bool:  # noqa: FBT001 (the signature is llama.cpp's)
        made = _Tensor.from_address(address)
        weights = made.src[0].contents if made.op == product else None
        if weights is None or not weights.name.endswith(b".weight"):
            return not ask
        if not ask:
            try:
                sums.add(weights.name.decode(), _inputs(made.src[1].contents))
            except Exception as error:  # noqa: BLE001
                failures.append(error)
        return True

    yield library.ggml_backend_sched_eval_callback(hear)


def _operation(library: Any, name: bytes) -> int:
    library._lib.ggml_op_name.restype = ctypes.c_char_p
    return next(number for number in range(200) if library._lib.ggml_op_name(number) == name)


def _inputs(tensor: _Tensor) -> npt.NDArray[np.float32]:
    """View a tensor of float32 as (n, width).

    Raises:
        UsageError: it is of another type or lies scattered.
    """
    width, rows = tensor.ne[0], tensor.ne[1] * tensor.ne[2] * tensor.ne[3]
    if tensor.type != 0 or tensor.nb[0] != 4 or tensor.nb[1] != 4 * width:
        raise UsageError(
            "llama.cpp holds the inputs in a form this cannot read.", hint="Nothing was written."
        )
    pointer = ctypes.cast(tensor.data, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, (rows, width))


def main() -> int:
    """Gather the importance of MODEL's columns over TEXT into TARGET; the last line is one JSON line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--windows", type=int, default=100, help=f"of {readings.WINDOW} tokens, at most")
    arguments = parser.parse_args()
    try:
        text = "\n".join(readings.read_texts(arguments.texts))
        sums = gather(arguments.model, text, windows=arguments.windows)
        tokens = str(max(sums.counts.values()))
        durable.replace(arguments.target, save(sums.means(), {"tokens": tokens}), mode=0o644)
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    figures = {"file": arguments.target.name, "matrices": len(sums.squares), "tokens": int(tokens)}
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
