"""Every form in which helpdesks export tickets is read, said, or refused in one line."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook

from training.data.dataset import Dataset, read_dataset
from training.data.formats import open_source
from training.data.formats.encoding import encoding_of
from training.data.reading import ReadOptions
from training.evaluation.traffic_shares import read_tickets
from triage.errors import InvalidDataset, InvalidRequest

TEXTS = ["the scanner jams", "my badge was refused", "the line is dead", "the invoice is wrong"]
LABELS = ["devices", "doors", "lines", "money"]


def rows_of(path: Path, **options: str) -> Dataset:
    return read_dataset([path], options=ReadOptions(**options))  # type: ignore[arg-type]


def notes_of(dataset: Dataset) -> str:
    return "\n".join(finding.what for finding in dataset.findings)


def csv_of(delimiter: str = ",", end: str = "\n") -> str:
    lines = [delimiter.join(("id", "body", "category"))]
    lines += [delimiter.join((str(n), TEXTS[n % 4], LABELS[n % 4])) for n in range(8)]
    return end.join(lines) + end


def written(tmp_path: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def is_right(dataset: Dataset) -> None:
    assert [row.ticket.body for row in dataset.rows] == [TEXTS[n % 4] for n in range(8)]
    assert [row.labels["category"] for row in dataset.rows] == [LABELS[n % 4] for n in range(8)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_usual_delimiter_and_line_end(tmp_path: Path, delimiter: str, end: str) -> None:
    is_right(rows_of(written(tmp_path, csv_of(delimiter, end))))


@pytest.mark.parametrize(
    ("above", "said"),
    [
        ("sep=,\n", "1 lines above"),
        ('"sep=,"\n', "1 lines above"),
        ("All tickets\nmade on Monday\n\n", "3 lines above"),
        ("All tickets,,\nStatus: closed,,\n", "2 lines above"),
    ],
)
def test_what_stands_above_the_header_is_left_out_and_said(tmp_path: Path, above: str, said: str) -> None:
    dataset = rows_of(written(tmp_path, above + csv_of()))
    is_right(dataset)
    assert said in notes_of(dataset)
    assert dataset.rows[0].place.endswith(f":{above.count(chr(10)) + 2}")


HEADER = ["Nr", "Betreffzeile", "Meldung", "Bereich", "Art"]
REPORTED = [[f"AST-{n}", f"Trouble {n}", TEXTS[n % 4], "Service", "Project"] for n in range(3)]
SERVED = {"subject": "Betreffzeile", "body": "Meldung", "category": "Bereich"}


@pytest.mark.parametrize("kind", ["csv", "xlsx", "csv.gz"])
def test_the_header_is_the_line_with_the_columns_that_the_user_named(tmp_path: Path, kind: str) -> None:
    path, lines = tmp_path / f"rows.{kind}", [HEADER, [*REPORTED[0][:3], "Room", "Thing"], *REPORTED[1:2]]
    if kind == "xlsx":
        book = Workbook()
        for line in lines:
            book.worksheets[0].append(line)
        book.save(path)
    else:
        content = "\n".join(";".join(line) for line in lines).encode()
        path.write_bytes(gzip.compress(content) if kind == "csv.gz" else content)
    read = read_dataset([path], SERVED)
    assert [row.labels["category"] for row in read.rows] == ["Room", "Service"]
    by_file = read_dataset([path], options=ReadOptions(roles=SERVED))
    assert [row.ticket.subject for row in by_file.rows] == ["Trouble 0", "Trouble 1"]


def test_values_that_recur_are_no_header_and_texts_are_in_no_error(tmp_path: Path) -> None:
    text = "the flood has come up to the second floor and nobody who sits there can reach the stairs"
    lines = [";".join(line) for line in (HEADER, *REPORTED)]
    assert open_source(written(tmp_path, "\n".join(lines))).columns == tuple(HEADER)
    once = [*lines[:1], f"AST-9;Trouble;{text};Service;Project"]
    with pytest.raises(InvalidRequest, match="has no column 'Betreff'") as caught:
        read_dataset([written(tmp_path, "\n".join(once))], {"subject": "Betreff"})
    assert "flood" not in str(caught.value)


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_line_above_the_header_ends_where_the_file_says(tmp_path: Path, mark: str) -> None:
    dataset = rows_of(written(tmp_path, f"All tickets{mark}made on Monday{mark}for Kim\n" + csv_of()))
    is_right(dataset)
    assert "1 lines above" in notes_of(dataset) and dataset.rows[0].place.endswith(":3")


@pytest.mark.parametrize(
    ("end", "bad"),
    [
        (["8,cut off he"], [10]),
        (["8,cut off", "9,cut off he"], [10, 11]),
        (["8 tickets in all"], []),
        (["All,8"], []),
        (["8,"], []),
        (["160,records", ""], []),
        (["", "3,the total of Monday"], []),
    ],
)
def test_a_download_that_breaks_off_has_no_footer(tmp_path: Path, end: list[str], bad: list[int]) -> None:
    """What breaks off ends within a line."""
    path = written(tmp_path, csv_of() + "\n".join(end))
    source = open_source(path)
    rows = list(source.read(source.columns))
    assert [row.line for row in rows if row.fault is not None] == bad and len(rows) == 8 + len(bad)
    assert sum(source.skipped.values()) == (0 if bad else 1)
    if bad:
        with pytest.raises(InvalidDataset, match="2 fields where the header has 3"):
            rows_of(path)


def test_a_footer_that_begins_as_the_rows_do_is_one_where_rows_begin_with_no_ids(tmp_path: Path) -> None:
    lines = ["seen,body,category", *(f"2026-01-0{n % 3 + 1},{TEXTS[n % 4]},{LABELS[n % 4]}" for n in range(8))]
    source = open_source(written(tmp_path, "\n".join([*lines, "2026-02-01,made by Kim"])))
    assert len(list(source.read(source.columns))) == 8 and source.skipped == {"line below the table": 1}


def test_a_header_repeated_by_paging_and_a_footer_are_left_out_and_said(tmp_path: Path) -> None:
    lines = csv_of().splitlines()
    paged = [*lines[:4], lines[0], *lines[4:], "8 tickets in all"]
    dataset = rows_of(written(tmp_path, "\n".join(paged) + "\n"))
    is_right(dataset)
    assert "1 × repeated header" in notes_of(dataset) and "1 × line below the table" in notes_of(dataset)


def wide(count: int) -> list[str]:
    return ["id;subject;body;category;channel;priority"] + [
        f"T-{n};Trouble;{TEXTS[n % 4]};{LABELS[n % 4]};mail;high" for n in range(count)
    ]


@pytest.mark.parametrize(
    ("last", "footers"),
    [
        (["40 records;;;;;"], 1),
        (["Total;40;;;;"], 1),
        ([";;;;Total;40", "Exported by kim;;;;;"], 2),
        (["40 records"], 1),
        (["40 records;;;;;", "Exported by kim"], 2),
        (["T-40;;the lift is stuck;;;"], 0),
        ([";;the lift is stuck;money;;"], 0),
        (["T-40;;;;;"], 0),
        (["40 records;;;;;", "T-41;Trouble;it is dark;money;mail;high"], 0),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_footer_is_told_by_its_filled_cells(tmp_path: Path, kind: str, last: list[str], footers: int) -> None:
    lines = [*wide(40), *last]
    path = written(tmp_path, "\n".join(lines) + "\n", "rows.csv")
    if kind == "xlsx":
        book, path = Workbook(), tmp_path / "rows.xlsx"
        for line in lines:
            cells = line.split(";")
            book.worksheets[0].append([int(cell) if cell.isdecimal() else cell or None for cell in cells])
        book.save(path)
    read = read_dataset([path], skip_bad_rows=True)
    assert len(read) + len(read.bad_rows) == 40 + len(last) - footers
    assert (f"left out: {footers} × line below the table" in notes_of(read)) is bool(footers)
    assert len(read_tickets([path], {}, skip_bad_rows=True)) >= 40


SHORT, WITH_ID = "subject;body;requester;channel;site", "id;subject;body;channel;site"


@pytest.mark.parametrize("last", ["160 records;;", "Total;160;", "40 lamps;;"])
def test_a_footer_below_columns_of_text_is_no_ticket(tmp_path: Path, last: str) -> None:
    lines = ["subject;body;category", *(f"Trouble {n};{TEXTS[n % 4]};{LABELS[n % 4]}" for n in range(9)), last]
    path = written(tmp_path, "\n".join(lines) + "\n")
    assert len(rows_of(path)) == len(read_tickets([path], {})) == 9
    open_ones = [";".join(line.split(";")[:2]) + ";" for line in lines[:-1]]
    path = written(tmp_path, "\n".join([lines[0], *open_ones[1:], "The lift 3 is stuck;;"]) + "\n")
    assert len(read_tickets([path], {})) == 10


@pytest.mark.parametrize(
    ("header", "row", "last", "footers"),
    [
        (SHORT, "Trouble {};{};Kim;mail;Bonn", "Printer 7 broken;since this morning it beeps;;;", 0),
        (SHORT, "Trouble {};{};Kim;mail;Bonn", "Printer 7;;;;", 0),
        (WITH_ID, "WEB-{};{};it is dark;mail;Bonn", "WEB-2024-7;Printer broken and beeping;;;", 0),
        (WITH_ID, "{};{};it is dark;mail;Bonn", "3;Again: printer broken and beeping;;;", 0),
        (WITH_ID, "{};{};it is dark;mail;Bonn", ";Printer broken;;3;", 0),
        (WITH_ID, "{};{};it is dark;mail;Bonn", ";4711;???;;", 0),
        (SHORT, "Trouble {};{};Kim;mail;Bonn", "159 records;;;;", 1),
        (SHORT, "Trouble {};{};Kim;mail;Bonn", "Total;120;;;", 1),
        (SHORT, "Trouble {};{};Kim;mail;Bonn", "Anzahl: 120;;;;", 1),
    ],
)
@pytest.mark.parametrize("labels", ["", ";category"])
def test_a_last_ticket_with_few_cells_is_no_footer(
    tmp_path: Path, header: str, row: str, last: str, footers: int, labels: str
) -> None:
    """What is to be scored has no labels, or a column that is empty."""
    more = labels and ";"
    lines = [header + labels, *(row.format(n, TEXTS[n % 4]) + more for n in range(20)), last + more]
    path = written(tmp_path, "\n".join(lines) + "\n")
    assert len(read_tickets([path], {})) == 21 - footers


def test_a_surplus_empty_cell_is_no_fault_but_a_surplus_word_is(tmp_path: Path) -> None:
    is_right(rows_of(written(tmp_path, csv_of().replace("\n", ",\n"))))
    is_right(rows_of(written(tmp_path, csv_of().replace("\n", ",\n").replace("category,", "category"))))
    with pytest.raises(InvalidDataset, match="4 fields where the header has 3"):
        rows_of(written(tmp_path, csv_of().replace("money", "money,more", 1)))


def test_backslash_escapes_are_read_only_where_a_file_has_them(tmp_path: Path) -> None:
    mysql = "id,body,category\n" + "".join(f'"{n}","it says \\"no\\", twice\\\\",{LABELS[n % 4]}\n' for n in range(8))
    assert rows_of(written(tmp_path, mysql)).rows[0].ticket.body == 'it says "no", twice\\'
    plain = "id,body,category\n" + "".join(f'{n},"see C:\\temp\\new ""now""",a\n' for n in range(8))
    assert rows_of(written(tmp_path, plain)).rows[0].ticket.body == 'see C:\\temp\\new "now"'


