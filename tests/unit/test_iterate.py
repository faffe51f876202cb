"""From thumbs to a packed model in one command: what needs torch is faked, gate and pack are real."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import models, render
from scripts import feedback, leaderboard
from tests.samples import an_answer
from tests.trials import ABSENT, KNOWN
from tests.workshop import SECRET, Workshop

TRAINED = ["train_lora", "convert", "importance", "train_lora"]
STAGES = ["corpus", *TRAINED, "convert", "quantize", "trial", "trial", "trial", "trial"]
DONE = 8
"""One stage trains twice: in float, then for the 4-bit file."""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    made.says("up", right=f"Each pump delivers {SECRET}")
    return made


def test_thumbs_become_a_model_that_can_be_installed_and_nothing_is_made_twice(shop: Workshop) -> None:
    done = shop.iterates()
    assert done.returncode == 0, done.stderr
    assert shop.called() == STAGES
    found = models.find("better-model", [shop.work / "models"])
    models.verify(found)
    (entry,) = leaderboard.read(shop.board)
    assert entry.passed
    assert found.card.files[0].sha256 == entry.trial.model
    again = shop.iterates()
    assert (again.returncode, shop.called()) == (0, [])
    assert again.stderr.count("done before") == DONE


def test_words_of_documents_stand_only_in_the_feedback_and_the_corpus(shop: Workshop) -> None:
    done = shop.iterates()
    assert done.returncode == 0
    holding = {
        path.relative_to(shop.folder).as_posix()
        for path in shop.folder.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    }
    assert holding == {"thumbs.jsonl", "work/corpus/train.jsonl"}
    assert SECRET not in done.stdout + done.stderr


def test_a_worse_model_ends_at_the_gate_and_is_not_packed(shop: Workshop) -> None:
    done = shop.iterates(FACTORY_BAD="30")
    assert done.returncode == 7
    assert "refused: known.jsonl: false_refusal is worse" in done.stdout
    assert not (shop.work / "models").exists()
    assert not leaderboard.read(shop.board)[0].passed


@pytest.mark.parametrize("stage", ["train_lora", "trial"])
def test_a_stage_that_fails_stops_it_and_it_goes_on_there(shop: Workshop, stage: str) -> None:
    broken = shop.iterates(FACTORY_FAILS=stage)
    assert broken.returncode == 1
    assert "failed (1): mend that and run this again, it goes on here" in broken.stderr
    assert not shop.board.exists()
    done = shop.iterates()
    assert done.returncode == 0, done.stderr
    assert shop.called() == STAGES[STAGES.index(stage) :]


def test_new_feedback_makes_a_new_model_and_only_the_default_is_not_asked_again(shop: Workshop) -> None:
    assert shop.iterates().returncode == 0
    more = render.answer_json(an_answer()) | {"question": "Again?"}
    feedback.append(shop.thumbs, feedback.thumb("down", more, right="a head of 32 m"))
    done = shop.iterates()
    assert done.returncode == 0, (
        done.stderr
    )  # the checkpoint of the old corpus is gone, or it would be refused
    assert shop.called() == STAGES[:-2]
    first, second = leaderboard.read(shop.board)
    assert first.trial.model != second.trial.model


def test_feedback_that_teaches_nothing_stops_it_at_once(shop: Workshop) -> None:
    shop.says("down")
    done = shop.iterates()
    assert (done.returncode, shop.called()) == (2, [])
    assert "can be trained on" in done.stderr


@pytest.mark.parametrize("missing", ["sets", "default", "base", "trainer"])
def test_what_is_missing_is_named_before_anything_is_made(shop: Workshop, missing: str) -> None:
    done = shop.iterates(**{missing.upper(): str(shop.folder / "nowhere")})
    assert done.returncode == 2
    assert f"there is no {shop.folder}/nowhere" in done.stderr
    assert (shop.called(), shop.work.exists()) == ([], False)


def test_only_the_frozen_sets_are_asked(shop: Workshop) -> None:
    assert shop.iterates().returncode == 0
    assert {path.name for path in (shop.work / "runs").iterdir()} == {
        f"{who}-{name}" for who in ("new", "old") for name in (KNOWN, ABSENT)
    }


def touched(path: Path) -> None:
    """Change a file, or a folder, as far as its time tells."""
    later = time.time_ns() + 10**9  # no clock is so coarse
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        (lambda shop: [shop.base], STAGES[1:-2]),
        (lambda shop: [shop.folder / "data"], STAGES[:-2]),
        (lambda shop: [shop.draft, shop.default / "card.toml"], STAGES[-4:]),
    ],
)
def test_what_is_made_from_something_that_changed_is_made_anew(
    shop: Workshop, changed: Callable[[Workshop], list[Path]], stages: list[str]
) -> None:
    assert shop.iterates().returncode == 0
    for path in changed(shop):
        touched(path)
    done = shop.iterates()
    assert done.returncode == 0, done.stderr
    assert shop.called() == stages


def test_a_draft_of_other_prompts_than_are_trained_on_stops_it_at_once(shop: Workshop) -> None:
    shop.draft.write_text(shop.draft.read_text().replace("chatml-brief", "chatml"))
    done = shop.iterates()
    assert (done.returncode, shop.called()) == (2, [])
    assert 'has not template = "chatml-brief"' in done.stderr
