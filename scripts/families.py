"""What is known of each family of models: config.json -> the tensors it must have and the metadata it gets.

A family is data: how a tensor is called on both sides, and its shape in letters (h hidden, f feed-forward,
v vocabulary, d one head, q all heads of the query, k all of the keys). What llama.cpp has built in for a
family (a pattern of layers, a scale) is checked here, because the file could not say otherwise.

Sources: transformers' modeling files for the left side, llama.cpp's llama-arch and llama-model for the right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts import gguf, rope, values
from scripts.hf import BadCheckpoint, Json

MOST = 1 << 31
MOST_LAYERS = 1024
Pairs = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What every family's config.json says, in elements and counts."""

    hidden: int
    forward: int
    layers: int
    heads: int
    key_heads: int
    head: int
    words: int
    context: int
    epsilon: float

    def shape(self, letters: str) -> tuple[int, ...]:
        """Return a shape from its letters, slowest axis first: `"2f h"` is (2 x forward, hidden)."""
        query, keys = self.heads * self.head, self.key_heads * self.head
        known = {
            "h": self.hidden, "f": self.forward, "2f": 2 * self.forward, "v": self.words, "d": self.head,
            "q": query, "k": keys, "q+2k": query + 2 * keys,
        }  # fmt: skip
        return tuple(known[letter] for letter in letters.split())


@dataclass(frozen=True, slots=True)
class Expected:
    """A tensor that must be there: its name in the GGUF file and its shape, slowest axis first."""

    name: str
    shape: tuple[int, ...]


Layer = Mapping[str, tuple[str, str]]
Check = Callable[[Json, Sizes], Pairs]


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture. `layer`: name in a layer -> (name there in the GGUF file, shape)."""

    arch: str
    layer: Layer
    activation: str = "silu"
    tied: bool = False  # what transformers assumes where config.json is silent
    theta: float = 10_000.0
    halves: bool = False  # queries and keys turn by neighbours in llama.cpp, by halves in transformers
    shifted: bool = False  # norms are stored as their distance from 1
    defaults: Json = field(default_factory=dict)
    own: Check = lambda _config, _sizes: {}


def _without_window(config: Json, _sizes: Sizes) -> Pairs:
    _need(not config.get("use_sliding_window"), "attends through a sliding window")
    return {}


def _smollm3(config: Json, sizes: Sizes) -> Pairs:
    told = config.get("no_rope_layers") or [1, 1, 1, 0] * sizes.layers
    places = [number for number, turned in enumerate(told[: sizes.layers]) if not turned]
    _need(
        places == list(range(3, sizes.layers, 4)), "leaves out other positions than those of each 4th layer"
    )
    return _without_window(config, sizes)


def _gemma2(config: Json, sizes: Sizes) -> Pairs:
    _need_scale(config, sizes, widest=46)
    _need(_period(config, sizes, 2) == 2, "does not alternate between its kinds of attention")
    return _window(config, 4096) | {
        "attn_logit_softcapping": values.real(_number(config, "attn_logit_softcapping", 50.0)),
        "final_logit_softcapping": values.real(_number(config, "final_logit_softcapping", 30.0)),
    }


def _gemma3(config: Json, sizes: Sizes) -> Pairs:
    _need_scale(config, sizes, widest=62)
    _need(not config.get("attn_logit_softcapping"), "caps the logits of its attention")
    _need(not config.get("final_logit_softcapping"), "caps its logits")
    _need(not config.get("use_bidirectional_attention"), "attends in both directions")
    local = _number(config, "rope_local_base_freq", 10_000.0)
    if "rope_parameters" in config:
        told = rope.parameters(config, "sliding_attention")
        _need((told.get("rope_type") or "default") == "default", "scales positions inside its window")
        local = _number(told, "rope_theta", local)
    return _window(config, 4096) | {
        "attention.sliding_window_pattern": gguf.number(_period(config, sizes, 6)),
        "rope.freq_base_swa": values.real(local),
    }


def _phi3(config: Json, _sizes: Sizes) -> Pairs:
    window = config.get("sliding_window")
    return _window(config, window) if window else {}


def _window(config: Json, default: int) -> Pairs:
    return {"attention.sliding_window": gguf.number(_whole(config, "sliding_window", default))}


def _period(config: Json, sizes: Sizes, default: int) -> int:
    """Return of how many layers the last attends to everything, the others through a window."""
    told = config.get("layer_types")
    if not told:
        return _whole(config, "sliding_window_pattern", default)
    full = [number for number, kind in enumerate(told) if kind == "full_attention"]
    period = full[0] + 1 if full else max(default, sizes.layers + 1)
    regular = len(told) == sizes.layers and full == list(range(period - 1, sizes.layers, period))
    _need(regular, "mixes its kinds of attention irregularly")
    return period


def _need_scale(config: Json, sizes: Sizes, *, widest: int) -> None:
    """Check the attention's scale: llama.cpp has it built in, another for the model of `widest` layers."""
    expected = sizes.hidden // sizes.heads if sizes.layers == widest else sizes.head
    told = config.get("query_pre_attn_scalar", 256)
    _need(told == expected, f"scales its attention by {told} instead of {expected}")


