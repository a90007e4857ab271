"""Processes that work for another end with it: killed, that one can tell nobody, and they would wait for minutes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_LOOK_S = 1.0
"""How often a process looks whether the one that it works for still lives, in seconds."""


def work_for(
    parent: int, call: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Call something on behalf of a process: a child of it ends itself soon after it from then on.

    Elsewhere, in that process itself or on another machine of a cluster, this is the call alone.

    Args:
        parent: Number of the process that asks.
        call: What it asks for.
        *arguments: Of the call, in their order.
        **named: Of the call, by name.
    """
    if os.getppid() == parent:
        _end_after(parent)
    return call(*arguments, **named)


@cache
def _end_after(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
