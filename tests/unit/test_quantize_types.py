"""The command: every type by name, each tensor's own, and nothing written when something is wrong."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from appliance.errors import UsageError
from scripts import blocks, gguf, quantize, sizes
from tests import tiny_llama


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.gguf"
    path.write_bytes(gguf.serialize(tiny_llama.model()))
    return path


@pytest.fixture
def run(source, monkeypatch, capsys):
    """Run the command; return its exit code, the written model if any, what it printed and what it said."""

    def go(*options, start=source, folder=source.parent):
        target = folder / "target.gguf"
        target.unlink(missing_ok=True)
        monkeypatch.setattr(sys, "argv", ["quantize", str(start), str(target), "--threads", "2", *options])
        code = quantize.main()
        said = capsys.readouterr()
        left = {path.name for path in source.parent.iterdir()} - {"source.gguf", "importance.safetensors"}
        assert left == ({"target.gguf"} if code == 0 else set())
        return code, gguf.parse(target.read_bytes()) if code == 0 else None, said.out, said.err

    return go


def kinds(made: gguf.Model) -> dict[str, str]:
    return {t.name: gguf.TYPES[t.kind][0] for t in made.tensors if len(t.shape) > 1}


def importance(model: gguf.Model) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {
        t.name: draw.lognormal(sigma=2, size=t.shape[0]).astype(np.float32)
        for t in model.tensors
        if len(t.shape) > 1
    }


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "IQ4_NL"])
def test_ours_are_the_same_bytes_each_time(run, name):
    _, made, out, _ = run("--type", name)
    _, again, out_again, _ = run("--type", name.lower(), "--threads", "1")
    last = json.loads(out.splitlines()[-1])
    assert last == json.loads(out_again.splitlines()[-1])
    assert (last["type"], last["by"]) == (name, "ours")
    table = "Q8_0" if name in {"Q4_0", "IQ4_NL"} else name
    assert kinds(made) == {t: table if t == "token_embd.weight" else name for t in kinds(made)}
    assert gguf.serialize(made) == gguf.serialize(again)


@pytest.mark.parametrize("name", ["Q4_1", "Q5_0", "Q5_1", "Q6_K", "Q4_K_M", "IQ4_XS", "TQ1_0", "Q2_K"])
def test_the_others_are_llama_cpps_and_have_no_template_either(run, name):
    code, made, out, _ = run("--type", name)
    assert code == 0
    assert json.loads(out.splitlines()[-1])["by"] == "llama.cpp"
    assert "tokenizer.chat_template" not in made.pairs


def test_every_name_of_llama_cpp_is_taken_or_refused_with_its_reason(run):
    for name in quantize.llamacpp.file_types():
        code, _, _, said = run("--type", name)
        # Without an importance matrix llama.cpp refuses the smallest; to some types it has no fallback.
        assert code == 0 or (code == 2 and "llama.cpp would not quantize this: " in said), (name, said)


def test_word_table_and_matrices_are_chosen_apart(run):
    _, made, _, _ = run("--type", "Q4_0", "--embedding", "F16")
    assert kinds(made)["token_embd.weight"] == "F16"
    assert kinds(made)["blk.0.ffn_up.weight"] == "Q4_0"
    _, made, out, _ = run("--type", "IQ4_NL", "--embedding", "Q5_1")
    assert json.loads(out.splitlines()[-1])["by"] == "llama.cpp"
    assert kinds(made)["token_embd.weight"] == "Q5_1"


def test_an_output_of_its_own_is_chosen_apart_too(run, tmp_path):
    other = tmp_path / "source.gguf"
    other.write_bytes(gguf.serialize(tiny_llama.model(tied=False)))
    for by in ("ours", "llama.cpp"):
        _, made, _, _ = run("--type", "Q4_0", "--embedding", "F16", "--output", "BF16", "--by", by)
        assert (kinds(made)["token_embd.weight"], kinds(made)["output.weight"]) == ("F16", "BF16")


def test_a_model_whose_word_table_is_its_output_has_no_output_to_choose(run):
    code, _, _, said = run("--type", "Q4_0", "--output", "F16")
    assert code == 2
    assert "--embedding" in said


def test_the_classic_scale_gives_another_file(run):
    _, made, _, _ = run("--type", "Q4_0")
    _, classic, _, _ = run("--type", "Q4_0", "--scale", "largest")
    assert gguf.serialize(made) != gguf.serialize(classic)


def test_rows_that_a_k_quant_cannot_hold_are_explained(run):
    """Rows of 64 and 96: no matrix can be Q4_K, and IQ4_NL would have been smaller."""
    _, made, _, said = run("--type", "Q4_K_M")
    assert "Q4_K" not in kinds(made).values()
    assert "Rows of 64, 96 weights are no multiple of 256, as Q4_K needs: 7 of 7 matrices" in said
    assert "and IQ4_NL, whose blocks are of 32, takes" in said
    _, _, _, said = run("--type", "Q4_0")
    assert "Rows of" not in said


def test_rows_that_nothing_can_hold_stay_and_are_explained():
    odd = gguf.Tensor("blk.0.odd.weight", (33, 2), gguf.F32, bytes(33 * 2 * 4))
    made = quantize.quantize(gguf.Model({}, (odd,)), threads=1)
    assert made.tensors == (odd,)
    said = sizes.report(made.tensors, "IQ4_NL", by="ours")
    assert "1 of 1 matrices are in another type, F32 (1)" in said


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("Q4_0", "ours"),
        ("IQ4_NL", "ours"),
        ("Q4_0", "llama.cpp"),
        ("IQ4_NL", "llama.cpp"),
        ("IQ4_XS", "llama.cpp"),
        ("IQ1_S", "llama.cpp"),
    ],
)
def test_importance_changes_the_bytes(run, source, name, by):
    path = source.with_name("importance.safetensors")
    save_file(importance(tiny_llama.model()), path)
    code, weighed, _, _ = run("--type", name, "--by", by, "--importance", str(path))
    assert code == 0
    code, plain, _, said = run("--type", name, "--by", by)
    assert "imatrix" in said if code else gguf.serialize(weighed) != gguf.serialize(plain)


def test_each_column_has_its_own_importance_in_every_row():
    """A dumb twin packs block by block; 4,500 blocks are more than are worked on at a time."""
    draw = np.random.default_rng(2)
    weights = draw.standard_normal((1500, 3, 32)).astype(np.float32)
    columns = draw.lognormal(sigma=2, size=96).astype(np.float32)
    tensor = gguf.Tensor("blk.0.ffn_up.weight", (96, 1500), gguf.F32, weights.tobytes())
    plan = quantize.Plan(gguf.Q4_0, importance={tensor.name: columns})
    made = quantize.quantize(gguf.Model({}, (tensor,)), threads=1, plan=plan).tensors[0].data
    scaled = (columns / columns.mean()).reshape(3, 32)
    for row, block in ((0, 0), (0, 2), (700, 1), (1499, 0), (1499, 2)):
        alone = blocks.q4_0(weights[row, block][:, None], importance=scaled[block][:, None])
        at = 18 * (3 * row + block)
        assert made[at : at + 18] == alone.tobytes()


def test_a_column_that_was_never_used_is_not_lost(source):
    model = tiny_llama.model()
    nothing = {name: np.zeros_like(values) for name, values in importance(model).items()}
    plan = replace(quantize.SHIPPED, importance=nothing)
    made, plain = (quantize.quantize(model, threads=1, plan=each) for each in (plan, quantize.SHIPPED))
    assert [t.data for t in made.tensors] == [t.data for t in plain.tensors]


BAD = {
    "too narrow": lambda found: found | {"blk.0.ffn_up.weight": np.ones(32, np.float32)},
    "of no tensor": lambda found: found | {"blk.7.ffn_up.weight": np.ones(64, np.float32)},
    "no number": lambda found: found | {"blk.0.ffn_up.weight": np.full(64, np.nan, np.float32)},
    "below nothing": lambda found: found | {"blk.0.ffn_up.weight": np.full(64, -1, np.float32)},
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", ["IQ4_NL", "Q4_1"])
def test_an_importance_of_another_shape_is_refused(run, source, name, case):
    path = source.with_name("importance.safetensors")
    save_file(BAD[case](importance(tiny_llama.model())), path)
    code, _, _, said = run("--type", name, "--importance", str(path))
    assert code == 2
    assert "scripts.importance" in said


def test_a_file_that_is_no_importance_is_refused(run, source):
    code, _, _, said = run("--importance", str(source))
    assert code == 2
    assert "no importance matrix" in said


def test_a_file_that_the_appliance_will_not_load_is_named_so(run):
    """The prototype formats are for others; the appliance parses only what was audited."""
    assert "will not load" in run("--type", "MXFP4_MOE", "--embedding", "MXFP4")[3]
    assert "will not load" not in run("--type", "IQ4_NL")[3]


def test_importance_that_changes_nothing_is_said_to(run, source):
    path = source.with_name("importance.safetensors")
    save_file(importance(tiny_llama.model()), path)
    assert "changes nothing" in run("--type", "Q8_0", "--importance", str(path))[3]
    assert "changes nothing" not in run("--type", "Q4_0", "--importance", str(path))[3]


def test_an_unknown_name_is_refused_with_the_list(run):
    for options in (["--type", "Q9_9"], ["--embedding", "Q9_9"]):
        code, _, _, said = run(*options)
        assert code == 2
        assert "Q9_9" in said
        assert "IQ4_NL" in said
        assert "Q6_K" in said


def test_ours_cannot_be_asked_for_llama_cpps(run):
    code, _, _, said = run("--type", "Q6_K", "--by", "ours")
    assert code == 2
    assert "Ours are only F32" in said


WHOLE = gguf.serialize(tiny_llama.model())


@pytest.mark.parametrize(
    "raw",
    [b"", b"# Models\n" * 100, WHOLE[:1000], WHOLE[:-4096], b"GGUF\x02\0\0\0" + WHOLE[8:]],
    ids=["empty", "text", "cut in its header", "cut in its tensors", "version 2"],
)
def test_what_is_no_gguf_file_is_refused(run, tmp_path, source, raw):
    source.write_bytes(raw)
    code, _, _, said = run("--type", "Q4_0")
    assert code == 2
    assert "Nothing was written" in said


def test_a_missing_source_or_folder_is_refused(run, source):
    assert run(start=source.with_name("nowhere.gguf"))[0] == 2
    assert run(folder=source.parent / "nowhere")[0] == 2


def test_a_weight_that_is_no_number_is_refused_and_the_old_target_stays(run, source):
    model = tiny_llama.model()
    data = np.frombuffer(model.tensors[0].data, np.float32).copy()
    for bad in (np.nan, np.inf, 1e30):
        data[5] = bad
        broken = (replace(model.tensors[0], data=data.tobytes()), *model.tensors[1:])
        source.write_bytes(gguf.serialize(replace(model, tensors=broken)))
        code, _, _, said = run("--type", "Q4_0")
        assert code == 2
        assert "token_embd.weight" in said


def test_a_type_that_only_llama_cpp_reads_is_named():
    tensor = gguf.Tensor("blk.0.ffn_up.weight", (256, 1), gguf.BY_NAME["Q6_K"], bytes(210))
    with pytest.raises(UsageError, match="Q6_K"):
        quantize.quantize(gguf.Model({}, (tensor,)), threads=1)
