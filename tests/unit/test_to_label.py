"""What people should label next, and the themes of what the model does not know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from api.learning.themes import themes_of
from models.reference.index import NeighbourIndex
from models.reference.to_label import likeness, next_to_label, value_of

RNG = np.random.default_rng(0)


def unit(vectors: Any) -> Any:
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_what_the_model_is_torn_about_comes_first_and_the_rarer_label_of_two_equals() -> None:
    probabilities = np.array([[0.9, 0.05, 0.05], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.6, 0.3, 0.1]])
    order = next_to_label(unit(np.eye(4)), probabilities, np.array([100, 100, 2]), 4)
    assert order.tolist() == [2, 1, 3, 0]
    assert np.all(value_of(probabilities, np.array([0, 0, 0])) <= 2)


def test_near_copies_are_not_asked_one_after_the_other() -> None:
    near = [[1.0, 0.01 * place, 0.0] for place in range(5)]
    apart = [[0.0, 0.01 * place, 1.0] for place in range(5)]
    probabilities = np.array([[0.5, 0.5]] * 5 + [[0.6, 0.4]] * 5)
    first, second = next_to_label(unit(near + apart), probabilities, np.array([5, 5]), 2)
    assert first < 5 <= second


def test_what_is_typical_of_many_comes_before_what_is_odd_in_itself() -> None:
    many = [[1.0, 0.02 * place, 0.0] for place in range(6)]
    order = next_to_label(unit([*many, [0.0, 0.0, 1.0]]), np.full((7, 2), 0.5), np.array([5, 5]), 7)
    assert order[0] != 6


def test_what_is_like_labelled_tickets_waits_for_what_is_like_none() -> None:
    alike = unit([[1.0, 0.02 * place, 0.0] for place in range(4)] + [[0.0, 0.02 * place, 1.0] for place in range(4)])
    torn = np.array([[0.5, 0.5]] * 4 + [[0.6, 0.4]] * 4)
    counts = np.array([5, 5])
    assert next_to_label(alike, torn, counts, 1)[0] < 4
    taught = likeness(alike, unit([[1.0, 0.0, 0.0]] * 3))
    assert next_to_label(alike, torn, counts, 1, taught=taught)[0] >= 4
    copy_and_half = np.array([1.0, 0.5])  # a copy of what is labelled comes last, and is not lost
    assert next_to_label(alike[:2], torn[:2], counts, 2, taught=copy_and_half).tolist() == [1, 0]


def test_likeness_is_that_of_the_nearest_with_and_without_a_graph() -> None:
    past, new = unit(RNG.normal(size=(50, 8))), unit(RNG.normal(size=(6, 8)))
    expected = np.sort(new @ past.T, axis=1)[:, -3:].mean(axis=1)
    assert np.allclose(likeness(new, past), expected, atol=1e-6)
    index = NeighbourIndex(
        vectors=past, topics=np.zeros((50, 0), dtype=np.float32), ids=tuple(map(str, range(50))), titles=("",) * 50,
        labels={}, label_ids={}, sensitive=np.arange(50) % 3 == 0, written={},
    )  # fmt: skip
    for one in (index, index.indexed()):
        assert np.allclose(one.likeness(new, 3), expected, atol=1e-3)
    assert np.allclose(index.likeness(new, 99), (new @ past.T).mean(axis=1), atol=1e-6)
    assert likeness(new, past[:0]).tolist() == [0.0] * 6


def test_every_ticket_is_asked_once_and_never_more_than_there_are() -> None:
    vectors = unit(RNG.normal(size=(30, 8)))
    probabilities = RNG.dirichlet(np.ones(4), size=30)
    assert sorted(next_to_label(vectors, probabilities, np.zeros(4, dtype=np.int64), 99).tolist()) == list(range(30))


def test_themes_gather_what_is_alike_and_carry_its_words() -> None:
    about = {"badge reader gate": 9, "coffee machine kitchen": 5, "parking barrier": 2}
    rows, vectors = [], []
    for place, (words, number) in enumerate(about.items()):
        for copy in range(number):
            said = f"please help with number {copy}"
            rows.append(SimpleNamespace(id=f"{place}-{copy}", subject=words, body=said, title=words))
            vectors.append(np.eye(16)[place] + 0.05 * RNG.normal(size=16))
    found = themes_of(rows, unit(vectors))  # type: ignore[arg-type]
    assert [len(theme.tickets) for theme in found] == [9, 5]
    assert set(found[0].words) == {"badge", "reader", "gate"}
    assert set(found[1].words) == {"coffee", "machine", "kitchen"}
    assert themes_of([], np.zeros((0, 16), dtype=np.float32)) == []
