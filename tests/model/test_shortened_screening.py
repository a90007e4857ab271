"""The script that shortens the screening classifier: whose weights it begins with, and what it is taught from."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.screening import shipped_classifier

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("scripts.shorten_screening")


def test_it_begins_with_the_weights_of_the_exported_teacher(script: Any) -> None:
    """What ships has two layers itself: shortened to two, it says the same."""
    texts = ["Smoke comes out of the server room", "The toner of our printer is low", "Thanks, it works again"]
    taken = script.shortened(script.TARGET, 2).model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    shipped = shipped_classifier().encoder.encode(texts)
    assert (np.sum(taken * shipped, axis=1) > 0.97).all()
    fresh = script.Classifier().model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert (np.sum(fresh * shipped, axis=1) < 0.9).all()


def test_it_learns_further_from_what_a_folder_says(script: Any) -> None:
    texts = ["Smoke comes out of the server room", "The toner of our printer is low", "Thanks, it works again"]
    begun = script.begun(script.TARGET, 2)
    with script.torch.no_grad():
        logits = begun.logits(begun.below(begun.tokens(texts)))
    said = script.torch.softmax(logits, 1).numpy()
    assert said == pytest.approx(shipped_classifier().probabilities(texts), abs=0.2)  # sixteen bits against seven


def test_parts_are_beginnings_and_ends_of_what_has_three_sentences_and_sentences_alone(script: Any) -> None:
    long = "The printer prints blank pages. I changed the toner twice. It still does not work at all."
    one = "Only one sentence stands in here."
    beginning, end, *alone = script.parts_of([long, one])
    assert f"{beginning} {end}" == long or f"{end} {beginning}" == long
    assert sorted(alone) == sorted(
        ["The printer prints blank pages.", "I changed the toner twice.", "It still does not work at all.", one]
    )


def test_the_last_classifier_is_surer_of_what_must_not_wait_and_of_what_is_no_ticket(script: Any) -> None:
    classifier = script.Classifier()
    with script.torch.no_grad():
        classifier.head.bias[:] = 1.0
    script.make_surer(classifier)
    added = classifier.head.bias.detach().numpy() - script.SHARPER
    assert added.tolist() == pytest.approx(
        [0.0, *[script.MORE_ALARMS] * 4, *[script.MORE_NO_TICKETS] * (len(added) - 5)]
    )
