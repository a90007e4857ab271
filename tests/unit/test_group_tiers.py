"""Which group is which tier: names, journeys, times and intake; and a proposal that the policy reader takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from training.cli.policy import policy as verb
from training.data.labels import resolve_labels
from training.data.presets.mapping_file import read_mapping
from training.data.reading import FileOptions, ReadOptions
from training.group_tiers.evidence import judge
from training.group_tiers.history import Closed, Places, Stay, read_history
from training.group_tiers.names import named
from training.group_tiers.proposal import is_clear, policy_text, propose
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidDataset, InvalidRequest
from triage.policy import parse_policy
from triage.ticket import Ticket

MINUTES = {"A": 30.0, "B": 300.0, "C": 1500.0, "D": 3000.0}


def closed(path: str, number: int = 0) -> Closed:
    stays = tuple(Stay(group, MINUTES[group]) for group in path)
    return Closed(Ticket(id=str(number), body="the app is slow"), stays, f"c{number % 4}")


DESK = [closed(path, number) for number, path in enumerate(["A"] * 60 + ["AB"] * 25 + ["ABC"] * 20 + ["ABCD"] * 20)]


@pytest.mark.parametrize(
    ("group", "tier"),
    [
        ("Service Desk EMEA", "L1"),
        ("IT_HelpDesk", "L1"),
        ("Support N2 Réseau", "L2"),
        ("3rd level SAP", "L3"),
        ("Tier-1", "L1"),
        ("Software Engineering", "L3"),
        ("Lieferant Telekom", "L4"),
        ("Self-Service Portal", "L0"),
        ("Workplace Support", "L2"),
    ],
)
def test_names_tell_tiers_in_several_languages(group: str, tier: str) -> None:
    found = named(group)
    assert found is not None and found.tier == tier


def test_a_name_without_meaning_says_nothing() -> None:
    assert named("GRP_12") is None and named("Team 04") is None


def test_journeys_and_times_tell_tiers_without_any_name() -> None:
    judged = {one.group: one for one in judge(DESK, default_rules())}
    assert {group: one.tier for group, one in judged.items()} == {"A": "L1", "B": "L2", "C": "L3", "D": "L4"}
    assert is_clear(judged["A"]) and {"journeys", "times"} <= {one.kind for one in judged["C"].evidence}


def test_what_goes_to_and_fro_cancels_out() -> None:
    pingpong = [closed("ABAB", number) for number in range(5)] + [closed("AB" * 8 + "A", number) for number in range(5)]
    judged = {one.group: one for one in judge([*DESK, *pingpong], default_rules())}
    assert judged["A"].tier == "L1" and judged["B"].tier == "L2"


def export(folder: Path, **columns: str) -> Path:
    """Write closed tickets of four groups with times; `columns` names columns that are other than usual."""
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)
    rows = [f"number,text,team,category,opened_at,{columns.get('closed', 'Resolved')},{columns.get('path', 'journey')}"]
    for number, one in enumerate(DESK):
        ended = start + timedelta(minutes=sum(stay.minutes or 0 for stay in one.stays))
        path = " > ".join(one.path)
        rows.append(
            f"T{number},it is slow,{one.resolver},{one.category},{start.isoformat()},{ended.isoformat()},{path}"
        )
    place = folder / "closed.csv"
    place.write_text("\n".join(rows) + "\n", "utf-8")
    return place


def test_the_proposal_is_a_policy_with_its_evidence_and_gives_training_its_tiers(tmp_path: Path) -> None:
    mapping: dict[str, str | None] = {"resolver_group": "team", "id": "number"}
    history = read_history([export(tmp_path)], mapping, Places(), options=ReadOptions())
    judged = judge(history.closed, default_rules())
    proposed = propose(judged, history, default_policy())
    text = policy_text(proposed, judged, history)
    assert "journeys: " in text and "intake: " in text and "closed from column 'Resolved'" in text
    read = parse_policy(text)
    assert read == proposed and dict(read.folding) == {"L0": "L1"}
    assert {group.name: group.tier for group in read.groups} == {"A": "L1", "B": "L2", "C": "L3", "D": "L4"}
    resolved = resolve_labels(history.dataset, read)
    assert {row.labels["tier"] for row in resolved.rows} == {"L1", "L2", "L3", "L4"}
    assert {read.resolver_group(tier, "c0") for tier in ("L1", "L2", "L3")} == {"A", "B", "C"}


def test_a_file_of_reassignments_gives_journeys_and_times(tmp_path: Path) -> None:
    rows, start = ["number,new value,sys_created_on"], datetime(2026, 3, 2, 8, tzinfo=UTC)
    for number, one in enumerate(DESK):
        at = start
        for stay in one.stays:
            rows.append(f"T{number},{stay.group},{at.isoformat()}")
            at += timedelta(minutes=stay.minutes or 0)
    moves = tmp_path / "moves.csv"
    moves.write_text("\n".join(rows) + "\n", "utf-8")
    mapping: dict[str, str | None] = {"resolver_group": "team", "id": "number"}
    history = read_history([export(tmp_path, path="x")], mapping, Places(moves=moves), options=ReadOptions())
    assert [one.path for one in history.closed] == [one.path for one in DESK]
    assert [stay.minutes for stay in history.closed[-1].stays] == [30.0, 300.0, 1500.0, 3000.0]


def test_reassignments_are_read_as_exports_are(tmp_path: Path) -> None:
    data = tmp_path / "closed.csv"
    data.write_text("id,body,team\n1001,it is broken,Ops & Net\n", "utf-8")
    moves = tmp_path / "moves.jsonl"
    steps = (("Büro", "08"), ("Ops &amp; Net", "09"))
    lines = [json.dumps({"ticket": 1001.0, "group": group, "at": f"2026-03-02T{hour}:00"}) for group, hour in steps]
    moves.write_text("\n".join(lines), "utf-8")
    mapping: dict[str, str | None] = {"resolver_group": "team"}
    coded = tmp_path / "moves.csv"
    coded.write_bytes(
        "ticket,group,at\n1001,Büro,2026-03-02T08:00\n1001,Ops &amp; Net,2026-03-02T09:00\n".encode("cp850")
    )
    own = {"moves.csv": FileOptions(encoding="cp850")}
    for file in (moves, coded):
        [one] = read_history([data], mapping, Places(moves=file), options=ReadOptions(files=own)).closed
        assert one.stays == (Stay("Büro", 60.0), Stay("Ops & Net"))
    everywhere = ReadOptions(encoding="cp850")
    [one] = read_history([data], mapping, Places(moves=coded), options=everywhere).closed
    assert one.path == ("Büro", "Ops & Net")


@pytest.mark.parametrize("newest_first", [False, True])
def test_reassignments_of_one_moment_stay_in_the_order_of_the_file(tmp_path: Path, newest_first: bool) -> None:
    data = tmp_path / "closed.csv"
    data.write_text("id,body,team\nT0,it is broken,A\nT1,it is broken too,A\n", "utf-8")
    rows = [
        *("T0,Z,2026-03-02T08:00:00+00:00", "T0,M,2026-03-02T08:00:00+00:00", "T0,A,2026-03-02T08:30:00+00:00"),
        *("T1,Z,2026-03-02T09:00:00+00:00", "T1,A,2026-03-02T09:00:00+00:00"),
    ]
    moves = tmp_path / "moves.csv"
    moves.write_text("\n".join(["ticket,group,at", *(rows[::-1] if newest_first else rows)]) + "\n", "utf-8")
    mapping: dict[str, str | None] = {"resolver_group": "team"}
    history = read_history([data], mapping, Places(moves=moves), options=ReadOptions())
    assert [one.path for one in history.closed] == [("Z", "M", "A"), ("Z", "A")]


def test_a_group_that_no_reassignment_names_has_resolved_the_ticket_all_the_same(tmp_path: Path) -> None:
    moves = tmp_path / "moves.csv"
    moves.write_text("number,new value,sys_created_on\nT0,Z,2026-03-02T08:00:00+00:00\n", "utf-8")
    mapping: dict[str, str | None] = {"resolver_group": "team", "id": "number"}
    data = export(tmp_path, path="x")
    history = read_history([data], mapping, Places(moves=moves), options=ReadOptions())
    first = history.closed[0]
    assert first.stays == (Stay("Z"), Stay(DESK[0].resolver)) and first.resolver == DESK[0].resolver
    assert [one.told for one in history.closed] == [True] + [False] * (len(DESK) - 1)
    moves.write_text("number,new value,sys_created_on\nX-1,Z,2026-03-02T08:00:00+00:00\n", "utf-8")
    with pytest.raises(InvalidRequest, match=r"no ticket of moves\.csv is one of the export"):
        read_history([data], mapping, Places(moves=moves), options=ReadOptions())


@pytest.mark.parametrize("by_mapping", [True, False])
def test_the_order_of_a_mapping_or_of_the_tickets_counts_for_ends_and_reassignments(
    tmp_path: Path, by_mapping: bool
) -> None:
    data, opened = tmp_path / "closed.csv", "03/04/2026 08:00" if by_mapping else "25/03/2026 08:00"
    data.write_text(f"id,body,team,opened_at,closed\nT0,it is broken,B,{opened},03/04/2026 10:30\n", "utf-8")
    moves = tmp_path / "moves.csv"
    moves.write_text("ticket,group,at\nT0,A,03/04/2026 08:00\nT0,B,03/04/2026 09:00\n", "utf-8")
    kept = tmp_path / "mapping.toml"
    kept.write_text('date_order_before = "dmy"\n', "utf-8")
    options = read_mapping(kept) if by_mapping else ReadOptions()
    mapping: dict[str, str | None] = {"resolver_group": "team"}
    [one] = read_history([data], mapping, Places(moves=moves), options=options).closed
    assert one.stays == (Stay("A", 60.0), Stay("B", 90.0))


def test_bad_input_is_one_line_and_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = export(tmp_path), tmp_path / "policy.toml"
    mapping: dict[str, str | None] = {"resolver_group": "team"}
    with pytest.raises(InvalidRequest, match="--closed 'gone' is no column"):
        read_history([data], mapping, Places(closed="gone"), options=ReadOptions())
    with pytest.raises(InvalidDataset, match="no row names a resolver group"):
        read_history([data], {}, Places(), options=ReadOptions())
    alike = [Closed(Ticket(body="x"), (Stay(group),)) for group in ("P", "Q") for _ in range(9)]
    history = read_history([data], mapping, Places(), options=ReadOptions())
    with pytest.raises(InvalidDataset, match="look like one tier"):
        propose(judge(alike, default_rules()), history, default_policy())
    broken = tmp_path / "moves.csv"
    broken.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(InvalidRequest, match="has no column for the ticket"):
        verb(["learn", str(data), "--map", "resolver_group=team", "--moves", str(broken), "--out", str(out)])
    assert not out.exists()
    assert verb(["learn", str(data), "--map", "resolver_group=team", "--out", str(out)]) == 0
    assert "4 groups" in capsys.readouterr().out and parse_policy(out.read_text("utf-8")).tier_of_group("C") == "L3"
