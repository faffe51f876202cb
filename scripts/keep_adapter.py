"""A PEFT adapter as it was trained -> the same in float16, with as little configuration as it needs.

    python -m scripts.keep_adapter .cache/generator/adapter models/NAME --base NAME-OF-THE-BASE

What peft writes has twice the bytes, a page of text of its own, and the path of the base on the machine where
it was trained. An adapter that would compute something else with so little is refused. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file, save

from appliance import durable
from appliance.errors import ApplianceError
from scripts import adapter, hf
from scripts.adapter import CONFIG, WEIGHTS

KEPT: Final = ("peft_type", "r", "lora_alpha", "target_modules")


def kept(config: dict[str, Any], base: str) -> dict[str, Any]:
    """Return what of a configuration says how the adapter is laid on `base`.

    Raises:
        BadCheckpoint: what is left out would change what it computes.
    """
    adapter.strength(config)
    if config.get("use_rslora"):
        raise hf.BadCheckpoint(f"{CONFIG} uses use_rslora, another scale than what is kept would say.")
    if missing := [name for name in KEPT if name not in config]:
        raise hf.BadCheckpoint(f"{CONFIG} has no {missing[0]}.")
    found = {name: config[name] for name in KEPT}
    return found | {"base_model_name_or_path": base, "target_modules": sorted(found["target_modules"])}


def main() -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("adapter", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--base", required=True)
    options = parser.parse_args()
    try:
        config = kept(hf.read_json(options.adapter / CONFIG), options.base)
    except ApplianceError as error:
        print(error, error.hint, file=sys.stderr)
        return error.exit_code
    weights = load_file(options.adapter / WEIGHTS)
    raw = save({name: values.astype(np.float16) for name, values in weights.items()})
    options.output.mkdir(parents=True, exist_ok=True)
    durable.replace(options.output / CONFIG, (json.dumps(config, indent=1) + "\n").encode(), mode=0o644)
    durable.replace(options.output / WEIGHTS, raw, mode=0o644)
    print(json.dumps({"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
