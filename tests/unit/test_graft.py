"""What is committed of a reader is what was trained; with the published table it is whole, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.convert import IntegerLinear, Linear, build_reader
from scripts.graft import GraftError, cut, join, restore
from tests.unit.test_convert import TINY, tiny_weights


def reader_weights() -> dict[str, np.ndarray]:
    return tiny_weights() | {
        "heads.span.weight": np.ones((2, TINY.width), np.float32),
        "heads.span.bias": np.zeros(2, np.float32),
        "heads.scores.weight": np.ones((2, TINY.width), np.float32),
        "heads.scores.bias": np.zeros(2, np.float32),
    }


def whole(linear=None) -> tuple[bytes, np.ndarray]:
    named = reader_weights()
    return build_reader(named, TINY, linear or IntegerLinear()), named["embeddings.word_embeddings.weight"]


def test_cut_and_joined_again_a_graph_is_the_same_to_the_byte():
    graph, table = whole()
    part = cut(graph)
    assert len(part) <= len(graph) - table.size
    assert join(part, table) == graph


def test_another_table_makes_another_graph_and_one_of_another_shape_none():
    graph, table = whole()
    assert join(cut(graph), table + np.float32(1)) != graph
    with pytest.raises(GraftError, match="wants a table"):
        join(cut(graph), table[:-1])


@pytest.mark.parametrize("data", [b"", b"no graph at all", whole(Linear())[0]])
def test_what_has_no_such_table_is_refused(data):
    with pytest.raises(GraftError):
        cut(data)


def test_the_weights_come_back_but_for_the_rounding():
    graph, table = whole()
    weights = reader_weights()
    found = restore(cut(graph), {"embeddings.word_embeddings.weight": table})
    assert found.keys() == weights.keys()
    for each in (weights, found):  # positions and token types are added up anyway
        each["summed"] = sum(
            each.pop(f"embeddings.{name}_embeddings.weight")[1] for name in ("position", "token_type")
        )
    for name, value in found.items():
        assert value.shape == weights[name].shape, name
        largest = np.abs(weights[name]).max()
        assert np.abs(value - weights[name]).max() <= largest / 127, name  # pairs that sum up halve the steps


def test_no_weights_come_of_a_graph_in_float():
    with pytest.raises(GraftError, match="no reader in INT8"):
        restore(whole(Linear())[0], tiny_weights())
