"""Cards, and files that must be the ones the cards name."""

import hashlib
import os
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import models
from appliance.errors import ModelMismatch, ModelMissing, UsageError

CARDS = sorted((Path(__file__).parents[2] / "models").glob("*.toml"))
TEXT = b"some weights" * 1000


CALIBRATION = "calibration = {" + ", ".join(f"{item.name} = 0.5" for item in fields(models.Calibration)) + "}"
LEVELS = "".join(
    f"\n[[refusal]]\nlevel = {level!r}\nthreshold = {threshold}\nmeasured = 'so and so'"
    for level, threshold in (("strict", 0.7), ("balanced", 0.4), ("open", 0.1))
)


def card_text(name="tiny", kind="reader", files=None, calibration=CALIBRATION, levels=LEVELS, **other) -> str:
    values = {
        "name": name,
        "kind": kind,
        "source": "made here",
        "revision": "1",
        "licence": "Apache-2.0",
        "quantization": "none",
        "max_tokens": 128,
    } | other
    lines = [f"{key} = {value!r}" for key, value in values.items() if value is not None]
    lines += [calibration]
    files = {"model.onnx": TEXT, "tokenizer.json": b"{}", "notes.txt": TEXT} if files is None else files
    for path, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        lines += ["[[files]]", f"name = {path!r}", f"sha256 = {digest!r}", f"bytes = {len(content)}"]
    return "\n".join(lines) + levels


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def put(folder: Path, name="tiny", text: str | None = None) -> models.Installed:
    model = folder / name
    model.mkdir(parents=True)
    (model / "card.toml").write_text(text or card_text(name))
    for path in ("model.onnx", "notes.txt"):
        (model / path).write_bytes(TEXT)
    (model / "tokenizer.json").write_bytes(b"{}")
    return models.find(name, [folder])


@pytest.mark.parametrize(
    "changed",
    [
        card_text(levels=LEVELS.replace("0.4", "0.3")),
        card_text(calibration=CALIBRATION.replace("order = 0.5", "order = 0.6")),
        card_text(files={"model.onnx": TEXT, "tokenizer.json": b"[]", "notes.txt": TEXT}),
    ],
    ids=["threshold", "calibration", "tokenizer"],
)
def test_a_models_hash_changes_with_all_that_decides_its_results(tmp_path, changed):
    put(tmp_path / "a")
    put(tmp_path / "b", text=changed)
    one, other = (models.hashes(["tiny", "nowhere"], [tmp_path / side]) for side in "ab")
    assert list(one) == list(other) == ["tiny"]
    assert one != other


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_the_cards_of_the_repository_are_in_order(path):
    card = models.parse_card(path.read_bytes())
    assert card.name == path.stem
    assert card.measured
    assert all(line.command.startswith("python -m scripts.") for line in card.measured)


@pytest.mark.parametrize(
    ("calibration", "levels", "why"),
    [
        ("", LEVELS, "lacks calibration"),
        (CALIBRATION, "", "lacks refusal"),
        (CALIBRATION.replace("bias = 0.5", "bias = nan"), LEVELS, "out of range"),
        (CALIBRATION.replace("order = 0.5", "order = 1.5"), LEVELS, "out of range"),
        (CALIBRATION.replace("margin_temperature = 0.5", "margin_temperature = 0.0"), LEVELS, "out of range"),
        (CALIBRATION.replace("bias = 0.5", "bias = 1"), LEVELS, "needs exactly"),
        (CALIBRATION.replace("bias = 0.5, ", ""), LEVELS, "needs exactly"),
        (CALIBRATION, LEVELS.replace("0.7", "0.3"), "fall from strict to open"),
        (CALIBRATION, LEVELS.replace("0.7", "1.1"), "fall from strict to open"),
        (CALIBRATION, LEVELS.replace("0.1", "nan"), "fall from strict to open"),
        (CALIBRATION, LEVELS.replace("strict", "severe"), "in this order"),
    ],
)
def test_no_card_can_make_a_reader_answer_everything_unseen(calibration, levels, why):
    with pytest.raises(UsageError, match=why):
        models.parse_card(card_text(calibration=calibration, levels=levels).encode())


def test_a_readers_calibration_comes_back():
    card = models.parse_card(card_text().encode())
    assert card.calibration is not None
    assert (card.calibration.bias, [each.threshold for each in card.refusal]) == (0.5, [0.7, 0.4, 0.1])


