"""Options that several verbs share, and what they name: a bundle, labelled tickets, a place for a new bundle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.home import DEFAULT_MODEL, triage_home
from models.local_store import LocalModelStore, parse_reference
from models.terminal import JsonOption, argument, log, option, progress
from training.data.columns import parse_mapping
from training.data.dataset import Dataset, read_dataset
from triage.errors import BundleNotFound

_DATA, _REGISTRY = "data", "result"
_SHOWN_ROWS = 20  # a person reads so many faults; all of them are in the message where they stop the run


@dataclass(frozen=True, kw_only=True)
class BundleOption:
    """The argument of verbs that use a bundle."""

    bundle: str = argument("folder of a bundle, or NAME@ALIAS", "BUNDLE")


@dataclass(frozen=True, kw_only=True)
class MapOption:
    """The option of verbs that read files of tickets."""

    map: list[str] = option(
        "let a column play a role (id text subject body channel opened_at language requester tier category "
        "resolver_group resolution sensitive group attributes.NAME); a column that is named like a role plays it, "
        "and ROLE= switches a role off; may be repeated",
        [],
        "ROLE=COLUMN",
        group=_DATA,
    )


@dataclass(frozen=True, kw_only=True)
class FilesOption(MapOption):
    """The argument of verbs that read several files of tickets."""

    data: list[Path] = argument("CSV, JSONL or Parquet file", "DATA")


@dataclass(frozen=True, kw_only=True)
class DataOptions(FilesOption):
    """The options of verbs that read labelled tickets, all of them."""

    skip_bad_rows: bool = option("leave unusable rows out instead of stopping", False, group=_DATA)


@dataclass(frozen=True, kw_only=True)
class SomeDataOptions(DataOptions):
    """The options of verbs that read labelled tickets if there are any."""

    data: list[Path] = argument("CSV, JSONL or Parquet file", "DATA", [])


@dataclass(frozen=True, kw_only=True)
class NameOption:
    """The option of verbs that register a model."""

    name: str = option("name of the registered model", DEFAULT_MODEL, group=_REGISTRY)


@dataclass(frozen=True, kw_only=True)
class NewBundleOptions(NameOption, JsonOption):
    """The options of verbs that make a bundle."""

    out: Path | None = option("the bundle: a folder that is absent or empty", None, "DIR", group=_REGISTRY)
    no_register: bool = option("neither track nor register it", False, group=_REGISTRY)


def read_data(options: DataOptions) -> Dataset:
    """Read the data files of a command line, and tell on stderr what was ignored or left out.

    Raises:
        InvalidDataset: With every bad row.
        InvalidRequest: If the mapping does not fit.
    """
    mapping = parse_mapping(options.map)
    with progress(None, "reading") as bar:
        dataset = read_dataset(options.data, mapping, skip_bad_rows=options.skip_bad_rows, progress=bar.update)
    log_left_out(dataset)
    return dataset


def log_left_out(dataset: Dataset) -> None:
    """Tell on stderr which columns were ignored and which rows left out."""
    if dataset.ignored_columns:
        log(f"ignored columns: {', '.join(dataset.ignored_columns)}")
    for row in dataset.bad_rows[:_SHOWN_ROWS]:
        log(f"left out: {row}")
    if len(dataset.bad_rows) > _SHOWN_ROWS:
        log(f"left out: … and {len(dataset.bad_rows) - _SHOWN_ROWS} more")


def bundle_path(reference: str) -> Path:
    """Return the folder of a bundle named by its path or by `NAME@ALIAS`.

    Raises:
        BundleNotFound: If there is no such folder or alias.
    """
    path = Path(reference).expanduser()
    if path.is_dir():
        return path
    if "@" in reference and "/" not in reference:
        name, alias = parse_reference(reference)
        return LocalModelStore.of(name).resolve(alias)
    there = "it is a file" if path.exists() else "nothing is there"
    raise BundleNotFound(f"no bundle {reference!r}: {there}; name the folder that triage train wrote, or NAME@ALIAS")


def new_bundle_path(options: NewBundleOptions) -> Path:
    """Return where a new bundle goes: in a checkout below its artefacts, else under `TRIAGE_HOME`."""
    if options.out is not None:
        return options.out
    checkout = Path("models/artefacts")
    base = checkout if (checkout / "README.md").is_file() else triage_home() / "bundles"
    stem = datetime.now().strftime("%Y%m%d-%H%M%S")
    paths = (base / (stem if not count else f"{stem}-{count}") for count in range(100))
    return next(path for path in paths if not path.exists())
