"""Whatever stands in a TOML file that people write, whoever reads it says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from api.helpdesks.config import load_helpdesks
from api.mail.config import load_mailboxes
from models.knowledge.files import read_version
from training.data.presets.mapping_file import read_mapping
from triage.errors import TriageError
from triage.policy import read_policy
from triage.rules import read_rules


def an_entry(path: Path) -> object:
    version = path.parent / "k-1" / "1.md"
    version.parent.mkdir()
    version.write_text(f"+++\n{path.read_text()}\n+++\n# How\n")
    return read_version(version)


READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "policy": (read_policy, "tiers"),
    "rules": (read_rules, "rule"),
    "helpdesks": (load_helpdesks, "helpdesks"),
    "mailboxes": (load_mailboxes, "mailboxes"),
    "mapping": (read_mapping, "files"),
    "entry": (an_entry, "id"),
}
VALUES: dict[str, tuple[str, str | None]] = {
    "brackets": ("[" * 5000 + "]" * 5000, "its brackets are nested too deeply"),
    "digits": ("9" * 5000, "a number in it has thousands of digits"),
    "number": ("1", None),
    "numbers": ("[1]", None),
    "table of numbers": ("{ a = 1 }", None),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_cannot_be_read_says_why(reader: str, value: str, tmp_path: Path) -> None:
    (read, key), (written, why) = READERS[reader], VALUES[value]
    (tmp_path / "mine.toml").write_text(f"{key} = {written}\n")
    with pytest.raises(TriageError, match=why):
        read(tmp_path / "mine.toml")
