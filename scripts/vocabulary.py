"""tokenizer.json -> GGUF's description of a tokenizer, where llama.cpp has one that cuts text the same way.

llama.cpp runs no tokenizer.json: it has the ways of cutting built in, by name. So a tokenizer is known by its
parts, and one with a part that is not known is refused: it would cut text otherwise, without a word.

Two sorts. Byte-level BPE (GPT-2 and after): words are cut by a pattern, then merged by rank. Pieces with byte
fallback (SentencePiece's BPE): llama.cpp merges by the score of what comes out, so a merge's rank becomes the
score of its product.

Sources: GGUF specification; llama.cpp, llama-vocab.cpp; huggingface/tokenizers, the JSON form of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts import gguf, values
from scripts.hf import BadCheckpoint, Json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "▁"
_UNREACHED = -1e9
_KEY = "tokenizer.ggml"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Metadata, what differs from the source and should be said, and whether special tokens eat spaces."""

    pairs: dict[str, bytes]
    notes: tuple[str, ...] = ()
    strips: bool = False


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The table: text and GGUF type by token number, and the tokens' numbers in the file."""

    texts: list[str]
    types: list[int]
    numbers: Mapping[str, int]
    added: Sequence[Json]
    notes: list[str] = field(default_factory=list)


def read(tokenizer: Json, settings: Json, config: Json) -> Vocabulary:
    """Translate tokenizer.json, with tokenizer_config.json's and config.json's special tokens.

    Raises:
        BadCheckpoint: llama.cpp has no such tokenizer, or the table is not well formed.
    """
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise _unknown("its model is no BPE")
    for part in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(part):
            raise _unknown(f"its BPE has a {part}")
    tokens = _table(tokenizer, model, config["vocab_size"])
    translate = _pieces if model.get("byte_fallback") else _byte_level
    pairs = translate(tokenizer, model, tokens)
    pairs |= {
        f"{_KEY}.tokens": values.texts(tokens.texts),
        f"{_KEY}.token_type": values.integers(tokens.types),
        f"{_KEY}.add_bos_token": values.flag(_adds_first(tokenizer, settings)),
        f"{_KEY}.add_eos_token": values.flag(settings.get("add_eos_token")),
    }
    pairs |= _special(tokens, settings, config)
    strips = any(token.get("rstrip") for token in tokens.added)
    return Vocabulary(pairs, tuple(tokens.notes), strips)


def _table(tokenizer: Json, model: Json, size: int) -> _Tokens:
    """Put every token at its number; numbers nobody has (padded tables) get a name that is never met."""
    added = tokenizer.get("added_tokens") or []
    numbers = model.get("vocab")
    if not isinstance(numbers, dict) or not all(isinstance(token, dict) for token in added):
        raise BadCheckpoint("tokenizer.json has no table of tokens.")
    numbers = numbers | {token.get("content"): token.get("id") for token in added}
    taken = set(numbers.values())
    wrong = any(type(number) is not int or not 0 <= number < size for number in taken)
    if wrong or len(taken) != len(numbers) or not all(isinstance(text, str) for text in numbers):
        raise BadCheckpoint("tokenizer.json gives a number twice, or one that config.json has no room for.")
    texts, types = [f"[PAD{number}]" for number in range(size)], [UNUSED] * size
    for text, number in numbers.items():
        texts[number], types[number] = text, NORMAL
    for token in added:
        types[token["id"]] = CONTROL if token.get("special") else USER_DEFINED
    if len(set(texts)) != size:
        raise BadCheckpoint("tokenizer.json has a token that is called like an unused one.")
    found = _Tokens(texts, types, numbers, added)
    if any(token.get("lstrip") for token in added):
        found.notes.append("spaces before special tokens are kept; the source drops them")
    return found


# -- byte-level

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How words are cut -> llama.cpp's name of it.
_PATTERNS = {
    (_WORDS + r"\p{N}{1,3}" + _REST,): "llama-bpe",
    (_WORDS + r"\p{N}" + _REST,): "qwen2",
    ("digits", "gpt-2"): "smollm",
    ("gpt-2",): "gpt-2",
}
# By these names llama.cpp takes a word that is in the table as it is, before any merge.
_WHOLE_WORDS = frozenset({"llama-bpe"})


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_BYTES_ONLY = BYTE_LEVEL | {"use_regex": False}


