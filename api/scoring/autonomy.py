"""How far the model in use may go: what its reviews allow, asked of the store, applied to every decision."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field

from api.settings import Settings
from api.store.autonomy import AutonomyRow, Beginning, ModeChange
from api.store.repository import Repository
from api.telemetry import Metrics, show_at_zero
from models.home import organisation_id
from models.triager import Triager
from triage.autonomy import DELTA, Autonomy, Mode
from triage.decide import hold_back
from triage.decision import Decision
from triage.errors import StoreUnavailable

EARNED, CERTIFIED, SUGGEST = "earned", "certified", "suggest"
_TARGET_RISK = 0.05
"""Target of a bundle that does not state one, such as one that was started without a history."""

_OVERRIDES = {
    CERTIFIED: (Mode.AUTOMATIC, "TRIAGE_AUTONOMY=certified: the certificate of the bundle decides alone"),
    SUGGEST: (Mode.SUGGEST, "TRIAGE_AUTONOMY=suggest: the model decides nothing alone"),
}
log = structlog.get_logger(__name__)


class TargetAutonomy(BaseModel):
    """How far the model may go for one target."""

    model_config = ConfigDict(title="Autonomy of a target", frozen=True)

    mode: Literal["suggest", "automatic"]
    target_risk: float = Field(gt=0, lt=1, description="highest error rate that may be automatic")
    reviews: int = Field(
        ge=0, description="reviews that count: until automation opens all of what the gate passed, then audited tickets"
    )
    errors: int = Field(ge=0, description="errors that they found")
    reviews_to_go: int | None = Field(
        ge=0,
        description="reviews without an error until automation opens, where several people have accounts whoever of "
        "them is left out; 0 where it is open, null where none opens it because the bundle certifies nothing for this "
        "target",
    )
    changed_at: datetime
    because: str = Field(description="why the mode is what it is, in words")


class AutonomyKeeper:
    """Knows what the model in use may decide alone, and draws the tickets that people check nevertheless.

    What it knows is at most `TRIAGE_POLL_S` old; while the store has never answered, nothing is open.

    Args:
        settings: The service's settings.
        store: Where the evidence is kept.
        metrics: Where to tell of it.
        draw: Returns a number in [0, 1) for the audit slice.
    """

    def __init__(
        self, settings: Settings, store: Repository, metrics: Metrics, draw: Callable[[], float] = random.random
    ) -> None:
        self._setting, self._share = settings.autonomy, settings.audit_share
        self._organisation = organisation_id(settings.home)
        self._store, self._metrics, self._draw = store, metrics, draw
        self._turn = threading.Lock()
        self._version: str | None = None
        self._beginnings: dict[str, Beginning] = {}
        self._shut: Mapping[str, str] = {}
        self._is_adopted = False
        self._restored: str | None = None
        self._states: Mapping[str, Autonomy] = {}
        store.reviewers = settings.autonomy_reviewers
        store.on_change = self._on_change

    def adopt(self, triager: Triager) -> None:
        """Take up a model that was taken into use; where the store does not answer, `refresh` tries again."""
        with self._turn:
            self._version, self._states, self._is_adopted = triager.model_version, {}, False
            self._beginnings, self._shut = beginnings_of(triager, self._organisation), shut_by_the_bundle(triager)
            show_at_zero(self._metrics.autonomy_changes, self._beginnings, Mode)
        self.refresh()

    def refresh(self) -> None:
        """Ask the store what the reviews allow now; where it does not answer, what was known stands."""
        with self._turn:
            if self._version is None:
                return
            try:
                rows = self._found(self._version)
            except StoreUnavailable as error:
                log.warning("autonomy_unknown", code=error.code)
                return
            self._states = {target: row.state for target, row in rows.items()}
        for target, row in rows.items():
            self._metrics.observe_autonomy(target, row.state, None if target in self._shut else row.reviews_to_go)

    def _found(self, version: str) -> dict[str, AutonomyRow]:
        """Return what the store says of the model in use, which it is told of where a restored backup is older."""
        restored = self._store.restored()
        if self._is_adopted and restored == self._restored:
            rows = self._store.autonomy_of(version)
            if self._beginnings.keys() <= rows.keys():
                return rows
        self._store.adopt_model(version, self._beginnings)
        self._is_adopted, self._restored = True, restored
        return self._store.autonomy_of(version)

    def hold(self, decision: Decision) -> Decision:
        """Return a decision as far as autonomy allows it; some of what is automatic is drawn for people to check."""
        if self._setting == CERTIFIED:
            return decision
        states = self._states if self._setting == EARNED and decision.model_version == self._version else {}
        is_open = {target for target, state in states.items() if state.mode is Mode.AUTOMATIC}
        drawn = self._draw()
        audited = {target for target in is_open if drawn < states[target].audit_share(self._share)}
        return hold_back(decision, decision.targets.keys() - is_open, audited)

    def rows(self) -> dict[str, AutonomyRow]:
        """Return what the store says of the model in use, by target.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return self._store.autonomy_of(self._version) if self._version is not None else {}

    def describe(self) -> dict[str, TargetAutonomy]:
        """Describe how far the model in use may go, by target, as `GET /v1/autonomy` answers it.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return {target: self._described(row) for target, row in sorted(self.rows().items())}

    def _described(self, row: AutonomyRow) -> TargetAutonomy:
        mode, because = _OVERRIDES.get(self._setting, (row.state.mode, row.because))
        shut = self._shut.get(row.target)
        if shut is not None:
            mode, because = Mode.SUGGEST, shut
        elif mode is Mode.SUGGEST and row.state.opening.passed and row.reviews_to_go:
            because = f"the reviews suffice only with those of one person: others' are missing; {because}"
        return TargetAutonomy(
            mode=mode.value,
            target_risk=row.state.opening.target_risk,
            reviews=row.state.reviews,
            errors=row.state.errors,
            reviews_to_go=None if shut is not None else row.reviews_to_go,
            changed_at=row.changed_at,
            because=because,
        )

    def _on_change(self, change: ModeChange) -> None:
        self._metrics.autonomy_changes.labels(change.target, change.mode.value).inc()
        log.warning(
            "autonomy_changed", target=change.target, mode=change.mode.value, because=change.because,
            version=change.model_version,
        )  # fmt: skip


def beginnings_of(triager: Triager, organisation: str) -> dict[str, Beginning]:
    """Return what the bundle in use says of each of its targets before people have reviewed its decisions here.

    Args:
        triager: With the bundle.
        organisation: Where this service runs: only a bundle that was trained there, and on tickets of its own, brings
            a history that counts.
    """
    manifest = getattr(triager.bundle, "manifest", None) or {}
    settings, history = manifest.get("settings", {}), manifest.get("history", {})
    own = history.get("organisation") == organisation and history.get("own", 0) > 0
    target_risk = settings.get("target_risk") or _TARGET_RISK  # both are null in a bundle of `triage start`
    delta = round(1 - settings["confidence"], 9) if settings.get("confidence") else DELTA
    return {
        target: Beginning(
            target_risk, delta, own, tuple(digit == "1" for digit in history.get("outcomes", {}).get(target, ""))
        )
        for target in triager.gate.targets
    }


def shut_by_the_bundle(triager: Triager) -> dict[str, str]:
    """Return the targets for which the bundle in use certifies nothing, each with what that means, in words.

    No ticket passes a gate that is shut for every label, so no review counts and none opens automation.

    Args:
        triager: With the bundle.
    """
    manifest = getattr(triager.bundle, "manifest", None) or {}
    of_both_stages = manifest.get("cascade", {}).get("refitted") or {}
    chosen = {**manifest.get("gate", {}).get("refitted", {}), **of_both_stages}
    by_label = manifest.get("settings", {}).get("per_class")
    found = {}
    for target, gate in triager.gate.targets.items():
        if gate.decides_nothing:
            more = None if by_label else chosen.get(target, {}).get("more_tickets")
            found[target] = (
                f"this bundle certifies nothing for {target}, so that no review opens it; a new training with "
                f"{f'about {more} more' if more else 'more'} labelled tickets may"
            )
    return found
