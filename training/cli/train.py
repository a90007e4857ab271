"""Verbs that learn and measure: train, evaluate, report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.cli.inputs import add_data_arguments, bundle_path, note_learned, open_for_measuring, read_data
from training.cli.tables import show_measured
from training.cli.train_options import settings_of, train_parser
from training.reports.atomic_write import check_page, write_page
from training.terminal import Parser, note, print_json, progress, say


def train(arguments: list[str]) -> int:
    """Learn a bundle from the desk's history, measure it, track and register it."""
    options = train_parser().parse_args(arguments)
    from models.local_store import LocalModelStore
    from training.pipeline import train as run  # after the parser: --help and wrong arguments answer at once
    from training.registry.tracker import Tracker

    settings = settings_of(options)
    LocalModelStore.of(options.name)
    tracker = None if options.no_register else Tracker()
    trained = run(settings, log=lambda text: note(f"· {text}"))
    for row in trained.dataset.bad_rows:
        note(f"left out: {row}")
    if trained.dataset.ignored_columns:
        note(f"ignored columns: {', '.join(trained.dataset.ignored_columns)}")
    run_id, version = published(tracker, trained.path, options.name, "train")
    document = {
        "bundle": str(trained.path),
        "run_id": run_id,
        "version": version,
        "targets": trained.measured["targets"],
    }
    if "adaptation" in trained.bundle.manifest:
        document["adaptation"] = trained.bundle.manifest["adaptation"]
    if options.json:
        print_json(document)
        return 0
    say(f"\nmeasured on {trained.measured['rows']} tickets that the model had not seen\n")
    show_measured(trained.measured)
    say(f"\nbundle   {trained.path}")
    say(f"version  {options.name} {version} (run {run_id})" if version else "version  not registered")
    return 0


def published(tracker: Any, path: Path, name: str, verb: str) -> tuple[str | None, str | None]:
    """Track and register a bundle; where tracking is lost on the way the bundle is kept, and it is told what to do."""
    from training.registry.publish import publish
    from triage.errors import TrackingUnavailable

    if tracker is None:
        return None, None
    note("· logging the run and registering the version")
    try:
        return publish(tracker, path, name)
    except TrackingUnavailable as error:
        note(f"triage {verb}: {error}")
        note(f"the bundle is kept in {path}; triage register {path} makes up for it")
        return None, None


def evaluate(arguments: list[str]) -> int:
    """Replay labelled tickets through a bundle and measure it, with baselines beside it."""
    from models.bundle.baselines import baselines_of
    from training.data.labels import in_words_of
    from training.evaluation.evaluate import evaluate as measure

    parser = Parser(prog="triage evaluate", description=evaluate.__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a bundle, or NAME@ALIAS")
    add_data_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    bundle_path(options.bundle)
    dataset = read_data(options)
    triager, bundle = open_for_measuring(options.bundle)
    note_learned(bundle, dataset)
    with progress(len(dataset), "deciding") as bar:
        measured = measure(
            triager, in_words_of(triager.policy, dataset), baselines=baselines_of(bundle), progress=bar.update
        )
    if options.json:
        print_json(measured)
    else:
        say(f"{measured['rows']} tickets\n")
        show_measured(measured)
    return 0


def report(arguments: list[str]) -> int:
    """Write one HTML page on how good a bundle is: on the part set aside in training, or on labelled tickets."""
    parser = Parser(prog="triage report", description=report.__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a bundle, or NAME@ALIAS")
    add_data_arguments(parser, needed=False)
    parser.add_argument("--out", type=Path, metavar="FILE", help="page to write (default BUNDLE-report.html)")
    parser.add_argument(
        "--full", action="store_true", help="learning curve and ablation too; DATA are the training files"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the path")
    options = parser.parse_args(arguments)
    path = bundle_path(options.bundle)
    out = options.out or Path(f"{path.resolve().name}-report.html")
    check_page(out)
    measured = _reported(options, path, out)
    if options.json:
        print_json({"bundle": str(path), "report": str(out), "card": str(out.with_suffix(".md")), **measured})
    else:
        say(f"report      {out}\nmodel card  {out.with_suffix('.md')}")
    return 0


def _reported(options: argparse.Namespace, path: Path, out: Path) -> Mapping[str, Any]:
    from models.bundle.manifest import read_manifest
    from training.registry.publish import read_record
    from training.reports.model_card import model_card
    from training.reports.report import report as page
    from training.stages import FULL, stage_of
    from triage.errors import InvalidRequest

    if options.full and not options.data:
        raise InvalidRequest("--full trains again: name the files that the bundle was trained on")
    manifest, record, extras, on = read_manifest(path), None, None, ""
    if options.full and stage_of(manifest).name != FULL:
        raise InvalidRequest(
            f"--full trains again as triage train does: this bundle stands on {stage_of(manifest).name}"
        )
    if options.full:
        record, extras = read_record(path), _extras(options, manifest)
    elif options.data:
        record, on = _replayed(options), ", ".join(file.name for file in options.data)
    record = record or read_record(path)
    write_page(out, page(manifest, record, on=on, extras=extras))
    write_page(out.with_suffix(".md"), model_card(manifest, record))
    return record.measured


def _replayed(options: argparse.Namespace) -> Any:
    from models.bundle.baselines import baselines_of
    from training.data.labels import in_words_of
    from training.evaluation.evaluate import measure
    from training.evaluation.predictions import ask, record_of

    dataset = read_data(options)
    triager, bundle = open_for_measuring(options.bundle)
    note_learned(bundle, dataset)
    rows = [row for row in in_words_of(triager.policy, dataset) if row.weight > 0]
    bundle.encoder.encode([row.ticket.text for row in rows])  # remembered: deciding then shows one bar, not many
    with progress(len(rows), "deciding") as bar:
        answers = ask(triager, rows, bar.update)
    return record_of(triager, answers, measure(triager, answers, baselines_of(bundle)))


def _extras(options: argparse.Namespace, manifest: Mapping[str, Any]) -> Any:
    from training.data.labels import resolve_labels
    from training.data.split import split
    from training.diagnostics.ablation import ablation_of
    from triage.errors import InvalidRequest

    dataset = read_data(options)
    if dataset.digest != manifest["data"]["digest"]:
        raise InvalidRequest(
            f"--full needs the files that the bundle was trained on: the digest of these is {dataset.digest[:12]}, "
            f"not {manifest['data']['digest'][:12]}; name them with the same --map"
        )
    if manifest.get("adaptation", {}).get("kept"):
        note("the encoder was adapted to most of these tickets: what each part adds comes out too favourable for it")
    _, bundle = open_for_measuring(options.bundle)
    dataset = resolve_labels(dataset, bundle.policy, skip_bad_rows=options.skip_bad_rows)
    seed = int(manifest["settings"]["seed"])
    return ablation_of(bundle, dataset, split(dataset, seed), seed, lambda text: note(f"· {text}"))