def test_marks_of_exports_and_entities_leave_the_text(tmp_path: Path) -> None:
    text = "It is &quot;stuck&quot;._x000D_\nPlease&nbsp;look#LBBR#&lt;p&gt;Thanks &amp;amp; bye&lt;/p&gt;"
    dataset = rows_of(written(tmp_path, f'id,body,category\n1,"{text}",Büro &gt; Gerät\n'))
    read = dataset.rows[0].ticket.text
    assert 'It is "stuck".' in read and "Thanks & bye" in read
    assert not any(mark in read for mark in ("_x000D_", "LBBR", "&quot;", "&amp;", "&lt;", "<p>"))
    assert dataset.rows[0].labels["category"] == "Büro > Gerät"


# ── Quotes that are never closed ─────────────────────────────────────────────────────────────────────────────────────


def semicolons(count: int = 40) -> list[str]:
    """Return a header and rows in which nothing is quoted."""
    return ["id;body;tier;category"] + [f"{n};{TEXTS[n % 4]};L{n % 2};{LABELS[n % 4]}" for n in range(count)]


def ids_and_faults(path: Path) -> tuple[list[str], list[str]]:
    dataset = read_dataset([path], skip_bad_rows=True)
    return [row.ticket.id for row in dataset.rows], [str(row).removeprefix(f"{path}:") for row in dataset.bad_rows]


