"""Write the rooms of the house into docs/architecture.md: each module's first sentence is its row."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
OPEN, CLOSE = "<!-- rooms -->\n", "<!-- /rooms -->"


def rooms() -> str:
    """Return one table per package, from the docstrings."""
    parts = []
    for package in ("triage", "models", "training", "api"):
        rows = []
        for path in sorted((ROOT / package).rglob("*.py")):
            sentence = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]
            if "migrations" not in path.parts and path.name != "__init__.py":
                rows.append(f"| `{path.relative_to(ROOT / package).as_posix()}` | {sentence} |")
        parts.append("\n".join([f"### `{package}/`", "", "| room | what lives there |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def renewed(text: str) -> str:
    """Return the page with its tables renewed."""
    start, end = text.index(OPEN) + len(OPEN), text.index(CLOSE)
    return text[:start] + rooms() + text[end:]


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    if "--check" in sys.argv:
        sys.exit(0 if renewed(text) == text else "docs/architecture.md is stale: run python scripts/rooms.py")
    PAGE.write_text(renewed(text), "utf-8")
