"""A bundle as an MLflow model: `models:/NAME@ALIAS` loads, serves, evaluates and scores with Spark."""

from __future__ import annotations

import ast
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import models
import triage

BUNDLE = "bundle"
"""Folder of the bundle in the model; a run keeps both at the root of its artifacts."""

_CODE = Path(__file__).with_name("pyfunc_code.py")
_ONLY_FOR_TRAINING = frozenset(["sentence_transformers"])
"""What the code put in imports where a bundle is made and never where one is loaded."""
_TEXTS = ("id", "subject", "body", "text", "channel", "language")
_EXAMPLE = (
    {"id": "T-1", "subject": "Locked", "body": "My account is locked after three wrong tries, please unlock it."},
    {"id": "T-2", "subject": "VPN", "body": "VPN drops every ten minutes, restarting did not help."},
)


def save_pyfunc(bundle: Path, folder: Path, manifest: Mapping[str, Any], attributes: Sequence[str]) -> None:
    """Write a bundle as an MLflow model from code: nothing in it is pickled.

    The code of this project that scores is put in, so that the model runs where the project is not installed.

    Args:
        bundle: What `triage train` wrote.
        folder: Where the model goes; must not exist.
        manifest: Of the bundle.
        attributes: Names of the structured fields that the model reads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of type hints in its own modules
        import mlflow.pyfunc  # late: seconds that verbs without a tracker need not wait
        import pandas as pd
        from mlflow.models import Model, ModelSignature
        from mlflow.types import ColSpec, Schema, TensorSpec

    texts = (*_TEXTS, *(f"attributes.{name}" for name in attributes))
    decided = ("tier", "category", "resolver_group", "automation", "reason")
    by_target = [(target, part) for target in manifest["targets"] for part in ("top", "probability", "automation")]
    outputs: list[ColSpec | TensorSpec] = [ColSpec("string", name, required=False) for name in decided]
    outputs += [ColSpec("double" if part == "probability" else "string", f"{target}_{part}", required=False)
                for target, part in by_target]  # fmt: skip
    code = folder.with_name(f"{folder.name}-code")
    for package in (models, triage):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, code / source.name, ignore=shutil.ignore_patterns("__pycache__", "artefacts"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to authors of models, which nobody who trains can follow
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(_CODE),
            artifacts={BUNDLE: str(bundle)},
            code_paths=[str(code / package.__name__) for package in (models, triage)],
            signature=ModelSignature(
                inputs=Schema([*(ColSpec("string", name, required=False) for name in texts)]), outputs=Schema(outputs)
            ),
            input_example=pd.DataFrame(_EXAMPLE),
            pip_requirements=_requirements(),
            model_config={"answer": "all"},
            metadata={"bundle_digest": manifest["digest"]},
        )
    inside = folder / "artifacts"
    (next(inside.iterdir())).rename(folder / BUNDLE)
    inside.rmdir()
    model = Model.load(str(folder))
    model.flavors["python_function"]["artifacts"] = {BUNDLE: {"path": BUNDLE, "uri": BUNDLE}}
    model.save(str(folder / "MLmodel"))


def _requirements() -> list[str]:
    """Return what the code put in imports, as pip is asked for it: each package in the version that is installed."""
    packages = [Path(str(package.__file__)).parent for package in (models, triage)]
    sources = [_CODE, *(path for package in packages for path in package.rglob("*.py"))]
    own = {"models", "triage", *sys.stdlib_module_names, *_ONLY_FOR_TRAINING}
    imported = {name for path in sources for name in _imported(ast.parse(path.read_bytes()))} - own
    homes = packages_distributions()
    names = sorted(name if name in homes[name] else homes[name][0] for name in imported)
    return [f"{name}=={version(name)}" for name in names]


def _imported(code: ast.Module) -> set[str]:
    """Return the packages that a module imports from, wherever in it that is."""
    nodes = list(ast.walk(code))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in whole | parts}
