"""What a command writes takes the place of files alone, and a link leads to the file that is written."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from models.atomic_write import atomic, check_writable, write_text
from models.triager import Triager
from training import batch_scoring
from training.batch_scoring import check_output, score
from training.data.formats import RawRow
from training.data.reading import OpenFile, open_file
from training.engines.engine import BatchLost, InThisProcess, Row
from training.reports.page_file import check_page
from triage.errors import InvalidDataset, InvalidRequest
from triage.ticket import Ticket

Made = Callable[[Path], None]
ROWS = 300
HERE = InThisProcess(Triager())


def tickets(folder: Path) -> Path:
    """Write tickets of which some in the first batch cannot be read."""
    path = folder / "tickets.jsonl"
    texts = ("" if number < 5 else f"the printer {number} jams" for number in range(ROWS))
    path.write_text("".join(json.dumps({"id": str(number), "body": text}) + "\n" for number, text in enumerate(texts)))
    return path


@dataclass(frozen=True)
class Loses(InThisProcess):
    """An engine that cannot have a batch decided."""

    number: int = 0

    def rows(self, batches: Iterable[Sequence[Ticket]]) -> Iterator[list[Row]]:
        yield from super().rows(islice(batches, self.number))
        raise BatchLost(self.number, "was sent 4 times")


def test_a_batch_that_is_lost_is_named_by_its_first_row(tmp_path: Path) -> None:
    data, out = tickets(tmp_path), tmp_path / "out.jsonl"
    for number, first in ((1, 129), (0, 129), (1, 257)):  # the second run goes on behind the batch that was decided
        with pytest.raises(InvalidRequest, match=f"the batch that begins with row {first} was sent 4 times"):
            score(Loses(HERE.triager, number), data, out)
    assert score(HERE, data, out).rows == ROWS


def test_an_actor_that_is_lost_again_and_again_says_with_which_batch() -> None:
    scoring = pytest.importorskip("training.engines.ray_scoring", reason="Ray is not installed")
    crew = scoring._Crew(files=None, cascade=True, digest="", size=1, busy={0: 0})
    with pytest.raises(BatchLost, match=r"batch 4 was sent 4 times.*look at the nodes' memory") as lost:
        crew._send(scoring._Batch(3, [Ticket(body="x")], tries=4))
    assert lost.value.number == 3


def test_a_file_that_can_be_read_no_further_is_no_fault_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tickets(tmp_path), tmp_path / "out.jsonl"

    def broken(path: Path, mapping: Any, options: Any) -> OpenFile:
        opened = open_file(path, mapping, options)

        def rows(wanted: Sequence[str]) -> Iterator[RawRow]:
            yield from islice(opened.source.read(wanted), 200)
            raise OSError(errno.EIO, "Input/output error")

        return replace(opened, source=replace(opened.source, read=rows))

    with monkeypatch.context() as patch:
        patch.setattr(batch_scoring, "open_file", broken)
        with pytest.raises(InvalidDataset, match=r"tickets.jsonl cannot be read to its end: Input/output error"):
            score(HERE, data, out)
    assert score(HERE, data, out).resumed == 128


def test_lines_that_are_taken_for_no_tickets_are_counted(tmp_path: Path) -> None:
    data = tmp_path / "tickets.csv"
    lines = [f"T-{number};the printer {number} jams;mail" for number in range(20)]
    data.write_text("\n".join(["id;body;channel", *lines, "id;body;channel", *lines, "40 records"]))
    done = score(HERE, data, tmp_path / "out.jsonl")
    assert done.rows == 40 and done.left_out == {"repeated header": 1, "line below the table": 1}


@pytest.mark.parametrize("place", ["partial", "folder"])
def test_decisions_that_cannot_be_written_are_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    data, out = tickets(tmp_path), tmp_path / "folder" / "out.jsonl"
    if place == "folder":
        out.parent.write_text("a file")
    else:
        out.parent.mkdir()
        out.with_name("out.jsonl.partial").symlink_to("/dev/full")
        monkeypatch.setattr(batch_scoring, "_resume", lambda *_: 0)
    with pytest.raises(InvalidRequest, match=r"--out|decisions cannot be written"):
        score(HERE, data, out)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 7))  # what /dev/full is
    except PermissionError:
        pytest.skip("only root makes devices")


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


@pytest.mark.parametrize("make", [pipe, device, link_to_a_pipe])
def test_no_file_takes_the_place_of_what_is_no_file(tmp_path: Path, make: Made) -> None:
    out = tmp_path / "out.jsonl"
    make(out)
    before = {path.name: path.lstat().st_mode for path in tmp_path.iterdir()}
    refusals: list[Callable[[], None]] = [
        lambda: write_text(out, "page"),
        lambda: check_writable(out),
        lambda: check_page(out),
        lambda: check_output(out, tmp_path / "data.csv"),
    ]
    for refuses in refusals:
        with pytest.raises(InvalidRequest, match=r"out\.jsonl' is a (pipe|device), .* name a file"):
            refuses()
    assert {path.name: path.lstat().st_mode for path in tmp_path.iterdir()} == before


def test_a_program_s_own_file_takes_no_place_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "own")
    with pytest.raises(InvalidRequest, match="is a pipe"), atomic(tmp_path / "own"):
        pass
    assert stat.S_ISFIFO((tmp_path / "own").lstat().st_mode)


def test_a_page_is_refused_where_its_card_has_no_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "page.md")
    with pytest.raises(InvalidRequest, match=r"page\.md' is a pipe"):
        check_page(tmp_path / "page.html")


def test_a_link_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "report.html").write_text("old", "utf-8")
    for name, target in (("page.html", "there/report.html"), ("new.html", "there/new.html")):
        (tmp_path / name).symlink_to(target)
        check_writable(tmp_path / name)
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink() and (tmp_path / target).read_text("utf-8") == "new"
    assert sorted(path.name for path in there.iterdir()) == ["new.html", "report.html"]


def test_a_link_that_leads_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InvalidRequest, match="leads in a circle"):
        check_writable(tmp_path / "a")