OPENED = "a quote is opened here and never closed"


@pytest.mark.parametrize(
    ("changed", "lost", "faults"),
    [
        ({2: '2;"the scanner;L0;devices'}, [2], [f"4: {OPENED}"]),
        ({33: '33;"the scanner;L1;devices'}, [33], [f"35: {OPENED}"]),
        ({25: '25;"one;L1;doors', 26: '26;"two;L0;lines'}, [25, 26], [f"27: {OPENED}", f"28: {OPENED}"]),
        ({25: '25;"one;L1;doors', 34: '34;"two; lines";L0;lines'}, [25], [f"27: {OPENED}"]),
        ({25: '25;"one;L1;doors', 29: '29;the 24";L1;doors'}, [25], [f"27: {OPENED}"]),
        ({25: '25;"one;L1;doors', 29: '29;"\nnext line";L1;doors'}, [25], [f"27: {OPENED}"]),
        (
            {25: '25;"one\nmore of it;L1;doors', 30: '30;"two\nlines";L0;lines'},
            [25],
            [f"27: {OPENED}; the line below cannot be told from its text and left out with it"],
        ),
    ],
)
def test_a_quote_that_is_never_closed_costs_its_own_row_alone(
    tmp_path: Path, changed: dict[int, str], lost: list[int], faults: list[str]
) -> None:
    lines = semicolons()
    for row, line in changed.items():
        lines[row + 1] = line
    read, bad = ids_and_faults(written(tmp_path, "\n".join(lines) + "\n"))
    assert read == [str(n) for n in range(40) if n not in lost]
    assert bad == faults


