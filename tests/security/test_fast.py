"""A hundredth of `make security` in every test run: each row that is quick, and the suite's own honesty."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys

import pytest

from tests.security import registry, rows
from tests.security.box import ROOT
from tests.security.registry import NUMBERS, ROWS, Row, Scale, Tried, attempt
from tests.security.scan import Haystack, forms

rows.load()
# Quick, and nothing in them needs the models or a second process.
FAST = (5, 7, 8, 34, 36)


@pytest.mark.parametrize("number", FAST)
def test_row(number: int) -> None:
    outcome = attempt(ROWS[number], Scale(0.002))
    assert outcome.failures == ()
    assert outcome.cases > 0


def test_every_row_of_the_checklist_that_is_ours_is_registered() -> None:
    assert sorted(ROWS) == sorted(NUMBERS)


# The suite must be able to fail.


def broken(_: Scale) -> Tried:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize("run", [None, broken, lambda _: Tried(), lambda _: Tried(1, ["it leaked"])])
def test_a_row_that_is_not_built_breaks_tries_nothing_or_finds_something_fails(run) -> None:
    assert attempt(Row(1, "promise", run), Scale()).failures


def test_a_row_number_that_is_taken_or_foreign_is_refused() -> None:
    for number in (next(iter(ROWS)), 999):
        with pytest.raises(ValueError, match="row"):
            registry.row(number, "promise")(broken)


def test_a_failing_row_makes_the_command_fail() -> None:
    code = (
        "import sys, tests.security.__main__ as m\n"
        "from tests.security import rows, registry\n"
        "m._apart = lambda n, s, limit: registry.attempt(registry.Row(n, 'p', None), s)\n"
        "sys.argv = ['x', '5']\nsys.exit(m.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)["failed"] == [5]


@pytest.mark.parametrize("at", [0, 1, 7, 8, 4093, (1 << 24) - 5, (1 << 24) + 3])
def test_the_search_finds_every_form_at_every_place(at: int) -> None:
    word = "qwertzuiopasdfgh"
    for form, needle in forms(word).items():
        haystack = Haystack(forms(word).items())
        data = secrets.token_bytes(at) + needle + secrets.token_bytes(20)
        assert (at, form) in {(hit.offset, hit.form) for hit in haystack.search(data, "x")}


def test_base64_is_found_whatever_stands_before_it() -> None:
    import base64

    word = "qwertzuiopasdfgh"
    haystack = Haystack(forms(word).items())
    for before in range(7):
        data = base64.b64encode(secrets.token_bytes(before) + word.encode() + secrets.token_bytes(5))
        assert list(haystack.search(data, "x")), before


def test_the_search_finds_nothing_in_noise() -> None:
    haystack = Haystack(needle for each in range(500) for needle in forms(f"{each:016d}").items())
    assert list(haystack.search(secrets.token_bytes(1 << 22), "noise")) == []
