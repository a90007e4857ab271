"""Cells of labels: several at once, placeholders, paths through a hierarchy; nothing becomes a label by accident."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from training.data.dataset import Dataset, read_dataset
from training.data.finding import NOTICE, SERIOUS
from training.data.labelling.cells import is_placeholder, labels_of
from training.data.labelling.hierarchy import roll_up
from training.data.labelling.several import separator_in
from training.data.labels import in_words_of, learn_policy, listed_labels, resolve_labels
from training.data.reading import ReadOptions
from training.data.split import split
from training.quality.renamed_labels import renamed_labels
from triage.errors import InvalidDataset, InvalidRequest
from triage.policy import parse_policy


def labelled(tmp_path: Path, labels: list[str], **more: list[str]) -> Path:
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "body", "category", *more])
        for place, label in enumerate(labels):
            writer.writerow(
                [place, f"ticket number {place} is about {place * 7}", label, *(v[place] for v in more.values())]
            )
    return path


def counts(dataset: Dataset) -> Counter[str | None]:
    return Counter(row.labels.get("category") for row in dataset.rows)


COMBINED = ["lamp"] * 12 + ["door"] * 12 + ["lamp;door"] * 3 + ["door; lamp"] * 2


def test_several_labels_in_a_cell_are_noticed_named_and_taken_apart_as_asked(tmp_path: Path) -> None:
    path = labelled(tmp_path, COMBINED)
    with pytest.raises(
        InvalidRequest, match=r"5 of 29 cells hold several labels.*lamp \+ door.*--multi first\|drop\|split"
    ):
        read_dataset([path])
    found = {way: counts(read_dataset([path], options=ReadOptions(multi=way))) for way in ("first", "drop", "split")}
    assert found == {
        "first": {"lamp": 15, "door": 14},
        "drop": {"lamp": 12, "door": 12, None: 5},
        "split": {"lamp": 17, "door": 17},
    }
    kept = read_dataset([path], options=ReadOptions(multi="keep"))
    assert counts(kept) == {"lamp": 12, "door": 12, "lamp;door": 3, "door; lamp": 2}
    assert "each is one label" in next(one.do for one in kept.findings if one.code == "category-several-labels")
    examined = read_dataset([path], options=ReadOptions(examine=True))
    assert [finding.severity for finding in examined.findings if finding.code == "category-several-labels"] == [SERIOUS]


CROSSED = [f"{area}{{}}{kind}" for area in ("Hardware", "Software", "Network") for kind in ("Request", "Incident")] * 20


def test_parts_that_only_the_policy_knows_are_several_labels(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["printing"] * 4 + ["telephony; hardware"] * 2)
    listed = {"category": frozenset(("telephony", "Hardware", "printing"))}
    found = read_dataset([path], options=ReadOptions(multi="first", known=listed))
    assert counts(found) == {"printing": 4, "telephony": 2}
    paths = ["Hardware / Request", "Software / Incident"] * 4  # the policy has the levels above
    read = read_dataset([labelled(tmp_path, paths)], options=ReadOptions(known={"category": {"Hardware", "Software"}}))
    assert counts(read) == Counter(paths)


@pytest.mark.parametrize("joint", [" / ", " | "])
def test_levels_that_a_policy_lists_are_levels_where_no_two_stand_in_both_orders(tmp_path: Path, joint: str) -> None:
    listed = {"category": frozenset(("hardware", "software", "network", "printing", "email", "security"))}
    pairs = (("Hardware", "Printing"), ("Software", "Email"), ("Network", "Security"), ("Hardware", "Network"))
    paths = [joint.join(pair) for pair in pairs] * 5
    read = read_dataset([labelled(tmp_path, paths)], options=ReadOptions(known=listed))
    assert counts(read) == Counter(paths)
    for more in (["Network", "Hardware"], ["Printing"]):
        with pytest.raises(InvalidRequest, match="hold several labels"):
            read_dataset([labelled(tmp_path, [*paths, joint.join(more)])], options=ReadOptions(known=listed))


@pytest.mark.parametrize("separator", [" / ", "; ", ", ", " | ", " + "])
def test_a_label_of_two_parts_that_each_keep_their_place_is_one_label(tmp_path: Path, separator: str) -> None:
    labels = [label.format(separator) for label in CROSSED]
    labels += [f"Other{separator}Request", f"Hardware{separator}Other"]  # one part may stand in both places
    read = read_dataset([labelled(tmp_path, labels)])
    assert counts(read) == Counter(labels) and not [one for one in read.findings if "several" in one.code]


def test_labels_in_any_order_are_several_though_none_stands_alone() -> None:
    names = ("lamp", "door", "lock", "gate")
    some = {f"{one} / {other}": 3 for one in names for other in names if one != other}
    assert separator_in(some) == " / "
    ordered = {f"{one};{other}": 3 for place, one in enumerate(names) for other in names[place + 1 :]}
    assert separator_in(ordered) == ";"
    assert separator_in({**some, "Request / lamp": 2, "lamp": 1}) == " / "


def test_what_a_policy_lists_is_one_label_whatever_stands_in_it(tmp_path: Path) -> None:
    path = labelled(tmp_path, COMBINED)
    policy = parse_policy(
        '[[tiers]]\nlabel = "L1"\n' + "".join(
            f'[[categories]]\nlabel = "{one}"\n' for one in ("lamp", "door", "lamp;door")
        ) + '[aliases.category]\n"door; lamp" = "lamp;door"\n'
    )  # fmt: skip
    read = read_dataset([path], options=ReadOptions(known=listed_labels(policy)))
    assert counts(resolve_labels(read, policy)) == {"lamp": 12, "door": 12, "lamp;door": 5}
    some = read_dataset([path], options=ReadOptions(known={"category": {"lamp;door"}}, multi="first"))
    assert counts(some) == {"lamp": 12, "door": 14, "lamp;door": 3}


def test_of_a_list_the_first_label_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"body": f"ticket {n}", "category": ["lamp", "door"] if n % 5 == 0 else "door"} for n in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert counts(read_dataset([path], options=ReadOptions(multi="keep"))) == {"lamp": 4, "door": 16}


@pytest.mark.parametrize(
    ("lamp", "both"),
    [
        ('["lamp"]', '["lamp", "door"]'),
        ("['lamp']", "['lamp', 'door']"),
        ("lamp;#4", "lamp;#4;#door;#7"),
        ("4;#lamp", "4;#lamp;#7;#door"),
        (";#lamp;#", ";#lamp;#door;#"),
    ],
)
def test_a_list_that_is_written_into_a_cell_is_a_list(tmp_path: Path, lamp: str, both: str) -> None:
    path = labelled(tmp_path, [lamp, "door", both, "[IT]", "[1]"])
    assert counts(read_dataset([path], options=ReadOptions(multi="split"))) == {
        "lamp": 2, "door": 2, "[IT]": 1, "[1]": 1
    }  # fmt: skip
    with pytest.raises(InvalidRequest, match="1 of 5 cells hold several labels, as a list"):
        read_dataset([path])


def groups(dataset: Dataset) -> Counter[str | None]:
    return Counter(row.resolver_group for row in dataset.rows)


TEAMS = ["lamps"] * 12 + ["doors"] * 12 + ["lamps; doors"] * 4 + ["NA"] * 2


def test_groups_are_taken_apart_and_their_placeholders_told_as_labels_are(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["lamp", "door"] * 15, resolver_group=TEAMS)
    read = read_dataset([path])
    assert groups(read) == {"lamps": 16, "doors": 12, None: 2}
    assert learn_policy(read).labels("resolver_group") == ("doors", "lamps")
    found = {one.code: (one.severity, one.rows) for one in read.findings}
    assert found["resolver_group-several-labels"] == (NOTICE, 4) and found["resolver_group-placeholders"][1] == 2
    ways = {way: groups(read_dataset([path], options=ReadOptions(multi=way))) for way in ("drop", "split")}
    assert ways == {"drop": {"lamps": 12, "doors": 12, None: 6}, "split": {"lamps": 16, "doors": 16, None: 2}}
    assert groups(read_dataset([path], options=ReadOptions(keep_placeholders=True)))["NA"] == 2
    policy = parse_policy(
        "".join(f'[[categories]]\nlabel = "{name}"\n' for name in ("lamp", "door"))
        + '[[tiers]]\nlabel = "L1"\n[[groups]]\nname = "NA"\ntier = "L1"\n'
    )
    resolved = resolve_labels(read, policy).rows  # the policy asks for it
    assert [row.labels["tier"] for row in resolved if row.resolver_group == "NA"] == ["L1", "L1"]


@pytest.mark.parametrize("column", ["category", "resolver_group"])
def test_names_that_differ_in_what_looks_like_a_tag_are_two_labels(tmp_path: Path, column: str) -> None:
    written = ["Team <A>", "Team &lt;B&gt;", "Team <i>", "Team <P>", "../../x\"'<b>", "Apps <New>"]
    marked = {"<b>Lamps</b>": "Lamps", "<p>Doors": "Doors", "<a href='x'>Sills": "Sills", "Post<br>": "Post"}
    labels = [*written, *marked]
    path = labelled(tmp_path, labels, resolver_group=labels)
    rows = read_dataset([path]).rows
    found = [row.labels["category"] if column == "category" else row.resolver_group for row in rows]
    assert found == ["Team <A>", "Team <B>", *written[2:], *marked.values()]


@pytest.mark.parametrize(("multi", "rows"), [("first", 30), ("drop", 30), ("split", 34)])
def test_a_queue_that_is_category_and_group_is_the_same_label_of_both(tmp_path: Path, multi: str, rows: int) -> None:
    path = labelled(tmp_path, TEAMS)
    read = read_dataset([path], {"resolver_group": "category"}, options=ReadOptions(multi=multi))
    assert len(read) == rows and {row.resolver_group for row in read.rows} == {"lamps", "doors", None}
    assert [row.resolver_group for row in read.rows] == [row.labels.get("category") for row in read.rows]


def test_groups_in_lists_and_paths_are_read_as_labels_are(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    row = '{{"text": "it is dark {}", "category": "lamp", "resolver_group": {}}}\n'
    rows.write_text(row.format(1, '["lamps", "doors"]') + row.format(2, '"lamps"'), "utf-8")
    split = read_dataset([rows], options=ReadOptions(multi="split"))
    assert [one.resolver_group for one in split.rows] == ["lamps", "doors", "lamps"]
    teams = ["IT > Lamps"] * 12 + ["IT > Doors"] * 12 + ["IT > Sills"] * 3
    found = read_dataset([labelled(tmp_path, ["lamp"] * 27, resolver_group=teams)]).findings
    assert "resolver_group-hierarchy" in {one.code for one in found}


@pytest.mark.parametrize("separator", [", ", ",", ";", "|", " / ", " + ", "&&"])
@pytest.mark.parametrize("multi", [None, "first", "drop", "split"])
def test_a_label_that_a_cell_repeats_is_that_label(tmp_path: Path, separator: str, multi: str | None) -> None:
    labels = ["lamp"] * 12 + ["door"] * 12 + [separator.join(["lamp"] * 2), separator.join(["door"] * 3)]
    teams = [separator.join(["desk"] * 2)] * len(labels)
    dataset = read_dataset([labelled(tmp_path, labels, resolver_group=teams)], options=ReadOptions(multi=multi))
    assert counts(dataset) == {"lamp": 13, "door": 13}
    assert {row.resolver_group for row in dataset.rows} == {"desk"}
    codes = {finding.code: finding.rows for finding in dataset.findings}
    assert codes["category-repeated-in-cell"] == 2 and "category-several-labels" not in codes


def test_repeated_labels_leave_combinations_and_paths_as_they_are(tmp_path: Path) -> None:
    path = labelled(tmp_path, [*COMBINED, "lamp; lamp", "lamp;lamp;door"])
    assert counts(read_dataset([path], options=ReadOptions(multi="first"))) == {"lamp": 17, "door": 14}
    paths = ["IT | Lamps"] * 3 + ["IT | Doors"] * 3 + ["Post | Post"] * 2
    assert counts(read_dataset([labelled(tmp_path, paths)]))["Post | Post"] == 2


def test_a_list_or_columns_of_one_name_that_repeat_a_label_have_that_label(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "it is dark", "category": ["lamp", "lamp "]}\n', "utf-8")
    assert counts(read_dataset([rows])) == {"lamp": 1}
    jira = tmp_path / "jira.csv"
    header = "Summary,Issue key,Issue Type,Status,Component/s,Component/s,Description\n"
    jira.write_text(f"{header}dark,H-1,Task,Done,lamp,lamp,it is dark\n", "utf-8")
    assert counts(read_dataset([jira])) == {"lamp": 1}


@pytest.mark.parametrize(
    ("labels", "separator"),
    [
        ({"a": 3, "b": 3, "a,b": 1}, ","),
        ({"a": 3, "b": 3, "a | b": 2, "b | a": 1}, "|"),
        ({"a": 3, "b": 3, "a / b": 2}, " / "),
        ({"Printers, copiers and scanners": 9, "Mail": 4}, None),
        ({"Hardware; other": 9, "Mail; other": 4, "Phones": 3}, None),
        ({"a": 3, "b": 3}, None),
    ],
)
def test_what_separates_labels_is_told_from_the_whole_column(labels: dict[str, int], separator: str | None) -> None:
    assert separator_in(labels) == separator


def test_placeholders_are_found_and_not_learned_unless_asked(tmp_path: Path) -> None:
    labels = ["lamp"] * 12 + ["door"] * 12 + ["Unassigned", "#N/A", "-", "category", "NULL", "(none)", "- Select -"]
    path = labelled(tmp_path, labels)
    dataset = read_dataset([path])
    assert counts(dataset) == {"lamp": 12, "door": 12, None: 7}
    [finding] = [one for one in dataset.findings if one.code == "category-placeholders"]
    assert finding.rows == 7 and "'Unassigned' (1)" in finding.what
    assert len(resolve_labels(dataset, learn_policy(dataset)).rows) == 24
    assert counts(read_dataset([path], options=ReadOptions(keep_placeholders=True)))["Unassigned"] == 1
    policy = parse_policy("".join(f'[[categories]]\nlabel = "{name}"\n' for name in ("lamp", "door", "Unassigned")))
    assert counts(resolve_labels(dataset, policy))["Unassigned"] == 1  # the policy asks for it
    assert len(in_words_of(policy, dataset)) == 25
    with pytest.raises(InvalidDataset, match="none of the 3 rows has a label"):
        empty = read_dataset([labelled(tmp_path, ["-", "n/a", "?"])])
        resolve_labels(empty, policy)


AMONG = ["lamp"] * 12 + ["door"] * 12 + ["Unassigned; lamp", "door; -; lamp", "Unassigned; -", "category; lamp"]


def test_of_several_labels_those_count_that_are_no_placeholders(tmp_path: Path) -> None:
    path = labelled(tmp_path, AMONG)
    ways = {way: counts(read_dataset([path], options=ReadOptions(multi=way))) for way in ("first", "drop", "split")}
    assert ways == {
        "first": {"lamp": 14, "door": 13, None: 1},
        "drop": {"lamp": 14, "door": 12, None: 2},
        "split": {"lamp": 15, "door": 13, None: 1},
    }
    found = {one.code: one for one in read_dataset([path], options=ReadOptions(multi="first")).findings}
    among, several = found["category-placeholders-among-labels"], found["category-several-labels"]
    assert among.rows == 4 and "'Unassigned + lamp'" in among.what and several.rows == 1
    assert found["category-placeholders"].rows == 1
    kept = read_dataset([path], options=ReadOptions(multi="keep"))
    assert counts(kept)["Unassigned; lamp"] == counts(kept)["Unassigned; -"] == 1
    said = ReadOptions(multi="first", keep_placeholders=True)
    as_labels = read_dataset([labelled(tmp_path, [*AMONG[:-1], "-"])], options=said)
    assert counts(as_labels) == {"lamp": 12, "door": 13, "Unassigned": 2, "-": 1}
    path = labelled(tmp_path, AMONG)
    listed = ReadOptions(multi="first", known={"category": {"Unassigned", "lamp", "door"}})
    read = read_dataset([path], options=listed)
    policy = parse_policy("".join(f'[[categories]]\nlabel = "{name}"\n' for name in ("lamp", "door", "Unassigned")))
    assert counts(resolve_labels(read, policy)) == {"lamp": 13, "door": 13, "Unassigned": 2}
    path = labelled(tmp_path, ["lamp"] * 4 + ["Unassigned; door"])
    assert counts(read_dataset([path], options=ReadOptions(known={"category": {"lamp", "door"}}))) == {
        "lamp": 4,
        "door": 1,
    }


def test_placeholders_that_are_labels_are_no_reason_to_take_a_cell_apart(tmp_path: Path) -> None:
    names = ["Network, none"] * 5 + ["Network"] * 3 + ["Mail"] * 10
    read = read_dataset([labelled(tmp_path, names)], options=ReadOptions(keep_placeholders=True))
    assert counts(read) == {"Network, none": 5, "Network": 3, "Mail": 10}


@pytest.mark.parametrize("cells", [["Unassigned; lamp"], ["-; Unassigned"], ['["n/a", "lamp"]'], ["- > bulb; lamp"]])
def test_one_label_beside_placeholders_is_no_choice_to_be_made(tmp_path: Path, cells: list[str]) -> None:
    labels = ["lamp"] * 12 + ["door"] * 12 + (["- > bulb"] if ">" in cells[0] else []) + cells
    path = labelled(tmp_path, labels, resolver_group=labels)
    read = read_dataset([path])
    assert counts(read) == groups(read)
    assert counts(read)["lamp"] == 12 + ("lamp" in cells[0]) and set(counts(read)) <= {"lamp", "door", None}


@pytest.mark.parametrize("nothing", ["-", "Unassigned", "Subcategory"])
def test_placeholders_in_levels_are_cut_off_with_what_is_below(tmp_path: Path, nothing: str) -> None:
    top = ["HW"] * 24 + ["SW"] * 12 + ["-"]
    sub = (["PC", nothing] * 12) + ["Mail"] * 11 + [nothing, "Printer"]
    levels = {"category.2": "Subcategory"}
    path = labelled(tmp_path, top, Subcategory=sub)
    dataset = read_dataset([path], levels)
    assert counts(dataset) == {"HW > PC": 12, "HW": 12, "SW > Mail": 11, "SW": 1, None: 1}
    [finding] = [one for one in dataset.findings if one.code == "category-placeholders"]
    assert finding.rows == 14 and "13 of them are learned as the level above" in finding.what
    kept = read_dataset([path], levels, options=ReadOptions(keep_placeholders=True))
    assert counts(kept)[f"HW > {nothing}"] == 12
    names = ("HW", "SW", "HW > PC", f"HW > {nothing}")
    policy = parse_policy("".join(f'[[categories]]\nlabel = "{name}"\n' for name in names))
    assert counts(resolve_labels(dataset, policy)) == {"HW > PC": 12, f"HW > {nothing}": 12, "SW": 12}


@pytest.mark.parametrize("joint", [" > ", "::", " / ", "/"])
def test_placeholders_in_levels_of_one_cell_are_cut_off(tmp_path: Path, joint: str) -> None:
    ends = ["Lamps"] * 12 + ["Doors"] * 12 + ["-", "N/A", "Unassigned"]
    labels = [f"IT{joint}{end}" for end in ends] + [f"-{joint}Dock", f"{joint}IT{joint}Lamps"]
    read = read_dataset([labelled(tmp_path, labels, resolver_group=labels)])
    right = {f"IT{joint}Lamps": 12, f"IT{joint}Doors": 12, "IT": 3, None: 1, f"{joint}IT{joint}Lamps".strip(): 1}
    assert counts(read) == groups(read) == right
    seldom = read_dataset([labelled(tmp_path, ["lamp"] * 30 + [f"IT{joint}-", "A"])])
    assert counts(seldom)["IT"] == (joint in (" > ", "::"))


def test_a_level_fills_a_place_only_where_it_is_called_like_its_own_column(tmp_path: Path) -> None:
    types, services = ["Incident", "Service", "Service", "Service"], ["VPN", "VPN", "Service", "Type"]
    path = tmp_path / "rows.csv"
    rows = [f"{n},it is dark in room {n},{a},{b}" for n, (a, b) in enumerate(zip(types, services, strict=True))]
    path.write_text("\n".join(["id,body,Type,Service", *rows]), "utf-8")
    read = read_dataset([path], {"category": "Type", "category.2": "Service"})
    assert [row.labels["category"] for row in read.rows] == [
        "Incident > VPN", "Service > VPN", "Service", "Service > Type"
    ]  # fmt: skip


@pytest.mark.parametrize("joint", [" > ", "::", " / "])
def test_a_placeholder_that_may_be_a_name_is_one_within_a_path(tmp_path: Path, joint: str) -> None:
    teams = [f"Support{joint}{region}" for region in ("NA", "EMEA", "APAC")] * 4 + [f"NA{joint}Desk"]
    read = read_dataset([labelled(tmp_path, teams, resolver_group=teams)])
    assert groups(read) == counts(read) == Counter(teams)


@pytest.mark.parametrize("cell", ["[{[]: 1}]", f"[{'[' * 5000}{']' * 5000}]", f"[{'-' * 90000}1]"])
def test_a_list_that_no_reader_can_read_is_a_label_as_it_stands(cell: str) -> None:
    assert labels_of(cell) == [cell]


def test_real_labels_are_no_placeholders() -> None:
    assert not any(
        map(is_placeholder, ["Other", "Network", "A", "C++", "N-Series", "0", "Unassigned phones", "Nan's shop"])
    )


def test_paths_are_learned_at_the_deepest_level_with_enough_tickets(tmp_path: Path) -> None:
    labels = ["IT > Lamps > Bulb"] * 15 + ["IT > Lamps > Cord"] * 4 + ["IT > Lamps > Shade"] * 7
    labels += [f"IT > Doors > Door {number}" for number in range(12)] + ["Post"] * 11
    dataset = read_dataset([labelled(tmp_path, labels)])
    policy = learn_policy(dataset)
    assert policy.labels("category") == ("IT > Doors", "IT > Lamps", "IT > Lamps > Bulb", "Post")
    learned = resolve_labels(dataset, policy)
    assert counts(learned) == {"IT > Lamps > Bulb": 15, "IT > Lamps": 11, "IT > Doors": 12, "Post": 11}
    [finding] = [one for one in dataset.findings if one.code == "category-hierarchy"]
    assert "38 at level 3" in finding.what and "14 rolled up" in finding.what
    later = read_dataset([labelled(tmp_path, ["IT > Doors > New door", "IT > Garden > Hose"])])
    assert [row.labels["category"] for row in in_words_of(policy, later)] == ["IT > Doors", "IT > Garden > Hose"]


@pytest.mark.parametrize("joint", [" > ", ">", "::", " » ", "\\", " / "])
def test_any_usual_joint_of_levels(joint: str) -> None:
    found = roll_up({joint.join(("IT", kind, f"x{n}")): 3 for kind in ("a", "b") for n in range(5)}, 10)
    assert found is not None and set(found.learned.values()) == {
        joint.join(("IT", kind)).strip() for kind in ("a", "b")
    }


def test_levels_in_columns_of_their_own_are_joined(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["lamp", "lamp", "door"], sub=["bulb", "", "lock"])
    dataset = read_dataset([path], {"category.2": "sub"})
    told = read_dataset([labelled(tmp_path, ["lamp", "door"], Subcategory=["bulb", "lock"])]).findings
    assert any("--map category.2='Subcategory'" in finding.what for finding in told)
    assert [row.labels["category"] for row in dataset.rows] == ["lamp > bulb", "lamp", "door > lock"]


def test_equal_faults_are_one_line_with_the_ids_of_their_tickets(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset) as caught:
        read_dataset([labelled(tmp_path, ["lamp", "", ""])])
    assert [row.ticket_id for row in caught.value.rows] == ["1", "2"]
    assert "(1): no label: category empty" in str(caught.value)


def test_a_history_of_one_day_is_not_split_by_time(tmp_path: Path) -> None:
    labels = ["lamp", "door"] * 40
    for dates, kind in (
        (["2025-03-05"] * 80, "random"),
        ([f"2025-03-05 10:{n % 60:02d}:0{n // 60}" for n in range(80)], "time"),
    ):
        dataset = read_dataset([labelled(tmp_path, labels, opened_at=dates)])
        assert split(dataset, 0, clusters=None).kind == kind


def test_a_label_that_was_renamed_is_found_with_what_it_became(tmp_path: Path) -> None:
    words = {
        "net": "router drops wireless packets signal",
        "sup": "toner paper tray jams printing",
        "acc": "login denied badge",
    }
    labels, bodies, dates = [], [], []
    for day in range(120):
        for key, name in (("net", "Network" if day < 60 else "Connectivity"), ("sup", "Printing"), ("acc", "Access")):
            labels.append(name)
            bodies.append(f"{words[key]} {words[key].split()[day % 3]} in room {day}")
            dates.append(f"2025-{1 + day // 28:02d}-{1 + day % 28:02d}")
    path = tmp_path / "renamed.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "category", "opened_at"])
        writer.writerows(zip(bodies, labels, dates, strict=True))
    [one] = renamed_labels(read_dataset([path]).rows, "category")
    assert (one.old, one.new, one.rows, f"{one.at:%Y-%m-%d}") == ("Network", "Connectivity", 60, "2025-03-05")
    steady = [row for row in read_dataset([path]).rows if row.labels["category"] in ("Printing", "Access")]
    assert list(renamed_labels(steady, "category")) == []