LOG = "\n".join(f"2026-01-01 10:00:{n:02d},{n:03d} DEBUG still alive" for n in range(30))
TABLE = "\n".join(f"{n},a,b" for n in range(30))


@pytest.mark.parametrize("body", [LOG, f"It stops:\n{LOG}", TABLE, f"See:\n{TABLE}\nThanks", 'He says ""no""\n\n""'])
@pytest.mark.parametrize("columns", [("body", "category"), ("category", "body"), ("id", "category", "body")])
def test_a_field_of_many_lines_that_is_closed_is_one_row(tmp_path: Path, body: str, columns: tuple[str, ...]) -> None:
    rows = [{"id": str(n), "body": f'"{body}"' if n == 25 else TEXTS[n % 4], "category": LABELS[n % 4]}
            for n in range(40)]  # fmt: skip
    lines = [",".join(columns), *(",".join(row[column] for column in columns) for row in rows)]
    dataset = rows_of(written(tmp_path, "\n".join(lines) + "\n"))
    assert len(dataset.rows) == 40 and dataset.rows[25].ticket.body == body.replace('""', '"')


def test_a_text_that_is_cut_off_with_its_file_is_one_bad_row_with_its_lines(tmp_path: Path) -> None:
    cut_off = 'z;"Hello,\nthe line is dead; please\ncall'
    read, bad = ids_and_faults(written(tmp_path, "\n".join([*semicolons(), cut_off])))
    assert len(read) == 40
    assert bad == ["42: not CSV: unexpected end of data; a quote is opened here and takes in the 2 lines below"]


