"""The prefilter before the screening classifier: whom it passes, whom it never passes, and what it is made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from models import triager
from models.bundle.bundle import load_bundle
from models.bundle.prefilter import pack_prefilter, unpack_prefilter
from models.embedding_cache import EmbeddingCache
from models.screening import shipped_classifier
from models.screening.classifier import LABELS, ORDINARY, read_part
from models.screening.prefilter import BUCKETS, LONGEST, Prefilter, token_buckets
from models.triager import Triager
from training.cascade import prefilter as fitting
from training.cascade.prefilter import (
    ALARMS,
    LEARN,
    NO_TICKETS,
    BeginningEncoder,
    TokenRows,
    fit_prefilter,
    log_odds,
)
from triage.errors import BundleTampered
from triage.ticket import Ticket

DATA = Path(__file__).parents[2] / "datasets"


def tickets_of(name: str, count: int | None = None) -> list[Ticket]:
    lines = (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()[:count]
    return [Ticket(subject=row["subject"], body=row["body"]) for row in map(json.loads, lines)]


@pytest.fixture(scope="module")
def prefilter() -> Prefilter:
    return fit_prefilter(tickets_of("tickets", 1_000))


def test_a_run_of_tokens_has_a_bucket_wherever_it_stands() -> None:
    here, there = token_buckets(np.array([5, 7, 9])), token_buckets(np.array([1, 5, 7, 9, 2]))
    assert [len(one) for one in here] == [3, 2, 1] and len(here) == LONGEST
    assert here[2][0] == there[2][1] and set(here[1]) <= set(there[1]) and set(here[0]) <= set(there[0])
    assert all(one.min() >= 0 and one.max() < BUCKETS for one in there)
    assert [len(one) for one in token_buckets(np.array([], dtype=np.int64))] == [0, 0, 0]


def test_runs_of_many_texts_are_those_of_each_alone() -> None:
    texts = [[5, 7, 9], [], [7], [9, 5, 7, 9, 5, 7]]
    table = TokenRows.of(texts).runs()
    for row, tokens in enumerate(texts):
        own = np.unique(np.concatenate(token_buckets(np.array(tokens, dtype=np.int64))))
        assert table[row].indices.tolist() == own.tolist()


def test_what_must_not_wait_is_hardly_ever_passed(prefilter: Prefilter) -> None:
    classifier = shipped_classifier()
    ordinary = tickets_of("tickets")[1_000:2_000]
    assert np.mean([prefilter.is_ordinary(classifier.tokens(read_part(one))) for one in ordinary]) > 0.2
    for name in ("attention-c", "attention-e"):
        rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]
        grave = [Ticket(subject=row["subject"], body=row["body"]) for row in rows if row["kind"]]
        passed = [prefilter.is_ordinary(classifier.tokens(read_part(one))) for one in grave]
        flagged = classifier.probabilities([read_part(one) for one in grave])[:, 1:5].sum(axis=1) >= 0.5
        assert np.mean(np.array(passed)[flagged]) <= 0.01


def a_desk(rows: int, alarms: int, seed: int) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
    """Return words of a desk, half of its alarms in everyday ones, what a filter learns, and what a classifier says."""
    rng = np.random.default_rng(seed)
    table = (rng.random((rows, 40)) < 0.2).astype(np.float64)
    table[: alarms // 2, 0] = 1.0  # a word that only alarms have
    table[alarms // 2 :, 0] = 0.0
    said = np.full((rows, len(LABELS)), 0.001)
    said[:alarms, LABELS.index("outage")] = 0.95
    return sp.csr_matrix(table), log_odds(said), said


def test_few_of_the_desks_own_alarms_are_passed() -> None:
    """Half of them look like any other ticket: only a low limit keeps nine tenths of them from being passed."""
    table, target, said = a_desk(2_000, 200, seed=0)
    (limit,) = fitting._own_limits(table, target, said, np.arange(2_000) % 5)
    unseen, _, _ = a_desk(2_000, 200, seed=1)
    scores = fitting._ridge(table, target).predict(unseen)
    assert 0.03 < (scores[:200] < limit).mean() <= 0.15
    assert 0.05 < (scores[200:] < limit).mean() < 0.4


def test_few_alarms_set_no_limit() -> None:
    table, target, said = a_desk(500, 9, seed=0)
    assert fitting._own_limits(table, target, said, np.arange(500) % 5) == []


def test_copies_of_an_alarm_are_no_evidence_that_alarms_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message of a monitor, sent again and again with another number, is told by a filter that has seen it."""
    seen: list[NDArray[np.int64]] = []

    def noted(*arguments: Any) -> list[float]:
        seen.append(arguments[3])
        return []

    monkeypatch.setattr(fitting, "_own_limits", noted)
    alarms = [Ticket(subject="Outage", body=f"the core switch {place} is down for all sites") for place in range(40)]
    fit_prefilter([*alarms, *tickets_of("tickets", 160)])
    (fold,) = seen
    assert len(set(fold.tolist())) == 5 and len(set(fold[:40].tolist())) == 1
    fit_prefilter([*alarms, *tickets_of("tickets", 160)], np.repeat(np.arange(4), 50))
    assert [len(set(part.tolist())) for part in np.split(seen[1], 4)] == [1, 1, 1, 1]


