"""`triage report`: one HTML page on how good a bundle is, and its model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.atomic_write import write_text
from models.bundle.baselines import baselines_of
from models.bundle.manifest import read_manifest
from models.terminal import JsonOption, log, log_step, option, print_result, progress, verb
from training.cli.evaluate import open_for_measuring, warn_of_training_tickets
from training.cli.options import BundleOption, SomeDataOptions, bundle_path, read_data
from training.data.dataset import Dataset, limited
from training.data.labels import in_words_of, resolve_labels
from training.data.split import split
from training.diagnostics.ablation import Extras, ablation_of
from training.evaluation.evaluate import measure
from training.evaluation.predictions import ask, record_of
from training.evaluation.record import Record, read_record
from training.reports import report as pages
from training.reports.model_card import model_card
from training.reports.page_file import check_page
from training.stages import FULL, stage_of
from triage.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True)
class ReportOptions(BundleOption, SomeDataOptions, JsonOption):
    """The options of `triage report`."""

    out: Path | None = option("page to write (default: BUNDLE-report.html)", None, "FILE")
    full: bool = option("add a learning curve and an ablation; DATA are the training files", False)


@verb
def report(options: ReportOptions) -> None:
    """Write one HTML page on how good a bundle is: on the part set aside in training, or on labelled tickets.

    The model card is written beside it, under the same name with the ending .md.

    Examples:
        triage report my-bundle
        triage report my-bundle later.csv --out later.html
        triage report my-bundle export.csv --full
    """
    path = bundle_path(options.bundle)
    out = options.out or Path(f"{path.resolve().name}-report.html")
    check_page(out)
    manifest = read_manifest(path)
    source, warning, extras = "", "", None
    if options.data and not options.full:
        source = ", ".join(file.name for file in options.data)
        record, warning = _replayed(options, path)
    else:
        extras = _extras(options, path, manifest) if options.full else None
        record = read_record(path)
    card = out.with_suffix(".md")
    write_text(out, pages.report(manifest, record, on=source, warning=warning, extras=extras))
    write_text(card, model_card(manifest, record, on=source, warning=warning))
    document = {"bundle": str(path), "report": str(out), "card": str(card), **record.measured}
    print_result(document, f"report      {out}\nmodel card  {card}", as_json=options.json)


def _replayed(options: ReportOptions, path: Path) -> tuple[Record, str]:
    """Measure the bundle on the tickets of the command line, and return what has to be known of them."""
    triager, bundle = open_for_measuring(path)
    dataset = read_data(options, bundle.policy)
    warning = warn_of_training_tickets(path, bundle, dataset)
    rows = [row for row in in_words_of(triager.policy, dataset) if row.weight > 0]
    bundle.encoder.encode([row.ticket.text for row in rows])  # remembered: deciding then shows one bar, not many
    with progress(len(rows), "deciding") as bar:
        predictions = ask(triager, rows, bar.update)
    return record_of(triager, predictions, measure(triager, predictions, baselines_of(bundle))), warning


def _extras(options: ReportOptions, path: Path, manifest: Mapping[str, Any]) -> Extras:
    """Train again on growing parts and without each member of the ensemble in turn."""
    if not options.data:
        raise InvalidRequest("--full trains again: name the files that the bundle was trained on")
    if stage_of(manifest).name != FULL:
        raise InvalidRequest(
            f"--full trains again as triage train does: this bundle stands on {stage_of(manifest).name}"
        )
    read_record(path)  # a bundle that cannot be reported on is refused before the work
    _, bundle = open_for_measuring(path)
    newest = manifest["settings"].get("newest")
    dataset = read_data(options, bundle.policy, newest=newest)
    if dataset.digest != manifest["data"]["digest"]:
        raise InvalidRequest(_not_the_files(dataset, manifest["data"]))
    dataset = dataset if newest is None else limited(dataset, newest)
    if manifest.get("adaptation", {}).get("kept"):
        log("the encoder was fine-tuned on most of these tickets: what each part adds comes out too favourable for it")
    dataset = resolve_labels(dataset, bundle.policy, skip_bad_rows=options.skip_bad_rows)
    seed = int(manifest["settings"]["seed"])
    return ablation_of(bundle, dataset, split(dataset, seed), seed, log=log_step)


def _not_the_files(dataset: Dataset, trained_on: Mapping[str, Any]) -> str:
    """Say why what was read is not what a bundle was trained on."""
    digests = f"the digest of these is {dataset.digest[:12]}, not {trained_on['digest'][:12]}"
    if trained_on.get("from_files", True):
        return (
            f"--full needs the files that the bundle was trained on: {digests}; name them with the same options, such "
            "as --map"
        )
    return (
        f"--full needs the tickets that the bundle was trained on: {digests}; triage retrain gathered them from files "
        "and from what people said in the service, which cannot be given again; report on it without --full"
    )
