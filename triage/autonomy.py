"""Autonomy that is earned: sequential tests on a desk's own reviews open and close automation for one target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple, Self

DELTA = 0.05
"""Chance, over all time, that automation opens although the risk is above the target."""

_MARGIN = 1.4
"""How far beyond 1 / delta the evidence has to go. At 1 / delta a desk just above its target opens with a chance of
0.045, so that one in five simulations of a thousand desks shows more than 0.05; with the margin it is 0.032."""

_LOWER_RATES = (0.0, 0.2, 0.5, 0.75)
_LOWER_WEIGHTS = (0.40, 0.15, 0.25, 0.20)
"""Error rates that the opening test bets on, as shares of the target, and what it stakes on each.

Nearly half is staked on no errors at all, so that a spotless desk opens after 81 reviews at a target of 0.05 (59 is the
least that any test can do); with the rest a desk at half the target needs 1.2 times, one at three quarters of it
5.5 times the information limit of half (`bench/autonomy.py`)."""

_RESTART_SHARE = 0.1
_RESTART_REVIEWS = 50
"""A tenth of the stake is kept back and bet anew every 50 reviews, so that a bad beginning is forgotten.

After 200 reviews at twice the target a desk at half the target opens after 500 instead of 980 more; it costs one
more clean review."""

_TAKEN_BACK_BELOW = 1.0
"""Evidence below which late reviews take an opening back: then all of them together no longer speak for it.

Opening took 1.4 / delta, so that a desk that keeps half its target seldom gets there (`bench/autonomy.py`)."""

_HIGHER_RATES = (1.5, 2.0, 3.0)
_HIGHER_WEIGHTS = (0.3, 0.4, 0.3)
"""Error rates that the closing test looks for, as multiples of the target, and their weights."""

_CLOSE_AT = 20_000.0
"""Evidence at which automation closes. By Doob's inequality the chance of a false closing within n audit reviews is at
most n / 20,000; 10,000 automatic tickets have 500 (0.025), or 750 where the audit is quickened (0.0375)."""

_ALARM_AT = 100.0
_ALARM_FACTOR = 4.0
"""From this evidence on the audit slice is four times as large: it halves the tickets until a closing, and a
desk that keeps its target is seldom there (`bench/autonomy.py`)."""

_MOST_CAPITAL = 1e100
"""What the bettor may win on one rate: far beyond any level of evidence, and no overflow where none may open."""

_LOOK_AHEAD = 100_000
"""Most clean reviews that are counted ahead."""


class Mode(StrEnum):
    """How far the model may go for one target."""

    SUGGEST = "suggest"
    AUTOMATIC = "automatic"


@dataclass(frozen=True)
class OpeningTest:
    """An anytime-valid test of "the error rate is above the target"; rejecting it opens automation.

    A bettor with a capital of one stakes on error rates below the target. While each review is wrong with at least the
    target's probability, given all before it, the capital is a non-negative supermartingale, so by Ville's inequality
    it ever reaches 1 / delta with a chance of at most delta, however often one looks; 1.4 / delta leaves a margin.
    The capital is a mixture over error rates (Robbins 1970) and over starting points; with a fixed rate this is the
    betting capital of Waudby-Smith and Ramdas (2024) for yes/no outcomes, and Wald's likelihood ratio.

    Sources: Ville 1939, Étude critique de la notion de collectif; Robbins 1970, Statistical methods related to the law
    of the iterated logarithm; Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting,
    JRSS B 86(1).

    Attributes:
        target_risk: Highest error rate that may be automatic, in (0, 1).
        delta: Chance of a false opening over all time, in (0, 1).
        reviews: Reviews counted.
        errors: Those of them that found an error.
        capital: What the bettor has on each of the error rates. A share that errors have brought to zero stays there
            until the next restart.

    Example:
        >>> test = OpeningTest(0.05)
        >>> test.reviews_to_go, test.update(False).reviews_to_go
        (81, 80)
    """

    target_risk: float
    delta: float = DELTA
    reviews: int = 0
    errors: int = 0
    capital: tuple[float, ...] = tuple(weight * (1 - _RESTART_SHARE) for weight in _LOWER_WEIGHTS)

    @classmethod
    def granted(cls, target_risk: float, delta: float = DELTA) -> OpeningTest:
        """Return the test with the capital of one that has just passed, for an opening that is taken over."""
        enough = _MARGIN / delta * (1 + 1e-12)  # whatever the sum is rounded to
        return cls(target_risk, delta, capital=tuple(weight * enough for weight in _LOWER_WEIGHTS))

    def update(self, error: bool) -> OpeningTest:
        """Return the test after one more review."""
        capital = []
        fresh = self._fresh_share()
        for share, own, weight in zip(self.capital, _LOWER_RATES, _LOWER_WEIGHTS, strict=True):
            odds = own if error else (1 - own * self.target_risk) / (1 - self.target_risk)
            capital.append(min(_MOST_CAPITAL, (share + fresh * weight) * odds))
        return OpeningTest(self.target_risk, self.delta, self.reviews + 1, self.errors + error, capital=tuple(capital))

    def _fresh_share(self) -> float:
        """Return what is staked anew before the next review; all restarts together stake `_RESTART_SHARE`."""
        round_, place = divmod(self.reviews, _RESTART_REVIEWS)
        return _RESTART_SHARE / (round_ * (round_ + 1)) if round_ and not place else 0.0

    @property
    def evidence(self) -> float:
        """The bettor's capital; it starts below one and opens automation at 1.4 / delta."""
        return math.fsum(self.capital)

    @property
    def passed(self) -> bool:
        """Whether "the error rate is above the target" is rejected."""
        return self.evidence >= _MARGIN / self.delta

    @property
    def spent(self) -> bool:
        """Whether an opening that this test has allowed is no longer borne out by it."""
        return self.evidence < _TAKEN_BACK_BELOW

    @property
    def reviews_to_go(self) -> int:
        """Reviews without an error that would still be needed, at most 100,000."""
        test, ahead = self, 0
        while not test.passed and ahead < _LOOK_AHEAD:
            test, ahead = test.update(False), ahead + 1
        return ahead


