"""Make the tiny random checkpoints of this folder, and what transformers says of them.

    python tests/vectors/checkpoints/make.py

It needs torch, transformers and peft, which neither the appliance nor its tests install: what it writes is
committed. A folder holds a checkpoint as a hub would publish it and `expected.safetensors` (logits in float32
arithmetic, stored as float16; greedy continuation; tokens of every nasty string). Weights are bfloat16 and
large, so that attention is far from uniform and a wrong head or norm shows in the logits.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE

HERE = Path(__file__).parent
LENGTH, PROMPT, GREEDY = 40, 12, 8
VOCABULARY = 480
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DIGITS = {"llama": r"\p{N}{1,3}", "qwen": r"\p{N}"}
CORPUS = """The pump in station 4 stops when the bearing is over 85 degrees; it's the oil they'll check.
We've seen alarm E07 twice in 2024, and I'd say the fuses weren't changed. Don't open it, don't close it.
Der Motor läuft über Nacht, die Prüfung fällt aus: Öl, Größe, Straße. Le réservoir était plein, déjà à moitié.
def check(value):\n    if value > 10:\n        return  None\n\n\n\tprint("done",  value)
Насос остановлен, давление 12,5 бар.  温度が高い。水泵停止。 مضخة
The pressure is 3.5 bar, the flow is 120 l/min, the level is 42 %. The station, the motor, the pump.
"""
SPECIALS = {
    "llama": ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
    "smollm": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "qwen": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "gemma": ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    "phi": ("<unk>", "<s>", "</s>", "<|endoftext|>", "<|user|>", "<|end|>"),
}
SIZES = {
    "vocab_size": VOCABULARY + 8,  # padded, as published tables are
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip
LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.5, 2.0],
    "long_factor": [2.0, 4.0, 8.0], "original_max_position_embeddings": 256,
}  # fmt: skip
GEMMA3 = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
}
NARROW = {"hidden_size": 24, "num_attention_heads": 3, "num_key_value_heads": 1}
NOPE = NARROW | {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0]}
WINDOW = {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8}
CAPPED = WINDOW | {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 10.0}
PARTLY = {
    "rope_parameters": LONG, "partial_rotary_factor": 0.75, "original_max_position_embeddings": 256,
    "max_position_embeddings": 512, "sliding_window": 200,
}  # fmt: skip
FAST = {"rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}}
TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
# name -> (tokenizer, transformers' class prefix, what config.json says beside SIZES)
CHECKPOINTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "Llama", UNTIED | {"rope_parameters": LLAMA3}),
    "smollm": ("smollm", "Llama", TIED | FAST),
    "smollm3": ("llama", "SmolLM3", TIED | NOPE),
    "qwen2": ("qwen", "Qwen2", UNTIED),
    "qwen3": ("qwen", "Qwen3", TIED | {"head_dim": 16}),
    "gemma2": ("gemma", "Gemma2", CAPPED),
    "gemma3": ("gemma", "Gemma3", WINDOW | NARROW | {"num_hidden_layers": 7, "rope_parameters": GEMMA3}),
    "phi3": ("phi", "Phi3", UNTIED | PARTLY),
}
SHARDED = {"qwen3"}
ADAPTED = {
    "llama": ("q_proj", "k_proj", "v_proj", "o_proj", "down_proj"),
    "phi3": ("qkv_proj", "gate_up_proj"),
}


def byte_level(family: str) -> Tokenizer:
    """Train a byte-level BPE with the family's way of cutting words."""
    tokenizer = Tokenizer(BPE(ignore_merges=family == "llama"))
    if family == "smollm":
        cut = [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    else:
        words = Regex(CONTRACTIONS + DIGITS[family] + REST)
        cut = [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    if family == "qwen":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIALS[family]), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)
    return tokenizer


