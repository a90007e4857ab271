"""`triage retrain`: history, a new export and what people said since become a version that waits to be promoted."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from models.atomic_write import write_text
from models.home import STORE_FILE, expanded, triage_home
from models.local_store import CHALLENGER, CHAMPION, LocalModelStore
from models.terminal import JsonOption, count, log, log_step, option, print_json, verb
from training import pipeline
from training.cli.options import NameOption, SomeDataOptions, log_left_out, read_data
from training.cli.registry import keep_comparison, print_comparison
from training.data.dataset import Dataset, read_dataset
from training.data.reading import ReadOptions
from training.evaluation.seen import Seen
from training.registry import promote as promotion
from training.registry.publish import publish
from training.registry.tracker import Opening, Tracker, Version
from training.retrain import Gathered, finished, gather, lacks_adaptation, settings_of, task_digest
from training.task import LEARN, TrainSettings
from triage.__main__ import GROUP
from triage.errors import BundleNotFound, InvalidRequest
from triage.policy import Policy, read_policy

_WHEN, _FEEDBACK = "when, and what then", "feedback"
_AS_SAID = ReadOptions(keep_placeholders=True, multi="keep")
"""How feedback is read: its labels are the product's own, chosen by people, and none only fills a place."""


@dataclass(frozen=True, kw_only=True)
class RetrainOptions(SomeDataOptions, NameOption, JsonOption):
    """The options of `triage retrain`."""

    feedback: Path | None = option(
        "what triage feedback export wrote (default: it is taken from the service's store)", None, "FILE.jsonl",
        group=_FEEDBACK,
    )  # fmt: skip
    no_feedback: bool = option("learn from the files alone", False, group=_FEEDBACK)
    policy: str | None = option("policy file, or 'learn' (default: as the champion was trained)", None, "FILE|learn")
    rules: Path | None = option("rule file (default: the champion's rules)", None, "FILE")
    if_new: int = option(
        "do nothing while fewer tickets than this are new to the champion", 0, "N", read=count, group=_WHEN
    )
    promote: bool = option("promote the version at once where it holds up", False, group=_WHEN)


@verb
def retrain(options: RetrainOptions) -> int:
    """Train again as the champion was trained, compare, and leave what holds up as the version to be promoted.

    Name the history and the new export; what people said in the service is added by itself. Exit status 1 if the new
    version does not hold up against the champion. A run that was interrupted goes on where it was.

    Examples:
        triage retrain history.csv october.csv --map subject="Short description" --map category=Category
        triage retrain history.csv october.csv --if-new 500 --promote
        triage retrain --feedback labels.jsonl
    """
    tracker, local_store = Tracker(), LocalModelStore.of(options.name)
    with _alone(options.name):
        champion = promotion.present(tracker, local_store)
        if champion is None:
            raise BundleNotFound(
                f"{options.name} has no champion to train anew: triage train makes the first version, triage promote "
                "lets it serve"
            )
        path = local_store.path(champion)
        gathered = _gathered(options, path)
        new = _new(path, gathered.dataset)
        if new < options.if_new:
            return _waits(options, new)
        settings = _settings(options, path)
        if lacks_adaptation(path):
            log_step("the champion's encoder is adapted to its labels; this version is trained without (train --adapt)")
        version = _version(options, tracker, gathered.dataset, settings)
        return _compared(options, tracker, local_store, version=version, new=new)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep a second run for the same model out: one that cron starts while another one is at work.

    Raises:
        InvalidRequest: If there is another one.
    """
    try:
        with FileLock(_folder(name) / "lock", timeout=0):
            yield
    except Timeout as error:
        raise InvalidRequest(f"another triage retrain of {name} is at work: wait until it has ended") from error


def _folder(name: str) -> Path:
    folder = triage_home() / "retrain" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _gathered(options: RetrainOptions, champion: Path) -> Gathered:
    exports = read_data(options, *_policies(options, champion)) if options.data else None
    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        said = _feedback(options, Path(folder))
        gathered = gather(exports, said)
    log_step(
        f"{len(gathered.dataset)} tickets: {gathered.confirmed} of the files judged by people in the service, "
        f"{gathered.added} that only the service had, {gathered.repeated} repeated rows left out"
    )
    return gathered


def _policies(options: RetrainOptions, champion: Path) -> list[Policy]:
    """Return the policies whose labels are labels: the champion's, and the one that the version is to have."""
    own = [Path(options.policy)] if options.policy not in (None, LEARN) else []
    return [read_policy(champion / "policy.toml", of_bundle=True), *map(read_policy, own)]


def _feedback(options: RetrainOptions, folder: Path) -> Dataset | None:
    """Return what people said, each ticket as it was filed; None where there is nothing."""
    file = options.feedback
    if file is None and not options.no_feedback:
        file = _exported(folder / "feedback.jsonl")
    if file is None or (file.is_file() and not file.stat().st_size):
        return None
    said = read_dataset([file], options=_AS_SAID, skip_bad_rows=True)
    log_left_out(replace(said, ignored_columns=()))
    return said


