"""Splits keep near-duplicates and groups together and go by time where the tickets are dated."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from training.data.dataset import Dataset, LabelledTicket, read_dataset
from training.data.duplicates import joined, masked, near_duplicates
from training.data.split import kept_together, split
from training.evaluation.seen import Seen
from triage.errors import InvalidDataset
from triage.ticket import Ticket

WORDS = [
    "mail",
    "vpn",
    "printer",
    "badge",
    "phone",
    "report",
    "share",
    "folder",
    "password",
    "screen",
    "dock",
    "cable",
    "licence",
    "invoice",
    "order",
]


def dataset(
    count: int, *, dated: bool = False, groups: int = 0, labels: int = 3, repeat: int = 1, weight: float = 1.0
) -> Dataset:
    rng = np.random.default_rng(7)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    rows: list[LabelledTicket] = []
    for number in range(count):
        text = " ".join(rng.choice(WORDS, 12)) if number % repeat == 0 else rows[-1].ticket.body
        opened = start + timedelta(hours=int(rng.integers(0, 10_000))) if dated else None
        rows.append(
            LabelledTicket(
                Ticket(id=str(number), body=text, opened_at=opened),
                {"category": f"c{number % labels}"},
                group=f"g{number % groups}" if groups else None,
                weight=weight,
            )
        )
    return Dataset(rows, ("category",), "d")


@pytest.mark.parametrize("keywords", [{}, {"dated": True}, {"groups": 8}, {"repeat": 4}, {"repeat": 3, "dated": True}])
def test_a_split_is_complete_disjoint_and_keeps_clusters_together(keywords: dict[str, int]) -> None:
    data = dataset(400, **keywords)  # type: ignore[arg-type]
    parts = split(data, 0)
    assert sorted([*parts.train, *parts.test]) == list(range(400))
    assert not set(parts.clusters[parts.train]) & set(parts.clusters[parts.test])
    assert 0.08 < len(parts.test) / 400 < 0.25


def test_the_same_seed_gives_the_same_split_and_another_one_another() -> None:
    data = dataset(300)
    assert (split(data, 1).test == split(data, 1).test).all()
    assert set(split(data, 1).test) != set(split(data, 2).test)


def test_dated_tickets_are_split_by_time() -> None:
    data = dataset(300, dated=True)
    parts = split(data, 0)
    assert parts.kind == "time"
    latest = max(data.rows[place].ticket.opened_at for place in parts.train)
    assert latest <= min(data.rows[place].ticket.opened_at for place in parts.test)


def test_what_recurs_over_time_stays_on_the_training_side() -> None:
    data = dataset(300, dated=True)
    alert = "nightly backup of server nine failed again with code five"
    rows = [
        LabelledTicket(Ticket(body=alert, opened_at=row.ticket.opened_at), row.labels) if number % 3 == 0 else row
        for number, row in enumerate(data.rows)
    ]
    parts = split(Dataset(rows, ("category",), "d"), 0)
    assert not any(rows[place].ticket.body == alert for place in parts.test)


def test_groups_stay_whole_where_a_column_plays_that_role() -> None:
    data = dataset(320, dated=True, groups=16)
    parts = split(data, 0)
    assert parts.kind == "group"
    assert not {data.rows[p].group for p in parts.train} & {data.rows[p].group for p in parts.test}


def test_tickets_that_groups_share_stay_together_as_well() -> None:
    rows = [
        replace(row, group=f"site {2 * (place % 5) + copy}")
        for place, row in enumerate(dataset(200).rows)
        for copy in range(2)  # every second site has the tickets of another one
    ]
    parts = split(Dataset(rows, ("category",), "d"), 0)
    assert parts.kind == "group"
    texts = [{rows[place].ticket.body for place in side} for side in (parts.train, parts.test)]
    assert not texts[0] & texts[1]
    of_text: dict[str, set[int]] = {}
    for row, cluster in zip(rows, parts.clusters.tolist(), strict=True):
        of_text.setdefault(row.ticket.body, set()).add(cluster)
    assert all(len(clusters) == 1 for clusters in of_text.values())


def test_a_column_of_groups_that_hardly_any_row_fills_promises_nothing_for_groups() -> None:
    rows = [replace(row, group="a" if place < 3 else "b" if place < 6 else None)
            for place, row in enumerate(dataset(300).rows)]  # fmt: skip
    parts = split(Dataset(rows, ("category",), "d"), 0)
    assert parts.kind == "random" and len(set(parts.clusters[:3].tolist())) == 1


def test_groups_that_number_their_own_tickets_are_not_one() -> None:
    rows = [replace(row, ticket=replace(row.ticket, id=str(place % 20)), group=f"site {place // 20}")
            for place, row in enumerate(dataset(200).rows)]  # fmt: skip
    assert len(set(kept_together(rows).tolist())) == 200


def test_half_of_a_label_that_came_since_is_there_to_learn_from() -> None:
    old, late = dataset(400).rows, dataset(600).rows[400:]
    rows = [*old, *(replace(row, labels={"category": "brand new"}) for row in late[:80]), *late[80:]]
    new = np.arange(len(rows)) >= 400
    parts = split(Dataset(rows, ("category",), "d"), 0, new=new)
    counts = [
        sum(rows[place].labels["category"] == "brand new" for place in side) for side in (parts.train, parts.test)
    ]
    assert counts == [40, 40] and parts.kind == "new"


@pytest.mark.parametrize("dated", [True, False])
def test_many_new_tickets_are_measured_on_by_a_sample(*, dated: bool) -> None:
    """Older tickets that the champion was not given: the latest ones, or random ones, would hardly be new to it."""
    data = dataset(1000, dated=dated)
    age = np.argsort([row.ticket.opened_at.timestamp() if row.ticket.opened_at else 0.0 for row in data.rows])
    new = np.isin(np.arange(1000), age[:400])
    parts = split(data, 0, new=new)
    assert parts.kind == "new" and new[parts.test].all() and 140 <= len(parts.test) <= 160
    few = np.isin(np.arange(1000), age[:100])
    assert np.count_nonzero(few[split(data, 0, new=few).test]) >= 50
    small = split(dataset(120, dated=dated), 0, new=np.arange(120) < 80)
    assert np.count_nonzero(small.test < 80) >= 50


def test_what_people_judged_is_learned_from_but_for_twins_of_what_is_set_aside() -> None:
    data = dataset(700, dated=True, repeat=2)
    rows = [replace(row, judged=place % 5 == 0) for place, row in enumerate(data.rows)]
    new = np.arange(700) >= 500
    for parts in (split(replace(data, rows=rows), 0, new=new), split(replace(data, rows=rows), 0)):
        judged = {place for place, row in enumerate(rows) if row.judged}
        outside = {place for place in judged if parts.clusters[place] not in set(parts.clusters[parts.test])}
        assert outside <= set(parts.train) and not judged & set(parts.test)
        left_out = set(range(700)) - set(parts.train) - set(parts.test)
        assert left_out == judged - outside and left_out
        assert f"{len(left_out)} left out" in parts.told


def test_a_random_split_spreads_every_label() -> None:
    data = dataset(600, labels=6)
    counts = Counter(data.rows[place].labels["category"] for place in split(data, 0).test)
    assert len(counts) == 6 and max(counts.values()) - min(counts.values()) <= 2


def test_labels_of_machines_are_never_set_aside() -> None:
    rows = [*dataset(100, weight=0.0).rows, *dataset(100).rows]
    parts = split(Dataset(rows, ("category",), "d"), 0, clusters=np.arange(200))
    assert all(rows[place].weight > 0 for place in parts.test)


@pytest.mark.parametrize("passed_over", [{"judged": True}, {"weight": 0.0}])
@pytest.mark.parametrize("share", [1.0, 0.9])
def test_newest_tickets_that_may_not_be_set_aside_make_room_for_older_ones(
    passed_over: dict[str, object], share: float
) -> None:
    """The latest tickets of a desk are those that its service has decided: judged there, or labelled by it alone."""
    data = dataset(400, dated=True)
    age = np.argsort([row.ticket.opened_at.timestamp() for row in data.rows if row.ticket.opened_at])
    drawn = np.random.default_rng(0).random(400)
    latest = {int(place) for place in age[320:] if drawn[place] < share}
    rows = [replace(row, **passed_over) if place in latest else row for place, row in enumerate(data.rows)]  # type: ignore[arg-type]
    parts = split(replace(data, rows=rows), 0)
    assert parts.kind == "time" and 45 <= len(parts.test) <= 65 and not latest & set(parts.test)
    assert latest <= set(parts.train)


def test_a_group_that_only_people_in_the_service_wrote_of_is_not_chosen_to_be_set_aside() -> None:
    rows = [replace(row, judged=place % 10 < 4) for place, row in enumerate(dataset(400, groups=10).rows)]
    for seed in range(10):
        parts = split(Dataset(rows, ("category",), "d"), seed)
        assert parts.kind == "group" and 0.1 * len(rows) <= len(parts.test) < 0.25 * len(rows)


def test_rows_that_cannot_be_split_are_told_with_those_that_are_passed_over() -> None:
    with pytest.raises(InvalidDataset, match="cannot be split"):
        split(dataset(50, repeat=50), 0)
    rows = [*dataset(50, weight=0.0).rows, *(replace(row, judged=True) for row in dataset(20).rows)]
    same = replace(rows[0], weight=1.0)
    with pytest.raises(InvalidDataset, match="; 50 labelled by a machine and 20 judged in the service are not set asi"):
        split(Dataset([*rows, *[same] * 30], ("category",), "d"), 0)
    with pytest.raises(InvalidDataset, match="50 rows cannot be split: only a machine labelled them") as refused:
        split(Dataset(rows[:50], ("category",), "d"), 0)
    assert "groups" not in str(refused.value)


def test_copies_alone_are_nothing_to_learn_from() -> None:
    """What is left beside the group that is set aside is one message: no folds can be made of it."""
    rows = [replace(row, group="one") for row in dataset(60).rows]
    copies = [replace(rows[0], ticket=replace(rows[0].ticket, id=f"copy {n}"), group="other") for n in range(60)]
    with pytest.raises(InvalidDataset, match="cannot be split"):
        split(Dataset([*rows[1:], *copies], ("category",), "d"), 0)


def test_a_part_that_is_too_small_to_measure_on_is_told() -> None:
    assert "is rough" in split(dataset(200), 0).told and "is rough" not in split(dataset(600), 0).told


def test_near_duplicates_are_found_and_others_are_not() -> None:
    base = (
        "the printer on the third floor of building b prints only blank pages since this morning and the toner is new"
    )
    texts = [base, base.replace("third", "THIRD") + "!", base + " thanks", "my vpn drops " * 5, "vpn", "VPN", ""]
    assert near_duplicates(texts).tolist() == [0, 0, 0, 3, 4, 4, 6]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Disk of srv-01 is 91 % full, please clear it", "disk of SRV-17 is 99 % full, please clear it"),
        ("backup of db01.example.org failed at 10:31 AM", "backup of mail.example.net failed at 9:05 PM"),
        (
            "login of a.b@example.org was refused on Mon, 3 May 2024",
            "login of x@example.org was refused on 12 June 2025",
        ),
    ],
)
def test_texts_that_differ_in_numbers_hosts_and_times_are_duplicates(one: str, other: str) -> None:
    assert near_duplicates([one, other]).tolist() == [0, 0]
    assert masked(one) == masked(other)


@pytest.mark.parametrize(
    ("one", "copy", "other"),
    [
        (
            "打印机卡纸无法打印请派人来看一下编号12",
            "打印机卡纸无法打印请派人来看一下编号977",
            "我的账号被锁定了请帮我解锁工号334",
        ),
        (
            "会議室のプリンター12が動きません至急お願いします",
            "会議室のプリンター7が動きません至急お願いします",
            "VPN3に接続できません",
        ),
        ("เครื่องพิมพ์เสีย12", "เครื่องพิมพ์เสีย7", "จอภาพไม่ติด12"),
    ],
)
def test_where_no_blanks_stand_a_number_takes_no_words_along(one: str, copy: str, other: str) -> None:
    assert masked(one) == masked(copy) != masked(other)
    assert near_duplicates([one, copy, other]).tolist() == [0, 0, 2]
    assert near_duplicates([one, copy, other], similar=1, as_written=True).tolist() == [0, 1, 2]
    seen = Seen.of([LabelledTicket(Ticket(body=one), {})])
    assert seen.lacks([LabelledTicket(Ticket(body=text), {}) for text in (copy, other)]).tolist() == [False, True]


def test_messages_of_one_ticket_stay_on_one_side_of_every_split() -> None:
    rng = np.random.default_rng(5)
    rows = [
        LabelledTicket(Ticket(f"T{number}", body=" ".join(rng.choice(WORDS, 12))), {"category": "ab"[number % 2]})
        for number in range(80)
        for _ in range(3)
    ]
    parts = split(Dataset(rows, ("category",), "d"), seed=0)
    assert not {rows[place].ticket.id for place in parts.train} & {rows[place].ticket.id for place in parts.test}
    same = [replace(row, ticket=replace(row.ticket, id="0")) for row in rows]  # no ticket has so many messages
    assert len(np.unique(kept_together(same))) == len(rows)


def test_near_duplicates_scale() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 30)) for _ in range(3000)]
    texts += [text + " please help" for text in texts[:500]]
    clusters = near_duplicates(texts)
    assert (clusters[3000:] == clusters[:500]).mean() > 0.97
    assert len(np.unique(clusters)) > 2900


def test_every_pair_of_shipped_tickets_that_is_similar_shares_a_cluster_and_no_other_does() -> None:
    rows = read_dataset([Path(__file__).parents[2] / "datasets" / "tickets.jsonl"]).rows
    texts = [row.ticket.text for row in rows[::3]]
    texts += [f"{text} Thank you and kind regards." for text in texts[:300]]
    grams = CountVectorizer(token_pattern=r"\w+|#", ngram_range=(3, 3), binary=True, dtype=np.int64).fit_transform(
        [masked(text) for text in texts]
    )
    common, sizes = (grams @ grams.T).tocoo(), np.asarray(grams.sum(axis=1)).ravel()
    similar = common.data >= 0.8 * (sizes[common.row] + sizes[common.col] - common.data)
    graph = coo_array((similar[similar], (common.row[similar], common.col[similar])), shape=(len(texts),) * 2)
    _, exact = connected_components(graph, directed=False)
    found = near_duplicates(texts)
    assert len(set(zip(found.tolist(), exact.tolist(), strict=True))) == len(set(exact)) == len(set(found.tolist()))
    assert len(set(found.tolist())) < len(texts)


def test_a_template_of_thousands_takes_seconds() -> None:
    texts = [
        f"alert number {n} on host {n * 7} since {n * 13} please look at it soon it is urgent" for n in range(5000)
    ]
    began = time.process_time()
    near_duplicates(texts)
    assert time.process_time() - began < 20


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=12))
def test_equal_texts_share_a_cluster_whatever_they_say(texts: list[str]) -> None:
    clusters = near_duplicates([*texts, *texts])
    assert (clusters[: len(texts)] == clusters[len(texts) :]).all()


def test_groupings_are_joined_transitively() -> None:
    assert joined(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])).tolist() == [0, 0, 0, 3]
