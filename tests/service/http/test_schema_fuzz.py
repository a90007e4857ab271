"""The API does what its description says: Schemathesis, all checks, a few examples an operation (200 by hand)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_schemathesis_finds_nothing(serve: Callable[..., AbstractContextManager[Any]], tmp_path: Path) -> None:
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1", TRIAGE_REQUEST_DEADLINE_S="15") as service:
        command = [sys.executable, "-P", "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
        options = [
            "--checks",
            "all",
            "--max-examples",
            "4",
            "--phases",
            "examples,fuzzing",
            "--seed",
            "1",
            "--no-shrink",
        ]
        ran = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
