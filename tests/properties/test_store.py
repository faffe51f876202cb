"""Whatever is done in whatever order, the encrypted store answers as its in-memory twin does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from appliance.errors import ApplianceError
from appliance.types import Hit
from appliance.vault.store import create_store, open_store
from tests.stores import ENCODER, FakeStore, a_draft, a_key, noon, unit_vectors

WORDS = ["pump", "pumps", "valve", "Grün", "42", '"', "OR"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), max_size=4)
SOURCES = st.sampled_from(["/in/a.txt", "/in/b.txt"])
VECTORS = unit_vectors(8, seed=9)


class StoreMachine(RuleBasedStateMachine):
    begun = Bundle("begun")

    def __init__(self):
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name)
        self.real = create_store(self.path, a_key(), clock=noon)
        self.fake = FakeStore()

    def teardown(self):
        self.real.close()
        self._folder.cleanup()

    def both(self, act):
        """Do the same to both; return what came of it, an error's class being a result too."""
        results = []
        for store in (self.real, self.fake):
            try:
                results.append(act(store))
            except ApplianceError as error:
                results.append(type(error))
        assert results[0] == results[1]
        return results[0]

    @rule(target=begun, texts=TEXTS, source=SOURCES, model=st.sampled_from([ENCODER, "other"]))
    def begin(self, texts, source, model):
        draft = a_draft(*texts, source=source)
        return draft, self.both(lambda store: store.begin(draft, model=model)).document_id

    @rule(item=begun, start=st.integers(0, 4), count=st.integers(0, 3))
    def append(self, item, start, count):
        draft, document_id = item
        chunks = draft.chunks[start : start + count]
        self.both(lambda store: store.append(document_id, chunks, VECTORS[start : start + len(chunks)]))

    @rule(item=begun)
    def append_the_rest_and_finish(self, item):
        draft, _ = item
        resume = self.both(lambda store: store.begin(draft, model=ENCODER))
        rest = draft.chunks[resume.done :]
        self.both(
            lambda store: store.append(resume.document_id, rest, VECTORS[resume.done : len(draft.chunks)])
        )
        self.both(lambda store: store.finish(resume.document_id))

    @rule(item=begun)
    def finish(self, item):
        self.both(lambda store: store.finish(item[1]))

    @rule(item=consumes(begun))
    def discard(self, item):
        self.both(lambda store: store.discard(item[1]))

    @rule(item=consumes(begun))
    def remove(self, item):
        self.both(lambda store: store.remove(item[1]))

    @rule()
    def reopen(self):
        self.real.close()
        self.real = open_store(self.path, a_key(), clock=noon)

    @invariant()
    def the_same_is_listed(self):
        documents = self.both(lambda store: store.documents())
        self.both(lambda store: store.chunk_count())
        for document in documents:
            self.both(lambda store, key=document.id: store.pages(key))

    @invariant()
    def the_same_is_found(self):
        for word in WORDS:
            self.both(lambda store, word=word: {chunk for chunk, _ in store.match([[word]], 99)})
        self.both(lambda store: store.document_frequency(WORDS))
        self.both(lambda store: {chunk for chunk, _ in store.nearest(VECTORS[0], 99)})
        real, fake = (np.array([s for _, s in x.nearest(VECTORS[0], 99)]) for x in (self.real, self.fake))
        assert np.allclose(real, fake, atol=1e-6)

    @invariant()
    def the_same_is_shown(self):
        hits = [Hit(chunk, 1.0, ("vectors",)) for chunk in range(1, 30)]
        self.both(lambda store: store.passages(hits))

    @invariant()
    def the_store_is_sound(self):
        assert all(check.ok for check in self.real.check(full=True))


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestStoreAgainstItsTwin = StoreMachine.TestCase