def test_a_file_of_lost_quotes_is_not_read_over_and_over(tmp_path: Path) -> None:
    lines = ["id;body;category", *['x";";y'] * 2000]
    source = open_source(written(tmp_path, "\n".join(lines)))
    rows = list(source.read(source.columns))
    assert 1 < len(rows) < 100 and rows[-1].fault is not None and "takes in the 19" in rows[-1].fault


# ── Encodings ────────────────────────────────────────────────────────────────────────────────────────────────────────

SAID = {
    "cp1250": "Drukarka na trzecim piętrze nie działa, proszę o pomoc, hasło wygasło i żądanie też, źle świeci",
    "iso8859_2": "Tiskárna nefunguje, prosím o pomoc, heslo vypršelo, děkuji, příliš dlouho čekám na účet",
    "cp1251": "Принтер на третьем этаже не печатает, помогите, пароль тоже истёк и счёт не открывается",
    "koi8_r": "Принтер на третьем этаже не печатает, помогите, пароль тоже истёк и счёт не открывается",
    "cp866": "Принтер на третьем этаже не печатает, помогите, пароль тоже истёк и счёт не открывается",
    "cp1254": "Yazıcı çalışmıyor, şifremin süresi doldu, lütfen yardım edin, ağ bağlantısı güçlü değil",
    "cp1255": "המדפסת בקומה השלישית לא עובדת, אנא עזרו לי, גם הסיסמה שלי פגה",
    "cp1256": "الطابعة في الطابق الثالث لا تعمل، الرجاء المساعدة، كلمة المرور منتهية",
    "shift_jis": "三階のプリンターが動きません。パスワードも期限切れです。助けてください。",
    "gb18030": "三楼的打印机不能用了，我的密码也过期了，请帮我看一下，谢谢。",
    "euc_kr": "삼층 프린터가 작동하지 않습니다. 비밀번호도 만료되었습니다. 도와주세요.",
    "utf-16-le": "Der Drucker druckt nicht, the printer is dead",
    "cp850": "Der Drucker im dritten Stock druckt nicht größer, müde Straße, bitte prüfen, Grüße, Mühe, Günther",
}


@pytest.mark.parametrize("encoding", SAID)
def test_an_encoding_is_detected_and_said_or_refused_never_garbled(tmp_path: Path, encoding: str) -> None:
    content = ("id;body;category\n" + "".join(f"{n};{SAID[encoding]} {n};a\n" for n in range(30))).encode(encoding)
    try:
        dataset = rows_of(written(tmp_path, content))
    except InvalidDataset as error:
        assert "--encoding" in str(error) and "\n" not in str(error)
        dataset = rows_of(written(tmp_path, content), encoding=encoding)
    assert [row.ticket.body for row in dataset.rows] == [f"{SAID[encoding]} {n}" for n in range(30)]
    assert "UTF-16" in notes_of(dataset) or encoding in notes_of(dataset)


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.xml"])
@pytest.mark.parametrize("stated", [False, True])
def test_json_and_xml_of_a_code_page_are_read_as_csv_is(tmp_path: Path, name: str, stated: bool) -> None:
    said = SAID["cp850"]
    rows = [{"id": str(n), "body": f"{said} {n}", "category": "a"} for n in range(30)]
    one_line = json.dumps({"tickets": rows}, ensure_ascii=False)
    content = {
        "rows.json": one_line,
        "rows.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "rows.xml": "<all>" + "".join(f"<t><id>{n}</id><body>{said} {n}</body><category>a</category></t>"
                                      for n in range(30)) + "</all>",
    }[name].encode("cp1252")  # fmt: skip
    read = rows_of(written(tmp_path, content, name), **({"encoding": "cp1252"} if stated else {}))
    assert [row.ticket.body for row in read.rows] == [f"{said} {n}" for n in range(30)]
    assert "cp1252" in notes_of(read)


