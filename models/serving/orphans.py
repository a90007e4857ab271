"""Processes that work for another end with it: killed, that one can tell nobody, and they would wait for minutes."""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from multiprocessing import current_process

_LOOK_S = 1.0
"""How often a process looks whether the one that it works for still lives, in seconds."""
_OF_JOBLIB = "LokyProcess"


@cache
def end_with(parent: int) -> None:
    """End this process soon after the one that started it; the first that a process of joblib is to call.

    A call that comes with the work is too late: of a parent that is killed before it has handed any out, a process
    waits for work that never comes. On another machine of a cluster nothing happens.

    Args:
        parent: Number of the process that starts this one.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    if os.getppid() == parent:
        threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
    elif type(current_process()).__name__ == _OF_JOBLIB:  # the one that started it has ended already
        os._exit(1)
