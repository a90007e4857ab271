"""The garbage collector's share: what lives as long as the process is not looked through again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def exempt_what_is_loaded(*, swapped: bool = False) -> None:
    """Let the collector pass over everything that is there now.

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


@contextmanager
def without_collection() -> Iterator[None]:
    """Import in the block what stays for good: looking for garbage in it takes a quarter of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