def test_a_stated_encoding_goes_before_the_one_that_xml_declares(tmp_path: Path) -> None:
    content = '<?xml version="1.0" encoding="UTF-8"?><all>' + "<t><body>größer</body><category>a</category></t>" * 2
    path = written(tmp_path, f"{content}</all>".encode("cp1252"), "rows.xml")
    with pytest.raises(InvalidDataset, match="--encoding"):
        rows_of(path)
    assert rows_of(path, encoding="cp1252").rows[0].ticket.body == "größer"
    utf16 = f"{content}</all>".replace("UTF-8", "UTF-16").encode("utf-16")
    assert rows_of(written(tmp_path, utf16, "rows.xml")).rows[0].ticket.body == "größer"


def test_wrong_bytes_of_json_name_the_option(tmp_path: Path) -> None:
    good = [
        json.dumps({**one, "body": f"größer {n}, süß, weiß, öfter"}, ensure_ascii=False)
        for n, one in enumerate(OBJECTS)
    ]
    lines = "\n".join(good).encode() + '\n{"id": 9, "body": "ärger", "category": "a"}'.encode("cp1252")
    with pytest.raises(InvalidDataset, match=r"not UTF-8: byte 0xe4 .*--encoding"):
        rows_of(written(tmp_path, lines, "rows.jsonl"))
    with pytest.raises(InvalidDataset, match=r"is not JSON.*--encoding"):
        rows_of(written(tmp_path, b"[" + lines.replace(b"}\n", b"},\n") + b"]", "rows.json"))


def test_a_stated_encoding_is_checked(tmp_path: Path) -> None:
    path = written(tmp_path, "id,body,category\n1,größer,a\n".encode("cp1252"))
    assert rows_of(path, encoding="latin-1").rows[0].ticket.body == "größer"
    with pytest.raises(InvalidDataset, match="is not utf-8: a wrong byte"):
        rows_of(path, encoding="utf-8")
    for wrong in ("klingon", "base64"):
        with pytest.raises(InvalidRequest, match="is no encoding"):
            rows_of(path, encoding=wrong)


# ── JSON and XML ─────────────────────────────────────────────────────────────────────────────────────────────────────

OBJECTS = [{"id": n, "body": TEXTS[n % 4], "category": LABELS[n % 4]} for n in range(8)]


