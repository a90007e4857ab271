"""Verbs on the registry and on the models of this machine: register, promote, rollback, pull, models."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from models.bundle.bundle import load_bundle
from models.home import DEFAULT_MODEL
from models.local_store import CHAMPION, LocalModelStore, parse_reference
from models.terminal import (
    JsonOption,
    argument,
    fraction,
    log,
    log_step,
    option,
    print_json,
    print_result,
    print_table,
    seconds,
    verb,
)
from training.cli.options import DataOptions, MapOption, NameOption, read_data
from training.data.dataset import Dataset
from training.evaluation.compare import Check
from training.registry import promote as promotion
from training.registry.comparisons import publish_comparison
from training.registry.publish import publish
from training.registry.tracker import Tracker, Version
from triage.errors import InvalidRequest, TrackingUnavailable, TriageError


@dataclass(frozen=True, kw_only=True)
class RegisterOptions(NameOption, JsonOption):
    """The options of `triage register`."""

    bundle: Path = argument("what triage train wrote", "DIR")


@verb
def register(options: RegisterOptions) -> None:
    """Track and register a bundle folder: makes up for a run whose tracking was lost.

    Examples:
        triage register my-bundle
    """
    name = LocalModelStore.of(options.name).name
    tracker = Tracker()
    load_bundle(options.bundle)  # what does not load must not become a version
    run_id, version = publish(tracker, options.bundle, name)
    document = {"bundle": str(options.bundle), "name": name, "run_id": run_id, "version": version}
    print_result(document, f"{name} version {version}, run {run_id}", as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class PromoteOptions(MapOption, JsonOption):
    """The options of `triage promote`."""

    what: list[str] = argument("the model and the version (default: the newest version)", "NAME|VERSION|DIR", [])
    name: str | None = option(f"name of the registered model (default: {DEFAULT_MODEL})", None)
    version: str | None = option("version number, or a bundle folder, which is registered first", None, "VERSION|DIR")
    alias: str = option("what it takes over", CHAMPION)
    margin: float = option("loss of accuracy that counts as none", 0.02, "M", read=fraction)
    data: list[Path] = option("compare on these tickets, of which neither has learned", [], "FILE…", group="data")
    skip_bad_rows: bool = option("leave unusable rows of --data out instead of stopping", False, group="data")
    force: bool = option("promote whatever the comparison says", False)


@verb
def promote(options: PromoteOptions) -> int:
    """Let a version take over as champion if it holds up against the present one; exit status 1 if it does not.

    They are compared on tickets that neither had seen: those set aside when the challenger was trained, which the
    champion answered there as well, or tickets given with --data.

    Examples:
        triage promote
        triage promote helpdesk-triage 7 --data later.csv
        triage promote my-bundle --force
    """
    name, wanted = _name_and_version(options)
    tracker, local_store = Tracker(), LocalModelStore.of(name)
    challenger = promotion.challenger_of(tracker, name, promotion.as_wanted(wanted))
    challenge = promotion.Challenge(
        challenger,
        options.alias,
        data=_given(options, promotion.fetch_to_store(tracker, local_store, challenger)) if options.data else None,
        margin=options.margin,
        force=options.force,
    )
    result = promotion.promote(tracker, local_store, challenge, log_step)
    keep_comparison(tracker, result, name, challenge.challenger.run_id)
    if options.json:
        print_json(
            {
                "name": name,
                "alias": options.alias,
                "version": result.version,
                "before": result.before,
                "promoted": result.promoted,
                "changed": result.promoted and result.before != result.version,
                "comparison": result.comparison.to_document() if result.comparison else None,
            }
        )
    else:
        _print_promotion(result, name, options.alias)
    return 0 if result.promoted else 1


def _given(options: PromoteOptions, challenger: Path) -> Dataset:
    """Read the tickets that were given, by the policy of the bundle that challenges where labels look like several."""
    reading = {one.name: getattr(options, one.name) for one in fields(DataOptions)}
    return read_data(DataOptions(**reading), load_bundle(challenger).policy)


def _name_and_version(options: PromoteOptions) -> tuple[str, str | None]:
    """Tell a name from a version among the arguments: a version is a number or a folder."""
    name, version = options.name, options.version
    for text in options.what:
        is_version = text.isdecimal() or Path(text).expanduser().is_dir()
        if is_version and version is None:
            version = text
        elif not is_version and name is None:
            name = text
        else:
            raise InvalidRequest(f"{text!r} is one too many: write triage promote [NAME] [VERSION|DIR]")
    return name or DEFAULT_MODEL, version


def _print_promotion(result: promotion.Promotion, name: str, alias: str) -> None:
    if result.comparison is None:
        first = f"version {result.before} was only started" if result.before else "the first one"
        was = "it already was" if result.before == result.version else f"{first}: nothing to compare with"
        print(f"{name} {alias} is version {result.version} ({was})")
        return
    print_comparison(result, alias)
    if result.promoted:
        forced = "" if result.comparison.passed else " (forced)"
        print(f"\n{name} {alias} is version {result.version} now{forced}; triage rollback goes back to {result.before}")
    else:
        print(f"\nrefused: {alias} stays version {result.before}")
        print("--data FILE compares on other tickets, --force promotes all the same")


def keep_comparison(tracker: Tracker, result: promotion.Promotion, name: str, run_id: str) -> None:
    """Keep a comparison as a run below the challenger's; where the tracker is lost meanwhile, only say so."""
    try:
        publish_comparison(tracker, result, name, run_id)
    except TrackingUnavailable as error:
        log(f"the comparison is not kept as a run: {error}")
        log("what it decided stands")


