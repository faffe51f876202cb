"""What is kept of a trained adapter is the adapter, and tells nothing of the machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from scripts import keep_adapter
from scripts.adapter import CONFIG, WEIGHTS


def test_half_the_bytes_and_no_path_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, kept = tmp_path / "made", tmp_path / "kept"
    made.mkdir()
    weights = {"a.lora_A.weight": np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)}
    save_file(weights, made / WEIGHTS)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["v_proj", "q_proj"]}
    (made / CONFIG).write_text(
        json.dumps(config | {"base_model_name_or_path": str(tmp_path), "revision": None})
    )
    (made / "README.md").write_text("a page of somebody else's")
    monkeypatch.setattr(sys, "argv", ["keep", str(made), str(kept), "--base", "Base"])
    assert keep_adapter.main() == 0
    assert sorted(path.name for path in kept.iterdir()) == [CONFIG, WEIGHTS]
    said = json.loads((kept / CONFIG).read_text())
    assert said == config | {"base_model_name_or_path": "Base", "target_modules": ["q_proj", "v_proj"]}
    (found,) = load_file(kept / WEIGHTS).values()
    assert found.dtype == np.float16
    assert np.allclose(found, weights["a.lora_A.weight"], atol=1e-3)