def test_a_card_comes_back_as_it_was_written():
    card = models.parse_card(card_text().encode())
    assert (card.name, card.kind, card.max_tokens, card.dimensions) == ("tiny", "reader", 128, 0)
    assert card.file("notes.txt").bytes == len(TEXT)
    with pytest.raises(ModelMissing):
        card.file("other.txt")


@pytest.mark.parametrize(
    ("said", "read"), [("", None), ("likelihood = 0.05", 0.05), ("likelihood = 0.0", 0.0)]
)
def test_a_generators_card_may_say_what_its_likelihoods_are_worth(said, read):
    card = (Path(models.__file__).parents[1] / "models" / "smollm2-135m-cited.toml").read_text()
    assert models.parse_card(card.replace("context =", f"{said}\ncontext =").encode()).likelihood == read


@pytest.mark.parametrize("wrong", ["-0.1", "1.5", "nan"])
def test_likelihoods_are_worth_something_between_nothing_and_themselves(wrong):
    card = (Path(models.__file__).parents[1] / "models" / "smollm2-135m-cited.toml").read_text()
    with pytest.raises(UsageError, match="likelihood"):
        models.parse_card(card.replace("context =", f"likelihood = {wrong}\ncontext =").encode())
    with pytest.raises(UsageError, match="has no likelihood"):
        models.parse_card(card_text(likelihood=0.1).encode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "oracle"}, "kind must be one of"),
        ({"licence": None}, "lacks licence"),
        ({"max_tokens": None}, "lacks max_tokens"),
        ({"max_tokens": "64"}, "max_tokens must be a int"),
        ({"max_tokens": True}, "max_tokens must be a int"),
        ({"max_tokens": 0}, "max_tokens is empty or out of range"),
        ({"max_tokens": 1 << 40}, "max_tokens is empty or out of range"),
        ({"max_tokens": 127}, "a max_tokens under 128"),
        ({"template": "chatml"}, "has no template"),
        ({"name": "../tiny"}, "lower-case"),
        ({"name": "Tiny"}, "lower-case"),
        ({"files": {}}, "lacks files"),
        ({"files": {"model.onnx": TEXT}}, "needs the file tokenizer.json"),
        ({"files": {"model.onnx": b"", "tokenizer.json": b"{}"}}, "impossible size"),
        ({"files": {"model.onnx": TEXT, "tokenizer.json": b"{}", "../up": b"x"}}, "plain name"),
        ({"files": {"model.onnx": TEXT, "tokenizer.json": b"{}", "/etc/passwd": b"x"}}, "plain name"),
        ({"files": {"model.onnx": TEXT, "tokenizer.json": b"{}", ".hidden": b"x"}}, "plain name"),
    ],
)
def test_a_card_with_a_mistake_is_refused_and_the_message_says_where(change, why):
    text = card_text(**change).replace("True", "true")
    with pytest.raises(UsageError, match=why):
        models.parse_card(text.encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bytes = 2\n", 'bytes = "2"\n'),
        ("bytes = 2\n", ""),
        ("bytes = 2\n", 'bytes = 2\nmode = "x"\n'),
        ("name = 'notes.txt'", "name = 'model.onnx'"),
        (hashlib.sha256(b"{}").hexdigest(), hashlib.sha256(b"{}").hexdigest().upper()),
        (hashlib.sha256(b"{}").hexdigest(), "abc"),
        ("kind = 'reader'", "kind = 'reader"),
    ],
)
def test_a_mistake_in_a_file_entry_is_refused(old, new):
    text = card_text()
    assert old in text
    with pytest.raises(UsageError):
        models.parse_card(text.replace(old, new).encode())


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail_in_another_way(raw):
    try:
        models.parse_card(raw)
    except UsageError:
        return


def test_a_card_too_large_is_not_parsed():
    with pytest.raises(UsageError, match="at most"):
        models.parse_card(b"#" * 100_000)


def test_the_sites_own_folder_comes_before_the_programs(tmp_path):
    put(tmp_path / "program")
    own = put(tmp_path / "site", text=card_text(source="the site"))
    folders = [tmp_path / "site", tmp_path / "absent", tmp_path / "program"]
    assert models.find("tiny", folders) == own
    assert models.installed(folders) == (own,)


