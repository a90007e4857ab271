"""What a command writes takes the place of files alone, and a link leads to the file that is written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from models.atomic_write import atomic, check_writable, write_text
from training.batch_scoring import check_output
from training.reports.atomic_write import check_page
from triage.errors import InvalidRequest

Made = Callable[[Path], None]


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