def print_comparison(result: promotion.Promotion, alias: str) -> None:
    """Print how a challenger compares with the version that has an alias, check by check."""
    comparison = result.comparison
    if comparison is None:
        return
    print(f"version {result.version} against {alias} {result.before}, on {comparison.common} tickets new to both\n")
    rows = [
        [one.what, one.champion, one.challenger, _interval(one), "ok" if one.passed else "no", one.rule]
        for one in comparison.checks
    ]
    if rows:
        print_table(["", alias, "challenger", "95 % of the difference", "", "asked"], rows)
    for note in comparison.notes:
        print(f"note: {note}")
    for obstacle in comparison.obstacles:
        print(f"no: {obstacle}")


def _interval(check: Check) -> str:
    return "–" if check.low is None else f"{check.low:+.3f} … {check.high:+.3f}"


@dataclass(frozen=True, kw_only=True)
class ModelArgument(JsonOption):
    """The argument of verbs on one model."""

    name: str = argument("name of the model", "NAME", DEFAULT_MODEL)


@dataclass(frozen=True, kw_only=True)
class RollbackOptions(ModelArgument):
    """The options of `triage rollback`."""

    alias: str = option("which alias", CHAMPION)


@verb
def rollback(options: RollbackOptions) -> None:
    """Let an alias point to the version before, on this machine at once and in the registry if it answers.

    Examples:
        triage rollback
    """
    local_store = LocalModelStore.of(options.name)
    left, version = promotion.rollback(local_store, options.alias)
    registry = _registry_follows(options, local_store, left, version)
    document = {"name": options.name, "alias": options.alias, "left": left, "version": version, "registry": registry}
    text = f"{options.name} {options.alias} is version {version} again (was {left})"
    print_result(document, text, as_json=options.json)


def _registry_follows(options: RollbackOptions, local_store: LocalModelStore, left: str, version: str) -> bool:
    try:
        followed = promotion.follow(Tracker(), local_store, options.alias, left=left, version=version)
    except TrackingUnavailable as error:
        log(f"triage rollback: {error}")
        log("this machine has gone back; the registry still says otherwise, so a pull would undo it")
        return False
    if not followed:
        log(f"{options.alias} has come to point to another version meanwhile, which stays")
    return followed


