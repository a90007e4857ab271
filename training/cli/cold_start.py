"""Verbs for helpdesks without a history, and for labels without one: start, extend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle.manifest import read_manifest
from models.terminal import NEEDED, log_step, option, print_json, verb
from training.cli.evaluate import print_measured
from training.cli.options import (
    BundleOption,
    DataOptions,
    NewBundleOptions,
    SomeDataOptions,
    bundle_path,
    check_mapping,
    keep_mapping,
    log_left_out,
    new_bundle_path,
    read_data,
)
from training.cli.train import register_bundle, tracked, tracker_for
from training.cold_start import extend as extending
from training.cold_start import start as starting
from training.encoders.onnx_export import DEFAULT_ENCODER
from training.registry.tracker import Opening, Tracker
from training.stages import stage_of
from triage.policy import read_policy

_LABELS = "labels"


@dataclass(frozen=True, kw_only=True)
class StartOptions(SomeDataOptions, NewBundleOptions):
    """The options of `triage start`."""

    policy: Path | None = option(
        "policy file that describes the labels (default: the default policy)", None, "FILE", group=_LABELS
    )
    rules: Path | None = option("rule file (default: the default rules)", None, "FILE", group=_LABELS)
    encoder: str = option("sentence encoder", DEFAULT_ENCODER, "NAME|PATH")


@verb
def start(options: StartOptions) -> None:
    """Make a bundle that suggests from the policy's descriptions and the few labelled tickets there are.

    Examples:
        triage start --out day-one
        triage start few.csv --out week-one
    """
    settings = starting.StartSettings(
        out=new_bundle_path(options),
        data=tuple(options.data),
        mapping=options.roles,
        reading=options.reading,
        policy=options.policy,
        rules=options.rules,
        encoder=options.encoder,
        skip_bad_rows=options.skip_bad_rows,
    )
    check_mapping(options)
    tracker = tracker_for(options)
    with tracked(tracker, Opening(f"{options.name} start", "start", data=settings.data)) as run_id:
        started = starting.start(settings, log=log_step)
        if started.dataset is not None:
            log_left_out(started.dataset)
            keep_mapping(options, options.data)
        if started.measured["rows"] and not options.json:
            print(f"\nmeasured on {started.measured['rows']} tickets, each by a model made without it\n")
            print_measured(started.measured)
        _finish(options, run_id, tracker, started)


@dataclass(frozen=True, kw_only=True)
class ExtendOptions(BundleOption, DataOptions, NewBundleOptions):
    """The options of `triage extend`."""

    policy: Path = option("policy file with the new categories in it", NEEDED, "FILE", group=_LABELS)
    rules: Path | None = option("rule file (default: the bundle's rules)", None, "FILE", group=_LABELS)


@verb
def extend(options: ExtendOptions) -> None:
    """Give a trained bundle the categories that a new policy adds, from their descriptions and a few tickets each.

    Examples:
        triage extend my-bundle eight.csv --policy new-policy.toml --rules new-rules.toml --out my-bundle-2
    """
    path, out = bundle_path(options.bundle), new_bundle_path(options)
    tracker = tracker_for(options)
    parent = tracker.run_of(options.name, str(read_manifest(path)["digest"])) if tracker else ""
    opening = Opening(f"{options.name} extend", "extend", parent=parent, data=tuple(options.data))
    with tracked(tracker, opening) as run_id:
        dataset = read_data(options, read_policy(options.policy))
        extended = extending.extend(path, dataset, options.policy, out, rule_file=options.rules, log=log_step)
        _finish(options, run_id, tracker, extended)


def _measured_on(made: starting.Started | extending.Extended) -> str | None:
    """Say of which bundle the figures are: an extension has those of the bundle that it goes on from."""
    return "the bundle that was extended" if isinstance(made, extending.Extended) else None


def _finish(
    options: NewBundleOptions, run_id: str | None, tracker: Tracker | None, made: starting.Started | extending.Extended
) -> None:
    """Register the bundle, and print what it is, on which stage it stands and what comes next."""
    manifest: Mapping[str, Any] = made.bundle.manifest
    stage = stage_of(manifest)
    run_id, version = register_bundle(tracker, made.path, options.name, run_id)
    added = {target: facts["added"] for target, facts in manifest["targets"].items() if "added" in facts}
    if options.json:
        document = {
            "bundle": str(made.path),
            "run_id": run_id,
            "version": version,
            "stage": stage.name,
            "needs": stage.needs,
            "targets": made.measured["targets"],
            "measured_on": _measured_on(made),
        }
        print_json({**document, "added": added} if added else document)
        return
    for target, labels in added.items():
        for label, facts in labels.items():
            print(
                f"{target} {label}: {facts['tickets']} tickets; {facts['found']:.2f} of them taken for it unseen, "
                f"{facts['drawn_over']:.3f} of the past tickets as well"
            )
    print(f"\nbundle   {made.path}")
    print(f"version  {options.name} {version} (run {run_id})" if version else "version  not registered")
    print(f"stage    {stage.name}: {stage.means}")
    for need in stage.needs:
        print(f"next     {need}")
