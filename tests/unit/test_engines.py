"""What is known of the generator before it is loaded."""

import pytest

from appliance.config import Config
from appliance.engines import Engines
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