def _need(good: bool, what: str) -> None:  # noqa: FBT001 - reads as "need ..., or else it ..."
    if not good:
        raise BadCheckpoint(f"By config.json this model {what}, which llama.cpp's graph for it does not.")


_LLAMA = {
    "input_layernorm.weight": ("attn_norm.weight", "h"),
    "self_attn.q_proj.weight": ("attn_q.weight", "q h"),
    "self_attn.k_proj.weight": ("attn_k.weight", "k h"),
    "self_attn.v_proj.weight": ("attn_v.weight", "k h"),
    "self_attn.o_proj.weight": ("attn_output.weight", "h q"),
    "post_attention_layernorm.weight": ("ffn_norm.weight", "h"),
    "mlp.gate_proj.weight": ("ffn_gate.weight", "f h"),
    "mlp.up_proj.weight": ("ffn_up.weight", "f h"),
    "mlp.down_proj.weight": ("ffn_down.weight", "h f"),
}
_HEAD_NORMS = {
    "self_attn.q_norm.weight": ("attn_q_norm.weight", "d"),
    "self_attn.k_norm.weight": ("attn_k_norm.weight", "d"),
}
_QWEN2 = _LLAMA | {
    "self_attn.q_proj.bias": ("attn_q.bias", "q"),
    "self_attn.k_proj.bias": ("attn_k.bias", "k"),
    "self_attn.v_proj.bias": ("attn_v.bias", "k"),
}
_GEMMA2 = _LLAMA | {
    "post_attention_layernorm.weight": ("post_attention_norm.weight", "h"),
    "pre_feedforward_layernorm.weight": ("ffn_norm.weight", "h"),
    "post_feedforward_layernorm.weight": ("post_ffw_norm.weight", "h"),
}
_PHI3 = {
    "input_layernorm.weight": ("attn_norm.weight", "h"),
    "self_attn.qkv_proj.weight": ("attn_qkv.weight", "q+2k h"),
    "self_attn.o_proj.weight": ("attn_output.weight", "h q"),
    "post_attention_layernorm.weight": ("ffn_norm.weight", "h"),
    "mlp.gate_up_proj.weight": ("ffn_up.weight", "2f h"),
    "mlp.down_proj.weight": ("ffn_down.weight", "h f"),
}
_TANH = "gelu_pytorch_tanh"
_GEMMA = Family(
    "gemma2", _GEMMA2, activation=_TANH, tied=True, shifted=True, own=_gemma2, defaults={"head_dim": 256}
)
# What the published multimodal config.json leave out, as transformers has it.
_GEMMA3_DEFAULTS = {
    "head_dim": 256, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262_208,
    "max_position_embeddings": 131_072, "rms_norm_eps": 1e-6, "hidden_activation": _TANH,
}  # fmt: skip
_GEMMA3 = Family(
    "gemma3",
    _GEMMA2 | _HEAD_NORMS,
    activation=_TANH,
    tied=True,
    theta=1_000_000.0,
    shifted=True,
    defaults=_GEMMA3_DEFAULTS,
    own=_gemma3,
)
FAMILIES = {
    "LlamaForCausalLM": Family("llama", _LLAMA, halves=True),
    "SmolLM3ForCausalLM": Family("smollm3", _LLAMA, halves=True, tied=True, theta=2_000_000.0, own=_smollm3),
    "Qwen2ForCausalLM": Family("qwen2", _QWEN2, own=_without_window),
    "Qwen3ForCausalLM": Family(
        "qwen3", _LLAMA | _HEAD_NORMS, own=_without_window, defaults={"head_dim": 128}
    ),
    "Gemma2ForCausalLM": _GEMMA,
    "Gemma3ForCausalLM": _GEMMA3,
    "Gemma3ForConditionalGeneration": _GEMMA3,
    "Phi3ForCausalLM": Family("phi3", _PHI3, own=_phi3),
}
BY_ARCH = {family.arch: family for family in FAMILIES.values()}