def steps(name: str) -> dict[str, Any]:
    """Return the pre_tokenizer of tokenizer.json that cuts words as llama.cpp does by this name.

    Raises:
        BadCheckpoint: it is none of those known here.
    """
    cuts = next((cuts for cuts, known in _PATTERNS.items() if known == name), None)
    if cuts is None:
        raise BadCheckpoint(f"How {name!r} cuts words is not known here.")
    found = dict[str, dict[str, Any]](
        {"digits": {"type": "Digits", "individual_digits": True}, "gpt-2": BYTE_LEVEL}
    )
    parts = [
        found.get(cut)
        or {"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False}
        for cut in cuts
    ]
    return {"type": "Sequence", "pretokenizers": parts if cuts[-1] == "gpt-2" else [*parts, _BYTES_ONLY]}


def takes_whole_words(name: str) -> bool:
    """Tell whether a word that is in the table is taken as it is, before any merge."""
    return name in _WHOLE_WORDS


def _byte_level(tokenizer: Json, model: Json, tokens: _Tokens) -> dict[str, bytes]:
    cuts = tuple(_cut(part) for part in _parts(tokenizer.get("pre_tokenizer"), "pretokenizers"))
    name = _PATTERNS.get(tuple(cut for cut in cuts if cut))
    if name is None:
        raise _unknown("its way of cutting words is not llama-bpe's, qwen2's, smollm's or gpt-2's")
    if bool(model.get("ignore_merges")) != takes_whole_words(name):
        raise _unknown(f"its ignore_merges is not as llama.cpp has it for {name}")
    for part in _parts(tokenizer.get("normalizer"), "normalizers"):
        if part.get("type") != "NFC":
            raise _unknown(f"its normalizer is {part.get('type')}")
        tokens.notes.append("text is not brought to NFC by llama.cpp as it is in the source: do it before")
    merges = [" ".join(pair) for pair in _merges(model)]
    return {
        f"{_KEY}.model": values.text("gpt2"),
        f"{_KEY}.pre": values.text(name),
        f"{_KEY}.merges": values.texts(merges),
    }


def _cut(part: Json) -> str:
    """Name one step of cutting words; bytes to letters, which all of them do, has no name."""
    match part:
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
            return pattern
        case {"type": "Digits", "individual_digits": True}:
            return "digits"
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}:
            return ""
        case {"type": "ByteLevel", "add_prefix_space": False}:
            return "gpt-2"
    raise _unknown(f"it cuts words by {part.get('type')}")


# -- pieces


def _pieces(tokenizer: Json, model: Json, tokens: _Tokens) -> dict[str, bytes]:
    for value in range(256):
        number = tokens.numbers.get(f"<0x{value:02X}>")
        if number is None:
            raise BadCheckpoint(f"tokenizer.json falls back to bytes and has none for {value:02X}.")
        tokens.types[number] = BYTE
    unknown = str(model.get("unk_token"))
    if unknown in tokens.numbers:
        tokens.types[tokens.numbers[unknown]] = UNKNOWN
    for token in tokens.added:
        _place(token, tokens)
    return {
        f"{_KEY}.model": values.text("llama"),
        f"{_KEY}.pre": values.text("default"),
        f"{_KEY}.scores": values.reals(_scores(model, tokens)),
        f"{_KEY}.add_space_prefix": values.flag(_prefixed(tokenizer, tokens)),
    }


def _place(token: Json, tokens: _Tokens) -> None:
    """Give an added token that is not special its type and text.

    llama.cpp looks for it in the text before spaces become ▁, and shows it as it is written. The source looks
    for it there too, unless it is `normalized`; then one with ▁ comes of spaces by merges only, like a word.
    """
    number, text = token["id"], token["content"]
    if tokens.types[number] == USER_DEFINED and SPACE in text:
        if token.get("normalized"):
            tokens.texts[number] = text.replace(SPACE, " ")
        else:
            tokens.types[number] = NORMAL


