"""The real engines, loaded as the appliance itself never does."""

from __future__ import annotations

from appliance.generate.choice import LIKELIHOOD
from appliance.generate.llm import CONTEXT, LlamaGenerator
from appliance.models import Installed, open_verified


def in_this_process(found: Installed, *, threads: int) -> LlamaGenerator:
    """Load an installed generator without a cell around it, to look inside and to compare."""
    with open_verified(found, "model.gguf") as path:
        return LlamaGenerator(
            path,
            name=found.card.name,
            template=found.card.template,
            threads=threads,
            context=min(found.card.context or CONTEXT, CONTEXT),
            likelihood=LIKELIHOOD if found.card.likelihood is None else found.card.likelihood,
        )
