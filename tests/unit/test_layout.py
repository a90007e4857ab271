"""The house stands as drawn: data without code, walls, documented settings, and verbs that exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
WINGS = ("triage", "models", "triage_client", "training", "api")


def test_datasets_holds_no_code() -> None:
    assert not list((ROOT / "datasets").rglob("*.py"))


def test_serving_imports_neither_torch_nor_mlflow_nor_pandas() -> None:
    code = (
        "import sys; import api.app, api.cli.serve, models.bundle.bundle, models.triager; "
        "heavy = {'torch', 'mlflow', 'pandas', 'pyarrow', 'sentence_transformers', 'transformers', 'onnx'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_base_install_asks_for_none_of_them() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    base = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    assert not re.search(r'"(torch|mlflow|pandas|pyarrow|sentence-transformers|matplotlib|onnx)[<>="]', base)


def test_every_verb_is_there_and_says_what_it_does() -> None:
    verbs = {entry.name: entry.load() for entry in entry_points(group="triage.commands")}
    expected = {
        "train", "evaluate", "score", "predict", "serve", "promote", "rollback", "pull", "models", "register",
        "rules", "policy", "data", "report", "keys", "store", "feedback",
    }  # fmt: skip
    assert expected <= set(verbs)
    assert all((verb.__doc__ or "").strip() for verb in verbs.values())


def settings_classes() -> list[type[BaseSettings]]:
    from api.settings import Settings as Serving
    from training.settings import Settings as Training

    return [Serving, Training]


def test_every_setting_is_documented_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for settings in settings_classes():
        prefix = str(settings.model_config.get("env_prefix", "")).upper()
        for name, field in settings.model_fields.items():
            variable = str(field.validation_alias or f"{prefix}{name}").upper()
            assert f"`{variable}`" in readme, f"{variable} has no row in the README's table of settings"


@pytest.mark.parametrize("package", WINGS)
def test_every_module_opens_with_one_sentence(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        if "migrations" in path.parts:
            continue
        first = path.read_text("utf-8").lstrip().split("\n", 1)[0]
        assert first.startswith('"""') and len(first) > 15, path


def packages() -> list[Path]:
    """Every folder of the four wings that holds Python modules."""
    found = {path.parent for wing in WINGS for path in (ROOT / wing).rglob("*.py") if "migrations" not in path.parts}
    return sorted(found)


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_package_holds_at_most_a_dozen_modules(package: Path) -> None:
    modules = [path for path in package.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 12


def package_of(module: str) -> str:
    """Return the package that a module belongs to: its folder, or for modules on top of a wing the module itself."""
    parts = module.split(".")
    return ".".join(parts[:2])


def test_packages_import_one_another_without_a_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for wing in WINGS:
        for path in (ROOT / wing).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            here = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in WINGS:
                    arrows.setdefault(here, set()).add(package_of(node.module))
    order = TopologicalSorter({here: there - {here} for here, there in arrows.items()})
    order.prepare()  # raises CycleError, which names the circle


LONG_SIGNATURES, LONG_CALLS = 6, 30
"""How many functions take over six arguments, and calls over four by position: may be lowered, never raised."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield the path and the syntax tree of every module of the four packages."""
    for wing in WINGS:
        for path in sorted((ROOT / wing).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the arguments of a function, without self or cls."""
    stated = function.args
    named = [one.arg for one in (*stated.posonlyargs, *stated.args, *stated.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")]) + bool(stated.vararg) + bool(stated.kwarg)


def test_signatures_have_six_arguments_at_most() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > 6
    ]
    assert len(long) <= LONG_SIGNATURES, "\n".join(long)


def described(docstring: str | None, section: str) -> set[str] | None:
    """Return the names that a section of a docstring describes; None where it has no such section."""
    found = re.search(rf"^{section}:\n((?: +.*\n|\n)*)", f"{docstring or ''}\n", re.MULTILINE)
    lines = found and re.findall(r"^    (?! )([*\w, ]+?)(?: \(.*?\))?:(?= |$)", found.group(1), re.MULTILINE)
    return None if lines is None else {name.strip(" *") for line in lines for name in line.split(",")}


def arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names of a function's arguments, without self or cls."""
    stated = function.args
    starred = [one for one in (stated.vararg, stated.kwarg) if one is not None]
    return {one.arg for one in (*stated.posonlyargs, *stated.args, *stated.kwonlyargs, *starred)} - {"self", "cls"}


def in_part_described(node: ast.AST) -> set[str]:
    """Return the arguments or fields that a docstring leaves out though it has their section, or that are not there."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        told = described(ast.get_docstring(node), "Args")
        return set() if told is None else told ^ arguments_of(node)
    if not isinstance(node, ast.ClassDef):
        return set()
    told, makers = described(ast.get_docstring(node), "Args"), [one for one in node.body if is_maker(one)]
    wrong = set() if told is None or not makers else told ^ arguments_of(makers[0])  # type: ignore[arg-type]
    fields = {one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)}
    public = {name for name in fields if not name.startswith("_") and name != "model_config"}
    told = described(ast.get_docstring(node), "Attributes")
    return wrong if told is None or makers or not public else wrong | (told ^ public)


def is_maker(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def test_a_docstring_that_describes_arguments_or_fields_describes_each() -> None:
    wrong = [
        f"{path}:{getattr(node, 'lineno', 0)} {sorted(names)}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if (names := in_part_described(node))
    ]
    assert not wrong, "\n".join(wrong)


def test_calls_pass_four_arguments_by_position_at_most() -> None:
    long = [
        f"{path}:{node.lineno} {ast.unparse(node.func)}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and sum(not isinstance(one, ast.Starred) for one in node.args) > 4
    ]
    assert len(long) <= LONG_CALLS, "\n".join(long)
