"""Near tickets of a long history are found by graphs: nearly all of them, and none that may not be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.reference import index as module
from models.reference.graph import NeighbourGraph
from models.reference.index import BOTH, OPEN, SENSITIVE, NeighbourIndex

ROWS, DIM, TOPICS = 3000, 32, 8


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def exact() -> NeighbourIndex:
    random = np.random.default_rng(0)
    centres = random.standard_normal((60, DIM))
    vectors = unit(centres[random.integers(60, size=ROWS)] + 0.5 * random.standard_normal((ROWS, DIM)))
    sensitive = random.random(ROWS) < 0.5
    return NeighbourIndex(
        vectors=vectors,
        topics=unit(random.standard_normal((ROWS, TOPICS))),
        ids=tuple(f"{'secret' if hidden else 'open'}-{row}" for row, hidden in enumerate(sensitive)),
        titles=("",) * ROWS,
        labels={},
        label_ids={},
        sensitive=sensitive,
        written={},
    )


@pytest.fixture(scope="module")
def indexed(exact: NeighbourIndex) -> NeighbourIndex:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT_ROWS", 500)
        return exact.indexed()


def test_a_short_history_is_looked_through(exact: NeighbourIndex) -> None:
    assert not exact.indexed().graphs


def test_combinations_of_a_basis_find_what_their_sums_find(exact: NeighbourIndex) -> None:
    random = np.random.default_rng(1)
    basis, mixed = random.standard_normal((5, DIM)).astype(np.float32), random.standard_normal((9, 5))
    mixed = (mixed / np.linalg.norm(mixed @ basis, axis=1, keepdims=True)).astype(np.float32)
    topics = unit(random.standard_normal((9, TOPICS)))
    whole, found = exact.nearest(mixed @ basis, topics), exact.in_terms_of(basis).nearest(mixed, topics)
    assert np.allclose(found.similarity, whole.similarity, atol=1e-5)
    assert np.allclose(found.hybrid_similarity, whole.hybrid_similarity, atol=1e-5)
    assert (found.near == whole.near).mean() > 0.99  # rounding may swap two that are as near


def test_both_measures_find_what_a_full_search_finds(exact: NeighbourIndex, indexed: NeighbourIndex) -> None:
    assert set(indexed.graphs) == {OPEN, SENSITIVE, BOTH}
    asked = slice(0, ROWS, 30)
    wanted = exact.nearest(exact.vectors[asked], exact.topics[asked])
    found = indexed.nearest(exact.vectors[asked], exact.topics[asked])
    for near, close in ((wanted.near, found.near), (wanted.hybrid_near, found.hybrid_near)):
        recall = np.mean([len(np.intersect1d(*pair)) / len(pair[0]) for pair in zip(near, close, strict=True)])
        assert recall >= 0.97
    np.testing.assert_allclose(found.similarity[:, 0], wanted.similarity[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.hybrid_similarity[:, 0], wanted.hybrid_similarity[:, 0], atol=1e-5)


def test_who_may_not_see_sensitive_tickets_is_answered_from_the_others_alone(indexed: NeighbourIndex) -> None:
    for row in np.flatnonzero(indexed.sensitive)[:300]:
        shown = indexed.similar(indexed.vectors[row], 5, may_see_sensitive=False)
        assert len(shown) == 5 and all(one.ticket_id.startswith("open-") for one in shown)
        assert indexed.similar(indexed.vectors[row], 1, may_see_sensitive=True)[0].ticket_id == f"secret-{row}"


def test_what_is_withheld_since_is_passed_over_and_still_votes(exact: NeighbourIndex, indexed: NeighbourIndex) -> None:
    label = "kept"
    written = {"category": tuple(label if row % 3 else "open" for row in range(ROWS))}
    one, other = (replace(index, written=written).withholding("category", {label}) for index in (exact, indexed))
    for row in np.flatnonzero(~exact.sensitive)[:300]:
        vector = exact.vectors[row]
        for index in (one, other):
            shown = index.similar(vector, 5, may_see_sensitive=False)
            assert len(shown) == 5 and {near.labels["category"] for near in shown} == {"open"}
        assert other.similar(vector, 1, may_see_sensitive=True)[0].ticket_id == exact.ids[row]
    asked = slice(0, ROWS, 50)
    before, after = (index.nearest(exact.vectors[asked], exact.topics[asked]) for index in (indexed, other))
    np.testing.assert_array_equal(before.near, after.near)


def test_the_same_rows_give_the_same_graph(exact: NeighbourIndex, indexed: NeighbourIndex) -> None:
    again = NeighbourGraph.of(module.side_by_side(exact.vectors, exact.topics), np.arange(ROWS))
    np.testing.assert_array_equal(again.to_array(), indexed.graphs[BOTH].to_array())


def test_a_graph_is_read_as_it_was_written_and_no_other(indexed: NeighbourIndex) -> None:
    graph = indexed.graphs[BOTH]
    content = graph.to_array()
    again = NeighbourGraph.read(content, ROWS, DIM + TOPICS)
    asked = module.side_by_side(indexed.vectors[:5], indexed.topics[:5])
    np.testing.assert_array_equal(again.nearest(asked, 25), graph.nearest(asked, 25))
    for broken, rows, dim in ((content, ROWS - 1, DIM + TOPICS), (content, ROWS, DIM), (content[:900], ROWS, DIM)):
        with pytest.raises(ValueError, match="graph"):
            NeighbourGraph.read(broken, rows, dim)