def piece_level(family: str) -> Tokenizer:
    """Train a BPE of pieces with byte fallback; as in SentencePiece, all ways to cut a piece are merges."""
    special = SPECIALS[family]
    bytes_of = [f"<0x{value:02X}>" for value in range(256)]
    words = [f"▁{word}" for word in CORPUS.replace("\n", " ").split()]
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    room = VOCABULARY - len(special) - 256 - 4
    trained.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=room, limit_alphabet=70, show_progress=False)
    )
    model = json.loads(trained.to_str())["model"]
    letters = [piece for piece in model["vocab"] if len(piece) == 1]
    merged = list(dict.fromkeys(left + right for left, right in model["merges"]))
    if family == "gemma":
        merged += ["\n\n", "▁▁"]
    pieces = [*special, *bytes_of, *merged, *letters, *({"▁", "\n"} - set(letters))]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    merges = [
        (piece[:at], piece[at:])
        for piece in merged
        for at in range(1, len(piece))
        if piece[:at] in vocab and piece[at:] in vocab
    ]
    tokenizer = Tokenizer(BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    spaces = normalizers.Replace(" ", "▁")
    if family == "gemma":
        tokenizer.normalizer = spaces
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("▁▁", normalized=False)])
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    eats = () if family == "gemma" else ("</s>", "<|user|>", "<|end|>")
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, rstrip=token in eats) for token in special]
    )
    return tokenizer


def model_of(name: str) -> Any:
    """Return the checkpoint's model with weights that let every part of it matter."""
    kind, prefix, values = CHECKPOINTS[name]
    special = SPECIALS[kind]
    torch.manual_seed(sum(name.encode()))
    prefix_config = f"{prefix}TextConfig" if prefix == "Gemma3" else f"{prefix}Config"
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    if kind == "gemma":
        tokens = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    if kind == "phi":
        tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    assert len(special) > max(value or 0 for value in tokens.values())
    config = getattr(transformers, prefix_config)(**(SIZES | tokens | values))
    model = getattr(transformers, f"{prefix}ForCausalLM")(config).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0, 1.5 / weight.shape[1] ** 0.5)
            elif "norm" in key:
                weight.uniform_(-0.5, 0.5).add_(0 if prefix.startswith("Gemma") else 1)
            else:
                weight.normal_(0, 0.5)
            weight.copy_(weight.to(torch.bfloat16))
    return model


def measured(model: Any, tokens: list[int]) -> dict[str, np.ndarray]:
    """Return logits (n, vocabulary) at every place of `tokens`, and what follows their start greedily."""
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].float().numpy()
        told = tokens[:PROMPT]
        for _ in range(GREEDY):
            told = [*told, int(model(torch.tensor([told])).logits[0, -1].argmax())]
    return {"logits": logits.astype(np.float16), "greedy": np.array(told, np.int32)}


def adapt(model: Any, name: str, folder: Path, tokens: list[int]) -> dict[str, np.ndarray]:
    """Save a LoRA adapter with weights that matter, and return what the adapted model says."""
    options = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=list(ADAPTED[name]),
        task_type="CAUSAL_LM",
        use_rslora=name == "phi3",
    )
    adapted = get_peft_model(model, options)
    with torch.no_grad():
        for key, weight in adapted.named_parameters():
            if "lora_" in key:
                weight.normal_(0, 0.3)
    adapted.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink()
    return {f"adapted.{key}": value for key, value in measured(adapted.eval(), tokens).items()}


def cut_strings(folder: Path) -> dict[str, np.ndarray]:
    """Tokenize the nasty strings as transformers does, specials in the text included."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    nasty = json.loads((HERE / "nasty.json").read_text())
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in nasty]
    return {
        "nasty.tokens": np.array([token for row in rows for token in row], np.int32),
        "nasty.lengths": np.array([len(row) for row in rows], np.int32),
    }


def make(name: str) -> None:
    """Make one folder."""
    folder, kind = HERE / name, CHECKPOINTS[name][0]
    shutil.rmtree(folder, ignore_errors=True)
    model = model_of(name)
    size = "40KB" if name in SHARDED else "1GB"
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size=size)
    model.to(torch.float32)
    tokenizer = piece_level(kind) if kind in ("gemma", "phi") else byte_level(kind)
    # transformers keeps a chat template in a file of its own; older folders have it in this one.
    extra = {"add_bos_token": kind not in ("qwen", "smollm"), "chat_template": "{{ evil }}"}
    if not extra["add_bos_token"]:
        extra |= {"eos_token": "<|im_end|>", "pad_token": {"content": "<|endoftext|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(extra))
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    tokens = np.random.default_rng(7).integers(0, VOCABULARY, LENGTH).tolist()
    found = {"tokens": np.array(tokens, np.int32)} | measured(model, tokens) | cut_strings(folder)
    if name in ADAPTED:
        found |= adapt(model, name, folder, tokens)
    save_file(found, folder / "expected.safetensors")


if __name__ == "__main__":
    for each in CHECKPOINTS:
        make(each)