@dataclass(frozen=True)
class ClosingTest:
    """A watch over the audit slice for a risk that has risen above the target; its alarm closes automation.

    A sum over all possible moments of change of the likelihood ratio of a higher error rate against the target, by
    the recursion of Shiryaev (1963) and Roberts (1966), mixed over three higher rates. While each review is wrong with
    at most the target's probability, the evidence less the number of reviews is a supermartingale: an e-detector in the
    sense of Shin, Ramdas and Rinaldo (2024), E-detectors: a nonparametric framework for sequential change detection,
    New England Journal of Statistics in Data Science 2(2). On average at least 20,000 reviews pass before a false
    alarm.

    Attributes:
        target_risk: Highest error rate that may be automatic, in (0, 1).
        reviews: Audit reviews counted.
        errors: Those of them that found an error.
        sums: Evidence for each of the higher error rates.
    """

    target_risk: float
    reviews: int = 0
    errors: int = 0
    sums: tuple[float, ...] = (0.0,) * len(_HIGHER_RATES)

    def update(self, error: bool) -> ClosingTest:
        """Return the watch after one more audit review."""
        sums = []
        for evidence, rate in zip(self.sums, self._rates(), strict=True):
            odds = rate / self.target_risk if error else (1 - rate) / (1 - self.target_risk)
            sums.append((evidence + 1) * odds)
        return ClosingTest(self.target_risk, self.reviews + 1, self.errors + error, tuple(sums))

    def _rates(self) -> list[float]:
        """Return the higher error rates; halfway to one where a multiple of the target would pass it."""
        risk = self.target_risk
        return [min(times * risk, (1 + risk) / 2) for times in _HIGHER_RATES]

    @property
    def evidence(self) -> float:
        """The evidence that the risk has risen; at 20,000 automation closes."""
        return math.fsum(weight * evidence for weight, evidence in zip(_HIGHER_WEIGHTS, self.sums, strict=True))

    @property
    def alarmed(self) -> bool:
        """Whether the evidence is such that more of the automatic tickets should be audited."""
        return self.evidence >= _ALARM_AT

    @property
    def failed(self) -> bool:
        """Whether the risk is found above the target."""
        return self.evidence >= _CLOSE_AT


class Review(NamedTuple):
    """What one person found of one ticket.

    Attributes:
        error: Whether the model's label was wrong.
        audited: Whether the ticket is a fair draw from what is automatic: it was drawn into the audit slice, or went to
            people although automation was open. False where it went to people because automation was not open.
        who: Tells people apart.
    """

    error: bool
    audited: bool
    who: str