@pytest.mark.parametrize("name", ["other", "", "../tiny", "tiny/", ".", "a" * 99])
def test_a_model_that_is_not_there_is_said_to_be_missing(tmp_path, name):
    put(tmp_path)
    with pytest.raises(ModelMissing):
        models.find(name, [tmp_path])


def test_a_card_in_another_models_folder_is_refused(tmp_path):
    put(tmp_path)
    (tmp_path / "tiny").rename(tmp_path / "large")
    with pytest.raises(UsageError, match="must agree"):
        models.find("large", [tmp_path])


def test_a_verified_file_reads_as_it_was_written(tmp_path):
    found = put(tmp_path)
    with models.open_verified(found, "notes.txt") as path:
        assert path.read_bytes() == TEXT
        assert path.read_bytes() == TEXT  # an engine may open its path more than once
    assert models.read_verified(found, "notes.txt") == TEXT


def test_what_was_verified_cannot_be_changed_afterwards(tmp_path):
    """TOCTOU: neither a rename over the file, nor writing into it, nor into the copy, reaches the engine."""
    found = put(tmp_path)
    with models.open_verified(found, "notes.txt") as path:
        on_disk = found.folder / "notes.txt"
        with on_disk.open("r+b") as file:
            file.write(b"SOMETHING ELSE")
        other = tmp_path / "other"
        other.write_bytes(bytes(len(TEXT)))
        other.replace(on_disk)
        with pytest.raises(PermissionError), path.open("r+b") as file:
            file.write(b"SOMETHING ELSE")
        assert path.read_bytes() == TEXT


def test_no_descriptor_is_left_open(tmp_path):
    found = put(tmp_path)
    before = open_descriptors()
    with models.open_verified(found, "notes.txt"):
        pass
    (found.folder / "notes.txt").write_bytes(bytes(len(TEXT)))
    with pytest.raises(ModelMismatch), models.open_verified(found, "notes.txt"):
        pass
    (found.folder / "notes.txt").write_bytes(b"short")
    with pytest.raises(ModelMismatch), models.open_verified(found, "notes.txt"):
        pass
    assert open_descriptors() == before


@pytest.mark.parametrize("place", [0, len(TEXT) // 2, len(TEXT) - 1])
def test_one_changed_bit_is_refused(tmp_path, place):
    found = put(tmp_path)
    content = bytearray(TEXT)
    content[place] ^= 1
    (found.folder / "notes.txt").write_bytes(content)
    with pytest.raises(ModelMismatch, match="is not the file its card names"):
        models.read_verified(found, "notes.txt")


@pytest.mark.parametrize("content", [b"", TEXT[:-1], TEXT + b"x"])
def test_another_size_is_refused_before_anything_is_read(tmp_path, content):
    found = put(tmp_path)
    (found.folder / "notes.txt").write_bytes(content)
    with pytest.raises(ModelMismatch, match="size"):
        models.read_verified(found, "notes.txt")


def test_a_link_is_not_followed_even_to_the_right_bytes(tmp_path):
    found = put(tmp_path)
    target = tmp_path / "elsewhere"
    (found.folder / "notes.txt").rename(target)
    (found.folder / "notes.txt").symlink_to(target)
    with pytest.raises(ModelMismatch):
        models.read_verified(found, "notes.txt")


def test_a_pipe_in_the_files_place_does_not_make_it_wait(tmp_path):
    found = put(tmp_path)
    (found.folder / "notes.txt").unlink()
    os.mkfifo(found.folder / "notes.txt")
    with pytest.raises(ModelMismatch):
        models.read_verified(found, "notes.txt")


def test_a_folder_in_the_files_place_is_refused(tmp_path):
    found = put(tmp_path)
    (found.folder / "notes.txt").unlink()
    (found.folder / "notes.txt").mkdir()
    with pytest.raises(ModelMismatch):
        models.read_verified(found, "notes.txt")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    found = put(tmp_path)
    (found.folder / "notes.txt").unlink()
    with pytest.raises(ModelMissing):
        models.read_verified(found, "notes.txt")


def test_the_header_is_checked_even_where_the_hash_is_right(tmp_path):
    found = put(tmp_path)
    with pytest.raises(ModelMismatch, match="ONNX"):
        models.verify(found)


def test_the_installed_models_are_the_ones_of_the_cards(built_models):
    for path in CARDS:
        found = models.find(path.stem, [built_models])
        models.verify(found)
        assert tomllib.loads((found.folder / "card.toml").read_text()) == tomllib.loads(path.read_text())
