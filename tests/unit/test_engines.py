"""What is known of the generator before it is loaded."""

import pytest

from appliance import engines
from appliance.config import Config
from appliance.engines import Engines
from appliance.errors import GeneratorDied
from scripts.trial import furnish
from tests.trials import CANDIDATE, DRAFT


@pytest.mark.parametrize(
    ("template", "name", "brief"),
    [
        ("chatml-brief", "better-model", True),
        ("chatml", "better-model", False),
        ("chatml-brief", "none-such", False),
        ("chatml-brief", "", False),
    ],
)
def test_its_card_says_whether_it_is_brief(tmp_path, template, name, brief):
    model, draft = tmp_path / "model", tmp_path / "draft"
    model.write_bytes(CANDIDATE)
    draft.write_text(DRAFT.replace("chatml-brief", template))
    furnish(tmp_path, model, draft)
    assert Engines(Config(tmp_path, generator=name, embedding="none-such")).brief() is brief


def test_a_generator_that_did_not_start_is_started_again(tmp_path, monkeypatch):
    tries = []

    def load(config, *, accept_weaker):
        tries.append(accept_weaker)
        if len(tries) == 1:
            raise GeneratorDied("It did not start.")
        return "generator"

    monkeypatch.setattr(engines, "_load_generator", load)
    monkeypatch.setattr(engines, "RETRY_S", 0.0)
    made = Engines(Config(tmp_path, generator="any", embedding="none-such"))
    with pytest.raises(GeneratorDied):
        made.generator().result()
    assert [made.generator().result() for _ in range(2)] == ["generator"] * 2
    assert len(tries) == 2


def test_but_not_at_once_for_a_question_would_wait_for_it_each_time(tmp_path, monkeypatch):
    tries = []

    def load(config, *, accept_weaker):
        tries.append(accept_weaker)
        raise GeneratorDied("It did not start.")

    monkeypatch.setattr(engines, "_load_generator", load)
    made = Engines(Config(tmp_path, generator="any", embedding="none-such"))
    for _ in range(2):
        with pytest.raises(GeneratorDied):
            made.generator().result()
    assert len(tries) == 1
