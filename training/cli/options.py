"""Options that several verbs share, and what they name: a bundle, labelled tickets, a place for a new bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from models.atomic_write import check_writable
from models.home import DEFAULT_MODEL, triage_home
from models.local_store import LocalModelStore, parse_reference
from models.terminal import JsonOption, argument, log, option, progress
from training.data.columns import LABEL_SOURCE, parse_mapping, parse_targets
from training.data.dataset import Dataset, read_dataset, targets_in
from training.data.dates import ORDERS
from training.data.labelling.several import WAYS
from training.data.labels import listed_labels
from training.data.presets.guess import named_preset
from training.data.presets.known_columns import presets
from training.data.presets.mapping_file import SAVE_MAPPING, read_mapping, save_mapping, with_command_line
from training.data.presets.roles import target_of_role
from training.data.reading import ReadOptions, check_choice, open_files
from triage.errors import BundleNotFound, InvalidDataset, InvalidRequest, grouped
from triage.policy import Policy
from triage.prediction import name_problem

_DATA, _REGISTRY = "data", "result"
_SHOWN_FAULTS = 20  # a person reads so many; all of them are in the message where they stop the run
WITHOUT_CASCADE = "put every ticket to both encoders: the bundle's first stage and prefilter are not asked"
_FILE = "CSV, JSON, XML, XLSX or Parquet file, packed as .gz or .zip or not"


@dataclass(frozen=True, kw_only=True)
class BundleOption:
    """The argument of verbs that use a bundle."""

    bundle: str = argument("folder of a bundle, or NAME@ALIAS", "BUNDLE")


@dataclass(frozen=True, kw_only=True)
class MapOption:
    """The options of verbs that read files of tickets."""

    map: list[str] = option(
        "let a column play a role (id text subject body channel opened_at language requester tier category "
        "resolver_group resolution sensitive group attributes.NAME, category.2 for a deeper level); a column that is "
        "named like a role plays it, "
        "and ROLE= switches a role off; may be repeated",
        [],
        "ROLE=COLUMN",
        group=_DATA,
    )
    target: list[str] = option(
        "let a column hold the labels of a target beside tier and category, such as resolver_group or priority: it is "
        "learned, gated and reported as they are; may be repeated",
        [],
        "NAME=COLUMN",
        group=_DATA,
    )
    preset: str | None = option(
        f"whose export it is: {' '.join(presets())} (default: told from the columns)",
        None,
        "PRESET",
        names=("--from",),
        group=_DATA,
    )
    mapping: Path | None = option("read as a file says that --save-mapping wrote", None, "FILE", group=_DATA)
    save_mapping: Path | None = option("write how the files were read, for next time", None, "FILE", group=_DATA)
    encoding: str | None = option("what text is encoded in (default: detected)", None, "NAME", group=_DATA)
    date_order: str | None = option("dmy or mdy, where dates do not tell day from month", None, "dmy|mdy", group=_DATA)
    multi: str | None = option(
        "several labels in a cell: take the first, drop them, split them into a row each, or keep the cell as it is",
        None,
        "|".join(WAYS),
        group=_DATA,
    )
    keep_placeholders: bool = option("labels such as 'Unassigned' or '-' are labels all the same", False, group=_DATA)

    @property
    def roles(self) -> dict[str, str | None]:
        """What `--map` and `--target` say, checked."""
        roles = parse_targets(self.target, parse_mapping(self.map))
        targets = [target for role, column in roles.items() if column and (target := target_of_role(role))]
        for target in targets:
            problem = name_problem(target, targets)
            if problem is not None:
                raise InvalidRequest(f"{target!r} cannot be a target: {problem}; choose another name")
        return roles

    @property
    def reading(self) -> ReadOptions:
        """How the files are to be read, by these options and by the mapping file."""
        stated = ReadOptions(
            preset=named_preset(self.preset).name if self.preset is not None else None,
            encoding=self.encoding,
            date_order=check_choice("--date-order", self.date_order, ORDERS),
            multi=check_choice("--multi", self.multi, WAYS),
            keep_placeholders=self.keep_placeholders,
        )
        return with_command_line(read_mapping(self.mapping) if self.mapping is not None else None, stated)


@dataclass(frozen=True, kw_only=True)
class FilesOption(MapOption):
    """The argument of verbs that read several files of tickets."""

    data: list[Path] = argument(_FILE, "DATA")


@dataclass(frozen=True, kw_only=True)
class DataOptions(FilesOption):
    """The options of verbs that read labelled tickets, all of them."""

    skip_bad_rows: bool = option("leave unusable rows out instead of stopping", False, group=_DATA)


@dataclass(frozen=True, kw_only=True)
class SomeDataOptions(DataOptions):
    """The options of verbs that read labelled tickets if there are any."""

    data: list[Path] = argument(_FILE, "DATA", [])


@dataclass(frozen=True, kw_only=True)
class NameOption:
    """The option of verbs that register a model."""

    name: str = option("name of the registered model", DEFAULT_MODEL, group=_REGISTRY)


@dataclass(frozen=True, kw_only=True)
class NewBundleOptions(NameOption, JsonOption):
    """The options of verbs that make a bundle."""

    out: Path | None = option("the bundle: a folder that is absent or empty", None, "DIR", group=_REGISTRY)
    no_register: bool = option("neither track nor register it", False, group=_REGISTRY)


def read_data(options: DataOptions, *policies: Policy, newest: int | None = None) -> Dataset:
    """Read the data files of a command line, and tell on stderr what was ignored or left out.

    Args:
        options: The files, and how they are to be read.
        policies: What they list is a label as it stands, though it looks like several.
        newest: Rows of each file that are kept at most, the newest ones; None keeps all.

    Raises:
        InvalidDataset: With every bad row.
        InvalidRequest: If the mapping does not fit.
    """
    check_mapping(options)
    with progress(None, "reading") as bar:
        dataset = read_dataset(
            options.data,
            options.roles,
            options=replace(options.reading, known=listed_labels(*policies)),
            skip_bad_rows=options.skip_bad_rows,
            newest=newest,
            progress=bar.update,
        )
    log_left_out(dataset)
    keep_mapping(options, options.data)
    return dataset


def read_data_of_people(options: DataOptions, *policies: Policy) -> Dataset:
    """Read the data files of a command line, those rows left out whose labels came from a machine alone.

    What a machine said of a ticket is no answer to measure rules, policies or models by, and none to learn from.

    Args:
        options: The files, and how they are to be read.
        policies: As for `read_data`.

    Raises:
        InvalidDataset: With every bad row, or if a machine labelled all of them.
        InvalidRequest: If the mapping does not fit.
    """
    dataset = read_data(options, *policies)
    rows = [row for row in dataset.rows if row.weight > 0]
    if not rows:
        raise InvalidDataset(
            f"all {len(dataset)} tickets were labelled by a machine, as their {LABEL_SOURCE} says: nothing can be "
            "measured on them; give tickets that people labelled"
        )
    if len(rows) < len(dataset):
        log(f"left out: {len(dataset) - len(rows)} of {len(dataset)} tickets that only a machine labelled")
    return replace(dataset, rows=rows, targets=targets_in(rows))


def check_mapping(options: MapOption) -> None:
    """Make sure that `--save-mapping` can be obeyed, before the work begins.

    Raises:
        InvalidRequest: If the file cannot be written.
    """
    if options.save_mapping is not None:
        check_writable(options.save_mapping, SAVE_MAPPING)


def keep_mapping(options: MapOption, files: Sequence[Path], *, need_dates: bool = True) -> None:
    """Write how the files were read, where `--save-mapping` asks for it.

    Raises:
        InvalidRequest: If the file cannot be written.
    """
    if options.save_mapping is not None:
        reading = replace(options.reading, need_dates=need_dates)
        save_mapping(options.save_mapping, open_files(files, options.roles, reading), reading)
        log(f"{options.save_mapping} says how these files were read; read the next ones with --mapping")


def log_left_out(dataset: Dataset) -> None:
    """Tell on stderr how the files were read, which columns were ignored and which rows left out."""
    for finding in dataset.findings:
        log(f"{finding.what}{f'; {finding.do}' if finding.do else ''}")
    if dataset.ignored_columns:
        log(f"ignored columns: {', '.join(dataset.ignored_columns)}")
    faults = grouped(dataset.bad_rows)
    for line in faults[:_SHOWN_FAULTS]:
        log(f"left out: {line}")
    if len(faults) > _SHOWN_FAULTS:
        log(f"left out: … and {len(faults) - _SHOWN_FAULTS} more faults")


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
