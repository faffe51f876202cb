"""A Hugging Face folder and which of its layers to keep -> a folder of a smaller model, without torch.

    python -m scripts.cut TEACHER STUDENT --layers layers.json

layers.json is what scripts/layers.py wrote; of it only `kept` is read. The student has the same words and the
same width; its config.json says in `kept_layers` where its layers come from, which scripts/distill.py
needs to know. Weights are written in F32. The last line is JSON: parameters and their share of the teacher's.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.numpy import save

from appliance import durable
from appliance.errors import ApplianceError, UsageError
from scripts import hf
from scripts.hf import BadCheckpoint, Stored

KEPT: Final = "kept_layers"
_LAYER: Final = re.compile(r"(model\.layers\.)(\d+)(\..+)")
_ONE_A_LAYER: Final = ("layer_types", "no_rope_layers")
"""What config.json says of each layer, where it does."""
COPIED: Final = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


def read_kept(path: Path) -> list[int]:
    """Read the layers to keep.

    Raises:
        UsageError: the file is not what scripts/layers.py writes.
    """
    kept = hf.read_json(path).get("kept")
    if not isinstance(kept, list) or not all(type(each) is int for each in kept):
        raise UsageError(
            f"{path.name} does not say which layers are kept.",
            hint="Nothing was written. Make it with python -m scripts.layers.",
        )
    return kept


def config_of(config: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """Return the student's config.json.

    Raises:
        UsageError: there are no such layers, or they are out of order.
        BadCheckpoint: the config has no plain number of layers.
    """
    count = config.get("num_hidden_layers")
    if type(count) is not int:
        raise BadCheckpoint("config.json has no num_hidden_layers: only a model of text alone can be cut.")
    if not 0 < len(kept) < count or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= count:
        raise UsageError(
            f"The layers to keep must be some of 0 to {count - 1}, each once and in their order.",
            hint="Nothing was written. The table of layers may be another model's: measure this one.",
        )
    told = {name: [config[name][at] for at in kept] for name in _ONE_A_LAYER if config.get(name)}
    return {**config, **told, "num_hidden_layers": len(kept), KEPT: list(kept), "dtype": "float32"}


def tensors_of(stored: Mapping[str, Stored], kept: Sequence[int]) -> dict[str, Stored]:
    """Return the student's tensors by their new names; what belongs to no layer stays as it is."""
    places = {str(old): str(new) for new, old in enumerate(kept)}
    found = dict[str, Stored]()
    for name, each in stored.items():
        parts = _LAYER.fullmatch(name)
        if parts is None:
            found[name] = each
        elif parts[2] in places:
            found[f"{parts[1]}{places[parts[2]]}{parts[3]}"] = each
    return found


def cut(teacher: Path, student: Path, kept: Sequence[int]) -> dict[str, Any]:
    """Write the student's folder, its config last; return its figures.

    Raises:
        UsageError: the layers are not the teacher's, or the student would lie on it.
        BadCheckpoint: the teacher's folder is damaged.
    """
    if student.resolve() == teacher.resolve():
        raise UsageError("The student needs a folder of its own.", hint="Nothing was written.")
    config = config_of(hf.read_json(teacher / "config.json"), kept)
    stored = hf.read_tensors(teacher)
    chosen = tensors_of(stored, kept)
    weights = save({name: each.values() for name, each in chosen.items()}, {"format": "pt"})
    student.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (teacher / name).exists():
            durable.replace(student / name, (teacher / name).read_bytes(), mode=0o644)
    durable.replace(student / hf.WHOLE, weights, mode=0o644)
    durable.replace(student / "config.json", (json.dumps(config, indent=1) + "\n").encode(), mode=0o644)
    before, after = (sum(math.prod(each.shape) for each in side.values()) for side in (stored, chosen))
    return {"layers": len(kept), "parameters": after, "share": round(after / before, 4)}


def main() -> int:
    """Cut."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("teacher", type=Path)
    parser.add_argument("student", type=Path)
    parser.add_argument("--layers", type=Path, required=True)
    options = parser.parse_args()
    try:
        print(json.dumps(cut(options.teacher, options.student, read_kept(options.layers))))
    except ApplianceError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
