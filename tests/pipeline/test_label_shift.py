"""Where a policy states the shares it expects, every report shows the figures with and without the correction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.toml_files import dump_policy
from training.evaluation.label_shift_effect import FIGURES
from triage.defaults import default_policy
from triage.policy import read_policy

from .conftest import Triage, shipped_rows, write_rows

SHARES = {"L0": 0.35, "L1": 0.35, "L2": 0.2, "L3": 0.08, "L4": 0.02}


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    from triage.__main__ import main

    place = tmp_path_factory.mktemp("shifted")
    policy = default_policy()
    tiers = tuple(replace(tier, expected_share=SHARES[tier.label]) for tier in policy.tiers)
    (place / "policy.toml").write_text(dump_policy(replace(policy, tiers=tiers)), "utf-8")
    rows = [{key: row[key] for key in ("id", "subject", "body", "tier")} for row in shipped_rows(200)]
    data = write_rows(place / "tickets.jsonl", rows)
    arguments = ["train", data, "--encoder", encoder, "--policy", place / "policy.toml", "--out", place / "b"]
    assert main([str(argument) for argument in [*arguments, "--target-risk", 0.3, "--no-register"]]) == 0
    return place / "b"


def test_an_evaluation_shows_both(triage: Triage, shifted: Path, tickets: Path) -> None:
    tier = triage("evaluate", shifted, tickets, "--json").document["targets"]["tier"]
    shift = tier["label_shift"]
    assert shift["expected"] == pytest.approx(SHARES) and sum(shift["observed"].values()) == pytest.approx(1)
    came = shift["as_it_came"]["with"]
    assert [came[figure] for figure in FIGURES] == pytest.approx([tier[figure] for figure in FIGURES])
    assert shift["as_it_came"]["without"] != came
    recalls = {row["label"]: row["recall"] for row in tier["per_class"]}
    weighted = sum(share * recalls[label] for label, share in SHARES.items())
    assert shift["as_expected"]["with"]["accuracy"] == pytest.approx(weighted)


def test_page_card_and_print_show_both(triage: Triage, shifted: Path, tickets: Path, tmp_path: Path) -> None:
    assert triage("report", shifted, "--out", tmp_path / "page.html").status == 0
    assert "With and without the correction" in (tmp_path / "page.html").read_text()
    assert "weighted to the shares that the policy expects" in (tmp_path / "page.md").read_text()
    assert "probabilities corrected for the shares" in triage("evaluate", shifted, tickets).out


def test_a_policy_without_shares_shows_none(triage: Triage, bundle: Path, tickets: Path) -> None:
    assert "label_shift" not in triage("evaluate", bundle, tickets, "--json").document["targets"]["tier"]


def test_shares_of_recent_tickets_become_a_policy_and_never_replace_a_file(
    triage: Triage, bundle: Path, tmp_path: Path
) -> None:
    recent = [{"text": f"{row['subject']} {row['body']}"} for row in shipped_rows(60)]
    data, out = write_rows(tmp_path / "recent.jsonl", recent), tmp_path / "policy.toml"
    told = triage("policy", "shares", bundle, data, "--out", out, "--json").document
    assert told["rows"] == 60
    assert sum(told["targets"]["tier"]["traffic"].values()) == pytest.approx(1)
    assert set(read_policy(out).expected_shares("tier")) == set(SHARES)
    assert "in traffic" in triage("policy", "shares", bundle, data).out
    assert "there already" in triage("policy", "shares", bundle, data, "--out", out).error
    assert "none.jsonl is empty" in triage("policy", "shares", bundle, write_rows(tmp_path / "none.jsonl", [])).error
