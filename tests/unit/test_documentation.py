"""What the pages say is so: links lead somewhere, figures stand where they were measured, records are dated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from api.cli.mcp import KEY_VARIABLE
from api.console.queries import DecisionQuery
from api.settings import OLD_HELPDESKS
from api.settings import Settings as ServiceSettings
from api.store.rows import SAMPLE_REQUESTER
from models.terminal import Family
from training.settings import Settings as TrainingSettings
from triage.policy import Policy, ResolverGroup
from triage.policy.toml_file import _TABLES

TRAINING = TrainingSettings.model_fields
ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "datasets").glob("*.md")])
RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_or_a_site(page: Path) -> None:
    made_for_the_site = {"reference", "contributing.md", "security.md", "changelog.md"}
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path = target.partition("#")[0]
        if not path or path.startswith("https://") or made_for_the_site & set(Path(path).parts):
            continue
        assert (page.parent / path).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if "decisions" not in page.parts], ids=name)
def test_every_file_and_test_that_a_page_names_is_there(page: Path) -> None:
    """Records are left out: they tell of the day they were written."""
    quoted = re.findall(r"`([^`\s]+)`", page.read_text("utf-8"))
    for path in (
        text
        for text in quoted
        if re.match(r"(triage|models|training|api|docs|scripts|bench|tests|examples)/[a-z_]", text)
    ):
        assert (ROOT / path).exists(), path
    for text in (text for text in quoted if re.match(r"(unit|pipeline|model|service|data)/[\w/]+\.py", text)):
        path, _, test = text.partition("::")
        assert (ROOT / "tests" / path).is_file() and f"def {test}" in (ROOT / "tests" / path).read_text("utf-8"), text


def test_every_figure_of_the_readme_stands_in_the_quality_page() -> None:
    readme, quality = ((ROOT / page).read_text("utf-8") for page in ("README.md", "docs/quality.md"))
    section = readme[readme.index("## What it can and cannot do") : readme.index("## The API")]
    measured: list[str] = re.findall(r"\b(?:0\.\d+|\d+,\d{3})\b", section)
    assert len(measured) > 10
    assert [figure for figure in measured if figure not in quality] == []


def test_make_lists_its_verbs_in_words() -> None:
    said = re.findall(r"^[a-z]+:.*## (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert len(said) > 10 and [line for line in said if "$" in line] == []


def test_every_verb_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    verbs = {entry.name for entry in entry_points(group="triage.commands")}
    table = readme[readme.index("## Commands") : readme.index("## Settings")]
    told = {words.split()[0] for words in re.findall(r"`([a-z][a-z ]*)`", table)}
    assert verbs - told == set()


def test_every_verb_of_a_family_stands_in_its_row_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme[readme.index("## Commands") : readme.index("## Settings")]
    told: set[str] = set()
    for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE):
        family = ""
        for words in re.findall(r"`([a-z][a-z -]*)`", row):  # `store backup`, `restore`: the family is said once
            family = words.split()[0] if " " in words else family
            told.add(words if " " in words else f"{family} {words}")
    families = {entry.name: entry.load() for entry in entry_points(group="triage.commands")}
    listed = {f"{name} {verb}" for name, one in families.items() if isinstance(one, Family) for verb in one.verbs}
    assert len(listed) > 20 and listed - told == set()


def test_the_version_is_that_of_the_changelog_and_of_the_images() -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest and newest.group(1) == stated
    deployed = [ROOT / "Containerfile", ROOT / "compose.yaml", *(ROOT / "deploy").rglob("*.yaml"), *PAGES]
    images = {tag for page in deployed for tag in re.findall(r"helpdesk-triage:(\d[\d.]*\d)", page.read_text("utf-8"))}
    assert images == {stated}


def test_each_setting_stands_under_the_wing_that_reads_it() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    service, training, assistants = (
        sorted(re.findall(r"^\| `(\w+)` ", part, re.MULTILINE))
        for part in re.split(r"\*\*(?:Training|Assistants)\*\*", table)
    )
    assert service == sorted([OLD_HELPDESKS, *(f"TRIAGE_{field.upper()}" for field in ServiceSettings.model_fields)])
    assert training == sorted(str(one.validation_alias or f"TRIAGE_{field.upper()}") for field, one in TRAINING.items())
    assert assistants == [KEY_VARIABLE]


def test_each_key_of_a_policy_stands_in_its_table_with_its_default() -> None:
    page = (ROOT / "docs" / "policy.md").read_text("utf-8")
    told = {}
    for part in page.split("\n## `")[1:]:
        rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| *([^|]*?) *\| [^|]+ \|$", part, re.MULTILINE)
        told[part.partition("`")[0]] = dict(rows)
    found = {place: keys for table, kind in _TABLES.items() for place, keys in tables_of(table, kind)}
    assert told == found


def tables_of(place: str, kind: Any) -> Iterable[tuple[str, dict[str, str]]]:
    """Return the tables of a policy file below a place, each with its keys and their defaults as the page has them."""
    if get_origin(kind) is dict and get_origin(get_args(kind)[1]) is list:
        yield from tables_of(f"{place}.NAME", get_args(kind)[1])
    elif get_origin(kind) in (list, tuple):
        [one, *_] = get_args(kind)
        yield f"[[{place}]]", keys_of(one)
        yield from inner_tables(place, one)
    else:
        yield f"[{place}]", keys_of(kind)
        yield from inner_tables(place, kind)


def inner_tables(place: str, kind: Any) -> Iterable[tuple[str, dict[str, str]]]:
    if is_dataclass(kind):
        for key, one in get_type_hints(kind).items():
            if get_origin(one) is tuple and is_dataclass(get_args(one)[0]):
                yield from tables_of(f"{place}.{key}", one)


def keys_of(kind: Any) -> dict[str, str]:
    if isinstance(kind, Mapping):  # the table of the policy itself, whose defaults are those of `Policy`
        usual = Policy("")
        stated = {key: shown(getattr(usual, key, "")) for key in kind}
        return {**stated, "version": "digest of the file"}
    if not is_dataclass(kind):
        return {}
    keys = {one.name: default_of(one) for one in fields(kind)}
    return {**keys, "tier": ""} if kind is ResolverGroup else keys  # the parser takes a group without one


def default_of(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return shown(one.default)
    return shown(one.default_factory()) if one.default_factory is not MISSING else "needed"


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`"
    return f'`"{value}"`' if isinstance(value, str) and value else ""


def test_every_filter_of_the_list_of_decisions_is_described() -> None:
    told = (ROOT / "docs" / "integration.md").read_text("utf-8")
    listed = told.partition("`GET /v1/decisions` takes the filters")[2].partition("A parameter that is not")[0]
    assert set(DecisionQuery.model_fields) <= set(re.findall(r"`(\w+)`", listed))


def test_the_sample_day_has_the_requester_that_the_pages_name() -> None:
    start = (ROOT / "docs" / "start.md").read_text("utf-8")
    assert re.findall(r"requester `([^`]+)`", start) == [SAMPLE_REQUESTER]


@pytest.mark.parametrize("record", RECORDS, ids=name)
def test_a_record_has_a_number_a_dated_status_and_a_price(record: Path) -> None:
    text = record.read_text("utf-8")
    assert text.startswith(f"# {record.name[:4]} ")
    assert re.search(r"^Status: (accepted|superseded by \d{4}), \d{4}-\d\d-\d\d", text, re.MULTILINE)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert all(part in text for part in ("**Decided", "**Why", "**Price"))


def test_every_record_has_a_number_of_its_own() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert len(set(numbers)) == len(numbers)
