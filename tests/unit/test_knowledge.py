"""Handing down: clusters with a shared resolution, entries as versions of Markdown, suggestions, and what they did."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.knowledge import KnowledgeFolder
from training.cli.desk.knowledge import knowledge
from training.knowledge.effect import effects
from training.knowledge.propose import Resolved, propose, saved_min
from triage.defaults import default_policy
from triage.errors import InvalidRequest
from triage.knowledge import ARTICLE, SCRIPT, Report, parse_entry, suggestions

POLICY = default_policy()
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
SCANNERS = [
    "The hand scanner in hall 3 does not pair with its cradle any more",
    "Scanner cradle blinks red, the scanner will not pair",
    "My scanner lost its cradle, pairing fails since the morning",
    "hand scanner not pairing, cradle shows red light",
    "Pairing of the scanner with the new cradle does not work",
]
PIVOTS = [
    "How do I refresh the pivot table of the monthly export",
    "the pivot table in the monthly export does not refresh",
    "Pivot in the export shows last month, how to refresh it",
    "monthly export: pivot table old, refresh is grey",
]
OTHERS = [
    ("Please give me access to the sales folder", "Access granted after approval.", "L1", "access"),
    ("Outlook asks for my password again and again", "Password reset, signed in again.", "L1", "email"),
    ("The printer on floor 2 is out of toner", "Toner replaced.", "L1", "printing"),
    ("VPN drops every hour at home", "Driver rolled back.", "L2", "network"),
    ("Invoices are printed with the wrong tax rate for everyone", "Release 4.2 mended the rate.", "L3", "business-app"),
    ("New laptop for a colleague who starts on Monday", "Laptop handed over.", "L1", "request"),
]


def history() -> list[Resolved]:
    """Nine weeks of a small desk: two matters that come again and again at L2, and others."""
    rows = [(text, "Reset the cradle, then scanned the pairing sheet.", "L2", "hardware") for text in SCANNERS]
    rows += [(text, "Sent the link to the article on refreshing a pivot table.", "L2", "data") for text in PIVOTS]
    return [
        Resolved(f"T{number}", *row, opened_at=START + timedelta(days=4 * number))
        for number, row in enumerate([*rows, *OTHERS])
    ]


def test_tickets_that_share_a_resolution_become_proposals_with_their_evidence() -> None:
    found = {one.category: one for one in propose(history(), POLICY)}
    assert set(found) == {"hardware", "data"}
    scanner, pivot = found["hardware"], found["data"]
    assert scanner.tickets == ("T0", "T1", "T2", "T3", "T4") and {"scanner", "cradle"} <= set(scanner.words)
    assert (scanner.kind, scanner.from_tier, scanner.tier) == (SCRIPT, "L2", "L1")
    assert (pivot.kind, pivot.tier) == (ARTICLE, "L0")
    assert scanner.resolutions == ("Reset the cradle, then scanned the pairing sheet.",)
    assert scanner.precision == 1.0 and scanner.recall >= 0.8 and 2 < scanner.per_month < 3
    assert scanner.saved_min == 60 - 12 + 10  # handling at L2 and L1, and one reassignment
    assert any("environment" in line for line in scanner.cover)
    assert propose(history(), POLICY) == propose(list(reversed(history())), POLICY)


def test_what_is_sensitive_is_never_handed_down() -> None:
    hidden = [replace(one, sensitive=one.category == "hardware") for one in history()]
    assert {one.category for one in propose(hidden, POLICY)} == {"data"}
    security = [replace(one, category="security") for one in history()]
    assert propose(security, POLICY) == []


def test_without_resolutions_the_texts_decide() -> None:
    untold = [replace(one, resolution="") for one in history()]
    assert {one.category for one in propose(untold, POLICY)} >= {"hardware"}


def test_an_entry_is_versioned_markdown_and_is_suggested_with_its_tickets(tmp_path: Path) -> None:
    folder = KnowledgeFolder(tmp_path)
    folder.propose(propose(history(), POLICY))
    proposal = next(one for one in folder.proposals() if one.category == "hardware")
    first = folder.accept(proposal, "Ada", "2026-02-20T10:00:00+00:00")
    second = folder.accept(
        proposal, "Ada", "2026-02-21T10:00:00+00:00", title="Scanner", body="# Scanner\n\nReset it.\n"
    )
    assert (first.version, second.version) == (1, 2) and folder.entries() == [second]
    assert folder.entry(first.id, 1) == first
    text = (tmp_path / "entries" / first.id / "2.md").read_text("utf-8")
    assert text.endswith("# Scanner\n\nReset it.\n") and parse_entry(text) == second
    said = suggestions(folder.entries(), "The scanner will not pair with the cradle")
    assert [one.entry.id for one in said] == [first.id] and "cradle" in said[0].words
    assert suggestions(folder.entries(), "The printer is out of toner") == ()
    folder.propose([])
    assert folder.proposals() == [] and folder.entries() == [second]


@pytest.mark.parametrize("name", ["../../etc/passwd", "k-", "k-zz", "", "k-0123456789/../x"])
def test_an_id_is_no_path(tmp_path: Path, name: str) -> None:
    folder = KnowledgeFolder(tmp_path)
    assert folder.entry(name) is None and folder.proposal(name) is None


def test_a_broken_entry_is_named(tmp_path: Path) -> None:
    place = tmp_path / "entries" / "k-0123456789"
    place.mkdir(parents=True)
    (place / "1.md").write_text("no head", "utf-8")
    with pytest.raises(InvalidRequest, match=r"k-0123456789/1\.md has no head"):
        KnowledgeFolder(tmp_path).entries()


def test_a_dismissed_proposal_stays_dismissed_until_it_is_restored_or_accepted(tmp_path: Path) -> None:
    folder = KnowledgeFolder(tmp_path)
    folder.propose(propose(history(), POLICY))
    first, second = folder.proposals()
    folder.dismiss(first.id, "Ada", "2026-01-01")
    folder.dismiss(second.id, "Ada", "2026-01-01")
    folder.propose(propose(history(), POLICY))
    assert {one.by for one in folder.dismissed().values()} == {"Ada"} and len(folder.dismissed()) == 2
    folder.restore(first.id)
    folder.restore("k-../../x")  # no id, no file
    folder.accept(second, "Ada", "2026-01-02")
    assert folder.dismissed() == {}


def test_one_broken_file_hides_nothing_else(tmp_path: Path) -> None:
    folder = KnowledgeFolder(tmp_path)
    folder.propose(propose(history(), POLICY))
    entry = folder.accept(folder.proposals()[0], "Ada", START.isoformat())
    folder.put_report(Report("2026-01-01", tuple(effects([(entry, entry.accepted_at)], history(), POLICY))))
    whole = folder.look()
    assert (len(whole.proposals), len(whole.entries), whole.faults) == (2, 1, ())
    assert whole.report is not None and whole.report.entries[0].id == entry.id
    path = tmp_path / "proposals" / f"{folder.proposals()[1].id}.json"
    path.write_text(path.read_text("utf-8").replace('"per_month": ', '"per_month": NaN, "was": '), "utf-8")
    (tmp_path / "entries" / entry.id / "2.md").write_text(
        f'+++\nid="{entry.id}"\nversion="two"\ntitle="t"\nkind="script"\ntier="L1"\naccepted_at=""\naccepted_by=""\n+++\n',
        "utf-8",
    )
    (tmp_path / "report.json").write_text("[]", "utf-8")
    found = folder.look()
    assert (len(found.proposals), len(found.entries), found.report) == (1, 0, None)
    assert [path.name in found.faults[0], "2.md" in found.faults[1], "report.json" in found.faults[2]] == [True] * 3
    assert "version" in found.faults[1]


def test_a_report_says_how_many_stayed_low_because_of_an_entry(tmp_path: Path) -> None:
    folder = KnowledgeFolder(tmp_path)
    folder.propose(propose(history(), POLICY))
    proposal = next(one for one in folder.proposals() if one.category == "hardware")
    accepted = START + timedelta(days=100)
    entry = folder.accept(proposal, "Ada", accepted.isoformat())
    since = [
        Resolved(f"N{number}", text, "Reset the cradle.", "L1" if number else "L2", "hardware",
                 accepted + timedelta(days=number))
        for number, text in enumerate(SCANNERS)
    ]  # fmt: skip
    found = effects([(entry, entry.accepted_at)], [*history(), *since], POLICY)[0]
    assert (found.low_before, found.low_after) == (0.0, 0.8) and found.before == found.after == 5
    assert found.stayed_low == 4.0 and 0 < found.low < 4 < found.high <= 5
    assert found.saved_min == 4.0 * proposal.saved_min


@pytest.mark.parametrize(("before", "after"), [(1, 1), (5, 1), (1, 5)])
def test_a_report_needs_no_more_than_one_ticket_on_either_side(tmp_path: Path, before: int, after: int) -> None:
    folder = KnowledgeFolder(tmp_path)
    folder.propose(propose(history(), POLICY))
    proposal = next(one for one in folder.proposals() if one.category == "hardware")
    accepted = START + timedelta(days=100)
    entry = folder.accept(proposal, "Ada", accepted.isoformat())
    days = [*range(-before, 0), *range(after)]
    told = [
        Resolved(f"N{day}", text, "", ("L1", "L2")[day % 2], "hardware", accepted + timedelta(days=day))
        for day, text in zip(days, [*SCANNERS, *SCANNERS], strict=False)
    ]
    [found] = effects([(entry, entry.accepted_at)], told, POLICY)
    assert (found.before, found.after) == (before, after)
    assert found.low <= found.stayed_low <= found.high


def test_a_later_version_does_not_begin_an_entry_anew(tmp_path: Path) -> None:
    folder = KnowledgeFolder(tmp_path)
    folder.propose(propose(history(), POLICY))
    proposal = next(one for one in folder.proposals() if one.category == "hardware")
    first = folder.accept(proposal, "Ada", "2026-02-20T10:00:00+00:00")
    folder.accept(proposal, "Bob", "2026-03-20T10:00:00+00:00", title="Scanner")
    assert folder.first_accepted(first.id) == "2026-02-20T10:00:00+00:00"


def test_a_desk_without_self_service_hands_down_to_its_service_desk() -> None:
    folded = replace(POLICY, folding={"L0": "L1"})
    assert POLICY.first_line == ("L0", "L1") and folded.first_line == ("L1",)
    assert {one.tier for one in propose(history(), folded)} == {"L1"}
    more = saved_min(POLICY, "L3", "L0") - saved_min(POLICY, "L3", "L1")
    assert more == 12  # minutes of work at L1, and no reassignment more: the first line reaches up to it


def test_the_verbs_say_what_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    data = tmp_path / "closed.jsonl"
    names = ("id", "body", "resolution", "tier", "category", "opened_at")
    rows = [(one.id, one.text, one.resolution, one.tier, one.category, str(one.opened_at)) for one in history()]
    data.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows), "utf-8")
    with pytest.raises(InvalidRequest, match="no entry was accepted yet"):
        knowledge(["report", str(data)])
    assert knowledge(["propose", str(data), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tickets"] == 15 and len(document["proposals"]) == 2
    chosen = document["proposals"][0]["id"]
    with pytest.raises(InvalidRequest, match="--by is needed"):
        knowledge(["accept", chosen])
    with pytest.raises(InvalidRequest, match="no proposal 'k-00'"):
        knowledge(["accept", "k-00", "--by", "Ada"])
    assert knowledge(["accept", chosen, "--by", "Ada"]) == 0
    assert knowledge(["list", "--json"]) == 0 and knowledge(["report", str(data), "--json"]) == 0
    assert '"version": 1' in capsys.readouterr().out
    counted = KnowledgeFolder().report()
    assert counted is not None and [one.id for one in counted.entries] == [chosen]
