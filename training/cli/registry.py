"""Verbs on the registry and the shelf: register, promote, rollback, pull, models."""

from __future__ import annotations

import argparse
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.home import DEFAULT_MODEL
from models.local_store import CHAMPION, LocalModelStore, parse_reference
from training.cli.inputs import MAP_HELP
from training.terminal import Parser, fraction, note, print_json, say, seconds, table


def register(arguments: list[str]) -> int:
    """Track and register a bundle folder: makes up for a run whose tracking was lost."""
    from models.bundle.bundle import load_bundle
    from training.registry.publish import publish
    from training.registry.tracker import Tracker

    parser = Parser(prog="triage register", description=register.__doc__)
    parser.add_argument("bundle", type=Path, metavar="DIR", help="what triage train wrote")
    parser.add_argument("--name", default=DEFAULT_MODEL, help="name of the registered model (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    name = LocalModelStore.of(options.name).name
    tracker = Tracker()
    load_bundle(options.bundle)  # what does not load must not become a version
    run_id, version = publish(tracker, options.bundle, name)
    if options.json:
        print_json({"bundle": str(options.bundle), "name": options.name, "run_id": run_id, "version": version})
    else:
        say(f"{options.name} version {version}, run {run_id}")
    return 0


def promote(arguments: list[str]) -> int:
    """Let a version take over as champion if it holds up against the present one; exit 1 if it does not."""
    from training.registry.promote import as_wanted, challenger_of
    from training.registry.promote import promote as challenge
    from training.registry.tracker import Tracker

    options = _promote_parser().parse_args(arguments)
    name, wanted = _name_and_version(options)
    tracker = Tracker()
    local_store = LocalModelStore.of(name)
    challenger = challenger_of(tracker, name, as_wanted(wanted))
    result = challenge(
        tracker,
        local_store,
        challenger,
        options.alias,
        force=options.force,
        margin=options.margin,
        rows=_rows(options),
        log=lambda text: note(f"· {text}"),
    )
    if options.json:
        print_json(
            {
                "name": name,
                "alias": options.alias,
                "version": result.version,
                "before": result.before,
                "promoted": result.promoted,
                "comparison": result.comparison.to_document() if result.comparison else None,
            }
        )
    else:
        _show(result, name, options.alias)
    return 0 if result.promoted else 1


def _promote_parser() -> Parser:
    parser = Parser(
        prog="triage promote",
        description="Let a version take over an alias if it holds up against the present one. Both are compared on the "
        "tickets that were set aside in the training of both, by the answers given before they were seen, or on "
        "tickets given with --data. Exit status 1: refused.",
    )
    parser.add_argument("what", nargs="*", metavar="[NAME] [VERSION|DIR]", help="default: the newest version")
    parser.add_argument("--name", help=f"name of the registered model (default {DEFAULT_MODEL})")
    parser.add_argument("--version", help="version number, or a bundle folder, which is registered first")
    parser.add_argument("--alias", default=CHAMPION, help="what it takes over (default %(default)s)")
    parser.add_argument(
        "--margin", type=fraction, default=0.02, help="loss of accuracy that counts as none (default 0.02)"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="compare on these tickets, of which neither has learned",
    )
    parser.add_argument("--map", action="append", default=[], metavar="ROLE=COLUMN", help=MAP_HELP)
    parser.add_argument("--force", action="store_true", help="promote whatever the comparison says")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(skip_bad_rows=False)
    return parser


def _name_and_version(options: argparse.Namespace) -> tuple[str, str | None]:
    """Tell a name from a version among the positional arguments: a version is a number or a folder."""
    from triage.errors import InvalidRequest

    name, version = options.name, options.version
    for text in options.what:
        is_version = text.isdigit() or Path(text).expanduser().is_dir()
        if is_version and version is None:
            version = text
        elif not is_version and name is None:
            name = text
        else:
            raise InvalidRequest(f"{text!r} is one too many: write triage promote [NAME] [VERSION|DIR]")
    return name or DEFAULT_MODEL, version


def _rows(options: argparse.Namespace) -> Any:
    from training.cli.inputs import read_data

    return read_data(options).rows if options.data else ()


def _show(result: Any, name: str, alias: str) -> None:
    if result.comparison is None:
        first = f"version {result.before} was only started" if result.before else "the first one"
        was = "it already was" if result.before == result.version else f"{first}: nothing to compare with"
        say(f"{name} {alias} is version {result.version} ({was})")
        return
    comparison = result.comparison
    say(f"version {result.version} against {alias} {result.before}, on {comparison.common} tickets new to both\n")
    rows = [
        [check.what, check.champion, check.challenger, _interval(check), "ok" if check.passed else "no", check.rule]
        for check in comparison.checks
    ]
    if rows:
        say(table(["", alias, "challenger", "95 % of the difference", "", "asked"], rows))
    for obstacle in comparison.obstacles:
        say(f"no: {obstacle}")
    if result.promoted:
        forced = "" if comparison.passed else " (forced)"
        say(f"\n{name} {alias} is version {result.version} now{forced}; triage rollback goes back to {result.before}")
    else:
        say(f"\nrefused: {alias} stays version {result.before}")
        say("--data FILE compares on other tickets, --force promotes all the same")


def _interval(check: Any) -> str:
    return "–" if check.low is None else f"{check.low:+.3f} … {check.high:+.3f}"


def rollback(arguments: list[str]) -> int:
    """Let an alias point to the version before, on the shelf at once and in the registry if it answers."""
    from training.registry.promote import rollback as back
    from training.registry.tracker import Tracker
    from triage.errors import TrackingUnavailable

    parser = Parser(prog="triage rollback", description=rollback.__doc__)
    parser.add_argument("name", nargs="?", default=DEFAULT_MODEL, help="name of the model (default %(default)s)")
    parser.add_argument("--alias", default=CHAMPION, help="which alias (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    left, version = back(LocalModelStore.of(options.name), options.alias)
    told = True
    try:
        Tracker().point(options.name, options.alias, version)
    except TrackingUnavailable as error:
        told = False
        note(f"triage rollback: {error}")
        note("the shelf has gone back; the registry still says otherwise, so a pull would undo it")
    if options.json:
        print_json({"name": options.name, "alias": options.alias, "left": left, "version": version, "registry": told})
    else:
        say(f"{options.name} {options.alias} is version {version} again (was {left})")
    return 0


def pull(arguments: list[str]) -> int:
    """Bring the bundle of an alias from the registry to the shelf, checked; --watch keeps doing so."""
    parser = Parser(prog="triage pull", description=pull.__doc__)
    parser.add_argument("reference", metavar="NAME@ALIAS", help=f"such as {DEFAULT_MODEL}@{CHAMPION}")
    parser.add_argument("--watch", action="store_true", help="keep looking; a registry that is away is waited for")
    parser.add_argument("--every", type=seconds, default=30.0, metavar="S", help="seconds between looks (default 30)")
    parser.add_argument("--json", action="store_true", help="print one JSON document a change")
    options = parser.parse_args(arguments)
    name, alias = parse_reference(options.reference)
    if options.watch:
        _watch(name, alias, options)
    _pull_once(name, alias, options)
    return 0


def _pull_once(name: str, alias: str, options: argparse.Namespace, *, quiet: bool = False) -> None:
    from training.registry.promote import pull as fetch
    from training.registry.tracker import Tracker

    version, changed = fetch(Tracker(), name, alias)
    if quiet and not changed:
        return
    if options.json:
        print_json({"name": name, "alias": alias, "version": version, "changed": changed})
    else:
        say(f"{name} {alias} is version {version}{'' if changed else ' (as before)'}")


def _watch(name: str, alias: str, options: argparse.Namespace) -> None:
    """Look again and again until interrupted; whatever goes wrong is told and tried anew later."""
    from triage.errors import TriageError

    quiet = False
    while True:
        try:
            _pull_once(name, alias, options, quiet=quiet)
            quiet = True
        except TriageError as error:
            note(f"triage pull: {error}")
        time.sleep(options.every * random.uniform(0.8, 1.2))


def models(arguments: list[str]) -> int:
    """List the versions of a model, their aliases, and what is on the shelf."""
    from training.registry.tracker import Tracker
    from triage.errors import TrackingUnavailable

    parser = Parser(prog="triage models", description=models.__doc__)
    parser.add_argument("name", nargs="?", default=DEFAULT_MODEL, help="name of the model (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    local_store = LocalModelStore.of(options.name)
    there = {
        version: [alias for alias, at in local_store.aliases().items() if at.version == version]
        for version in local_store.versions()
    }
    try:
        registered = Tracker().versions(options.name)
    except TrackingUnavailable as error:
        note(f"triage models: {error}")
        note("only what is on the shelf is listed")
        registered = []
    known = {one.version: one for one in registered}
    lines = [_line(version, known.get(version), there) for version in sorted({*known, *there}, key=_by_number)]
    if options.json:
        print_json({"name": options.name, "versions": lines})
    elif not lines:
        say(f"{options.name} has no versions yet: triage train makes one")
    else:
        header = ["version", "aliases", "shelf", "registered", "digest", "run"]
        say(table(header, [[*(_shown(line[key]) for key in _KEYS)] for line in lines]))
    return 0


_KEYS = ("version", "aliases", "on_shelf", "registered", "digest", "run_id")


def _line(version: str, known: Any, there: dict[str, list[str]]) -> dict[str, Any]:
    made = datetime.fromtimestamp(known.created / 1000, UTC).isoformat(timespec="seconds") if known else None
    return {
        "version": version,
        "aliases": sorted({*(known.aliases if known else ()), *there.get(version, ())}),
        "shelf_aliases": there.get(version, []),
        "registry_aliases": list(known.aliases) if known else [],
        "on_shelf": version in there,
        "registered": made,
        "digest": known.digest[:12] if known else None,
        "run_id": known.run_id if known else None,
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "–"
    return {True: "yes", False: "no"}.get(value, value or "–") if not isinstance(value, str) else value


def _by_number(version: str) -> tuple[bool, int, str]:
    return (not version.isdigit(), -int(version) if version.isdigit() else 0, version)
