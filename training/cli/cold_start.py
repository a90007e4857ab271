"""Verbs for desks without a history, and for labels without one: start, extend."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.cli.inputs import add_data_arguments, bundle_path
from training.cli.tables import show_measured
from training.cli.train import published
from training.cli.train_options import free_place
from training.terminal import Parser, note, print_json, say


def start(arguments: list[str]) -> int:
    """Make a bundle that suggests from the policy's descriptions and the few labelled tickets there are."""
    parser = Parser(prog="triage start", description=start.__doc__)
    add_data_arguments(parser, needed=False)
    _add_policy(parser, "policy file that describes the labels (default: the default policy)")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="rule file (default: the default rules)")
    from training.encoders.onnx_export import DEFAULT_ENCODER

    parser.add_argument(
        "--encoder", default=DEFAULT_ENCODER, metavar="NAME|PATH", help="sentence encoder (default %(default)s)"
    )
    _add_output(parser)
    options = parser.parse_args(arguments)
    from models.local_store import LocalModelStore
    from training.cold_start.start import StartSettings
    from training.cold_start.start import start as run
    from training.data.columns import parse_mapping

    settings = StartSettings(
        out=options.out or free_place(),
        data=tuple(options.data),
        mapping=parse_mapping(options.map),
        policy=options.policy,
        rules=options.rules,
        encoder=options.encoder,
        skip_bad_rows=options.skip_bad_rows,
    )
    LocalModelStore.of(options.name)
    tracker = _tracker(options)
    started = run(settings, log=_step)
    if started.dataset is not None:
        for row in started.dataset.bad_rows:
            note(f"left out: {row}")
    _tell(options, tracker, "start", started.path, started.bundle.manifest, started.measured)
    return 0


def extend(arguments: list[str]) -> int:
    """Give a trained bundle the categories that a new policy adds, from their descriptions and a few tickets each."""
    parser = Parser(prog="triage extend", description=extend.__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a bundle, or NAME@ALIAS")
    add_data_arguments(parser)
    _add_policy(parser, "policy file with the new categories in it", required=True)
    parser.add_argument("--rules", type=Path, metavar="FILE", help="rule file (default: the bundle's rules)")
    _add_output(parser)
    options = parser.parse_args(arguments)
    from models.local_store import LocalModelStore
    from training.cli.inputs import read_data
    from training.cold_start.extend import extend as run

    path, out = bundle_path(options.bundle), options.out or free_place()
    LocalModelStore.of(options.name)
    tracker = _tracker(options)
    extended = run(path, read_data(options), options.policy, out, rule_file=options.rules, log=_step)
    _tell(options, tracker, "extend", extended.path, extended.bundle.manifest, extended.measured)
    return 0


def _step(text: str) -> None:
    note(f"· {text}")


def _add_policy(parser: Parser, told: str, *, required: bool = False) -> None:
    parser.add_argument("--policy", type=Path, metavar="FILE", required=required, help=told)


def _add_output(parser: Parser) -> None:
    from models.home import DEFAULT_MODEL

    parser.add_argument("--out", type=Path, metavar="DIR", help="the bundle: a folder that is absent or empty")
    parser.add_argument("--no-register", action="store_true", help="neither track nor register")
    parser.add_argument("--name", default=DEFAULT_MODEL, help="name of the registered model (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _tracker(options: argparse.Namespace) -> Any:
    from training.registry.tracker import Tracker

    return None if options.no_register else Tracker()


def _tell(
    options: argparse.Namespace,
    tracker: Any,
    verb: str,
    path: Path,
    manifest: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> None:
    """Register the bundle, and print what it is, where it stands and what comes next."""
    from training.stages import stage_of

    stage = stage_of(manifest)
    run_id, version = published(tracker, path, options.name, verb)
    added = {target: facts["added"] for target, facts in manifest["targets"].items() if "added" in facts}
    if options.json:
        document = {"bundle": str(path), "run_id": run_id, "version": version, "rung": stage.name, "needs": stage.needs}
        print_json({**document, "targets": measured["targets"], **({"added": added} if added else {})})
        return
    if verb == "start" and measured["rows"]:
        say(f"\nmeasured on {measured['rows']} tickets, each by a model made without it\n")
        show_measured(measured)
    for target, labels in added.items():
        for label, facts in labels.items():
            say(
                f"{target} {label}: {facts['tickets']} tickets; {facts['found']:.2f} of them taken for it unseen, "
                f"{facts['drawn_over']:.3f} of the past tickets as well"
            )
    say(f"\nbundle   {path}")
    say(f"version  {options.name} {version} (run {run_id})" if version else "version  not registered")
    say(f"rung     {stage.name}: {stage.means}")
    for need in stage.needs:
        say(f"next     {need}")
