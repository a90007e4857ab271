"""Pages of the documentation site that are made from the code: a hook that mkdocs.yml names.

The HTTP reference comes from the OpenAPI document, the commands from their help texts, the settings from their classes,
and the project's own pages from the files at the root of the repository. Nothing is written into docs/.
"""

import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from pydantic_settings import BaseSettings

from api.app import create_app
from api.settings import Settings as ServiceSettings
from api.settings import load_settings
from training.settings import Settings as TrainingSettings
from triage.__main__ import GROUP, main

ROOT = Path(__file__).parents[1]
PUBLIC_MODULES = {
    "The domain": (
        "triage.ticket",
        "triage.policy.model",
        "triage.rules.book",
        "triage.gate",
        "triage.prediction",
        "triage.decision",
        "triage.decide",
        "triage.errors",
    ),
    "Models": (
        "models.triager",
        "models.bundle.bundle",
        "models.bundle.manifest",
        "models.encoder",
        "models.local_store",
    ),
    "Training": ("training.pipeline", "training.task", "training.gate.risk_control", "training.evaluation.metrics"),
    "Service": ("api.app", "api.settings"),
}
COPIED = {"contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those in docs/; mkdocs calls this."""
    pages = {
        "reference/http.md": http_page(),
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/python.md": python_page(),
        **{page: copied(ROOT / name) for page, name in COPIED.items()},
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def http_page() -> str:
    """Describe every operation and schema of the OpenAPI document."""
    with tempfile.TemporaryDirectory() as home:
        document = create_app(load_settings(home=Path(home), rules_only=True)).openapi()
    parts = ["# HTTP API", document["info"]["description"]]
    parts.append("The service itself answers `/openapi.json` with this description and `/docs` with a page of it.")
    parts.append("## Operations")
    for path, operations in document["paths"].items():
        parts += [part for method, stated in operations.items() for part in operation(method, path, stated)]
    parts.append("## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += [f"### {name}", schema.get("description", ""), *fields(schema)]
    return "\n\n".join(part for part in parts if part)


def operation(method: str, path: str, stated: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts of one operation: what it does, parameters, body, answers and an example."""
    yield f"### `{method.upper()} {path}`"
    yield stated.get("description", stated.get("summary", ""))
    if parameters := stated.get("parameters"):
        rows = [
            f"| `{one['name']}` | {one['in']} | {kind(one['schema'])} | {cell(one.get('description', ''))} |"
            for one in parameters
        ]
        yield "\n".join(["| parameter | in | type | meaning |", "|---|---|---|---|", *rows])
    body = stated.get("requestBody", {}).get("content", {}).get("application/json", {})
    if body.get("schema"):
        yield f"Body: {kind(body['schema'])}"
    for example in list(body.get("examples", {}).values())[:1]:
        yield f"```json\n{json.dumps(example['value'], indent=2)}\n```"
    rows = [f"| {status} | {answer(one)} |" for status, one in sorted(stated["responses"].items())]
    yield "\n".join(["| status | answer |", "|---|---|", *rows])


def answer(stated: Mapping[str, Any]) -> str:
    """Return what an answer means and which schema it has."""
    schemas = [kind(one["schema"]) for one in stated.get("content", {}).values() if one.get("schema")]
    return cell(" ".join([stated.get("description", "").removesuffix("Successful Response"), *schemas]))


def fields(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of the fields of a schema."""
    required = schema.get("required", ())
    rows = [
        f"| `{name}` | {kind(field)} | {'yes' if name in required else ''} | {cell(field.get('description', ''))} |"
        for name, field in schema.get("properties", {}).items()
    ]
    if rows:
        yield "\n".join(["| field | type | required | meaning |", "|---|---|---|---|", *rows])


def kind(schema: Mapping[str, Any]) -> str:
    """Return the type of a schema in a few words, with a link where it has a name."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema and "properties" not in schema:
        return " or ".join(dict.fromkeys(kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return f"object of {kind(inner)}"
    return str(schema.get("type", "any"))


def cell(text: str) -> str:
    """Return a text that fits into a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").strip()


def commands_page() -> str:
    """Show the help text of every verb, and of the verbs below it."""
    verbs = sorted(entry.name for entry in entry_points(group=GROUP))
    sections = [section for verb in verbs for section in sections_of(verb)]
    return "\n\n".join(["# Commands", "What `triage VERB --help` prints, verb by verb.", *sections])


def sections_of(*verbs: str) -> Iterator[str]:
    """Yield a heading and the help text of a verb, then those of the verbs below it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*verbs, "--help"])
    text = printed.getvalue().strip()
    if not text:
        raise PluginError(f"triage {' '.join(verbs)} --help prints nothing: is the installation older than its verbs?")
    yield f"{'#' * min(len(verbs) + 1, 4)} `triage {' '.join(verbs)}`"
    yield f"```text\n{text}\n```"
    below = re.search(r"^verbs \(.*\n((?:  .*\n)+)", text + "\n", re.MULTILINE)
    for verb in re.findall(r"^  ([a-z][a-z-]*) ", below[1], re.MULTILINE) if below else ():
        yield from sections_of(*verbs, verb)


def settings_page() -> str:
    """Describe every environment variable."""
    parts = ["# Settings", "All are environment variables. A value that makes no sense is refused at the start."]
    stated: tuple[tuple[str, type[BaseSettings]], ...] = (("Service", ServiceSettings), ("Training", TrainingSettings))
    for title, settings in stated:
        prefix = str(settings.model_config.get("env_prefix", "")).upper()
        rows = []
        for name, field in settings.model_fields.items():
            variable = str(field.validation_alias or f"{prefix}{name}").upper()
            default = (
                "" if field.is_required() or field.default_factory or field.default is None else f"`{field.default}`"
            )
            rows.append(f"| `{variable}` | {default} | {cell(field.description or '')} |")
        parts += [f"## {title}", "\n".join(["| variable | default | what it is |", "|---|---|---|", *rows])]
    return "\n\n".join(parts)


def python_page() -> str:
    """List the public modules for mkdocstrings."""
    parts = ["# Python", "The modules that code outside of this project may call. Everything else may change."]
    for title, modules in PUBLIC_MODULES.items():
        parts += [f"## {title}", *(f"::: {module}" for module in modules)]
    return "\n\n".join(parts)


def copied(path: Path) -> str:
    """Return a file of the repository's root with its links as seen from docs/."""
    text = path.read_text("utf-8").replace("](docs/", "](").replace("](README.md#two-commands)", "](start.md)")
    for page, name in COPIED.items():
        text = text.replace(f"]({name})", f"]({page})")
    return text


os.environ.setdefault("COLUMNS", "100")  # help texts are wrapped at the width of the terminal
