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

PLAIN = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["v_proj", "q_proj"]}


@pytest.mark.parametrize(
    "more",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 8}},
        {"bias": "all"},
        {"peft_type": "IA3"},
        {"r": None},
    ],
)
def test_what_would_compute_something_else_without_what_is_dropped_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, object],
) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(PLAIN | more))
    save_file({"a.lora_A.weight": np.zeros((4, 16), np.float32)}, tmp_path / WEIGHTS)
    monkeypatch.setattr(sys, "argv", ["keep", str(tmp_path), str(tmp_path / "kept"), "--base", "Base"])
    assert keep_adapter.main() == 2
    assert "Nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_half_the_bytes_and_no_path_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, kept = tmp_path / "made", tmp_path / "kept"
    made.mkdir()
    weights = {"a.lora_A.weight": np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)}
    save_file(weights, made / WEIGHTS)
    (made / CONFIG).write_text(
        json.dumps(PLAIN | {"base_model_name_or_path": str(tmp_path), "revision": None})
    )
    (made / "README.md").write_text("a page of somebody else's")
    monkeypatch.setattr(sys, "argv", ["keep", str(made), str(kept), "--base", "Base"])
    assert keep_adapter.main() == 0
    assert sorted(path.name for path in kept.iterdir()) == [CONFIG, WEIGHTS]
    said = json.loads((kept / CONFIG).read_text())
    assert said == PLAIN | {"base_model_name_or_path": "Base", "target_modules": ["q_proj", "v_proj"]}
    (found,) = load_file(kept / WEIGHTS).values()
    assert found.dtype == np.float16
    assert np.allclose(found, weights["a.lora_A.weight"], atol=1e-3)
