"""The one door for scoring: tickets in, decisions out, with a bundle or by rules alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

from models.bundle.bundle import Bundle, load_bundle
from models.reference.reviews import ReviewMemory
from models.screening import shipped_classifier
from models.screening.classifier import in_their_places
from triage.decide import decide
from triage.decision import Decision
from triage.defaults import default_policy, default_rules
from triage.errors import BundleMismatch
from triage.gate import Gate
from triage.policy import Policy
from triage.prediction import Prediction
from triage.rules import RuleBook, check_labels
from triage.screening import Opinion
from triage.ticket import Ticket

_LOG = logging.getLogger(__name__)


class Predictor(Protocol):
    """What the triager needs of a bundle: predictions, and the gate, policy and rules certified with them."""

    @property
    def version(self) -> str:
        """Name of this bundle in every decision."""

    @property
    def gate(self) -> Gate:
        """When its prediction is good enough to act on."""

    @property
    def policy(self) -> Policy:
        """The policy it was trained under."""

    @property
    def rules(self) -> RuleBook:
        """The rules it was trained beside, with their measured precision."""

    def predict(self, tickets: Sequence[Ticket], *, explain: bool, clearance: int) -> list[Prediction]:
        """Predict for each ticket, in order."""


class Triager:
    """Decides tickets. Service, batch scorer and evaluation all go through `decide`.

    Args:
        bundle: A loaded bundle; None routes by rules alone, by the same path.
        policy: Overrides the bundle's policy (folding, lists, groups, floors); the default one without a bundle. The
            labels of targets beside tier and category stay the bundle's where it does not list its own.
        rules: Overrides the bundle's rules; without a bundle the default ones, as far as the policy has their labels.

    Raises:
        BundleMismatch: The bundle decides labels that the policy does not list.
        InvalidRules: The rules name some.
    """

    def __init__(
        self, bundle: Predictor | None = None, *, policy: Policy | None = None, rules: RuleBook | None = None
    ) -> None:
        self.policy = policy or (bundle.policy if bundle else default_policy())
        if bundle is not None:
            self.policy = self.policy.with_targets_of(bundle.policy)
        self.bundle = bundle
        if isinstance(bundle, Bundle) and policy is not None:
            _check_listed(bundle, self.policy)
            self.bundle = bundle.shown_under(self.policy)
        self.rules = rules or (bundle.rules if bundle else default_rules().fitting(self.policy.known_labels))
        if bundle is not None and rules is not None:
            self.rules = rules.with_measurements_of(bundle.rules)
        self._overrides = policy is not None
        self.gate = self._gate_of(bundle)
        check_labels(self.rules, self.policy.known_labels)

    @classmethod
    def load(cls, path: Path, *, policy: Policy | None = None, rules: RuleBook | None = None) -> Triager:
        """Load a bundle directory, audited before anything in it is parsed.

        Raises:
            BundleError: If it is absent, altered, or made for other code.
        """
        return cls(load_bundle(path), policy=policy, rules=rules)

    def with_reviews(self, reviews: ReviewMemory | None) -> Triager:
        """Return the same triager with a desk's own reviews beside its bundle; gate, policy and rules stay.

        Args:
            reviews: What they changed; None takes them away.
        """
        if not isinstance(self.bundle, Bundle):
            return self
        changed = copy(self)
        changed.bundle = self.bundle.with_reviews(reviews)
        changed.gate = self._gate_of(changed.bundle)
        return changed

    def _gate_of(self, bundle: Predictor | None) -> Gate:
        gate = bundle.gate if bundle else Gate()
        return gate.under(self.policy.gate) if self._overrides else gate

    @property
    def model_version(self) -> str | None:
        """Version of the bundle in use, or None."""
        return self.bundle.version if self.bundle else None

    def decide(
        self,
        tickets: Sequence[Ticket],
        *,
        explain: bool = False,
        clearance: int = 0,
        opinions: Sequence[Opinion | None] | None = None,
        on_unscreened: Callable[[], object] = lambda: None,
    ) -> list[Decision]:
        """Decide each ticket on its own, in order: none influences another, but for the rounding of sums.

        Args:
            tickets: Any number of tickets.
            explain: Whether to say which words counted and what is similar; costs some milliseconds each.
            clearance: What the reader may see: similar tickets above it are not even searched.
            opinions: What `opinions_of` returned for the same tickets; None asks it.
            on_unscreened: Called where the shipped classifier fails, so that written cues alone screen.
        """
        screened = self._screened(tickets, on_unscreened) if opinions is None else lambda: opinions
        probabilities: Sequence[Prediction | None] = [None] * len(tickets)
        if self.bundle is not None and tickets:
            probabilities = self.bundle.predict(tickets, explain=explain, clearance=clearance)
        decided = (
            decide(ticket, prediction, self.gate, self.rules, self.policy, opinion)
            for ticket, prediction, opinion in zip(tickets, probabilities, screened(), strict=True)
        )
        return [replace(decision, model_version=self.model_version) for decision in decided]

    def opinions_of(self, tickets: Sequence[Ticket]) -> Sequence[Opinion | None]:
        """Return what the shipped classifier thinks must not wait or is no ticket; None for each where it fails."""
        return self._screened(tickets)()

    def _screened(
        self, tickets: Sequence[Ticket], on_unscreened: Callable[[], object] = lambda: None
    ) -> Callable[[], Sequence[Opinion | None]]:
        """Begin to ask the classifier, on a thread of its own, about what its prefilter leaves open."""
        prefilter = self.bundle.prefilter if isinstance(self.bundle, Bundle) else None

        def unscreened(error: Exception, count: int) -> list[Opinion | None]:
            """Whatever it is, the runtime's own errors too: written cues still screen, and rules route."""
            _warn_unscreened(type(error).__name__)
            on_unscreened()
            return [None] * count

        try:
            asked = shipped_classifier().doubtful(tickets, prefilter)
        except Exception as error:
            nothing = unscreened(error, len(tickets))
            return lambda: nothing
        if not asked:
            return lambda: in_their_places(asked, (), len(tickets))
        later = _screening_thread().submit(_opinions, [tickets[row] for row in asked])

        def screened() -> Sequence[Opinion | None]:
            said: Sequence[Opinion | None]
            try:
                said = later.result()
            except Exception as error:
                said = unscreened(error, len(asked))
            return in_their_places(asked, said, len(tickets))

        return screened


def _check_listed(bundle: Bundle, policy: Policy) -> None:
    """Refuse a bundle whose labels the policy beside it does not list: nothing would say who may see such a ticket.

    Raises:
        BundleMismatch: Naming all of them.
    """
    known = policy.known_labels
    unlisted = [
        f"{target} {label!r}"
        for target, head in bundle.model.heads.items()
        for label in head.labels
        if label not in known[target]
    ]
    if unlisted:
        raise BundleMismatch(
            f"bundle {bundle.version} decides what the policy beside it does not list: {', '.join(unlisted)}; "
            "list it there, as sensitive where it is, or train under that policy"
        )


def _opinions(tickets: Sequence[Ticket]) -> Sequence[Opinion | None]:
    return shipped_classifier().opinions(tickets)


@cache
def _warn_unscreened(kind: str) -> None:
    """Tell once of each type of error that the classifier fails: it may do so for every ticket."""
    _LOG.warning("the screening classifier fails, and written cues alone say what must not wait: %s", kind)


@cache
def _screening_thread() -> ThreadPoolExecutor:
    """Return a thread that screens while the bundle predicts: both wait for encoders that leave the interpreter."""
    return ThreadPoolExecutor(1, "screening")
