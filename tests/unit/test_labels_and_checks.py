"""Labels as the policy has them, and what the data doctor finds."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.dataset import Dataset, read_dataset
from training.data.finding import SERIOUS
from training.data.labels import in_words_of, learn_policy, learnable, resolve_labels
from training.data.reading import ReadOptions
from training.quality.checks import diagnose
from training.quality.similar_label_names import similar_label_names
from triage.errors import InvalidDataset, InvalidRequest, UnknownLabel
from triage.policy import parse_policy

POLICY = parse_policy(
    """
    [[tiers]]
    label = "L1"
    [[tiers]]
    label = "L2"
    [[categories]]
    label = "access"
    [[categories]]
    label = "mail"
    [[groups]]
    name = "desk"
    tier = "L1"
    [aliases.category]
    "E-Mail" = "mail"
    """
)
TOPICS = {
    "access": "password account locked login reset user sign in badge",
    "mail": "outlook inbox calendar message attachment sender folder quota",
}


def read(tmp_path: Path, rows: list[dict[str, Any]], **mapping: str | None) -> Dataset:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_dataset([path], mapping, skip_bad_rows=True)


def history(count: int, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    rows = []
    for number in range(count):
        label = ("access", "mail")[number % 2]
        text = " ".join(rng.choice(TOPICS[label].split(), 14)) + f" case {number}"
        rows.append({"id": str(number), "text": text, "category": label, **more})
    return rows


# ── Labels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_aliases_and_groups_give_the_policys_own_labels(tmp_path: Path) -> None:
    data = read(tmp_path, [{"text": "a b", "category": "E-Mail", "resolver_group": "desk"}])
    assert resolve_labels(data, POLICY).rows[0].labels == {"tier": "L1", "category": "mail"}
    assert resolve_labels(data, POLICY).targets == ("tier", "category")


def test_a_tier_that_was_switched_off_is_not_given_by_groups(tmp_path: Path) -> None:
    data = read(tmp_path, [{"text": "a b", "category": "mail", "tier": "L2", "resolver_group": "desk"}], tier=None)
    assert resolve_labels(data, POLICY).targets == ("category",)


def test_all_unknown_labels_are_named_at_once(tmp_path: Path) -> None:
    data = read(tmp_path, [{"text": "a b", "category": name} for name in ("zeta", "mail", "alpha")])
    with pytest.raises(UnknownLabel, match="'alpha', 'zeta'"):
        resolve_labels(data, POLICY)
    both = read(tmp_path, [{"text": "a b", "category": "zeta", "tier": "T9"}])
    with pytest.raises(InvalidDataset, match=r"'T9'.*'zeta'"):
        resolve_labels(both, POLICY)


def test_rows_that_only_have_an_unknown_group_are_named(tmp_path: Path) -> None:
    rows = [{"text": "a b", "resolver_group": group} for group in ("desk", "moon")]
    with pytest.raises(InvalidDataset, match="'moon'") as caught:
        resolve_labels(read(tmp_path, rows), POLICY)
    assert [row.line for row in caught.value.rows] == [2]
    assert len(resolve_labels(read(tmp_path, rows), POLICY, skip_bad_rows=True)) == 1


def test_measuring_leaves_unknown_labels_as_they_are(tmp_path: Path) -> None:
    data = read(tmp_path, [{"text": "a b", "category": "zeta"}])
    assert in_words_of(POLICY, data)[0].labels == {"category": "zeta"}


def test_a_learned_policy_has_the_datas_labels_and_commonest_groups(tmp_path: Path) -> None:
    rows = [
        {"text": "a b", "tier": tier, "category": "x", "resolver_group": group}
        for tier, group in [("low", "one"), ("low", "two"), ("low", "two"), ("high", "three")]
    ]
    policy = learn_policy(read(tmp_path, rows), ["low", "high"])
    assert policy.labels("tier") == ("low", "high") and policy.ordinal
    assert policy.resolver_group("low", "x") == "two"
    assert policy.resolver_group("high", "y") is None
    assert not learn_policy(read(tmp_path, rows)).ordinal
    with pytest.raises(InvalidRequest, match="'high'"):
        learn_policy(read(tmp_path, rows), ["low"])


def test_rare_labels_are_left_out_and_listed(tmp_path: Path) -> None:
    rows = [{"text": "a b", "category": name} for name, count in (("x", 12), ("y", 10), ("z", 9)) for _ in range(count)]
    assert learnable(read(tmp_path, rows).rows, "category") == (["x", "y"], {"z": 9})


# ── Doctor ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def found(data: Dataset) -> dict[str, Any]:
    return {finding.code: finding for finding in diagnose(data).findings}


def test_a_clean_history_is_called_clean(tmp_path: Path) -> None:
    diagnosis = diagnose(read(tmp_path, history(120)))
    assert not diagnosis.serious
    assert diagnosis.balance == {"category": {"access": 60, "mail": 60}}
    json.dumps(diagnosis.to_document(), allow_nan=False)


def test_wrong_labels_are_found(tmp_path: Path) -> None:
    rows = history(200)
    for number in (10, 51, 102):
        rows[number]["category"] = {"access": "mail", "mail": "access"}[rows[number]["category"]]
    find_label_issues = found(read(tmp_path, rows))["category-suspects"]
    lines = {int(place.split(":")[1].split()[0]) for place in find_label_issues.places}
    assert {11, 52, 103} <= lines and len(lines) < 12


def test_bad_rows_repeats_conflicts_and_spaces_are_found(tmp_path: Path) -> None:
    rows = history(100)
    rows += [{**rows[0], "category": "mail"}, rows[2], {"text": "", "category": "mail"}]
    rows[5]["category"] = "mail "
    label_ids = found(read(tmp_path, rows))
    assert label_ids["bad-rows"].severity == SERIOUS
    assert label_ids["repeated-ids"].rows == 4
    assert label_ids["near-duplicates"].rows == 2
    assert label_ids["category-conflicting-duplicates"].rows == 2
    assert label_ids["category-spaces"].rows == 1


def test_ids_that_each_site_gives_anew_are_not_repeated(tmp_path: Path) -> None:
    rows = [{**row, "id": f"{number // 2}", "group": ("north", "south")[number % 2]}
            for number, row in enumerate(history(100))]  # fmt: skip
    assert "repeated-ids" not in found(read(tmp_path, rows))
    assert found(read(tmp_path, [*rows, {**rows[0], "text": "and another word of it"}]))["repeated-ids"].rows == 2


def test_rows_are_named_with_the_ids_of_their_tickets(tmp_path: Path) -> None:
    rows = history(200)
    rows[10]["category"] = "mail"
    rows += [{**rows[0], "id": "copy", "category": "mail"}, {"id": "brief", "text": "help", "category": "mail"}]
    rows += [{"text": "no more", "category": "mail"}]
    said = found(read(tmp_path, rows))
    path = tmp_path / "rows.jsonl"
    assert f"{path}:11 (10): mail, rather access" in said["category-suspects"].places
    assert said["short-texts"].places == (f"{path}:202 (brief)", f"{path}:203")
    assert f"{path}:1 (0)" in said["near-duplicates"].what
    assert said["category-conflicting-duplicates"].places == (f"{path}:1 (0): access; {path}:201 (copy): mail",)


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        (0, "they are not learned from"),
        (30, "they teach the other target only"),
        (25, "those without any label (5) are not learned from, the others teach the other target only"),
    ],
)
def test_rows_without_a_label_are_said_to_teach_what_they_do(tmp_path: Path, tiers: int, said: str) -> None:
    rows = [{**row, "category": "Unassigned"} if number < 30 else row for number, row in enumerate(history(100))]
    of_tiers = {"tier": "Unassigned"} if tiers else {}
    rows = [{**row, **({"tier": f"L{number % 2}"} if number < tiers else of_tiers)} for number, row in enumerate(rows)]
    assert found(read(tmp_path, rows))["category-missing"].what == f"30 rows have no category: {said}"


def test_texts_of_scripts_without_blanks_are_short_by_their_letters(tmp_path: Path) -> None:
    texts = ("打印机坏了请派人来看", "จอภาพไม่ติดตั้งแต่เช้า", "帮忙")
    said = found(read(tmp_path, [*history(100), *({"text": text, "category": "mail"} for text in texts)]))
    assert said["short-texts"].places == (f"{tmp_path / 'rows.jsonl'}:103",)


def test_logs_of_which_only_the_beginning_is_read_are_counted(tmp_path: Path) -> None:
    rows = history(100)
    assert "shortened-logs" not in found(read(tmp_path, rows))
    log = "\n".join(f"2026-03-01 10:{n % 60:02d}:11 DEBUG worker-{n} heartbeat ok seq={n}" for n in range(500))
    rows[7]["text"] += f"\n{log}"
    finding = found(read(tmp_path, rows))["shortened-logs"]
    assert finding.rows == 1 and "1 of 100 texts" in finding.what
    left_out = int(finding.what.split(": ")[1].split(" ")[0].replace(",", ""))
    assert 0.9 * len(log) < left_out < len(rows[7]["text"])


def test_labels_that_look_alike_are_found() -> None:
    pairs = {
        (one, other)
        for one, other, _ in similar_label_names({"Network": 50, "network ": 3, "Netwrok": 2, "GRP_1": 9, "GRP_2": 1})
    }
    assert pairs == {("Network", "network "), ("Network", "Netwrok")}


def test_of_very_many_labels_none_is_compared_with_each_other_one(tmp_path: Path) -> None:
    names = [hashlib.sha256(str(number).encode()).hexdigest()[:12] for number in range(20_000)]
    counts = {**dict.fromkeys(names, 1), "Network": 50, "network ": 3, "Netwrok": 2}
    began = time.perf_counter()
    assert [pair[:2] for pair in similar_label_names(counts)] == [("Network", "network ")]
    assert time.perf_counter() - began < 10
    rows = [{**row, "category": name} for row, name in zip(history(2_100), names, strict=False)]
    finding = found(read(tmp_path, rows))["category-many-labels"]
    assert "2,100 labels" in finding.what and finding.rows == 2_100


@pytest.mark.parametrize("leak", ["resolution", "label", "field", "later"])
def test_leakage_is_serious(tmp_path: Path, leak: str) -> None:
    rows = history(120)
    for row in rows:
        if leak == "resolution":
            row["resolution"] = "unlocked it by hand for them"
            row["text"] += " unlocked it by hand for them"
        elif leak == "label":
            row["text"] += f" queue={row['category']}"
        elif leak == "field":
            row["attributes"] = {"team": f"team of {row['category']}"}
        else:
            row["attributes"] = {"closed_at": f"{row['id']}"}
    data = read(tmp_path, rows)
    assert found(data)["leakage"].severity == SERIOUS
    assert diagnose(data).serious


def test_text_that_has_nothing_to_do_with_the_label_is_serious(tmp_path: Path) -> None:
    data = read(tmp_path, history(200))
    shuffled = np.random.default_rng(0).permutation([row.labels["category"] for row in data.rows])
    rows = [replace(row, labels={"category": str(label)}) for row, label in zip(data.rows, shuffled, strict=True)]
    label_ids = found(replace(data, rows=rows))
    unrelated = label_ids.get("category-unrelated") or label_ids["category-suspects"]
    assert unrelated.rows > 20


def test_rows_that_were_split_from_one_cell_are_one_ticket(tmp_path: Path) -> None:
    rows = history(120)
    for row in rows[::3]:
        row["category"] = "access;mail"
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    data = read_dataset([path], options=ReadOptions(multi="split"))
    assert len(data) == 160
    assert not {"category-conflicting-duplicates", "repeated-ids", "near-duplicates"} & found(data).keys()
    again = replace(data, rows=[*data.rows, *(replace(row, place=f"b:{n}") for n, row in enumerate(data.rows[1:2]))])
    assert found(again)["category-conflicting-duplicates"].rows == found(again)["repeated-ids"].rows == 2
