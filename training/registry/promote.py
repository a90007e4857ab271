"""Which version serves: a challenger against the champion, promotion, rollback, and pulling to the local store."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.bundle.bundle import load_bundle
from models.bundle.manifest import Manifest, audit, read_manifest
from models.local_store import CHAMPION, LocalModelStore
from models.triager import Triager
from training.data.dataset import Dataset
from training.evaluation.champion import answers_kept, marked_by_its_teachers
from training.evaluation.compare import Comparison, Decided, compare
from training.evaluation.record import read_record
from training.gate.served import served_gates
from training.registry import given_tickets
from training.registry.publish import publish
from training.registry.tracker import Tracker, Version
from training.stages import STARTED, stage_of
from triage.errors import BundleError, BundleNotFound, BundleTampered, InvalidRequest
from triage.gate import TargetGate
from triage.ticket import Ticket

_MARKED_BY_TEACHERS = (
    "all tickets that it could be compared on were labelled in the service, like those it learned from: name the "
    "history too"
)
_PROBES = 15
_TRIES = 3  # the quickest of three is hardly ever one that an interrupt fell into


@dataclass(frozen=True)
class Challenge:
    """A version that is to take over an alias, and on what terms.

    Attributes:
        challenger: The version.
        alias: Of the version that it is compared with, such as ``champion``.
        data: Labelled tickets to compare on, which neither version has learned from; None for those set aside.
        margin: Loss of accuracy that counts as none, in [0, 1].
        force: Promote whatever the comparison says; it is made all the same.
        takes: The alias that points to it where it holds up; None for the one that it is compared with.
    """

    challenger: Version
    alias: str
    data: Dataset | None = None
    margin: float = 0.02
    force: bool = False
    takes: str | None = None


@dataclass(frozen=True)
class Promotion:
    """What came of a challenge.

    Attributes:
        version: The challenger's version.
        before: The champion's version; None where there was none.
        comparison: How they compared; None where there was nothing to compare with.
        promoted: Whether the alias that was to be taken points to the challenger now.
    """

    version: str
    before: str | None
    comparison: Comparison | None
    promoted: bool


def challenger_of(tracker: Tracker, name: str, wanted: str | Path | None) -> Version:
    """Return the version that challenges: the one named, the one made of a bundle folder, or the newest.

    Raises:
        BundleNotFound: If there is none.
    """
    if isinstance(wanted, Path):
        load_bundle(wanted)  # what does not load must not become a version
        _, number = publish(tracker, wanted, name)
        return tracker.version(name, number)
    if wanted is not None:
        return tracker.version(name, wanted)
    versions = tracker.versions(name)
    if not versions:
        raise BundleNotFound(
            f"model {name!r} has no version to promote: triage train registers one, or triage register DIR"
        )
    return versions[0]


def promote(
    tracker: Tracker,
    local_store: LocalModelStore,
    challenge: Challenge,
    log: Callable[[str], object] = lambda _: None,
) -> Promotion:
    """Let a challenger take over an alias if it holds up against the version that has it.

    They are compared on the tickets set aside in the training of the challenger that are new to the champion, by the
    answers that both gave there; where another champion served then, on tickets that were set aside in the training of
    both; or, where tickets are given, on those. The first version of an alias needs no comparison, nor does one after
    a version that was only started, unless it was started itself and with less. Where the alias has come to point
    elsewhere in the meantime, they are compared anew: what takes over was compared with the version that it replaces.

    Args:
        tracker: The registry.
        local_store: Where bundles are served from.
        challenge: What is to take over, and on what terms.
        log: Called with each step in words.

    Raises:
        BundleError: If a bundle cannot be used.
    """
    while True:
        verdict = judge(tracker, local_store, challenge, log)
        if not (challenge.force or verdict.comparison is None or verdict.comparison.passed):
            return verdict
        with local_store.turn():
            if present(tracker, local_store, challenge.alias) == verdict.before:
                taken = challenge.takes or challenge.alias
                before = verdict.before if taken == challenge.alias else None
                _point(tracker, local_store, taken, verdict.version, before=before)
                return replace(verdict, promoted=True)
        log(f"{challenge.alias} is no longer version {verdict.before}: what serves now is to be compared with")


def judge(
    tracker: Tracker,
    local_store: LocalModelStore,
    challenge: Challenge,
    log: Callable[[str], object] = lambda _: None,
) -> Promotion:
    """Compare a challenger with the version that has an alias, and change nothing; see `promote`.

    Raises:
        BundleError: If a bundle cannot be used.
    """
    challenger, alias, data = challenge.challenger, challenge.alias, challenge.data
    path = fetch_to_store(tracker, local_store, challenger)
    before = present(tracker, local_store, alias)
    comparison = None
    apart = before is not None and before != challenger.version
    if before is not None and apart and (data or not _follows_a_start(local_store.path(before), path)):
        log(f"comparing version {challenger.version} with {alias} {before}")
        lesser = "" if data else _lesser_start(local_store.path(before), path)
        comparison = (
            Comparison(0, obstacles=(lesser,))
            if lesser
            else _compared(local_store.path(before), path, challenge.margin, data)
        )
        local_store.keep_comparison(challenger.version, {"before": before, **comparison.to_document()})
    return Promotion(challenger.version, before, comparison, promoted=False)


def _point(
    tracker: Tracker, local_store: LocalModelStore, alias: str, version: str, *, before: str | None = None
) -> None:
    """Let an alias point to a version, in the registry and in the local store, which has its bundle already.

    Args:
        tracker: The registry.
        local_store: Where bundles are served from.
        alias: The alias.
        version: What it points to then.
        before: What it pointed to by the registry, whose bundle is in the local store too; a rollback goes back to it.
    """
    tracker.point(local_store.name, alias, version)
    here = next((at.version for at in local_store.history(alias)[-1:]), None)
    if here != version:
        elsewhere = before is not None and before not in (here, version)
        known = (before, bundle_digest(local_store.path(before))) if before is not None and elsewhere else None
        local_store.point(alias, version, bundle_digest(local_store.path(version)), before=known)


def present(tracker: Tracker, local_store: LocalModelStore, alias: str = CHAMPION) -> str | None:
    """Return the version of an alias, by the registry or else the local store, once it is in that store."""
    for version in tracker.versions(local_store.name):
        if alias in version.aliases:
            fetch_to_store(tracker, local_store, version)
            return version.version
    return next((at.version for at in local_store.history(alias)[-1:]), None)


def _follows_a_start(champion: Path, challenger: Path) -> bool:
    """Say whether a version takes over from one that was only started, having learned from at least as much.

    Nothing was set aside for one that was started, so there is nothing to compare on.
    """
    before, after = (read_manifest(path) for path in (champion, challenger))
    return stage_of(before).name in STARTED and _learned(after) >= _learned(before)


def _lesser_start(champion: Path, challenger: Path) -> str:
    """Say why a version that was only started is no match for the one that serves; empty where it was trained."""
    before, after = (_learned(read_manifest(path)) for path in (champion, challenger))
    if after[0] >= len(STARTED):
        return ""
    mine = f"it was only started, with {after[1]} tickets" if after[1] else "it was only started, without a ticket"
    theirs = "was trained" if before[0] >= len(STARTED) else f"was started with {before[1]}"
    return (
        f"{mine}, and the present version {theirs}; nothing was set aside to compare them on: give labelled tickets "
        "with --data FILE, or promote it all the same with --force"
    )


def _learned(manifest: Manifest) -> tuple[int, int]:
    """Return what orders stages, and beside a start the number of tickets that it was given."""
    stage = stage_of(manifest).name
    if stage not in STARTED:
        return len(STARTED), 0
    tickets = manifest.get("stage", {}).get("tickets", {})
    return STARTED.index(stage), max((sum(counts.values()) for counts in tickets.values()), default=0)


def _compared(champion: Path, challenger: Path, margin: float, data: Dataset | None) -> Comparison:
    ours = Triager(load_bundle(challenger))
    try:
        theirs = Triager(load_bundle(champion))
    except BundleError as error:
        return Comparison(0, obstacles=(f"the present version cannot be loaded: {error}",))
    obstacles, notes = list[str](), list[str]()
    if data is not None:
        new = given_tickets.new_to_both(data, (champion, challenger), (theirs, ours))
        both = given_tickets.asked(theirs, new), given_tickets.asked(ours, new)
        before, after = (one.record for one in both)
        shares = tuple(given_tickets.share_decided(record) for record in (before, after))
        obstacles, notes = given_tickets.unfit(*both), given_tickets.told(*both)
    else:
        before, after = answers_kept(challenger, champion) or read_record(champion), read_record(challenger)
        shares = tuple(_shares_served(path) for path in (champion, challenger))
        obstacles += [_MARKED_BY_TEACHERS] if marked_by_its_teachers(challenger) else []
    decided = {
        target: Decided(share, shares[1][target], *(_promised(one, target) for one in (theirs, ours)))
        for target, share in shares[0].items()
        if target in shares[1]
    }
    times = processor_times_ms(theirs, ours)
    found = compare(before, after, margin=margin, latencies_ms=times, decided=decided)
    obstacles += given_tickets.unanswered(before, theirs, ours)
    return replace(found, obstacles=(*found.obstacles, *obstacles), notes=(*found.notes, *notes))


def _promised(triager: Triager, target: str) -> float | None:
    """Return the error rate among its decisions that a version was certified for."""
    return triager.gate.targets.get(target, TargetGate()).certified_risk


def _shares_served(path: Path) -> dict[str, float]:
    """Return the share that the gate of a bundle lets through, by target, of the tickets that it was chosen on."""
    return {target: gate.served for target, gate in served_gates(read_manifest(path)).items()}


def processor_times_ms(*triagers: Triager) -> tuple[float, ...]:
    """Return for each triager the median processor time of deciding one ticket alone, in milliseconds.

    All are asked the same texts of the usual length in turn, so that what else runs on the machine meets all alike.
    Time in which another process has the processor does not count, and of each ticket the quickest of some tries does.
    """
    tickets = [
        Ticket(body=entry.description or entry.label)
        for target in triagers[0].policy.targets
        for entry in triagers[0].policy.entries(target)
    ]
    tickets = (tickets * _PROBES)[:_PROBES]
    for triager in triagers:
        triager.decide(tickets[:2])  # what is made on first use belongs to no ticket
    quickest = [_quickest_ms(triagers, ticket) for ticket in tickets]
    return tuple(statistics.median(times) for times in zip(*quickest, strict=True))


def _quickest_ms(triagers: Sequence[Triager], ticket: Ticket) -> list[float]:
    times: list[list[float]] = [[] for _ in triagers]
    for _ in range(_TRIES):
        for triager, mine in zip(triagers, times, strict=True):
            start = time.process_time()
            triager.decide([ticket])
            mine.append(1000 * (time.process_time() - start))
    return [min(mine) for mine in times]


def rollback(local_store: LocalModelStore, alias: str) -> tuple[str, str]:
    """Let an alias point to what it pointed to before, in the local store; return the versions left and gone back to.

    Raises:
        InvalidRequest: If there is nothing to go back to.
    """
    with local_store.turn():
        left = next(iter(local_store.history(alias)[-1:]), None)
        back = local_store.rollback(alias)
    return (left.version if left else ""), back.version


def follow(tracker: Tracker, local_store: LocalModelStore, alias: str, *, left: str, version: str) -> bool:
    """Let the registry follow this machine, which went back to a version, and say whether it did.

    A pull that came in between, and had brought back what was left, is undone; a version that was promoted in between
    stays.

    Raises:
        TrackingUnavailable: If the registry does not answer.
    """
    with local_store.turn():
        now = next(iter(local_store.history(alias)[-1:]), None)
        if now is not None and now.version == left != version:
            local_store.rollback(alias)
        elif now is None or now.version != version:
            return False
        tracker.point(local_store.name, alias, version)
        return True


def pull(tracker: Tracker, name: str, alias: str) -> tuple[str, bool]:
    """Fetch the version that an alias points to from the registry to the local store, and point the alias there.

    Returns:
        The version, and whether anything changed.

    Raises:
        BundleError: If the bundle is not what was registered; the local store stays as it was.
    """
    local_store = LocalModelStore.of(name)
    while True:
        wanted = tracker.aliased(name, alias)
        path = fetch_to_store(tracker, local_store, wanted)
        with local_store.turn():
            if tracker.aliased(name, alias).version != wanted.version:
                continue  # it was promoted or rolled back while this was fetched
            present = next(iter(local_store.history(alias)[-1:]), None)
            if present is not None and present.version == wanted.version:
                return wanted.version, False
            local_store.point(alias, wanted.version, bundle_digest(path))
            return wanted.version, True


def fetch_to_store(tracker: Tracker, local_store: LocalModelStore, version: Version) -> Path:
    """Put a registered version into the local store, unless it is there; it is audited and loaded first.

    Raises:
        BundleError: If it cannot be used or is not what was registered.
    """
    path = local_store.path(version.version)
    if path.is_dir():
        if version.digest and bundle_digest(path) != version.digest:
            raise BundleTampered(
                f"version {version.version} in the local store {str(path)!r} is not the one of the registry: "
                f"{bundle_digest(path)[:12]}, not {version.digest[:12]}; move that folder away and try again"
            )
        audit(path, read_manifest(path))
        return path
    with tracker.fetched(version) as folder:
        load_bundle(folder, expected_digest=version.digest or None)
        return local_store.add(folder, version.version)


def bundle_digest(directory: Path) -> str:
    """Return the digest of a bundle folder, as its manifest states it."""
    return str(read_manifest(directory)["digest"])


def as_wanted(text: str | None) -> str | Path | None:
    """Tell a version number from a bundle folder.

    Raises:
        InvalidRequest: If it is neither.

    Example:
        >>> as_wanted("3")
        '3'
    """
    if text is None or text.isdecimal():
        return text
    path = Path(text).expanduser()
    if not path.is_dir():
        raise InvalidRequest(f"{text!r} is neither a version number nor a bundle folder; see triage models")
    return path
