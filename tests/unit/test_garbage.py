"""What is loaded is exempt from garbage collection, and what a swap leaves behind is collected all the same."""

from __future__ import annotations

import gc
import weakref

import pytest

from models.serving.garbage import NEW_OBJECTS, exempt_what_is_loaded


class Model:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> object:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_there_is_no_longer_looked_through() -> None:
    held = [[number] for number in range(1000)]
    exempt_what_is_loaded()
    assert gc.get_freeze_count() >= len(held)
    assert not any(one is held for one in gc.get_objects())


def test_cycles_are_still_found_once_enough_is_new() -> None:
    exempt_what_is_loaded()
    model = Model()
    seen = weakref.ref(model)
    del model
    held = [[number] for number in range(NEW_OBJECTS // 2)]
    assert seen() is not None
    held += [[number] for number in range(NEW_OBJECTS)]
    assert seen() is None and held


def test_a_model_that_was_swapped_is_collected_with_the_next_swap() -> None:
    model = Model()
    seen = weakref.ref(model)
    exempt_what_is_loaded()
    del model
    gc.collect()
    assert seen() is not None
    exempt_what_is_loaded(swapped=True)
    assert seen() is None


def test_a_first_start_looks_through_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was imported is exempt by then: a full collection would take a twentieth of a start."""
    monkeypatch.setattr(gc, "collect", lambda *_: pytest.fail("collected"))
    gc.freeze()
    exempt_what_is_loaded()
