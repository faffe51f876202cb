"""A model on trial is in a home of its own, under a card that the appliance takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

from appliance import config, models
from scripts import trial
from tests.unit.test_headers import gguf


def test_the_model_on_trial_is_the_configured_one(tmp_path: Path) -> None:
    file = tmp_path / "New-Model.gguf"
    file.write_bytes(gguf(data=64))
    trial.furnish(tmp_path / "home", file, "chatml-brief")
    settings = config.load(tmp_path / "home")
    found = models.find(settings.generator, [tmp_path / "home" / "models"])
    models.verify(found)
    assert (found.card.name, found.card.template) == ("new-model", "chatml-brief")
    assert settings == config.Config(home=tmp_path / "home", generator="new-model")


def test_it_is_furnished_again_where_it_was_stopped(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    for data in (64, 96):
        file.write_bytes(gguf(data=data))
        trial.furnish(tmp_path / "home", file, "chatml")
    card = tomllib.loads((tmp_path / "home/models/model/card.toml").read_text())
    assert card["files"][0]["bytes"] == len(file.read_bytes())