def _prefixed(tokenizer: Json, tokens: _Tokens) -> bool:
    """Tell whether a text gets a space in front; check that spaces become ▁ and nothing else changes."""
    steps = [_space_step(part) for part in _parts(tokenizer.get("normalizer"), "normalizers")]
    steps += [_space_step(part) for part in _parts(tokenizer.get("pre_tokenizer"), "pretokenizers")]
    if "replace" not in steps and not {"metaspace", "metaspace and prefix"} & set(steps):
        raise _unknown(f"it does not turn spaces into {SPACE}")
    if "metaspace and prefix" in steps:
        tokens.notes.append("a text that begins with a space gets another in front, unlike in the source")
    return "prefix" in steps or "metaspace and prefix" in steps


def _space_step(part: Json) -> str:
    match part:
        case {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}:
            return "replace"
        case {"type": "Prepend", "prepend": "▁"}:
            return "prefix"
        case {"type": "Metaspace", "replacement": "▁", "split": False, "prepend_scheme": "first"}:
            return "metaspace and prefix"
        case {"type": "Metaspace", "replacement": "▁", "split": False, "prepend_scheme": "never"}:
            return "metaspace"
        case {"type": "Split", "pattern": {"String": " "}}:
            return "nothing"  # Gemma's: no space is left by then
    raise _unknown(f"its pieces come after a {part.get('type')} that is not known")


def _scores(model: Json, tokens: _Tokens) -> list[float]:
    """Return each token's score: the rank of the first merge that makes it, below zero."""
    scores, ways = [0.0] * len(tokens.texts), dict[str, int]()
    for rank, pair in enumerate(_merges(model)):
        product = "".join(pair)
        if product not in ways and product in tokens.numbers:
            scores[tokens.numbers[product]] = float(-rank)
        ways[product] = ways.get(product, 0) + 1
    others = [
        text for text, number in tokens.numbers.items() if tokens.types[number] == NORMAL and len(text) > 1
    ]
    for text in others:
        if text not in ways:
            scores[tokens.numbers[text]] = _UNREACHED
    # llama.cpp merges any two pieces whose sum is one; the source only by the pairs in its list.
    unlisted = [text for text in others if _ways(text, tokens.numbers) != ways.get(text, 0)]
    if unlisted:
        tokens.notes.append(f"{len(unlisted)} pieces can be reached in ways that the source has not")
    return scores


def _ways(text: str, numbers: Mapping[str, int]) -> int:
    return sum(text[:at] in numbers and text[at:] in numbers for at in range(1, len(text)))


# -- both


def _merges(model: Json) -> list[tuple[str, str]]:
    """Return the merges by rank; they are pairs, or one string with a space in older files."""
    found = []
    for merge in model.get("merges") or []:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise BadCheckpoint("tokenizer.json has a merge that is no pair.")
        found.append((pair[0], pair[1]))
    return found


def _parts(step: object, inside: str) -> list[dict[str, Any]]:
    """Return a step as the list of its parts: none, one, or those of a sequence."""
    if step is None:
        return []
    if not isinstance(step, dict):
        raise BadCheckpoint("tokenizer.json has a step that is no object.")
    if step.get("type") != "Sequence":
        return [step]
    return [part for each in step.get(inside) or [] for part in _parts(each, inside)]


def _adds_first(tokenizer: Json, settings: Json) -> bool:
    """Tell whether every text begins with the token of the beginning."""
    told = settings.get("add_bos_token")
    if isinstance(told, bool):
        return told
    steps = _parts(tokenizer.get("post_processor"), "processors")
    singles = [step.get("single") for step in steps if step.get("type") == "TemplateProcessing"]
    return any(single and "SpecialToken" in single[0] for single in singles)


def _special(tokens: _Tokens, settings: Json, config: Json) -> dict[str, bytes]:
    """Return the numbers of the special tokens that are named in one of the two files."""
    found = dict[str, bytes]()
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    for short, name in names.items():
        told = settings.get(f"{short}_token")
        text = told.get("content") if isinstance(told, dict) else told
        number = tokens.numbers.get(text) if isinstance(text, str) else config.get(f"{short}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        if type(number) is int and 0 <= number < len(tokens.texts):
            found[f"{_KEY}.{name}_token_id"] = gguf.number(number)
    return found


def _unknown(what: str) -> BadCheckpoint:
    return BadCheckpoint(f"llama.cpp has no tokenizer like that of tokenizer.json: {what}.")