@dataclass(frozen=True, kw_only=True)
class PullOptions(JsonOption):
    """The options of `triage pull`."""

    reference: str = argument(f"such as {DEFAULT_MODEL}@{CHAMPION}", "NAME@ALIAS")
    watch: bool = option("keep looking; a registry that is away is waited for", False)
    every: float = option("seconds between looks, with --watch", 30.0, "S", read=seconds)


@verb
def pull(options: PullOptions) -> None:
    """Bring the bundle of an alias from the registry to this machine, checked; --watch keeps doing so.

    With --json, one document is printed for each change.

    Examples:
        triage pull helpdesk-triage@champion
        triage pull helpdesk-triage@champion --watch --every 60
    """
    name, alias = parse_reference(options.reference)
    found = False
    while options.watch:  # until it is interrupted; whatever goes wrong is told and tried anew later
        try:
            _pull_once(name, alias, options, quiet=found)
            found = True
        except TriageError as error:
            log(f"triage pull: {error}")
        time.sleep(options.every * random.uniform(0.8, 1.2))  # so that many machines do not ask at the same moment
    _pull_once(name, alias, options)


def _pull_once(name: str, alias: str, options: PullOptions, *, quiet: bool = False) -> None:
    version, changed = promotion.pull(Tracker(), name, alias)
    if changed or not quiet:
        document = {"name": name, "alias": alias, "version": version, "changed": changed}
        text = f"{name} {alias} is version {version}{'' if changed else ' (as before)'}"
        print_result(document, text, as_json=options.json)


@verb
def models(options: ModelArgument) -> None:
    """List the versions of a model, their aliases, and which are on this machine.

    Examples:
        triage models
        triage models helpdesk-triage --json
    """
    local_store = LocalModelStore.of(options.name)
    local = {
        version: [alias for alias, at in local_store.aliases().items() if at.version == version]
        for version in local_store.versions()
    }
    registered: Sequence[Version] = ()
    try:
        registered = Tracker().versions(options.name)
    except TrackingUnavailable as error:
        log(f"triage models: {error}")
        log("only what is on this machine is listed")
    known = {one.version: one for one in registered}
    lines = [_line(version, known.get(version), local) for version in sorted({*known, *local}, key=_by_number)]
    if options.json:
        print_json({"name": options.name, "versions": lines})
    elif not lines:
        print(f"{options.name} has no versions yet: triage train makes one")
    else:
        keys = ("version", "aliases", "on_this_machine", "registered", "digest", "run_id")
        aliases = _told_apart(known, local)
        rows = [[_cell({**line, "aliases": aliases[str(line["version"])]}[key]) for key in keys] for line in lines]
        print_table(["version", "aliases", "on this machine", "registered", "digest", "run"], rows)


def _told_apart(known: Mapping[str, Version], local: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the aliases of each version, and where one is on two versions, which of them this machine serves."""
    here = {alias: version for version, aliases in local.items() for alias in aliases}
    there = {alias: version for version, one in known.items() for alias in one.aliases}
    found: dict[str, list[str]] = {version: [] for version in {*known, *local}}
    for alias in sorted({*here, *there}):
        if alias in here and alias in there and here[alias] != there[alias]:
            found[here[alias]].append(f"{alias} (on this machine)")
            found[there[alias]].append(f"{alias} (in the registry)")
        else:
            found[here.get(alias) or there[alias]].append(alias)
    return found


def _line(version: str, known: Version | None, local: Mapping[str, Sequence[str]]) -> dict[str, object]:
    made = datetime.fromtimestamp(known.created / 1000, UTC).isoformat(timespec="seconds") if known else None
    return {
        "version": version,
        "aliases": sorted({*(known.aliases if known else ()), *local.get(version, ())}),
        "local_aliases": list(local.get(version, ())),
        "registry_aliases": list(known.aliases) if known else [],
        "on_this_machine": version in local,
        "registered": made,
        "digest": known.digest[:12] if known else None,
        "run_id": known.run_id if known else None,
    }


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value or "–")


def _by_number(version: str) -> tuple[bool, int, str]:
    return (not version.isdecimal(), -int(version) if version.isdecimal() else 0, version)
