"""The frozen sets are those that are written, and models are judged against the one that is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import models
from appliance.config import Config
from appliance.errors import UsageError
from appliance.evaluation import sets
from scripts import frozen
from scripts.questions import SETS
from tests.trials import ABSENT, KNOWN, Site, sha


def test_the_model_to_stand_against_is_the_one_that_is_used(settings: Config) -> None:
    card = frozen.PATH.parent.parent / f"{settings.generator}.toml"
    assert frozen.load().default == models.parse_card(card.read_bytes()).files[0].sha256


def test_the_frozen_questions_are_those_that_are_written_and_enough(
    shared_data: Path, tmp_path: Path
) -> None:
    for each in frozen.load().sets:
        path = tmp_path / each.name
        path.write_text(SETS[each.name](shared_data), "utf-8")
        found = sets.load(path)
        assert found.digest == each.questions
        kinds = [question.answerable for question in found.questions]
        assert len(kinds) >= each.sample
        assert all(kinds.count(kind) * each.margin >= 3 for kind in set(kinds))  # the rule of three


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('default = "default.toml"', "", "needs `default`"),
        ("default.toml", "none.toml", "cannot be read"),
        ("[[sets]]", "[[set]]", "needs `default`"),
        ("[[sets]]", "[sets", "not valid TOML"),
        ("seed = 1", "", "needs exactly"),
        ("seed = 1", "seed = true", "needs exactly"),
        ("margin = 0.02", "margin = 0.9", "margin"),
        ("margin = 0.02", "margin = nan", "margin"),
        ("sample = 160", "sample = 0", "sample"),
        (sha(f"questions of {KNOWN}"), "aa", "64 lower-case"),
        (f'"{ABSENT}"', f'"{KNOWN}"', "names a set twice"),
    ],
)
def test_a_malformed_list_of_frozen_sets_is_an_error(tmp_path: Path, old: str, new: str, why: str) -> None:
    site = Site(tmp_path)
    text = site.frozen.read_text()
    assert old in text
    site.frozen.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=why):
        frozen.load(site.frozen)