@dataclass(frozen=True)
class Autonomy:
    """How far the model may go for one target at one desk, and the reviews that say so.

    What is a fair sample depends on the mode in which a ticket was decided. In mode *suggest* all that the gate passes
    goes to people, so all those tickets together are one, and their reviews belong to the opening test whenever they
    come: what is wrong often comes back days after what is right was accepted. In mode *automatic* the audit slice is
    one, and belongs to the watch. What people look at of their own accord is none.

    Attributes:
        opening: The test that opens automation. It goes on with late reviews after it was passed; where they leave
            nothing of its evidence, the opening is taken back.
        closing: The watch since automation opened.
        mode: What the reviews allow.
        openings: How often automation has opened. Each opening by itself is false with a chance of at most delta.
        carried: Whether automation was open from the start, taken over from the model before.
    """

    opening: OpeningTest
    closing: ClosingTest
    mode: Mode = Mode.SUGGEST
    openings: int = 0
    carried: bool = False

    @classmethod
    def begin(cls, target_risk: float, delta: float = DELTA, *, carried: bool = False) -> Self:
        """Return the state before any review.

        Args:
            target_risk: Highest error rate that may be automatic, in (0, 1).
            delta: Chance of a false opening, in (0, 1).
            carried: Whether automation is open already, taken over from the model before.

        Raises:
            ValueError: If a probability is not inside (0, 1).
        """
        if not 0 < target_risk < 1 or not 0 < delta < 1:
            raise ValueError(f"target risk {target_risk} and delta {delta} must be inside (0, 1)")
        mode = Mode.AUTOMATIC if carried else Mode.SUGGEST
        opening = OpeningTest.granted(target_risk, delta) if carried else OpeningTest(target_risk, delta)
        return cls(opening, ClosingTest(target_risk), mode, openings=int(carried), carried=carried)

    def update(self, error: bool, *, audited: bool = False, may_open: bool = True, may_close: bool = True) -> Self:
        """Return the state after one more review.

        Args:
            error: Whether a person found the model's label wrong.
            audited: Whether the ticket is a fair draw from what is automatic; see `Review`.
            may_open: False keeps automation shut whatever the evidence, such as while all of it is one person's word.
            may_close: False keeps it open in the same way.
        """
        if self.mode is Mode.AUTOMATIC and audited:
            return self._watched(error, may_close)
        opening = self.opening.update(error)
        if self.mode is Mode.SUGGEST and opening.passed and may_open:
            closing = ClosingTest(opening.target_risk) if self.closing.failed else self.closing
            return replace(self, opening=opening, closing=closing, mode=Mode.AUTOMATIC, openings=self.openings + 1)
        if self.mode is Mode.AUTOMATIC and opening.spent and may_close:
            return replace(self, opening=opening, mode=Mode.SUGGEST, carried=False)
        return replace(self, opening=opening)

    def _watched(self, error: bool, may_close: bool) -> Self:
        """Return the state after the review of a ticket that was drawn while automation was open."""
        closing = self.closing.update(error)
        if not closing.failed or not may_close:
            return replace(self, closing=closing)
        opening = OpeningTest(self.opening.target_risk, self.opening.delta)
        return replace(self, opening=opening, closing=closing, mode=Mode.SUGGEST, carried=False)

    def recount(
        self, reviews: Sequence[Review], *, reviewers: int = 1, nobody_alone: bool = False, was_open: bool | None = None
    ) -> Autonomy:
        """Return the state after reviews in their order.

        Where a change of mind would have let automation open at some earlier review, the later ones were made, and they
        count too: automation that is shut opens only where an opening test on all the reviews, audits among them,
        passes now. One that is open stays so by the same rules as when review after review comes in.

        Args:
            reviews: All of them.
            reviewers: How many different people must have reviewed before automation opens.
            nobody_alone: A change of mode must stand whoever of the people is left out with all they said: so nobody
                opens or closes automation alone, however much they say.
            was_open: Whether automation is open at present; None takes it as it was at the beginning.
        """
        counted = whole = _Counted(self, self.opening)
        without: dict[str, _Counted] = {}
        people = set[str]()
        for review in reviews:
            people.add(review.who)
            after = counted.after(review, may_open=len(people) >= reviewers)
            if nobody_alone:
                without, whole = _left_out(without, whole, review)
                if after.state.mode is not counted.state.mode and not _stands(without, after.state.mode):
                    after = counted.after(review, may_open=False, may_close=False)
            counted = after
        return counted.settled(self.mode is Mode.AUTOMATIC if was_open is None else was_open)

    def reviews_to_go_of_others(self, reviews: Sequence[Review]) -> int:
        """Return how many clean reviews it takes until automation opens whoever of the people is left out.

        Args:
            reviews: All of them; at the beginning automation is shut.
        """
        without, whole = dict[str, _Counted](), _Counted(self, self.opening)
        for review in reviews:
            without, whole = _left_out(without, whole, review)
        return max(one.settled(False).reviews_to_go for one in (whole, *without.values()))

    def replay(self, errors: Iterable[bool]) -> Self:
        """Return the state after reviews in the order in which they were made, each of them drawn for an audit."""
        state = self
        for error in errors:
            state = state.update(error, audited=True)
        return state

    @property
    def reviews(self) -> int:
        """Reviews that count in the present mode: since the watch last closed automation, or since the beginning."""
        return self.opening.reviews + (self.closing.reviews if self.mode is Mode.AUTOMATIC else 0)

    @property
    def errors(self) -> int:
        """Errors that those reviews found."""
        return self.opening.errors + (self.closing.errors if self.mode is Mode.AUTOMATIC else 0)

    @property
    def reviews_to_go(self) -> int:
        """Clean reviews until automation opens; 0 where it is open."""
        return 0 if self.mode is Mode.AUTOMATIC else self.opening.reviews_to_go

    def audit_share(self, share: float) -> float:
        """Return the share of automatic tickets that still goes to people, in [0, 1].

        Args:
            share: The share while all is well.
        """
        return min(1.0, share * _ALARM_FACTOR) if self.closing.alarmed else share

    def to_document(self) -> dict[str, Any]:
        """Return the state as a JSON object that `from_document` reads back as an equal value."""
        return {
            "mode": self.mode.value,
            "target_risk": self.opening.target_risk,
            "delta": self.opening.delta,
            "openings": self.openings,
            "carried": self.carried,
            "opening": [self.opening.reviews, self.opening.errors, list(self.opening.capital)],
            "closing": [self.closing.reviews, self.closing.errors, list(self.closing.sums)],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a state back.

        Raises:
            KeyError: If a part is missing.
            ValueError: If the test that it belongs to has another form.
        """
        risk = document["target_risk"]
        opening_reviews, opening_errors, capital = document["opening"]
        closing_reviews, closing_errors, sums = document["closing"]
        if len(capital) != len(_LOWER_RATES) or len(sums) != len(_HIGHER_RATES):
            raise ValueError("the state belongs to another form of the test")
        opening = OpeningTest(
            risk, document["delta"], reviews=opening_reviews, errors=opening_errors, capital=tuple(capital)
        )
        if document["carried"] and not opening_reviews:  # versions before kept no capital of what was taken over
            opening = OpeningTest.granted(risk, document["delta"])
        closing = ClosingTest(risk, closing_reviews, closing_errors, tuple(sums))
        mode = Mode(document["mode"])
        return cls(opening, closing, mode, openings=document["openings"], carried=document["carried"])


@dataclass(frozen=True)
class _Counted:
    """What reviews in their order come to, and beside it the opening test on all of them, audits among them."""

    state: Autonomy
    everything: OpeningTest

    def after(self, review: Review, *, may_open: bool = True, may_close: bool = True) -> _Counted:
        """Return what they come to with one more; see `Autonomy.update`."""
        state = self.state.update(review.error, audited=review.audited, may_open=may_open, may_close=may_close)
        if review.audited and self.state.mode is Mode.AUTOMATIC and state.mode is Mode.SUGGEST:
            return _Counted(state, state.opening)  # the watch has closed automation, and the evidence begins anew
        return _Counted(state, self.everything.update(review.error))

    def settled(self, was_open: bool) -> Autonomy:
        """Return the state; what was shut opens only where all the reviews together allow it now."""
        if self.state.mode is Mode.AUTOMATIC and not was_open and not self.everything.passed:
            return replace(self.state, mode=Mode.SUGGEST, opening=self.everything, carried=False)
        return self.state


def _left_out(without: Mapping[str, _Counted], whole: _Counted, review: Review) -> tuple[dict[str, _Counted], _Counted]:
    """Count one more review for all people together, and for all but each one of them.

    Args:
        without: What the reviews so far come to without those of each person.
        whole: What all of them come to.
        review: The next one; what a person who is new would leave out is nothing of what was said so far.
    """
    others = {who: one.after(review) for who, one in without.items() if who != review.who}
    return {**others, review.who: without.get(review.who, whole)}, whole.after(review)


def _stands(without: Mapping[str, _Counted], mode: Mode) -> bool:
    """Say whether the reviews come to the same mode without those of any one person."""
    return all(one.settled(mode is Mode.SUGGEST).mode is mode for one in without.values())
