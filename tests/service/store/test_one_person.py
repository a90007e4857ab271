"""One person who flips a thousand labels: what counts of it, and what it cannot move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from api.store.autonomy import Beginning
from api.store.export import ALONE, ExportRules
from api.store.feedback import Statement
from api.store.people.users import Rights
from api.store.repository import Repository
from triage.autonomy import Autonomy, Mode, Review

Make = Callable[..., Any]
FLIPPED = 1000
CLEAN = Autonomy.begin(0.10).reviews_to_go
NUMBERS = count()


@pytest.fixture
def people(repository: Repository) -> dict[str, str]:
    """Three accounts: their ids by name."""
    return {name: repository.add_user(name, Rights(["agent"])).id for name in ("anna", "ben", "flipper")}


def said(store: Repository, decide: Make, who: str, key_id: str, *, audit: bool = False, **labels: Any) -> None:
    reason = {"label": "L1", "automation": "suggested", "source": "model", "reason": "not_earned", "confidence": 0.98,
              "alternatives": [], "likely": [], "rule": None, "audit": audit}  # fmt: skip
    reason |= {"reason": "confident"} if audit else {}
    decision = decide(store, f"P-{next(NUMBERS)}", targets={"tier": reason}, model_version="m1")
    store.feedback(decision, Statement("corrected" if labels else "accepted", who, **labels), key_id=key_id)


def reviews(who: str, number: int, *, error: bool = False) -> list[Review]:
    return [Review(error, True, who)] * number


def test_a_thousand_clean_reviews_of_one_person_open_nothing() -> None:
    base = Autonomy.begin(0.10)
    alone = base.recount(reviews("flipper", FLIPPED), nobody_alone=True)
    assert alone.mode is Mode.SUGGEST and base.recount(reviews("flipper", FLIPPED)).mode is Mode.AUTOMATIC
    bad = [one for place in range(60) for one in reviews("anna", 1, error=place % 3 == 0)]
    assert base.recount([*bad, *reviews("flipper", FLIPPED)], nobody_alone=True).mode is Mode.SUGGEST
    both = [one for _ in range(CLEAN) for who in ("anna", "ben") for one in reviews(who, 1)]
    assert base.recount(both, nobody_alone=True).mode is Mode.AUTOMATIC


def test_what_is_missing_is_told_of_the_others(repository: Repository, decide: Make, people: dict[str, str]) -> None:
    repository.adopt_model("m1", {"tier": Beginning(0.10, 0.05)})
    for _ in range(CLEAN + 5):
        said(repository, decide, "flipper", people["flipper"])
    found = repository.autonomy_of("m1")["tier"]
    assert (found.state.mode, found.state.reviews_to_go, found.reviews_to_go) == (Mode.SUGGEST, 0, CLEAN)
    for number in range(1, CLEAN + 1):
        said(repository, decide, "anna", people["anna"])
        assert repository.autonomy_of("m1")["tier"].reviews_to_go == CLEAN - number
    assert repository.autonomy_of("m1")["tier"].state.mode is Mode.AUTOMATIC


def test_so_many_reviews_of_one_person_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    update = Autonomy.update

    def watched(self: Autonomy, error: bool, **said: bool) -> Autonomy:
        nonlocal counted
        counted += 1
        return update(self, error, **said)

    monkeypatch.setattr(Autonomy, "update", watched)
    mixed = [*reviews("anna", 5), *reviews("flipper", FLIPPED)]
    assert Autonomy.begin(0.10).recount(mixed, nobody_alone=True).mode is Mode.SUGGEST
    assert counted < 5 * len(mixed)


def test_a_thousand_errors_of_one_person_close_nothing_and_those_of_two_do() -> None:
    opened = Autonomy.begin(0.10, carried=True)
    honest = [one for _ in range(100) for who in ("anna", "ben") for one in reviews(who, 1)]
    alone = [*honest, *reviews("flipper", FLIPPED, error=True)]
    assert opened.recount(alone, nobody_alone=True).mode is Mode.AUTOMATIC
    assert opened.recount(alone).mode is Mode.SUGGEST
    two = [one for _ in range(40) for who in ("anna", "ben") for one in reviews(who, 1, error=True)]
    assert opened.recount([*honest, *two], nobody_alone=True).mode is Mode.SUGGEST


def test_the_store_counts_by_account_and_a_key_cannot_be_ten_people(
    repository: Repository, decide: Make, people: dict[str, str]
) -> None:
    repository.adopt_model("m1", {"tier": Beginning(0.10, 0.05)})
    for number in range(2 * CLEAN):
        said(repository, decide, f"made up {number % 10}", "one key")
    assert repository.autonomy_of("m1")["tier"].state.mode is Mode.SUGGEST
    for _ in range(CLEAN):
        said(repository, decide, "anna", people["anna"])
    assert repository.autonomy_of("m1")["tier"].state.mode is Mode.AUTOMATIC


def test_memory_and_export_take_no_more_of_one_than_of_all_others(
    repository: Repository, decide: Make, people: dict[str, str]
) -> None:
    for who, number in (("anna", 40), ("ben", 30), ("flipper", 150)):
        for _ in range(number):
            said(repository, decide, who, people[who], tier="L3" if who == "flipper" else "L2")
    left_out: Counter[str] = Counter()
    rows = list(repository.training_rows(ExportRules(people_only=True), left_out))
    assert Counter(row["tier"] for row in rows) == {"L2": 70, "L3": 70}
    assert left_out == {"more of one person than of all others": 80}
    assert Counter(one.tier for one in repository.reviewed(500)) == {"L2": 70, "L3": 70}
    without = repository.reviewed(500, ExportRules(outweighed=False))
    assert Counter(one.tier for one in without) == {"L2": 70, "L3": 150}


def test_a_person_with_few_colleagues_teaches_a_little(
    repository: Repository, decide: Make, people: dict[str, str]
) -> None:
    for _ in range(ALONE + 10):
        said(repository, decide, "anna", people["anna"], tier="L2")
    assert len(repository.reviewed(500)) == ALONE
