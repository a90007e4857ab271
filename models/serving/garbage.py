"""The garbage collector's share: what lives as long as the process is not looked through again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 50_000
"""Objects made and not gone from which on the collector looks for cycles among them: some twenty tickets and ten
megabytes. With Python's 700 it looks several times for each ticket, which took a twentieth of a request."""


def exempt_what_is_loaded(*, swapped: bool = False) -> None:
    """Let the collector pass over everything that is there now, and look less often at what comes.

    With the model's and the framework's two hundred thousand objects before it, every full collection takes a tenth of
    a second, and one comes every few hundred tickets.

    Args:
        swapped: Whether something of that was put in another's place, so that all that was exempt is looked through
            once more. A process that has just started holds little garbage, and is not looked through.
    """
    if swapped:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


@contextmanager
def without_collection() -> Iterator[None]:
    """Import in the block what stays for good: looking for garbage in it takes a quarter of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