@pytest.mark.parametrize(
    "document",
    [
        OBJECTS,
        {"result": OBJECTS},
        {"count": 8, "next_page": None, "tickets": OBJECTS, "users": [{"id": 1, "name": "x"}] * 20},
        {"data": {"records": OBJECTS}},
        {"hits": {"total": 8, "hits": [{"_id": n, "_source": one} for n, one in enumerate(OBJECTS)]}},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_and_envelopes_of_json(tmp_path: Path, document: object, indent: int | None, encoding: str) -> None:
    is_right(rows_of(written(tmp_path, json.dumps(document, indent=indent).encode(encoding), "rows.json")))


@pytest.mark.parametrize("beside", [{}, {"title": "Closed tickets", "id": 7}, {"description": "All of them"}])
def test_an_envelope_on_one_line_is_opened_whatever_stands_beside_its_list(
    tmp_path: Path, beside: dict[str, object]
) -> None:
    for document in ({**beside, "tickets": OBJECTS}, {**beside, "data": {"records": OBJECTS}}):
        is_right(rows_of(written(tmp_path, json.dumps(document), "rows.json")))
    one = {**OBJECTS[0], **beside, "id": 0, "items": [{"id": 1, "name": "part.txt"}]}
    for name in ("rows.jsonl", "rows.json"):
        assert len(read_tickets([written(tmp_path, json.dumps(one), name)], {"subject": None})) == 1


@pytest.mark.parametrize(
    "beside",
    [
        {"subject": "it is dark"},
        {"summary": "it is dark", "key": "A-1"},
        {"title": "it is dark", "category": "hardware"},
        {"betreff": "it is dark", "tier": "L1"},
    ],
)
def test_a_ticket_with_a_list_in_it_is_one_ticket(tmp_path: Path, beside: dict[str, str]) -> None:
    one = {"id": 1, **beside, "items": [{"id": 7, "name": "Laptop", "title": "y"}]}
    if "betreff" in beside:
        del one["id"]
    source = open_source(written(tmp_path, json.dumps(one), "rows.json"))
    assert source.rows == 1 and beside.keys() <= set(source.columns)


def test_a_list_of_tickets_below_a_summary_is_opened(tmp_path: Path) -> None:
    is_right(rows_of(written(tmp_path, json.dumps({"summary": "All of them", "tickets": OBJECTS}), "rows.json")))
    issues = [{"key": f"A-{n}", "fields": {"summary": "dark", "kind": "x"}} for n in range(8)]
    source = open_source(written(tmp_path, json.dumps({"summary": "All of them", "issues": issues}), "rows.json"))
    assert source.rows == 8 and "fields.summary" in source.columns


def test_objects_printed_one_after_the_other(tmp_path: Path) -> None:
    is_right(rows_of(written(tmp_path, "\n".join(json.dumps(one, indent=2) for one in OBJECTS), "rows.json")))


def test_nested_fields_have_dotted_paths(tmp_path: Path) -> None:
    row = {"key": "A-1", "fields": {"text": "hello there", "kind": {"id": "7", "name": "doors"}, "tags": ["x"]}}
    path = written(tmp_path, json.dumps({"issues": [row, row]}), "rows.json")
    assert {"fields.text", "fields.kind", "fields.kind.id", "fields.tags"} <= set(open_source(path).columns)
    dataset = read_dataset([path], {"text": "fields.text", "category": "fields.kind"})
    assert [one.labels["category"] for one in dataset.rows] == ["doors", "doors"]


def test_xml_is_read_by_the_element_that_repeats(tmp_path: Path) -> None:
    def item(one: dict[str, object]) -> str:
        return "<t>" + "".join(f"<{name}>{value}</{name}>" for name, value in one.items()) + "<n><m/></n></t>"

    is_right(
        rows_of(written(tmp_path, f"<all><head>x</head><list>{''.join(map(item, OBJECTS))}</list></all>", "a.xml"))
    )


@pytest.mark.parametrize(
    ("rows", "cells"),
    [
        ('<t id="T-1" category="VPN"><subject>a</subject></t>', {"id": "T-1", "category": "VPN", "subject": "a"}),
        ('<t id="1" type="Incident" text="a b"/>', {"id": "1", "type": "Incident", "text": "a b"}),
        ('<t id="1" type="Incident">a b</t>', {"id": "1", "type": "Incident", "text": "a b"}),
        ('<t id="1"><id>2</id></t>', {"id": "2"}),
        ('<t><who id="4"><name>Ann</name></who></t>', {"who": "Ann", "who.id": "4", "who.name": "Ann"}),
        ('<t><kind type="VPN" level="2"/></t>', {"kind.type": "VPN", "kind.level": "2"}),
        ('<t><n type="integer">5</n><at type="datetime" nil="true"/><tags type="array"/></t>',
         {"n": "5", "at": None, "tags": None}),
        ('<t xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><a xsi:nil="true"/><b xsi:type="x"/></t>',
         {"a": None, "b": None}),
        ('<t><notes type="array"><note>a</note><note>b</note></notes></t>', {"notes": ["a", "b"]}),
    ],
)  # fmt: skip
def test_attributes_of_xml_are_cells(tmp_path: Path, rows: str, cells: dict[str, object]) -> None:
    source = open_source(written(tmp_path, f"<all>{rows}{rows}</all>", "a.xml"))
    assert [row.cells for row in source.read(())] == [cells, cells] and set(source.columns) == set(cells)


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a><t><body>&c;</body></t></a>'
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a><t><body>&b;</body></t></a>'


@pytest.mark.parametrize(
    ("content", "needle"),
    [(BOMB, "entities"), (OUTSIDE, "entities"), ("<a><t>", "no XML"), ("<a>x</a>", "no list"), ("<a>" * 200, "nests")],
)
def test_xml_that_is_none_or_an_attack_is_refused(tmp_path: Path, content: str, needle: str) -> None:
    with pytest.raises(InvalidDataset, match=needle) as caught:
        open_source(written(tmp_path, content, "a.xml"))
    assert "\n" not in str(caught.value)


# ── Workbooks and packed files ───────────────────────────────────────────────────────────────────────────────────────


def test_a_workbook_is_read_from_its_largest_sheet_below_its_titles(tmp_path: Path) -> None:
    book = Workbook()
    book.worksheets[0].append(["Parameters", "Value"])
    sheet = book.create_sheet("Data")
    sheet.append(["Closed tickets"])
    sheet.append([])
    sheet.append(["id", "body", "category", None])
    for one in OBJECTS:
        sheet.append([*one.values(), None])
    book.save(tmp_path / "rows.xlsx")
    dataset = rows_of(tmp_path / "rows.xlsx")
    is_right(dataset)
    assert "sheet 'Data' is read" in notes_of(dataset)
    assert dataset.rows[0].place.endswith(":4") and dataset.rows[0].ticket.id == "0"


def test_a_row_of_a_workbook_that_has_its_first_cell_alone_keeps_it(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    for cells in (["id", "body", "category"], ["A1", "the vpn drops", "network"], ["A2"], ["A3", "no mail", "email"]):
        sheet.append(cells)
    sheet.append(["Exported by kim"])
    book.save(tmp_path / "rows.xlsx")
    source = open_source(tmp_path / "rows.xlsx")
    rows = [(row.cells.get("id"), row.fault) for row in source.read(source.columns)]
    assert rows == [("A1", None), ("A2", None), ("A3", None)]  # what stands below is a footer


def packed_as_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.json.gz", "rows.zip", "rows.tar.gz", "rows.tgz"])
def test_packed_files_are_read_under_their_own_name(tmp_path: Path, name: str) -> None:
    content = json.dumps(OBJECTS).encode() if "json" in name else csv_of().encode()
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("inner/rows.csv", content)
            archive.writestr("__MACOSX/._rows.csv", b"x")
            archive.writestr("readme.md", b"x")
    elif name.endswith(("tar.gz", "tgz")):
        packed_as_tar(tmp_path / name, {"inner/rows.csv": content, "inner/._rows.csv": b"x", "readme.md": b"x"})
    else:
        (tmp_path / name).write_bytes(gzip.compress(content))
    dataset = rows_of(tmp_path / name)
    is_right(dataset)
    assert dataset.rows[0].place.startswith(str(tmp_path / name))


def test_bombs_and_bundles_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    zeros = bytes(64 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", zeros)
    two = io.BytesIO()
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    cases = [
        (bomb, "no export"),
        (written(tmp_path, gzip.compress(zeros), "bomb.csv.gz"), "no export"),
        (written(tmp_path, two.getvalue(), "two.zip"), "2 data files"),
        (packed_as_tar(tmp_path / "two.tar.gz", {"a.csv": b"x", "b.csv": b"x"}), "2 data files"),
        (packed_as_tar(tmp_path / "none.csv.gz", {"a.md": b"x"}), "0 data files"),
        (written(tmp_path, gzip.compress(csv_of().encode())[:40], "half.csv.gz"), "cannot be unpacked"),
        (written(tmp_path, bomb.read_bytes(), "bomb.xlsx"), "no export"),
    ]
    for path, needle in cases:
        with pytest.raises(InvalidDataset, match=needle) as caught:
            open_source(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Nedá sa otvoriť príloha správy", "iso8859_2"),
        ("Passwort zurücksetzen für Müller", "mac_roman"),
        ("프린터가 작동하지 않습니다", "euc_kr"),
        ("Žádám o obnovení hesla pro účet", "iso8859_2"),
    ],
)
def test_a_page_with_few_letters_is_refused_and_not_taken_for_a_commoner_one(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = tmp_path / "few.csv"
    path.write_bytes(f"id,body,category\n1,{text},a\n2,x,b\n".encode(encoding))
    with pytest.raises(InvalidDataset, match="--encoding"):
        encoding_of(path)
    assert encoding_of(path, encoding).name.replace("-", "_") == encoding


def test_french_of_some_length_is_not_taken_for_thai(tmp_path: Path) -> None:
    lines = ["Réinitialiser le mot de passe oublié", "La messagerie est très lente", "Problème à distance"] * 7
    path = tmp_path / "french.csv"
    path.write_bytes("\n".join(["body", *lines]).encode("cp1252"))
    assert encoding_of(path).name == "cp1252"
