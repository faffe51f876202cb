"""A model beside its float one: the figures are right, and the card they go on stays one."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import UsageError
from appliance.models import parse_card
from scripts import compare, gguf, quality, quantize, readings, sizes
from scripts.compare import Row
from tests import tiny_llama

CARDS = sorted((Path(__file__).parents[2] / "models").glob("*.toml"))
TEXT = "The pump is greased every 500 hours; bearings, seals and valves are not. " * 60
FLOAT = Row("float", "F16", 200, 16, 1, 0, 23, 0, 1, 1, 1)
SMALL = Row("IQ4_NL", "IQ4_NL + Q8_0", 70, 5.5, 0.35, 0.08, 26, 0.15, 0.78, 2, 1.5)


@pytest.fixture
def files(tmp_path):
    """A float model and its file in eight and in four bits."""
    made = {"float": tiny_llama.model()}
    made |= {
        name: quantize.quantize(tiny_llama.model(), threads=1, plan=quantize.Plan(kind))
        for name, kind in (("eight", gguf.Q8_0), ("four", gguf.IQ4_NL))
    }
    for name, model in made.items():
        (tmp_path / f"{name}.gguf").write_bytes(gguf.serialize(model))
    return [tmp_path / f"{name}.gguf" for name in made]


def test_fewer_bits_are_smaller_and_lose_more(files):
    exact, eight, four = compare.compare(files[0], files[1:], TEXT, windows=1)
    assert (exact.share, exact.error, exact.kl, exact.same) == (1, 0, pytest.approx(0, abs=1e-6), 1)
    assert exact.bits > eight.bits > four.bits > 4
    assert 0 < eight.error < 0.01 < four.error < 0.1
    assert 0 < eight.kl < four.kl
    assert exact.types == "F32"
    assert eight.types == "Q8_0 + F32"  # the norms are a hundredth of so small a model
    assert min(eight.prefill, eight.decode, four.prefill, four.decode) > 0


def test_kl_and_perplexity_are_those_of_the_textbook():
    logs = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], np.float32))
    other = np.log(np.array([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]], np.float32))
    came = np.array([0, 1])
    before, after = readings.Reading(logs, came), readings.Reading(other, came)
    assert compare.divergence(before, after) == pytest.approx(0.25 * np.log(2) / 2)
    assert compare._perplexity(after) == pytest.approx(1 / np.sqrt(0.25 * 0.8))


def test_another_model_is_refused(files, tmp_path):
    model = tiny_llama.model(tied=False)
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf.serialize(model))
    with pytest.raises(UsageError, match="same model"):
        list(compare.compare(files[0], [other], TEXT, windows=1))


def test_the_label_leaves_out_what_weighs_nothing():
    tensors = [gguf.Tensor("a", (32, 9), gguf.Q8_0, bytes(900)), gguf.Tensor("b", (2,), gguf.F32, bytes(8))]
    assert sizes.label(tensors) == "Q8_0"


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_a_card_gains_an_entry_and_keeps_everything_else(card):
    before = card.read_text()
    after = compare.on_card(before, [FLOAT, SMALL], command="python -m scripts.quality compare")
    old, new = parse_card(before.encode()), parse_card(after.encode())
    assert [*old.measured, new.measured[-1]] == list(new.measured)
    assert replace(new, measured=()) == replace(old, measured=())
    assert new.measured[-1].what == "IQ4_NL against float"
    assert "KL 0.1500" in new.measured[-1].value
    assert [line for line in before.splitlines() if line.startswith("#")] == [
        line for line in after.splitlines() if line.startswith("#")
    ]


def test_an_entry_of_the_same_name_is_replaced():
    before = CARDS[-1].read_text()
    once = compare.on_card(before, [FLOAT, SMALL, replace(SMALL, name="Q8_0", kl=0.01)], command="x")
    once = once.replace(
        '[[measured]]\nwhat = "Q8_0 against', '# Of eight bits.\n\n[[measured]]\nwhat = "Q8_0 against'
    )
    twice = compare.on_card(once, [FLOAT, replace(SMALL, kl=0.07)], command="x")
    found = [entry.what for entry in parse_card(twice.encode()).measured]
    assert found.count("IQ4_NL against float") == 1
    assert found[-2:] == ["Q8_0 against float", "IQ4_NL against float"]
    assert compare.on_card(twice, [FLOAT, replace(SMALL, kl=0.07)], command="x") == twice
    assert "# Of eight bits." in twice
    assert "KL 0.0700" in twice
    assert "KL 0.1500" not in twice


def test_a_name_with_quotes_cannot_break_the_card():
    name = 'a"\n[[files]]\nname = "\\x'
    made = parse_card(
        compare.on_card(CARDS[-1].read_text(), [FLOAT, replace(SMALL, name=name)], command="x").encode()
    )
    assert made.measured[-1].what == f"{name} against float"
    assert len(made.files) == len(parse_card(CARDS[-1].read_bytes()).files)


def test_a_malformed_card_is_refused():
    with pytest.raises(UsageError):
        compare.on_card("name = 3", [FLOAT, SMALL], command="x")


@pytest.fixture
def run(monkeypatch, capsys):
    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["quality", *map(str, arguments)])
        return quality.main(), capsys.readouterr()

    return go


def test_the_command_prints_a_table_ends_in_json_and_writes_the_card(run, files, tmp_path):
    text, card = tmp_path / "text.md", tmp_path / "card.toml"
    text.write_text(TEXT)
    card.write_bytes(CARDS[-1].read_bytes())
    code, said = run("compare", *files, "--text", text, "--card", card, "--windows", 1)
    assert code == 0
    lines = said.out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:-1]] == ["| float", "| eight", "| four"]
    figures = json.loads(lines[-1])
    assert [row["name"] for row in figures] == ["float", "eight", "four"]
    measured = parse_card(card.read_bytes()).measured
    assert [entry.what for entry in measured[-2:]] == ["eight against float", "four against float"]


def test_the_old_command_measures_one(run, files, tmp_path):
    text = tmp_path / "text.md"
    text.write_text(TEXT)
    code, said = run("generator", files[2], files[0], text, "--windows", 1)
    assert code == 0
    assert [row["name"] for row in json.loads(said.out.splitlines()[-1])] == ["float", "four"]


def test_no_model_and_no_text_leave_the_card_alone(run, files, tmp_path):
    card, text = tmp_path / "card.toml", tmp_path / "text.md"
    card.write_bytes(CARDS[-1].read_bytes())
    text.write_text(TEXT)
    assert run("compare", *files, "--text", tmp_path / "nowhere.md", "--card", card)[0] == 2
    code, said = run("compare", files[0], text, "--text", text, "--card", card, "--windows", 1)
    assert (code, card.read_bytes()) == (2, CARDS[-1].read_bytes())
    assert "Nothing" in said.err
