"""Which model answers: found by alias or directory, verified, warmed up, and swapped in one step."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from api.http.exceptions import TooBusy
from api.settings import Settings
from api.telemetry import described
from models.bundle.bundle import load_bundle
from models.bundle.manifest import fingerprint
from models.local_store import AliasEntry, LocalModelStore, parse_reference
from models.reference.reviews import ReviewMemory
from models.serving.garbage import exempt_what_is_loaded
from models.serving.threads import limit_blas_threads
from models.triager import Triager
from triage.errors import BundleError, BundleNotFound, InvalidRules, TriageError
from triage.policy import Policy, read_policy
from triage.rules import RuleBook, read_rules
from triage.ticket import Ticket

_RETRY_S = 30.0
"""Pause before a refused bundle is looked at again, in seconds: checking one reads all its files."""
_DEADLINE_S = 60.0
"""How long one look for what is to be loaded may take, in seconds: after that a disk, most likely, does not answer."""
_WARM_UP = (
    Ticket(id="warm-up", subject="Printer", body="The printer on the second floor does not print since this morning."),
    Ticket(id="warm-up", body="help"),
)
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Pointer:
    """Where a bundle lies.

    Attributes:
        path: Its directory.
        digest: The digest that it must have; None takes any.
        mark: Changes when another bundle was put there, or it was promoted anew.
    """

    path: Path
    digest: str | None = None
    mark: str = ""


class Source(Protocol):
    """Names the bundles to serve, the wanted one first, then those to fall back to at a start."""

    name: str

    def pointers(self) -> list[Pointer]:
        """Look where the bundles lie now."""
        ...


class AliasSource:
    """An alias of the local model store; before the version it points to now it pointed to others, newest first."""

    def __init__(self, home: Path, reference: str) -> None:
        self.name = reference
        model, self._alias = parse_reference(reference)
        self._local_store = LocalModelStore(home, model)

    def pointers(self) -> list[Pointer]:
        """Read the alias file."""
        found: dict[str, AliasEntry] = {}
        for entry in reversed(self._local_store.history(self._alias)):
            found.setdefault(entry.version, entry)
        return [
            Pointer(self._local_store.path(entry.version), entry.digest or None, entry.since)
            for entry in found.values()
        ]


class DirectorySource:
    """One bundle directory; another bundle put in its place is noticed by its manifest."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path

    def pointers(self) -> list[Pointer]:
        """Look at the manifest."""
        return [Pointer(self._path, mark=fingerprint(self._path))]


