"""The base install holds what serving imports, and nothing else: each library more is one more to trust."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OWN = {"triage", "models", "triage_client", "training", "api"}
ONLY_TRAINING = {"sentence-transformers", "pyarrow", "openpyxl", "ijson", "defusedxml"}
"""Imported late: by an encoder that only training makes, and to score files that are neither CSV nor JSON lines."""
PINNED_BY_ITS_PARENT = {"pydantic-core"}
NEVER_NAMED = {"python-multipart", "httptools", "fastapi-offline"}
"""What Starlette needs to read the forms of the pages, uvicorn to read HTTP, and /docs to work without a network."""
SCORING = (
    "cli/options.py",
    "cli/predict.py",
    "batch_scoring.py",
    "engines/engine.py",
    "reports/decision_text.py",
    *(f"data/formats/{path.name}" for path in (ROOT / "training/data/formats").glob("*.py")),
)
"""Modules of the training wing whose verbs (`score`, `predict`) work in a base install as well."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


def imported(*files: Path) -> Iterator[str]:
    """Yield the distribution of every import outside the standard library."""
    known = packages_distributions()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - OWN - set(sys.stdlib_module_names):
                yield normal(known.get(top, [top])[0])


def served() -> set[str]:
    floors = [path for room in ("triage", "triage_client", "models", "api") for path in (ROOT / room).rglob("*.py")]
    return set(imported(*floors, *(ROOT / "training" / name for name in SCORING)))


def asked(extra: str = "") -> set[str]:
    stated = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {normal(one) for one in stated}


def test_everything_that_serving_imports_is_asked_for() -> None:
    assert served() - ONLY_TRAINING - PINNED_BY_ITS_PARENT - asked("postgres") - asked("mail") - asked() == set()


def test_nothing_is_asked_for_that_serving_does_not_import() -> None:
    assert asked() - served() - NEVER_NAMED == set()


def test_nothing_is_asked_for_twice() -> None:
    assert asked() & asked("train") == set()
