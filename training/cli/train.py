"""`triage train`, and the registration of a bundle that a verb has made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.local_store import CHAMPION, LocalModelStore
from models.terminal import log, log_step, number, option, print_json, seed, share, verb
from training import pipeline
from training.cli.evaluate import print_measured
from training.cli.options import (
    DataOptions,
    NewBundleOptions,
    check_mapping,
    keep_mapping,
    log_left_out,
    new_bundle_path,
)
from training.encoders.onnx_export import DEFAULT_ENCODER
from training.encoders.schedule import TrainingBudget
from training.engines.engine import EngineOptions, training_engine
from training.gate.served import gate_changes
from training.registry import promote as promotion
from training.registry import publish
from training.registry.tracker import Opening, Tracker
from training.task import LEARN, MOST_TICKETS, Trained, TrainSettings
from triage.errors import BundleError, InvalidRequest, TrackingUnavailable

_LABELS, _ENCODER, _PROMISE = "labels", "encoder", "promised error rate"


def _minutes(text: str) -> float:
    return number(text, float, lambda value: 0 < value < 10_000, "a positive number")


def _steps(text: str) -> int:
    return number(text, int, lambda value: 0 < value < 10_000_000, "a positive whole number")


def _rows(text: str) -> int:
    return number(text, int, lambda value: 100 <= value < 10**9, "a whole number from 100 to 999999999")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataOptions, NewBundleOptions, EngineOptions):
    """The options of `triage train`."""

    policy: str | None = option(
        "policy file, or 'learn' to take the labels as they are (default: the default policy; where only groups are "
        "known, see triage policy learn)",
        None,
        "FILE|learn",
        group=_LABELS,
    )
    rules: Path | None = option(
        "rule file (default: the default rules; none with --policy learn)", None, "FILE", group=_LABELS
    )
    tier_order: str | None = option("tiers from lowest to highest, for a learned policy", None, "A,B,…", group=_LABELS)
    encoder: str = option("sentence encoder", DEFAULT_ENCODER, "NAME|PATH", group=_ENCODER)
    adapt: bool = option(
        "fine-tune the encoder on these labels; the result is kept only where it proves better", False, group=_ENCODER
    )
    adapt_minutes: float | None = option(
        "time for the epochs of --adapt (default: 20)", None, "N", read=_minutes, group=_ENCODER
    )
    adapt_steps: int | None = option(
        "steps of --adapt, whatever the clock says: repeatable", None, "N", read=_steps, group=_ENCODER
    )
    target_risk: float = option("highest error rate among automatic decisions", 0.05, "R", read=share, group=_PROMISE)
    confidence: float = option("probability that this rate holds", 0.95, "P", read=share, group=_PROMISE)
    per_class: bool = option(
        "keep the rate within each label: a threshold of its own where a label alone can be certified",
        False,
        group=_PROMISE,
    )
    no_cascade: bool = option(
        "put every ticket to both encoders: learn no first stage, and no prefilter of screening", False, group=_ENCODER
    )
    newest: int = option(
        "learn from so many tickets at most, the newest", MOST_TICKETS, "N", read=_rows,
        group=_LABELS,
    )  # fmt: skip
    seed: int = option("seed of everything that is drawn", 0, "N", read=seed)


@verb
def train(options: TrainOptions) -> None:
    """Train a bundle on a history of tickets, measure it, track and register it.

    Examples:
        triage train export.csv --map id=Number --map subject="Short description" --map body=Description
        triage train tickets.jsonl --policy learn --out my-bundle --no-register
        triage train tickets.jsonl --map group=organisation --target-risk 0.02 --json
        triage train tickets.jsonl --engine ray --address auto
    """
    settings = _settings_of(options)
    check_mapping(options)
    tracker = tracker_for(options)
    settings = replace(settings, champion=champion_path(tracker, options.name))
    opening = Opening(f"{options.name} train", "train", data=settings.data)
    with tracked(tracker, opening) as run_id:
        with training_engine(options):
            trained = pipeline.train(settings, log=log_step)
        log_left_out(trained.dataset)
        keep_mapping(options, options.data)
        run_id, version = register_bundle(tracker, trained.path, options.name, run_id)
    if options.json:
        print_json(_document(trained, run_id, version))
    else:
        _print(trained)
        print(f"version  {options.name} {version} (run {run_id})" if version else "version  not registered")
    for change in gate_changes(trained.bundle.manifest):
        log(change)


def _document(trained: Trained, run_id: str | None, version: str | None) -> dict[str, Any]:
    manifest = trained.bundle.manifest
    targets = trained.measured["targets"]
    document = {"bundle": str(trained.path), "run_id": run_id, "version": version, "targets": targets}
    stages, prefilter = (manifest["cascade"][name] for name in ("stages", "prefilter"))
    served = (manifest["cascade"]["refitted"] or {}).get("share")
    took = dict(trained.milliseconds)
    cascade = None if stages is None else {**stages, "milliseconds": took, "share_of_bundle": served}
    further = {"adaptation": manifest.get("adaptation"), "cascade": cascade, "prefilter": prefilter}
    return document | {name: value for name, value in further.items() if value is not None}


def _print(trained: Trained) -> None:
    """Print for people what was measured, and where the bundle lies."""
    cascade = trained.bundle.manifest["cascade"]
    stages, prefilter = cascade["stages"], cascade["prefilter"]
    print(f"\nmeasured on {trained.measured['rows']} tickets that the model had not seen\n")
    print_measured(trained.measured)
    if stages is not None:
        print(_by_stage(stages, trained.milliseconds))
    if prefilter is not None:
        print(f"screening finds {prefilter['share']:.3f} of the tickets ordinary without asking its classifier")
    print(f"\nbundle   {trained.path}")


def _by_stage(stages: Mapping[str, Any], milliseconds: Mapping[str, float | None]) -> str:
    """Say in words what the first stage answers, how well, and what a ticket costs."""
    lines = [f"\nthe first stage that was measured answers {stages['share']:.3f} of the tickets without the encoder"]
    for target, figures in stages["targets"].items():
        first, accuracy = figures["of_first_stage"], figures["accuracy"]
        if first["first"] is not None:
            lines.append(
                f"  {target}: right on {first['first']:.3f} of these, the full model on {first['full']:.3f}; over all "
                f"{accuracy['cascade']:.3f} for {accuracy['full']:.3f}"
            )
    spent = ", ".join(f"{name.replace('_', ' ')} {ms:.1f} ms" for name, ms in milliseconds.items() if ms is not None)
    return "\n".join([*lines, f"  processor time of a prediction: {spent}"])


def _settings_of(options: TrainOptions) -> TrainSettings:
    return TrainSettings(
        data=tuple(options.data),
        out=new_bundle_path(options),
        mapping=options.roles,
        reading=options.reading,
        policy=options.policy if options.policy in (None, LEARN) else Path(options.policy),
        rules=options.rules,
        tier_order=_tier_order(options),
        encoder=options.encoder,
        target_risk=options.target_risk,
        confidence=options.confidence,
        per_class=options.per_class,
        seed=options.seed,
        skip_bad_rows=options.skip_bad_rows,
        adapt=_budget(options),
        cascade=not options.no_cascade,
        newest=options.newest,
    )


def _budget(options: TrainOptions) -> TrainingBudget | None:
    if options.adapt:
        return TrainingBudget(minutes=options.adapt_minutes or 20.0, steps=options.adapt_steps)
    if options.adapt_minutes is not None or options.adapt_steps is not None:
        raise InvalidRequest("--adapt-minutes and --adapt-steps say how much --adapt does: give --adapt as well")
    return None


def _tier_order(options: TrainOptions) -> tuple[str, ...]:
    if options.tier_order is None:
        return ()
    if options.policy != LEARN:
        raise InvalidRequest("--tier-order is for --policy learn: another policy states the order of its tiers itself")
    return tuple(name.strip() for name in options.tier_order.split(",") if name.strip())


def tracker_for(options: NewBundleOptions) -> Tracker | None:
    """Return the tracker of a verb that makes a bundle, before the work starts; None where nothing is tracked.

    Raises:
        InvalidRequest: If no model can have the name.
        TrackingUnavailable: If the tracker does not answer.
    """
    LocalModelStore.of(options.name)
    return None if options.no_register else Tracker()


def champion_path(tracker: Tracker | None, name: str) -> Path | None:
    """Return the folder of the version that serves, fetched where only the registry has it; None where none does."""
    local_store = LocalModelStore.of(name)
    try:
        if tracker is not None:
            version = promotion.present(tracker, local_store)
            return local_store.path(version) if version is not None else None
        return local_store.resolve(CHAMPION) if local_store.history(CHAMPION) else None
    except BundleError as error:  # what is wrong with the present version is no reason to go without a new one
        log(f"the champion is not asked: {error}")
        return None


@contextmanager
def tracked(tracker: Tracker | None, opening: Opening) -> Iterator[str | None]:
    """Keep a run open while a bundle is made, and yield its id; None where nothing is tracked.

    Where the tracker is lost before the end, the work goes on: `register_bundle` says what to do.
    """
    if tracker is None:
        yield None
        return
    made = False
    try:
        with tracker.running(opening) as run_id:
            yield run_id
            made = True
    except TrackingUnavailable as error:
        if not made:
            raise
        log(f"triage {opening.verb}: {error}")


def register_bundle(
    tracker: Tracker | None, path: Path, name: str, run_id: str | None
) -> tuple[str | None, str | None]:
    """Track and register a bundle under its open run.

    Where tracking is lost on the way, the bundle is kept, and stderr says what to do.

    Returns:
        The run's id and the version; None for both where nothing was registered.
    """
    if tracker is None:
        return None, None
    log_step("logging the run and registering the version")
    try:
        return publish.publish(tracker, path, name, run_id)
    except TrackingUnavailable as error:
        log(str(error))
        log(f"the bundle is kept in {path}; triage register {path} makes up for it")
        return None, None