def _exported(file: Path) -> Path | None:
    """Let the service's own verb write what people said; None where this machine has no store of decisions.

    The verb is found as the command line finds it: training does not import the service.

    Raises:
        InvalidRequest: If there is a store and the verb could not write what is in it, for which it said why.
    """
    export = next((entry for entry in entry_points(group=GROUP) if entry.name == "feedback"), None)
    if export is None or not _has_store():
        return None
    with redirect_stdout(io.StringIO()):
        status = export.load()(["export", "--out", str(file), "--people-only", "--raw"])
    if status:
        raise InvalidRequest(
            "what people said could not be read from the service's store, as stated above, and training without it "
            "would forget it: mend that, name an export with --feedback, or go without by --no-feedback"
        )
    return file


def _has_store() -> bool:
    """Say whether there may be a store: one that cannot be looked for from here is the service's to find."""
    try:
        url = os.environ.get("TRIAGE_STORE_URL") or _line_of(os.environ.get("TRIAGE_STORE_URL_FILE"))
        stated = make_url(url) if url else None
    except (ArgumentError, ValueError, OSError):
        return True  # the service says what is wrong with it
    if stated is None:
        return (triage_home() / STORE_FILE).is_file()
    if stated.get_backend_name() != "sqlite" or not stated.database or stated.query or Path(stated.database).exists():
        return True
    log_step(f"there is no store at {stated.database} yet, so nothing that people said is learned")
    return False


def _line_of(file: str | None) -> str:
    return expanded(Path(file)).read_text("utf-8").strip() if file else ""


def _new(champion: Path, dataset: Dataset) -> int:
    """Count the tickets that the champion was not given, those that people labelled."""
    seen = Seen.by(champion)
    usable = np.array([row.weight > 0 for row in dataset.rows])
    return int(np.count_nonzero(usable if seen is None else usable & seen.new(dataset.rows)))


def _settings(options: RetrainOptions, champion: Path) -> TrainSettings:
    settings = settings_of(champion, out=champion)
    if options.policy is not None:
        settings = replace(settings, policy=LEARN if options.policy == LEARN else Path(options.policy))
    if options.rules is not None:
        settings = replace(settings, rules=options.rules)
    return replace(settings, skip_bad_rows=options.skip_bad_rows)


def _version(options: RetrainOptions, tracker: Tracker, dataset: Dataset, settings: TrainSettings) -> Version:
    """Train and register, unless an earlier run has done one or both for the same tickets and settings."""
    task = task_digest(dataset, settings)
    done = _folder(options.name) / f"{task[:16]}.json"
    if done.is_file():
        kept = Version(**json.loads(done.read_text("utf-8")))
        if any(one.version == kept.version and one.digest == kept.digest for one in tracker.versions(options.name)):
            log_step(f"version {kept.version} was trained on these tickets already")
            _clear(_folder(options.name), tracker.versions(options.name))
            return kept
    bundle = done.with_suffix("")
    champion = promotion.bundle_digest(settings.champion) if settings.champion else ""
    parent = tracker.run_of(options.name, champion)
    opening = Opening(f"{options.name} retrain", "retrain", parent=parent, data=dataset.files)
    with tracker.running(opening) as run_id:
        if finished(bundle):
            log_step(f"going on with the bundle that an earlier run left in {bundle}")
        else:
            pipeline.train(replace(settings, out=bundle), dataset=dataset, log=log_step)
        _, number = publish(tracker, bundle, options.name, run_id)
    version = tracker.version(options.name, number)
    write_text(done, json.dumps(asdict(version)), place="TRIAGE_HOME")
    _clear(done.parent, tracker.versions(options.name))
    return version


def _clear(folder: Path, versions: Sequence[Version]) -> None:
    """Remove the bundles of registered versions: the registry has them, and an interrupted run goes on without."""
    registered = {(one.version, one.digest) for one in versions}
    for done in folder.glob("*.json"):
        kept = Version(**json.loads(done.read_text("utf-8")))
        if (kept.version, kept.digest) in registered:
            shutil.rmtree(done.with_suffix(""), ignore_errors=True)


def _waits(options: RetrainOptions, new: int) -> int:
    document = {"name": options.name, "trained": False, "new": new, "asked": options.if_new}
    if options.json:
        print_json(document)
    else:
        print(f"{new} tickets are new to the champion, {options.if_new} are asked for: nothing to do yet")
    return 0


def _compared(
    options: RetrainOptions, tracker: Tracker, local_store: LocalModelStore, *, version: Version, new: int
) -> int:
    challenge = promotion.Challenge(version, CHAMPION, takes=CHAMPION if options.promote else CHALLENGER)
    result = promotion.promote(tracker, local_store, challenge, log_step)
    keep_comparison(tracker, result, options.name, version.run_id)
    holds = result.promoted
    document = {
        "name": options.name,
        "trained": True,
        "new": new,
        "run_id": version.run_id,
        "version": version.version,
        "before": result.before,
        "staged": holds,
        "promoted": holds and options.promote,
        "comparison": result.comparison.to_document() if result.comparison else None,
    }
    if options.json:
        print_json(document)
        return 0 if holds else 1
    print_comparison(result, CHAMPION)
    if not holds:
        print(f"\nversion {version.version} does not hold up: {CHAMPION} stays version {result.before}")
        log(f"triage promote {options.name} {version.version} --force would let it serve all the same")
        return 1
    if options.promote:
        print(f"\n{options.name} {CHAMPION} is version {version.version} now; triage rollback goes back")
    else:
        print(f"\nversion {version.version} waits as {options.name}@{CHALLENGER}: triage promote lets it serve")
    return 0