class ModelHolder:
    """Holds the model in use. Whoever decides takes `triager` once and keeps it to the end of the request.

    Args:
        settings: Where to look, and whether rules alone will do.
        on_swap: Called with the model's version after each swap.
        on_failure: Called after each bundle that was refused.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_swap: Callable[[str], object] = lambda version: None,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._files = (settings.policy, settings.rules)
        self._cascade = settings.cascade
        self._policy, self._rules = self._read_files()
        self._threads = settings.threads
        self._poll_s = settings.poll_s
        self.source: Source = (
            DirectorySource(settings.bundle) if settings.bundle else AliasSource(settings.home, settings.model)
        )
        self._on_swap, self._on_failure = on_swap, on_failure
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._turn = threading.Lock()
        self._loads_since: float | None = None
        self._started = False
        self._refused: tuple[Pointer, float] | None = None
        self.pointer: Pointer | None = None
        self.loaded_at: str | None = None
        self.last_error: str | None = None
        self._astray: str | None = None
        self.loads = 0
        self._misfit: InvalidRules | None = None
        self.triager = self._without_model()

    def _without_model(self) -> Triager:
        """Return what answers until a bundle is loaded: rules for the labels of its policy may not fit before."""
        try:
            return Triager(policy=self._policy, rules=self._rules)
        except InvalidRules as error:
            if self._policy is not None:
                raise
            self._misfit = error
            return Triager()

    @property
    def is_loaded(self) -> bool:
        """Whether a model answers, not the rules alone."""
        return self.triager.bundle is not None

    @property
    def is_overdue(self) -> bool:
        """Whether something is being loaded, or looked for, for so long that nobody should wait for it."""
        since = self._loads_since
        return since is not None and time.monotonic() - since > _DEADLINE_S

    def start(self) -> None:
        """Load the bundle that an alias points to, or the last good one before it; without any the rules answer.

        Raises:
            BundleError: If a directory was named and holds no bundle that can be used.
            InvalidRules: If the rules name labels that neither a bundle's policy nor the default one has.
        """
        if self._started:
            return
        self._started = True
        limit_blas_threads()
        if isinstance(self.source, DirectorySource):
            self._load(self.source.pointers()[0])
            return
        for number, pointer in enumerate(self._pointers()):
            if self._try(pointer):
                if number:
                    log.warning("serving_earlier_bundle", version=self.triager.model_version)
                return
        if self._misfit is not None:
            raise self._misfit

    def learn(self, reviews: ReviewMemory | None, loads: int) -> bool:
        """Put the desk's own reviews beside the model in use, and say whether that was done.

        Args:
            reviews: What they changed; None takes them away.
            loads: The number of `loads` when they were learned from; nothing is done where another model came since.
        """
        with self._turn:
            if loads != self.loads:
                return False
            self.triager = self.triager.with_reviews(reviews)
            return True

    async def watch(self) -> None:
        """Look for another bundle until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await loop.run_in_executor(self._executor, self._timed, self._look)
            except Exception as error:  # such as no memory for a thread: whatever it is, look again later
                log.error("alias_not_watched", **described(error))

    def _read_files(self) -> tuple[Policy | None, RuleBook | None]:
        policy, rules = self._files
        return (read_policy(policy) if policy else None), (read_rules(rules) if rules else None)

    def begin_reload(self) -> Future[None]:
        """Have the bundle, the policy and the rules loaded that are wanted now, even if they are those in use.

        Returns:
            What `reloaded` waits for; once it is done, it says whether that went well.
        """
        return self._executor.submit(self._timed, self._reload)

    async def reloaded(self, job: Future[None]) -> None:
        """Wait until a reload is done, as long as anybody should.

        Raises:
            InvalidPolicy: If the policy contradicts itself; what is in use stays.
            InvalidRules: If the rules do; what is in use stays.
            BundleError: If the bundle is refused; what is in use stays.
            TooBusy: If that takes too long: the job is not begun any more, and so is cancelled, or it goes on, and may
                be waited for again.
        """
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await asyncio.wrap_future(job)
        except TimeoutError as error:
            job.cancel()
            raise TooBusy(
                "loading-slow",
                f"bundle, policy and rules were not read within {_DEADLINE_S:g} s: a disk may not answer; see "
                "GET /v1/model for what is in use, and ask again",
                int(_DEADLINE_S),
            ) from error

    def check(self, path: Path) -> None:
        """Make sure that a bundle could take the place of the one in use, beside the policy and the rules in use.

        Raises:
            TriageError: It would be refused.
        """
        with self._turn:
            self._verified(Pointer(path))

    def stop(self) -> None:
        """Let go of the loading thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _timed(self, job: Callable[[], None]) -> None:
        """Do what the loading thread is for, and keep since when it is at it."""
        self._loads_since = time.monotonic()
        try:
            job()
        finally:
            self._loads_since = None

    def _look(self) -> None:
        pointers = self._pointers()
        if not pointers or pointers[0] == self.pointer:
            return
        if (
            self._refused is not None
            and self._refused[0] == pointers[0]
            and time.monotonic() < self._refused[1] + _RETRY_S
        ):
            return
        self._try(pointers[0])

    def _pointers(self) -> list[Pointer]:
        try:
            return self._where()
        except TriageError:
            return []

    def _where(self) -> list[Pointer]:
        """Look where the bundles lie; what stands in the way is logged and counted once for each change of it.

        Raises:
            BundleError: That cannot be told.
        """
        try:
            pointers = self.source.pointers()
        except (TriageError, OSError, ValueError, TypeError) as error:
            known = error if isinstance(error, TriageError) else _unreadable(self.source.name, error)
            self.last_error = str(known)
            if self._astray != self.last_error:
                self._astray = self.last_error
                log.error("alias_unreadable", source=self.source.name, message=self.last_error)
                self._on_failure()
            raise known from error
        if self._astray is not None:
            log.info("alias_readable_again", source=self.source.name)
            self.last_error = None if self.last_error == self._astray else self.last_error
            self._astray = None
        return pointers

    def _reload(self) -> None:
        before, (self._policy, self._rules) = (self._policy, self._rules), self._read_files()
        try:
            self._load_wanted()
        except TriageError:
            self._policy, self._rules = before
            raise

    def _load_wanted(self) -> None:
        pointers = self._where()
        if not pointers and not self.is_loaded and any(self._files):
            self.triager = Triager(policy=self._policy, rules=self._rules)
            return
        if not pointers:
            raise BundleNotFound(
                f"nothing to load: {self.source.name!r} points to no bundle; triage promote sets an alias"
            )
        self._load(pointers[0])

    def _try(self, pointer: Pointer) -> bool:
        try:
            self._load(pointer)
        except TriageError as error:
            log.error("bundle_refused", bundle=pointer.path.name, problem=type(error).__name__, message=str(error))
            return False
        return True

    def _load(self, pointer: Pointer) -> None:
        """Verify, build and warm up a bundle, then put it in place of the model in use."""
        with self._turn:
            try:
                triager = self._verified(pointer)
            except TriageError as error:
                self.last_error = str(error)
                self._refused = (pointer, time.monotonic())
                self._on_failure()
                raise
            self.triager, self.pointer, self.loads = triager, pointer, self.loads + 1
            self.loaded_at = datetime.now(UTC).isoformat(timespec="seconds")
            self.last_error = self._refused = None
        exempt_what_is_loaded(swapped=self.loads > 1)
        log.info("bundle_loaded", version=triager.model_version, threads=self._threads)
        self._on_swap(triager.model_version or "")

    def _verified(self, pointer: Pointer) -> Triager:
        try:
            bundle = load_bundle(pointer.path, expected_digest=pointer.digest, threads=self._threads)
            bundle = bundle if self._cascade else bundle.without_cascade()
            triager = Triager(bundle, policy=self._policy, rules=self._rules)
            triager.decide(_WARM_UP, explain=True)
        except TriageError:
            raise
        except Exception as error:  # whatever a bundle breaks while it loads or warms up, the model in use must stay
            raise BundleError(
                f"bundle {pointer.path.name!r} cannot be used: {type(error).__name__} while it warmed up; pull it again"
            ) from error
        return triager


def _unreadable(source: str, error: Exception) -> BundleError:
    kind = type(error).__name__
    return BundleError(f"where {source!r} points cannot be told: {kind} on reading it; see who may read TRIAGE_HOME")
