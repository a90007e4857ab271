"""Reading a history: every format, every role, and every bad row named."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.columns import assign, parse_mapping
from training.data.dataset import Dataset, read_dataset
from triage.errors import InvalidDataset, InvalidRequest

ROWS: list[dict[str, Any]] = [
    {"id": "1", "subject": "Größe", "body": "Drucker; druckt, nicht", "tier": "L1", "category": "printing"},
    {"id": "2", "subject": "", "body": 'He said "no"\nthen left', "tier": "L2", "category": "access"},
]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    def cell(value: Any) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    lines = [delimiter.join(rows[0]), *(delimiter.join(cell(value) for value in row.values()) for row in rows)]
    return "\r\n".join(lines) + "\r\n"


def jsonl(tmp_path: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return write(tmp_path / "rows.jsonl", "\n".join(lines) + "\n")


def reasons(path: Path, **mapping: str | None) -> list[str]:
    with pytest.raises(InvalidDataset) as caught:
        read_dataset([path], mapping)
    return [str(row) for row in caught.value.rows]


def said(dataset: Dataset) -> list[tuple[str, str, dict[str, str]]]:
    return [(row.ticket.subject, row.ticket.body.replace("\r\n", "\n"), dict(row.labels)) for row in dataset.rows]


EXPECTED = [(r["subject"], r["body"], {"tier": r["tier"], "category": r["category"]}) for r in ROWS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_in_every_dress_says_the_same(tmp_path: Path, encoding: str, delimiter: str) -> None:
    dataset = read_dataset([write(tmp_path / "rows.csv", as_csv(ROWS, delimiter), encoding)])
    assert said(dataset) == EXPECTED


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Принтер на третьем этаже не печатает, помогите пожалуйста, пароль тоже истёк"),
        ("cp1253", "Ο εκτυπωτής στον τρίτο όροφο δεν λειτουργεί, παρακαλώ βοηθήστε με τον κωδικό"),
        ("cp1252", "L'imprimante ne répond plus, j'ai déjà redémarré, le mot de passe a expiré, à bientôt"),
        ("cp1252", "Skrivaren går inte att använda på våningen över, lösenordet är låst"),
        ("cp1252", "Der Drucker druckt nicht größer, müde Straße: 5 €"),
    ],
)
def test_legacy_encodings_are_told_apart_by_what_they_say(tmp_path: Path, encoding: str, text: str) -> None:
    dataset = read_dataset([write(tmp_path / "rows.csv", "text;category\n" + f"{text};a\n" * 50, encoding)])
    assert {row.ticket.body for row in dataset.rows} == {text}


def test_jsonl_and_parquet_say_the_same_and_have_the_same_digest(tmp_path: Path) -> None:
    lines = read_dataset([jsonl(tmp_path, *ROWS)])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    columns = read_dataset([tmp_path / "rows.parquet"])
    assert said(lines) == said(columns) == EXPECTED
    assert lines.digest == columns.digest
    assert lines.digest != read_dataset([jsonl(tmp_path, ROWS[0])]).digest


def test_several_files_are_read_in_order_each_with_its_own_columns(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", "text,category\nhello there,access\n")
    two = write(tmp_path / "two.jsonl", '{"subject": "s", "body": "b", "tier": "L1"}\n')
    dataset = read_dataset([one, two])
    assert [row.place for row in dataset.rows] == [f"{one}:2", f"{two}:1"]
    assert dataset.targets == ("tier", "category")


def test_every_bad_row_is_named_with_file_line_and_reason(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path,
        {"text": "fine", "category": "a"},
        {"text": "", "category": "a"},
        '{"text": "half \\ud800 pair", "category": "a"}',
        {"text": " ", "category": "a"},
        {"text": "<p>&nbsp;</p>", "category": "a"},
        {"text": "no label", "category": ""},
        {"text": "sensitive", "category": "a", "sensitive": "hush"},
        {"text": ["list"], "category": "a"},
        "{broken",
        "[1, 2]",
        '{"text": "not a number", "category": NaN}',
    )
    found = reasons(path)
    assert [int(line.split(":")[1]) for line in found] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    for line, word in zip(
        found,
        [
            "no text",
            "surrogate",
            "no text",
            "no text",
            "no label",
            "true nor",
            "list",
            "not JSON",
            "object",
            "no label",
        ],
        strict=True,
    ):
        assert word in line
        assert line.startswith(str(path))
    assert "hush" not in "".join(found)


def test_a_column_of_text_is_not_taken_for_labels_nor_shown(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path, {"text": "fine", "category": "secret words " * 20}, {"text": "fine", "category": "two\nlines"}
    )
    found = reasons(path)
    assert len(found) == 2 and "secret" not in "".join(found)


def test_a_nul_in_csv_is_left_out_and_in_json_it_is_named(tmp_path: Path) -> None:
    dataset = read_dataset([write(tmp_path / "rows.csv", "text,category\nnul \0 here,a\n")])
    assert dataset.rows[0].ticket.body == "nul  here"
    assert "NUL" in reasons(jsonl(tmp_path, {"text": "nul \0 here", "category": "a"}))[0]


def test_an_open_quote_is_named_where_it_begins(tmp_path: Path) -> None:
    found = reasons(write(tmp_path / "rows.csv", 'text,category\nfine,a\n"never closed,b\nmore,c\n'))
    assert len(found) == 1 and ":3: not CSV" in found[0]


def test_bad_rows_can_be_left_out_and_are_listed(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"text": "fine", "category": "a"}, {"text": "", "category": "a"})
    dataset = read_dataset([path], skip_bad_rows=True)
    assert len(dataset) == 1 and [row.line for row in dataset.bad_rows] == [2]


def test_csv_rows_with_other_numbers_of_fields_are_bad(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,category\nfine,a\nno label\ntoo,many,fields\n\nfine again,b\n")
    found = reasons(path)
    assert [line.split(":", 1)[1].split(":")[0] for line in found] == ["3", "4"]


def test_the_line_is_where_a_row_with_line_breaks_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", 'text,category\n"one\ntwo\nthree",a\n,b\n')
    assert reasons(path)[0].startswith(f"{path}:5:")


def test_wrong_bytes_in_a_utf8_file_spoil_their_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text,category\nmüde,a\n".encode() + b"m\xfcde,a\n" + "größer,b\n".encode())
    found = reasons(path)
    assert len(found) == 1 and ":3:" in found[0]


def test_a_million_characters_are_a_ticket(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", f"text,category\n{'word ' * 200_000},a\n")
    assert len(read_dataset([path]).rows[0].ticket.body) == 1_000_000


@pytest.mark.parametrize(
    ("name", "content", "needle"),
    [
        ("empty.csv", b"", "empty"),
        ("blank.csv", b"\n\n", "empty"),
        ("header.csv", b"text,category\n", "no usable row"),
        ("empty.jsonl", b"", "empty"),
        ("list.jsonl", b'[{"text": "a"}]', "no labels"),
        ("scalars.json", b"[1, 2]", "no list of objects"),
        ("broken.json", b'[{"text": "a"}, {"te', "not JSON"),
        ("wide.jsonl", '{"text": "a"}'.encode("utf-16"), "no labels"),
        ("odd.xlsx", b"PK", "cannot be unpacked"),
        ("odd.doc", b"PK", "ending"),
        ("broken.parquet", b"PAR1 nothing", "Parquet"),
        ("binary.csv", b"text,category\n\x81\x8d,a\n", "--encoding"),
        ("unlabelled.csv", b"text,colour\na,b\n", "no labels"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_one_line_error(tmp_path: Path, name: str, content: bytes, needle: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidDataset) as caught:
        read_dataset([tmp_path / name])
    assert needle in str(caught.value) and name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_of_one_name_do_no_harm_unless_they_play_a_role(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,category,note,note\nhello there,a,x,y\n")
    assert read_dataset([path], {"attributes.note": "note (2)"}).rows[0].ticket.attributes == {"note": "y"}
    twice = write(tmp_path / "twice.csv", "text,text,category\na,b,c\n")
    with pytest.raises(InvalidRequest, match=r"same name.*'text \(1\)' or .*'text \(2\)'"):
        read_dataset([twice])


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="nothing is there"):
        read_dataset([tmp_path / "no.csv"])
    with pytest.raises(InvalidDataset, match="folder"):
        read_dataset([tmp_path])


# ── Roles ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_column_named_like_a_role_takes_it_and_others_are_ignored() -> None:
    roles = assign(["id", "Subject", "body", "tier", "attributes.site", "colour"], {}, "f.csv")
    assert roles == {
        "id": "id", "subject": "Subject", "body": "body", "tier": "tier", "attributes.site": "attributes.site",
    }  # fmt: skip


def test_a_mapping_overrides_that_one_role_and_an_empty_one_switches_it_off() -> None:
    columns = ["text", "category", "queue", "tier"]
    assert assign(columns, parse_mapping(["category=queue", "tier="]), "f") == {"text": "text", "category": "queue"}


def test_a_text_that_is_mapped_is_no_other_text_by_its_name() -> None:
    assert assign(["text", "tier"], parse_mapping(["body=text"]), "f") == {"tier": "tier", "body": "text"}
    two_labels = {"text": "Text", "tier": "tier", "category": "tier"}
    assert assign(["Text", "tier"], parse_mapping(["category=tier"]), "f") == two_labels


@pytest.mark.parametrize(
    ("columns", "mapping", "needle"),
    [
        (["text", "category"], {"category": "Kategorie"}, "'Kategorie'"),
        (["text", "category"], {"text": "txet"}, "did you mean 'text'"),
        (["text", "category"], {"colour": "text"}, "unknown roles 'colour'"),
        (["text", "category"], {"attributes.": "text"}, "unknown roles"),
        (["text", "subject", "category"], {}, "--map subject="),
        (["description", "category"], {}, "no text"),
        (["text", "resolution", "category"], {"attributes.end": "resolution"}, "read the answer"),
        (["text", "resolver_group"], {"attributes.team": "resolver_group"}, "read the answer"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(columns: list[str], mapping: dict[str, str], needle: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        assign(columns, mapping, "f.csv")
    assert needle in str(caught.value)


@pytest.mark.parametrize("argument", ["text", "text=a=b", "nonsense=x"])
def test_mapping_arguments_are_checked(argument: str) -> None:
    if argument == "text=a=b":
        assert parse_mapping([argument]) == {"text": "a=b"}
        return
    with pytest.raises(InvalidRequest):
        parse_mapping([argument])


def test_attributes_come_from_columns_and_from_an_object(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"text": "hello", "category": "a", "attributes": {"site": "Bonn", "floor": 3}})
    assert dict(read_dataset([path]).rows[0].ticket.attributes) == {"site": "Bonn", "floor": "3"}


def test_labels_lose_outer_spaces_but_what_was_written_is_kept(tmp_path: Path) -> None:
    row = read_dataset([jsonl(tmp_path, {"text": "x y", "category": " network "})]).rows[0]
    assert row.labels == {"category": "network"} and row.written == {"category": " network "}


def test_whole_numbers_and_truth_values_are_read_as_written(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["a b", "c d"], "tier": [1.0, 2.0], "sensitive": [True, None], "id": [7, 8]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    rows = read_dataset([tmp_path / "rows.parquet"]).rows
    assert [row.labels["tier"] for row in rows] == ["1", "2"]
    assert [row.sensitive for row in rows] == [True, False]
    assert [row.ticket.id for row in rows] == ["7", "8"]


@pytest.mark.parametrize(
    "written",
    ["2025-03-31T08:15:00Z", "2025-03-31T10:15:00+02:00", "2025-03-31 08:15:00", "31.03.2025 08:15", "1743408900"],
)
def test_dates_are_read_in_the_usual_forms(tmp_path: Path, written: str) -> None:
    row = read_dataset([jsonl(tmp_path, {"text": "x y", "category": "a", "opened_at": written})]).rows[0]
    assert row.ticket.opened_at == datetime(2025, 3, 31, 8, 15, tzinfo=UTC)


def test_labels_that_no_person_gave_weigh_nothing(tmp_path: Path) -> None:
    rows = [{"text": "x y", "category": "a", "label_source": source} for source in ("agent", "model", "", None)]
    assert [row.weight for row in read_dataset([jsonl(tmp_path, *rows)]).rows] == [1.0, 0.0, 1.0, 1.0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=10)), min_size=1, max_size=6))
def test_whatever_a_file_holds_rows_are_read_or_named(tmp_path_factory: pytest.TempPathFactory, pairs: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text, "category": label}) + "\n" for text, label in pairs))
    try:
        dataset = read_dataset([path], skip_bad_rows=True)
    except InvalidDataset as error:
        assert len(error.rows) in (0, len(pairs))
        return
    assert len(dataset.rows) + len(dataset.bad_rows) == len(pairs)
