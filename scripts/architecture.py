"""Write the tables of modules into docs/architecture.md: the first sentence of each module is its row."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
OPEN, CLOSE = "<!-- modules -->\n", "<!-- /modules -->"


def first_sentence(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]


def tables() -> str:
    """Return one section a wing: a table of its own modules, then one for each package in it."""
    parts = []
    for wing in ("triage", "models", "training", "api"):
        parts.append(f"### `{wing}/`")
        folders = sorted({path.parent for path in (ROOT / wing).rglob("*.py") if "migrations" not in path.parts})
        for folder in folders:
            if folder != ROOT / wing:
                parts.append(f"**`{folder.relative_to(ROOT).as_posix()}/`** {first_sentence(folder / '__init__.py')}")
            modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
            rows = [f"| `{path.name}` | {first_sentence(path)} |" for path in modules]
            if rows:
                parts.append("\n".join(["| module | what it holds |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def renewed(text: str) -> str:
    """Return the page with its tables renewed."""
    start, end = text.index(OPEN) + len(OPEN), text.index(CLOSE)
    return text[:start] + "\n" + tables() + "\n" + text[end:]


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    if "--check" in sys.argv:
        sys.exit(0 if renewed(text) == text else "docs/architecture.md is stale: run python -P scripts/architecture.py")
    PAGE.write_text(renewed(text), "utf-8")
