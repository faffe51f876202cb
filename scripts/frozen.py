"""models/gate/frozen.toml -> the question sets by which models are judged, and the model to stand against.

    default = "../NAME.toml"    the card, from here, of the model in use: its file is what is compared with
    [[sets]]
    name = "FILE"           what a run calls the set
    questions = "SHA-256"   of the questions, and
    documents = "SHA-256"   of what they are asked about, both as a run's header gives them: about other
                            documents both models would refuse everything, and neither be worse
    sample = 1000           the fewest questions that count, drawn by
    seed = 1                so that nobody draws until the draw pleases
    margin = 0.02           the loss that has to be excluded, in the figures' own unit (scripts/judgement.py)

Every key is needed, no other is allowed.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from appliance.errors import UsageError
from appliance.models import parse_card

PATH: Final = Path(__file__).parent.parent / "models" / "gate" / "frozen.toml"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TYPES: Final = {"str": str, "int": int, "float": float}
_WIDEST: Final = 0.2


@dataclass(frozen=True, slots=True)
class FrozenSet:
    """One question set: which, how much of it must be asked, and what loss on it has to be excluded."""

    name: str
    questions: str
    documents: str
    sample: int
    seed: int
    margin: float


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a candidate is judged by; `default` is the SHA-256, in hex, of the model that is in use."""

    default: str
    sets: tuple[FrozenSet, ...]


def load(path: Path = PATH) -> Frozen:
    """Read the frozen sets, and the default's hash from its card.

    Raises:
        UsageError: either is missing or malformed.
    """
    values = _read(path)
    if set(values) != {"default", "sets"} or not isinstance(values["sets"], list) or not values["sets"]:
        raise UsageError(f"{path} needs `default` and `[[sets]]`, and nothing else.", hint=_HINT)
    sets = tuple(_set(row, f"{path}, set {number}") for number, row in enumerate(values["sets"], 1))
    if len({each.name for each in sets}) != len(sets):
        raise UsageError(f"{path} names a set twice.", hint=_HINT)
    card = path.parent / str(values["default"])
    try:
        raw = card.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The default's card {card} cannot be read: {error.strerror}.", hint=_HINT
        ) from error
    return Frozen(parse_card(raw).files[0].sha256, sets)


_HINT: Final = "Nothing was judged or packed. scripts/frozen.py has the format."


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint=_HINT) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}", hint=_HINT) from error


def _set(row: Any, where: str) -> FrozenSet:
    types = {field.name: _TYPES[str(field.type)] for field in fields(FrozenSet)}
    if not isinstance(row, dict) or {key: type(value) for key, value in row.items()} != types:
        wanted = ", ".join(f"{name} ({kind.__name__})" for name, kind in types.items())
        raise UsageError(f"{where} needs exactly {wanted}.", hint=_HINT)
    made = FrozenSet(**row)
    if not (_DIGEST.fullmatch(made.questions) and _DIGEST.fullmatch(made.documents)):
        raise UsageError(f"{where}: a digest has 64 lower-case hex digits.", hint=_HINT)
    if made.sample < 1 or not 0 < made.margin <= _WIDEST:
        raise UsageError(
            f"{where}: the sample is empty, or the margin not within 0 and {_WIDEST}.", hint=_HINT
        )
    return made
