"""The student of the encoder: what it guesses, and that it guesses the same alone, among others and read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundle.bundle import load_bundle
from models.cascade.student import Student
from models.features.vectorizer import SparseRows
from training.cascade.distill import Distiller
from training.cascade.student import FittedStudent, fit_student
from training.data.labelled_ticket import LabelledTicket
from training.ensemble.model import Prepared, prepare
from training.ensemble.sample import Sample
from triage.defaults import default_policy
from triage.ticket import Ticket

SUBJECTS = ("vpn drops", "printer jams", "password forgotten", "invoice is wrong", "mailbox is full")
PLACES = ("harbour", "tower", "depot", "office", "archive", "kitchen")


def vectors(student: Student, texts: list[str], rows: SparseRows) -> NDArray[np.float32]:
    """Return what the student guesses, float32 of shape [n, dim]."""
    return student.coordinates(texts, rows) @ student.basis


@pytest.fixture(scope="module")
def fitted(make_bundle: Callable[..., Path]) -> tuple[Prepared, FittedStudent]:
    encoder = load_bundle(make_bundle()).encoder
    rows = [
        LabelledTicket(
            Ticket(str(number), subject, f"{subject} in the {place} since {hour}:00"), {"tier": f"L{number % 2}"}
        )
        for number, (subject, place, hour) in enumerate(
            (subject, place, hour) for subject in SUBJECTS for place in PLACES for hour in range(8, 14)
        )
    ]
    encoded = encoder.encode([row.ticket.text for row in rows])
    prepared = prepare(Sample.of(rows, encoded, np.arange(len(rows))), default_policy())
    return prepared, fit_student(prepared, Distiller(encoder))  # type: ignore[arg-type]


def test_a_guess_is_nearer_to_its_own_text_than_to_others(fitted: tuple[Prepared, FittedStudent]) -> None:
    prepared, found = fitted
    guesses, own = found.guessed.dense, prepared.sample.vectors
    assert np.allclose(np.linalg.norm(guesses, axis=1), 1.0, atol=1e-5)
    right, others = (guesses * own).sum(axis=1), (guesses @ own.T).mean(axis=1)
    assert (right > others).mean() > 0.9


def test_the_guess_for_a_fold_comes_from_the_others(fitted: tuple[Prepared, FittedStudent]) -> None:
    prepared, found = fitted
    texts = [row.ticket.text for row in prepared.sample.rows]
    seen = vectors(found.student, texts, prepared.features.sparse)
    own = prepared.sample.vectors
    assert (seen * own).sum(axis=1).mean() > (found.guessed.dense * own).sum(axis=1).mean()


def test_a_text_is_guessed_alone_as_among_others(fitted: tuple[Prepared, FittedStudent]) -> None:
    prepared, (student, _) = fitted
    texts, rows = [row.ticket.text for row in prepared.sample.rows][:9], prepared.features.sparse
    together = vectors(student, texts, rows.take(np.arange(9)))
    alone = [vectors(student, [text], rows.take(np.array([row])))[0] for row, text in enumerate(texts)]
    assert np.allclose(together, alone, atol=1e-6)


def test_a_text_of_which_nothing_is_known_gets_the_mean(fitted: tuple[Prepared, FittedStudent]) -> None:
    student: Student = fitted[1].student
    nothing = SparseRows(np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), len(student.steps))
    found = vectors(student, [""], nothing)[0]
    assert np.allclose(found, student.mean / np.linalg.norm(student.mean), atol=1e-5)


def test_near_tickets_are_of_other_groups(fitted: tuple[Prepared, FittedStudent]) -> None:
    prepared, found = fitted
    groups = prepared.sample.groups
    near = found.guessed.near
    assert (groups[near] != groups[:, None]).all()
