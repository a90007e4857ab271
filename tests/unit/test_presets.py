"""Exports of the usual helpdesks are recognised and mapped; mappings are kept; several files have one each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.data.dataset import Dataset, read_dataset
from training.data.presets.guess import guess
from training.data.presets.known_columns import presets
from training.data.presets.mapping_file import read_mapping, save_mapping, with_command_line
from training.data.reading import ReadOptions, open_file, open_files
from training.evaluation.traffic_shares import read_tickets
from triage.errors import InvalidDataset, InvalidRequest


def exported(tmp_path: Path, rows: list[dict[str, Any]], name: str = "export.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


EXPORTS: dict[str, dict[str, Any]] = {
    "servicenow": {"Number": "X1", "Short description": "the lamp", "Description": "is out", "Category": "{label}",
                   "Assignment group": "team", "Opened": "2025-03-05 14:00:00", "State": "Closed"},
    "jira": {"key": "X1", "fields": {"summary": "the lamp", "created": "2025-03-05T14:00:00.000+0000",
             "description": {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [
                 {"type": "text", "text": "is out"}]}]},
             "components": [{"name": "{label}"}], "issuetype": {"name": "Bug"}, "reporter": {"accountId": "r"}}},
    "zendesk": {"id": "X1", "subject": "the lamp", "description": "is out", "created_at": "2025-03-05T14:00:00Z",
                "via": {"channel": "web"}, "custom_fields": [{"id": 5, "value": "{label}"}, {"id": 6, "value": None}],
                "group_id": 7, "requester_id": 8, "tags": ["a", "b"]},
    "freshdesk": {"Ticket ID": "X1", "Subject": "the lamp", "Description": "is out", "Type": "{label}", "Group": "team",
                  "Created time": "2025-03-05 14:00:00", "Status": "Closed"},
    "zammad": {"id": 1, "number": "X1", "title": "the lamp", "group": "team", "created_at": "2025-03-05T14:00:00Z",
               "articles": [{"body": "<p>is out</p>", "sender": "Customer"}, {"body": "ok"}], "category": "{label}"},
    "glpi": {"ID": "X1", "Title": "the lamp", "Description": "&lt;p&gt;is out&lt;/p&gt;", "Category": "{label}",
             "Opening date": "2025-03-05 14:00"},
    "otrs": {"Ticket#": "X1", "Title": "the lamp", "Body": "is out", "Queue": "team", "Service": "{label}",
             "Created": "2025-03-05 14:00:00"},
    "rt": {"id": "X1", "Subject": "the lamp", "Content": "is out", "Queue": "team", "Requestors": "a@example.org",
           "CF.{Category}": "{label}", "Created": "Wed Mar 05 14:00:00 2025", "Status": "resolved"},
    "redmine": {"#": "X1", "Project": "team", "Tracker": "Support", "Subject": "the lamp", "Description": "is out",
                "Category": "{label}", "Created": "2025-03-05 14:00"},
    "zoho": {"Ticket Id": "X1", "Subject": "the lamp", "Description": "is out", "Category": "{label}", "Team": "team",
             "Created Time": "05 Mar 2025 02:00 PM"},
    "github": {"number": "X1", "title": "the lamp", "body": "is out", "labels": [{"name": "{label}"}],
               "created_at": "2025-03-05T14:00:00Z", "html_url": "x"},
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_recognised_and_mapped_and_said(tmp_path: Path, name: str) -> None:
    rows = [json.loads(json.dumps(EXPORTS[name]).replace("{label}", label)) for label in ("light", "power") * 4]
    path = exported(tmp_path, rows)
    for options in (ReadOptions(), ReadOptions(preset=name)):
        dataset = read_dataset([path], options=options)
        row = dataset.rows[0]
        assert (row.ticket.id, row.ticket.text, row.labels) == ("X1", "the lamp\nis out", {"category": "light"})
        assert row.ticket.opened_at is not None and row.ticket.opened_at.isoformat()[:16] == "2025-03-05T14:00"
        assert row.group is None  # a helpdesk's group is a team
        said = dataset.findings[0].what
        assert presets()[name].title in said and "→ category" in said


def test_every_preset_has_an_export_here() -> None:
    assert set(EXPORTS) == set(presets())


def test_of_columns_of_one_name_the_ticket_s_own_is_read_and_that_is_said(tmp_path: Path) -> None:
    header = "Number,Number,Short description,Description,Description,Opened,Opened,Category,label_source,label_source"
    lines = [header]
    for n in range(12):  # the first of each is of a problem that few tickets are linked to
        linked = (f"PRB{n}", "a known problem", "2020-01-01") if n % 4 == 0 else ("", "", "")
        of_ticket = f"the lamp,{linked[1]},is out {n},{linked[2]},2025-03-{n + 1:02d},light"
        lines.append(f"{linked[0]},INC{n},{of_ticket},person,{'model' if n == 5 else ''}")
    path = tmp_path / "linked.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    dataset = read_dataset([path])
    assert [row.ticket.id for row in dataset.rows] == [f"INC{n}" for n in range(12)]
    assert [row.ticket.opened_at and row.ticket.opened_at.day for row in dataset.rows] == list(range(1, 13))
    assert [row.ticket.body for row in dataset.rows][:2] == ["is out 0", "is out 1"]
    assert [n for n, row in enumerate(dataset.rows) if not row.weight] == [5]
    said = " ".join(finding.what for finding in dataset.findings)
    assert "Opened (2) → opened_at" in said and "'Number (2)' is read; else say --map id='Number (1)'" in said
    first = read_dataset([path], {"opened_at": "Opened (1)"})
    assert sum(row.ticket.opened_at is not None for row in first.rows) == 3
    with pytest.raises(InvalidRequest, match=r"2 columns of the same name 'Opened': say which one is the opened_at"):
        read_dataset([path], {"opened_at": "Opened"})


def test_jira_columns_of_one_name_are_several_labels(tmp_path: Path) -> None:
    lines = ["Issue key,Summary,Component/s,Component/s,Labels,Labels"]
    lines += [f"K-{n},the lamp {n},{'light' if n % 2 else 'power'},{'door' if n == 3 else ''},x,y" for n in range(8)]
    path = tmp_path / "jira.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(InvalidRequest, match="1 of 8 cells hold several labels, as a list, such as light \\+ door"):
        read_dataset([path])
    first = read_dataset([path], options=ReadOptions(multi="first")).rows
    assert [row.labels["category"] for row in first] == ["power", "light"] * 4


def test_a_role_that_is_mapped_by_hand_goes_before_the_preset(tmp_path: Path) -> None:
    path = exported(tmp_path, [{**EXPORTS["glpi"], "Kind": label} for label in ("a", "b")])
    dataset = read_dataset([path], {"category": "Kind", "text": "Description", "opened_at": None})
    assert [row.labels["category"] for row in dataset.rows] == ["a", "b"]
    assert dataset.rows[0].ticket.text == "is out" and dataset.rows[0].ticket.opened_at is None


def test_a_column_of_exactly_a_label_s_name_goes_before_the_preset(tmp_path: Path) -> None:
    header = {"Issue key": "X1", "Summary": "the lamp", "Description": "is out", "Component/s": "backend"}
    rows = [{**header, "category": label, "resolver_group": "team", "body": "is out again"} for label in "ab"]
    dataset = read_dataset([exported(tmp_path, rows)])
    assert [row.labels["category"] for row in dataset.rows] == ["a", "b"]
    assert dataset.rows[0].resolver_group == "team" and dataset.rows[0].ticket.body == "is out again"
    assert {"Component/s", "Description"} <= set(dataset.ignored_columns)
    empty = read_dataset([exported(tmp_path, [{**header, "category": ""}] * 2)])
    assert empty.rows[0].labels["category"] == "backend"


def test_a_column_that_a_preset_passes_over_is_named(tmp_path: Path) -> None:
    row = {key: value for key, value in EXPORTS["freshdesk"].items() if key != "Type"}
    path = exported(tmp_path, [{**row, "Type": "Incident", "Category": label} for label in ("light", "power")])

    def said(mapping: dict[str, str | None]) -> list[str]:
        return [one.what for one in read_dataset([path], mapping).findings if "is not read" in one.what]

    (told,) = said({})
    assert "'Category' is not read: 'Type' is the category; else say --map category='Category'" in told
    assert not said({"category": "Category"}) and not said({"category": "Status"})


def test_a_preset_that_does_not_fit_or_exist_is_refused_with_what_there_is(tmp_path: Path) -> None:
    path = exported(tmp_path, [{"Betreff": "x", "Art": "y"}])
    with pytest.raises(InvalidRequest, match=r"does not look like a Jira export.*'Betreff', 'Art'"):
        read_dataset([path], options=ReadOptions(preset="jira"))
    with pytest.raises(InvalidRequest, match="known are servicenow, jira"):
        read_dataset([path], options=ReadOptions(preset="lotus"))
    with pytest.raises(InvalidRequest, match="it has 'Betreff', 'Art'"):
        read_dataset([path])


def test_files_with_other_columns_have_a_mapping_each(tmp_path: Path) -> None:
    snow = exported(tmp_path, [json.loads(json.dumps(EXPORTS["servicenow"]).replace("{label}", "light"))])
    own = exported(tmp_path, [{"text": "the door", "queue": "power"}], "own.jsonl")
    dataset = read_dataset([snow, own], {"category": "queue"})
    assert [row.labels["category"] for row in dataset.rows] == ["light", "power"]
    with pytest.raises(InvalidRequest, match="no column 'Queue'"):
        read_dataset([snow, own], {"category": "Queue"})


def test_a_saved_mapping_reads_the_next_export_alike(tmp_path: Path) -> None:
    snow = exported(tmp_path, [json.loads(json.dumps(EXPORTS["servicenow"]).replace("{label}", "light"))])
    own = exported(tmp_path, [{"text": "the door", "queue": "power", "seen": "03/04/2025"}], "own.jsonl")
    mapping: dict[str, str | None] = {"category": "queue", "attributes.when": "seen"}
    options = ReadOptions(date_order="mdy", multi="drop")
    file = tmp_path / "mapping.toml"
    save_mapping(file, open_files([snow, own], mapping, options), options)
    loaded = with_command_line(read_mapping(file), ReadOptions())
    assert loaded.multi == "drop" and loaded.preset == "servicenow" and loaded.date_order == "mdy"
    again: Dataset = read_dataset([snow, own], options=loaded)
    assert again.digest == read_dataset([snow, own], mapping, options=options).digest
    feb = exported(tmp_path, [json.loads(json.dumps(EXPORTS["servicenow"]).replace("{label}", "power"))], "feb.jsonl")
    assert read_dataset([feb], options=loaded).rows[0].labels == {"category": "power"}


def test_a_saved_mapping_keeps_roles_that_were_switched_off(tmp_path: Path) -> None:
    rows = [{"text": "the door", "category": label, "resolver_group": "team", "tier": "L1"} for label in "ab"]
    own, file = exported(tmp_path, rows, "own.jsonl"), tmp_path / "mapping.toml"
    mapping: dict[str, str | None] = {"resolver_group": None, "tier": None}
    save_mapping(file, open_files([own], mapping), ReadOptions())
    loaded = read_mapping(file)
    save_mapping(file, open_files([own], {}, loaded), loaded)  # and once more, as the mapping file alone says
    again = read_dataset([own], options=read_mapping(file))
    assert again.rows[0].resolver_group is None and again.rows[0].labels == {"category": "a"}
    assert again.switched_off == {"resolver_group", "tier"}
    back = read_dataset([own], {"resolver_group": "resolver_group"}, options=read_mapping(file))
    assert back.rows[0].resolver_group == "team"  # the command line goes before the file


def dated(tmp_path: Path, name: str, *days: str) -> Path:
    rows = [{"text": f"lamp {day}", "category": "light", "opened_at": day} for day in days]
    return exported(tmp_path, rows, name)


def months_of(path: Path, file: Path) -> list[int | None]:
    read = read_dataset([path], options=with_command_line(read_mapping(file), ReadOptions())).rows
    return [moment.month if (moment := row.ticket.opened_at) is not None else None for row in read]


def test_an_order_of_dates_that_was_found_counts_where_the_next_file_does_not_tell(tmp_path: Path) -> None:
    file, days = tmp_path / "mapping.toml", ("13/02/2026", "14/02/2026")
    for options in (ReadOptions(), ReadOptions(date_order="dmy")):
        save_mapping(file, open_files([dated(tmp_path, "feb.jsonl", *days)], {}, options), options)
        assert (read_mapping(file).date_order, read_mapping(file).date_order_before) == (
            options.date_order,
            None if options.date_order else "dmy",
        )
        assert months_of(dated(tmp_path, "mar.jsonl", "04/03/2026", "05/03/2026"), file) == [3, 3]
        other = dated(tmp_path, "apr.jsonl", "04/13/2026", "04/05/2026")
        assert months_of(other, file) == ([None, 5] if options.date_order else [4, 4])
    save_mapping(file, open_files([other], {}), ReadOptions())
    kept = with_command_line(read_mapping(file), ReadOptions())
    save_mapping(file, open_files([dated(tmp_path, "may.jsonl", "2026-05-04")], {}, kept), kept)
    assert read_mapping(file).date_order_before == "mdy", "a file without such dates takes nothing away"
    both = dated(tmp_path, "both.jsonl", "13/02/2026", "02/13/2026")
    with pytest.raises(InvalidRequest, match="day and month cannot be told apart"):
        months_of(both, file)


def test_a_saved_mapping_keeps_placeholders(tmp_path: Path) -> None:
    rows = [{"text": "the door", "queue": "Unassigned"}, {"text": "the lamp", "queue": "power"}]
    own, file = exported(tmp_path, rows, "own.jsonl"), tmp_path / "mapping.toml"
    for keeps in (True, False):
        options = ReadOptions(keep_placeholders=keeps)
        save_mapping(file, open_files([own], {"category": "queue"}, options), options)
        loaded = with_command_line(read_mapping(file), ReadOptions())
        read = read_dataset([own], options=loaded).rows
        assert ("Unassigned" in [row.labels.get("category") for row in read]) is keeps
        assert with_command_line(read_mapping(file), ReadOptions(keep_placeholders=True)).keep_placeholders


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for month, column in (("jan", "queue"), ("feb", "team"), ("mar", "squad")):
        Path(month).mkdir()
        exported(Path(month), [{"text": f"the door of {month}", column: month}], "export.jsonl")
    paths = [Path(month) / "export.jsonl" for month in ("jan", "feb", "mar")]
    opened = [
        open_files([path], {"category": column})[0]
        for path, column in zip(paths, ("queue", "team", "squad"), strict=True)
    ]
    file = tmp_path / "mapping.toml"
    save_mapping(file, opened, ReadOptions())
    assert {*read_mapping(file).files} == {"feb/export.jsonl", "mar/export.jsonl"}
    for some in (paths, [path.absolute() for path in paths]):
        read = read_dataset(some, options=read_mapping(file))
        assert [row.labels["category"] for row in read.rows] == ["jan", "feb", "mar"]
    file.write_text('[files."export.jsonl"]\nencoding = "utf-8"\n')
    assert read_mapping(file).for_file(paths[0]).encoding == "utf-8", "names alone hold for every folder"


@pytest.mark.parametrize(
    ("content", "needle"),
    [
        ("keep_placeholders = 'yes'", "neither true nor false"),
        ("roles = 3", "known are"),
        ("[roles]\ncolour = 'x'", "unknown roles 'colour'"),
        ("date_order = 'ydm'", "write one of dmy"),
        ("date_order_before = 'ydm'", "write one of dmy"),
        ("nonsense = 'x'", "'nonsense'"),
        ("= broken", "no TOML"),
    ],
)
def test_a_mapping_file_that_says_nonsense_is_refused_in_one_line(tmp_path: Path, content: str, needle: str) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(content, "utf-8")
    with pytest.raises(InvalidRequest, match=needle) as caught:
        read_mapping(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_mapping(tmp_path / "none.toml")


def test_the_order_of_dates_is_asked_for_and_a_date_that_is_none_leaves_its_ticket(tmp_path: Path) -> None:
    rows = [
        {"text": "the lamp", "category": "light", "opened_at": when} for when in ("03/04/2025", "04/05/2025", "soon")
    ]
    path = exported(tmp_path, rows)
    with pytest.raises(InvalidRequest, match=r"'opened_at': day and month cannot be told apart.*--date-order dmy"):
        read_dataset([path])
    assert [ticket.opened_at for ticket in read_tickets([path], {})] == [None] * 3, "shares of traffic need no dates"
    dataset = read_dataset([path], options=ReadOptions(date_order="dmy"))
    assert [row.ticket.opened_at and row.ticket.opened_at.month for row in dataset.rows] == [4, 5, None]
    assert any(finding.code == "unreadable-dates" and finding.rows == 1 for finding in dataset.findings)


def test_a_guess_needs_no_rows_with_values_and_takes_the_best_columns(tmp_path: Path) -> None:
    path = exported(tmp_path, [{"Issue key": "A-1", "Summary": "x", "Component/s": "", "Issue Type": "Bug"}] * 3)
    found = guess(open_file(path, {"category": "Issue Type"}).source)
    assert found is not None and found.roles["category"] == "Issue Type"
    assert str(found).startswith("looks like a Jira export: Issue key → id, Summary → subject")
    with pytest.raises(InvalidDataset):
        read_dataset([tmp_path / "none.csv"])


@pytest.mark.parametrize(("filled", "category"), [(3, "Issue Type"), (30, "Component/s")])
def test_a_column_that_hardly_any_row_fills_gives_way_to_a_far_fuller_one(
    tmp_path: Path, filled: int, category: str
) -> None:
    kinds = ("Bug", "Task")
    lines = [f"H-{n},dark {n},it is dark,{kinds[n % 2]},Done,{'lamps' if n < filled else ''}," for n in range(60)]
    path = tmp_path / "jira.csv"
    path.write_text("\n".join(["Issue key,Summary,Description,Issue Type,Status,Component/s,Component/s", *lines]))
    opened = open_file(path, {})
    assert opened.roles["category"] == category
    said = "'Component/s' is not read, as it has values in 3 of the first 60 rows: 'Issue Type' is the category"
    assert any(said in note for note in opened.notes) is (filled == 3)
    assert not any(said in note for note in open_file(path, {"category": "Status"}).notes)
