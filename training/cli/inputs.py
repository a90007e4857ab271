"""Opening a bundle by its folder or by `NAME@ALIAS`, and reading data with the mapping of a command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from models.local_store import LocalModelStore, parse_reference
from training.data.columns import parse_mapping
from training.data.dataset import Dataset, read_dataset
from training.terminal import Parser, note, progress
from triage.errors import BundleNotFound

if TYPE_CHECKING:  # late below: every verb's --help passes through here, and encoders take a second to import
    from models.bundle.bundle import Bundle
    from models.triager import Triager


def open_triager(reference: str) -> Triager:
    """Load the bundle that a folder or `NAME@ALIAS` names.

    Raises:
        BundleError: If there is none, or it cannot be used.
    """
    from models.triager import Triager

    return Triager.load(bundle_path(reference))


def open_for_measuring(reference: str) -> tuple[Triager, Bundle]:
    """Load a bundle whose encoder remembers texts: baselines and reports ask for the same ones again.

    Raises:
        BundleError: If there is none, or it cannot be used.
    """
    from models.bundle.bundle import load_bundle
    from models.triager import Triager
    from training.encoders.cache import CachedEncoder

    bundle = load_bundle(bundle_path(reference))
    bundle.encoder = CachedEncoder(bundle.encoder)
    return Triager(bundle), bundle


def note_learned(bundle: Bundle, dataset: Dataset) -> None:
    """Say how many of the tickets a bundle has learned from, by their ids: figures on those flatter."""
    history = set(bundle.model.history.ids) - {""}
    learned = sum(row.ticket.id in history for row in dataset.rows)
    if learned:
        note(f"the bundle has learned from {learned} of these {len(dataset)} tickets: figures on them flatter")


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


def add_data_arguments(parser: Parser, *, bad_rows: bool = True, needed: bool = True) -> None:
    """Add the arguments of a verb that reads labelled tickets."""
    parser.add_argument(
        "data", nargs="+" if needed else "*", type=Path, metavar="DATA", help="CSV, JSONL or Parquet file"
    )
    parser.add_argument("--map", action="append", default=[], metavar="ROLE=COLUMN", help=MAP_HELP)
    if bad_rows:
        parser.add_argument("--skip-bad-rows", action="store_true", help="leave unusable rows out instead of stopping")


MAP_HELP = (
    "let a column play a role (id text subject body channel opened_at language requester tier category resolver_group "
    "resolution sensitive group attributes.NAME); a column named like a role takes it, ROLE= switches a role off"
)


def read_data(options: argparse.Namespace) -> Dataset:
    """Read the data files of a command line, telling what was ignored or left out.

    Raises:
        InvalidDataset: With every bad row.
        InvalidRequest: If the mapping does not fit.
    """
    with progress(None, "reading") as bar:
        dataset = read_dataset(
            options.data, parse_mapping(options.map), skip_bad_rows=options.skip_bad_rows, progress=bar.update
        )
    if dataset.ignored_columns:
        note(f"ignored columns: {', '.join(dataset.ignored_columns)}")
    for row in dataset.bad_rows[:20]:
        note(f"left out: {row}")
    if len(dataset.bad_rows) > 20:
        note(f"left out: … and {len(dataset.bad_rows) - 20} more")
    return dataset