def identify(config: Json) -> tuple[Family, dict[str, Any]]:
    """Return the family and the part of config.json that speaks of the text model, defaults filled in.

    Raises:
        BadCheckpoint: the architecture is unknown.
    """
    told = config.get("architectures")
    name = told[0] if isinstance(told, list) and len(told) == 1 else None
    if not isinstance(name, str) or name not in FAMILIES:
        raise BadCheckpoint(
            f"The architecture {told} is unknown.", hint=f"Nothing was written. Known: {', '.join(FAMILIES)}."
        )
    family = FAMILIES[name]
    text = config.get("text_config")
    return family, dict(family.defaults) | (text if isinstance(text, dict) else dict(config))


def read_sizes(config: Json, family: Family) -> Sizes:
    """Read the sizes.

    Raises:
        BadCheckpoint: one is missing or makes no sense, or the activation is not the family's.
    """
    activation = config.get("hidden_activation") or config.get("hidden_act")
    _need(activation == family.activation, f"has the activation {activation}")
    hidden, heads = _whole(config, "hidden_size"), _whole(config, "num_attention_heads")
    keys = _whole(config, "num_key_value_heads", heads)
    head = _whole(config, "head_dim", hidden // heads)
    if heads % keys or head % 2:
        raise BadCheckpoint("config.json's numbers of heads do not fit each other.")
    if _whole(config, "num_hidden_layers") > MOST_LAYERS:
        raise BadCheckpoint("config.json speaks of more layers than any model has.")
    return Sizes(
        hidden=hidden,
        forward=_whole(config, "intermediate_size"),
        layers=_whole(config, "num_hidden_layers"),
        heads=heads,
        key_heads=keys,
        head=head,
        words=_whole(config, "vocab_size"),
        context=_whole(config, "max_position_embeddings"),
        epsilon=_number(config, "rms_norm_eps", 1e-6),
    )


def is_tied(config: Json, family: Family) -> bool:
    """Tell whether the words' table is the output's too."""
    return bool(config.get("tie_word_embeddings", family.tied))


def expected(family: Family, sizes: Sizes, *, tied: bool) -> dict[str, Expected]:
    """Return every tensor that the checkpoint must have, by its name there."""
    table = sizes.shape("v h")
    found = {
        "model.embed_tokens.weight": Expected("token_embd.weight", table),
        "model.norm.weight": Expected("output_norm.weight", sizes.shape("h")),
    }
    if not tied:
        found["lm_head.weight"] = Expected("output.weight", table)
    for number in range(sizes.layers):
        for name, (short, letters) in family.layer.items():
            place = Expected(f"blk.{number}.{short}", sizes.shape(letters))
            found[f"model.layers.{number}.{name}"] = place
    return found


def metadata(config: Json, family: Family, sizes: Sizes) -> tuple[Pairs, rope.Rope]:
    """Return the hyperparameters under the architecture's name, and the rotation.

    Raises:
        BadCheckpoint: the model does something that llama.cpp's graph of that name does not.
    """
    told = rope.parameters(config)
    share = _number(told, "partial_rotary_factor", _number(config, "partial_rotary_factor", 1.0))
    turned = rope.read(config, theta=family.theta, width=int(sizes.head * share))
    pairs = {
        "context_length": gguf.number(sizes.context),
        "embedding_length": gguf.number(sizes.hidden),
        "feed_forward_length": gguf.number(sizes.forward),
        "block_count": gguf.number(sizes.layers),
        "attention.head_count": gguf.number(sizes.heads),
        "attention.head_count_kv": gguf.number(sizes.key_heads),
        "attention.key_length": gguf.number(sizes.head),
        "attention.value_length": gguf.number(sizes.head),
        "attention.layer_norm_rms_epsilon": values.real(sizes.epsilon),
        "vocab_size": gguf.number(sizes.words),
    }
    pairs |= turned.pairs | family.own(config, sizes)
    return {f"{family.arch}.{key}": value for key, value in pairs.items()}, turned


def _whole(config: Json, key: str, default: int | None = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if type(value) is not int or not 0 < value < MOST:
        raise BadCheckpoint(f"config.json has no {key} that makes sense.")
    return value


def _number(config: Json, key: str, default: float) -> float:
    value = config.get(key, default)
    if type(value) not in (int, float) or not 0 < value < MOST:
        raise BadCheckpoint(f"config.json has no {key} that makes sense.")
    return float(value)
