"""The signal of a terminal that is closed: the service ends as after SIGTERM, and answers whoever is inside."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def on_hangup(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Have SIGHUP handled, unless whoever started the process has it ignored, as `nohup` does."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)
