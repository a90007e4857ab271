"""From text to calibrated probabilities: encoders, features, heads, novelty, neighbours, the bundle, and `Triager`.

What training and the service both need stands here too: the command line, files of knowledge, the local model store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.triager import Triager as Triager

__all__ = ["Triager"]


def __getattr__(name: str) -> object:
    """Import `Triager` where it is asked for: most modules of this package are used without it."""
    if name == "Triager":
        from models.triager import Triager

        return Triager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
