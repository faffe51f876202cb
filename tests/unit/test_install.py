"""A model is installed whole and as its card says, or what was there before stays."""

import subprocess
from pathlib import Path

import pytest

from appliance.errors import ModelMismatch, ModelMissing
from scripts import install
from tests.unit.test_headers import gguf
from tests.unit.test_models import card_text

ROOT = Path(__file__).parents[2]
GGUF = gguf()


def material(tmp_path: Path, content: bytes = GGUF, revision="1") -> tuple[Path, Path]:
    settings = {"template": "chatml", "context": 512, "max_tokens": None, "revision": revision}
    settings |= {"calibration": "", "levels": ""}
    card = tmp_path / "tiny.toml"
    card.write_text(card_text("tiny", "generator", {"model.gguf": GGUF}, **settings))
    built = tmp_path / "model.gguf"
    built.write_bytes(content)
    return card, built


def test_a_model_is_installed_and_known_to_be(tmp_path):
    card, built = material(tmp_path)
    folder = tmp_path / "models"
    assert not install.is_installed(card, folder)
    made = install.install(card, folder, [built])
    assert install.is_installed(card, folder)
    assert sorted(path.name for path in made.iterdir()) == ["card.toml", "model.gguf"]
    assert [path.name for path in folder.iterdir()] == ["tiny"]


def test_a_file_that_is_not_the_cards_leaves_the_old_model(tmp_path):
    card, built = material(tmp_path)
    folder = tmp_path / "models"
    install.install(card, folder, [built])
    card, built = material(tmp_path, GGUF[:-1] + b"x", revision="2")
    with pytest.raises(ModelMismatch):
        install.install(card, folder, [built])
    assert [path.name for path in folder.iterdir()] == ["tiny"]
    assert install.is_installed(material(tmp_path)[0], folder)


def test_a_missing_file_is_an_error(tmp_path):
    card, _ = material(tmp_path)
    with pytest.raises(ModelMissing):
        install.install(card, tmp_path / "models", [])


def test_a_new_card_or_a_damaged_file_asks_for_another_build(tmp_path):
    card, built = material(tmp_path)
    folder = tmp_path / "models"
    made = install.install(card, folder, [built])
    newer, built = material(tmp_path, revision="2")
    assert not install.is_installed(newer, folder)
    install.install(newer, folder, [built])
    assert install.is_installed(newer, folder)
    (made / "model.gguf").write_bytes(bytes(len(GGUF)))
    assert not install.is_installed(newer, folder)


def test_the_script_does_nothing_where_all_is_there(built_models):
    done = subprocess.run(
        [ROOT / "scripts" / "runs" / "models.sh", built_models],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["==> the default models are there"]