def test_the_lowest_limit_is_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_own_limits", lambda *_: [-9.0, -3.0])
    assert fit_prefilter(tickets_of("tickets", 200)).threshold == -9.0


def test_the_classifier_is_asked_about_the_others_and_says_the_same(prefilter: Prefilter) -> None:
    classifier, some = shipped_classifier(), tickets_of("tickets")[1_000:1_060]
    alone, behind = classifier.opinions(some), classifier.opinions(some, prefilter)
    passed = [prefilter.is_ordinary(classifier.tokens(read_part(one))) for one in some]
    assert any(passed) and not all(passed)
    for is_passed, before, now in zip(passed, alone, behind, strict=True):
        assert now == (ORDINARY if is_passed else before)


def test_what_the_classifier_says_of_a_text_is_remembered_and_forgotten_with_the_whole_text(tmp_path: Path) -> None:
    cache, classifier = EmbeddingCache(tmp_path / "embeddings.sqlite"), shipped_classifier()
    long, reader = "The printer on floor two is out of toner. " * 40, BeginningEncoder(classifier.encoder)
    first, again = (cache.encode(reader, [long, "short"]) for _ in range(2))
    assert np.array_equal(first, again) and reader.truncates([long, "short"]) == [True, False]
    said = classifier.probabilities([read_part(Ticket(body=long))])
    assert np.array_equal(classifier.probabilities_of(again[:1]), said)
    assert classifier.encoder.name != reader.name and cache.forget([long]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        "Пожар в серверной, все эвакуированы, вызовите помощь как можно скорее",
        "火事です、サーバー室から煙が出ています、助けてください",
    ],
)
def test_what_it_cannot_read_is_put_to_the_classifier(prefilter: Prefilter, text: str) -> None:
    assert not prefilter.is_ordinary(shipped_classifier().tokens(text))


def test_it_is_read_back_as_it_was_written(prefilter: Prefilter) -> None:
    files = pack_prefilter(prefilter)
    found = unpack_prefilter(files)
    assert found is not None and found.threshold == prefilter.threshold and found.intercept == prefilter.intercept
    assert np.array_equal(found.weights, prefilter.weights) and np.array_equal(found.squares, prefilter.squares)
    assert unpack_prefilter({}) is None
    for name, content in (
        ("screening-prefilter.json", b"{}"),
        ("screening-prefilter.json", b'{"intercept": "much", "threshold": 0}'),
        ("screening-prefilter.npy", files["screening-prefilter.npy"][:-8]),
    ):
        with pytest.raises(BundleTampered):
            unpack_prefilter({**files, name: content})


@pytest.mark.parametrize(
    ("name", "use"), [("attention-c", ALARMS), ("attention-a", LEARN), ("not-tickets-c", NO_TICKETS)]
)
def test_the_shipped_rows_are_what_the_shipped_classifier_says(name: str, use: int) -> None:
    """After a new classifier `scripts/prefilter_rows.py` must be run."""
    shipped, classifier = fitting._shipped_rows(), shipped_classifier()
    assert int((shipped["use"] == use).sum()) > 500
    starts, rows = shipped["starts"], np.flatnonzero(shipped["use"] == use)
    said = {tuple(shipped["tokens"][starts[row] : starts[row + 1]]): shipped["log_odds"][row] for row in rows}
    texts = [text for text in map(read_part, tickets_of(name)) if tuple(classifier.tokens(text)) in said][:20]
    assert len(texts) == 20
    for text, odds in zip(texts, log_odds(classifier.probabilities(texts)), strict=True):
        assert said[tuple(classifier.tokens(text))] == pytest.approx(odds, abs=0.01)


def everything_is_ordinary() -> Prefilter:
    return Prefilter(np.zeros(BUCKETS, np.float32), np.ones(BUCKETS, np.float32), intercept=0.0, threshold=1.0)


def test_a_ticket_that_is_ordinary_waits_for_no_thread(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(make_bundle())
    asked: list[Ticket] = []

    def ask(tickets: Sequence[Ticket]) -> list[None]:
        asked.extend(tickets)
        return [None] * len(tickets)

    monkeypatch.setattr(triager, "_opinions", ask)
    some = tickets_of("tickets", 4)
    assert Triager(bundle.screened_by(everything_is_ordinary())).opinions_of(some) == [ORDINARY] * 4 and not asked
    assert Triager(bundle).opinions_of(some) == [None] * 4 and asked == some


def test_where_the_classifier_fails_cues_screen(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> NoReturn:
        raise RuntimeError("no classifier")

    monkeypatch.setattr(triager, "shipped_classifier", broken)
    (decision,) = Triager(load_bundle(make_bundle())).decide(
        [Ticket(body="There is a fire in the server room, smoke!")]
    )
    assert [one.kind for one in decision.attention] == ["safety"]
