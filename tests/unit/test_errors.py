"""The drawn tree is the real tree, with the exit codes of the contract."""

from __future__ import annotations

import re

from appliance import errors

CONTRACT = {0, 1, 2, 3, 4, 5, 6, 7, 130}


def drawn() -> dict[str, int]:
    lines = re.findall(r"^[ │├└─]*(\w+) +(\d+)", errors.__doc__ or "", re.MULTILINE)
    return {name: int(code) for name, code in lines}


def test_the_drawing_is_the_tree() -> None:
    kinds = errors._tree(errors.ApplianceError).items()
    own = {
        name: kind for name, kind in kinds if kind.__module__ == errors.__name__
    }  # the factory has its own
    assert drawn() == {name: kind.exit_code for name, kind in own.items()}


def test_every_class_has_a_contract_code_and_says_what_to_do() -> None:
    for kind in errors._tree(errors.ApplianceError).values():
        assert kind.exit_code in CONTRACT
        assert kind.hint


def test_a_name_off_the_wire_becomes_its_class_or_the_root() -> None:
    assert errors.by_name("WrongSecret") is errors.WrongSecret
    assert errors.by_name("SystemExit") is errors.ApplianceError
