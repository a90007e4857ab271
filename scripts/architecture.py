"""Write what the code and the records say of themselves into two pages: the map of modules, the index of decisions."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAP, RECORDS = ROOT / "docs" / "architecture.md", ROOT / "docs" / "decisions"
OPEN, CLOSE = "<!-- generated -->\n", "<!-- /generated -->"


def first_sentence(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]


def tables() -> str:
    """Return one section a wing: a table of its own modules, then one for each package in it."""
    parts = []
    for wing in ("triage", "models", "triage_client", "training", "api"):
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


def index() -> str:
    """Return a table of the decision records: number, title, status and date."""
    rows = []
    for path in sorted(RECORDS.glob("[0-9]*.md")):
        title, _, status = path.read_text("utf-8").split("\n")[:3]
        number, _, subject = title.removeprefix("# ").partition(" ")
        rows.append(f"| {number} | [{subject}]({path.name}) | {status.removeprefix('Status: ')} |")
    return "\n".join(["| number | decision | status |", "|---|---|---|", *rows]) + "\n"


def renewed(text: str, content: str) -> str:
    """Return the page with its generated part renewed."""
    start, end = text.index(OPEN) + len(OPEN), text.index(CLOSE)
    return text[:start] + "\n" + content + "\n" + text[end:]


if __name__ == "__main__":
    for page, content in ((MAP, tables()), (RECORDS / "README.md", index())):
        text = page.read_text("utf-8")
        if "--check" not in sys.argv:
            page.write_text(renewed(text, content), "utf-8")
        elif renewed(text, content) != text:
            sys.exit(f"{page.relative_to(ROOT)} is stale: run python -P scripts/architecture.py")
