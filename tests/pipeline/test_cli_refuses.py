"""What the verbs refuse in one line: places that cannot be written, files that hold no tickets, broken bundles."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api.helpdesks.config import load_helpdesks
from api.mail.config import load_mailboxes
from models.bundle.manifest import MANIFEST, manifest_digest
from triage.errors import InvalidRequest

from .conftest import Triage, shipped_rows, write_rows


@pytest.fixture
def few(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "few.jsonl", shipped_rows(12))


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("verb", ["train", "score", "report"])
def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(
    verb: str, triage: Triage, bundle: Path, tickets: Path, encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("precious")
    out = tmp_path / "file" / {"train": "bundle", "score": "out.jsonl", "report": "page.html"}[verb]
    arguments: dict[str, list[object]] = {
        "train": [tickets, "--encoder", encoder, "--no-register"],
        "score": [bundle, tickets],
        "report": [bundle],
    }
    said = triage(verb, *arguments[verb], "--out", out)
    assert str(out) in said.error and len(said.err.strip().splitlines()) == 1, said.err
    assert left_behind(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(("verb", "name"), [("train", "bundle"), ("score", "out.csv"), ("report", "page.html")])
def test_a_disk_that_is_full_is_one_line_and_nothing_half_written(
    verb: str, name: str, bundle: Path, tickets: Path, encoder: Path, tmp_path: Path
) -> None:
    every: dict[str, list[object]] = {
        "train": [tickets, "--encoder", encoder, "--no-register"],
        "score": [bundle, tickets],
        "report": [bundle],
    }
    command = [sys.executable, "-P", "-m", "triage", verb, *every[verb], "--out", tmp_path / name]
    most = 15_000  # bytes in one file: what the system then says is what it says of a full disk, in other words
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={
            name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")
        },  # it writes files too
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"triage {verb}: ") and "File too large" in last
    assert set(left_behind(tmp_path)) <= {"out.csv.partial"}


def test_a_home_that_is_a_file_is_refused(
    triage: Triage, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "file"))
    assert "TRIAGE_HOME" in triage("models").error
    assert "TRIAGE_HOME" in triage("register", bundle).error


def test_scores_never_take_the_place_of_the_tickets(triage: Triage, bundle: Path, few: Path) -> None:
    before = few.read_bytes()
    assert "the file that is read" in triage("score", bundle, few, "--out", few.parent / "." / few.name).error
    assert few.read_bytes() == before


@pytest.mark.parametrize("verb", ["train", "evaluate", "score", "data check", "rules replay"])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"id,body,tier\n", "none below the header"),
        ("a.jsonl", b"\n \n", "only blank lines"),
        ("a.jsonl", '{"body": "größer, süß f'.encode() + b'\xfcr"}\n', "a.jsonl:1: not UTF-8"),
        ("a.json", b'{"body": "\x81\x8d"}', "its encoding cannot be told from its bytes"),
        ("a.csv", b"id,body,tier\n" + bytes(100), "a quarter of its bytes are zero"),
        ("a.jsonl", b'{"body": "hello there", "tier": "L1", "x\\ud800": 1}\n', r"'x\ud800'"),
    ],
)
def test_files_without_a_readable_row_are_refused(
    verb: str, name: str, content: bytes, said: str, triage: Triage, bundle: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / name, tmp_path / "out.jsonl"
    data.write_bytes(content)
    before = {"evaluate": [bundle], "score": [bundle]}.get(verb, [])
    after = {"train": ["--no-register", "--out", out], "score": ["--out", out]}.get(verb, [])
    assert said in triage(*verb.split(), *before, data, *after).error
    assert left_behind(tmp_path) == [name]


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "DATA", "--no-register", "--seed", "-1"),
        ("train", "DATA", "--no-register", "--target-risk", "nan"),
        ("data", "check", "DATA", "--seed", "x"),
        ("pull", "a@b", "--watch", "--every", "-3"),
        ("promote", "--margin", "nan"),
        ("predict", "rules", "hi", "--language", "xxxx"),
        ("report", "BUNDLE", "--out", "page.md"),
        ("serve", "--port", "x"),
        ("keys", "create", "--expires", "soon"),
        ("store",),
        ("feedback", "export", "--bogus"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_one_line(
    arguments: tuple[str, ...], triage: Triage, bundle: Path, few: Path
) -> None:
    said = triage(*({"DATA": few, "BUNDLE": bundle}.get(word, word) for word in arguments))
    assert said.error.startswith(f"triage {arguments[0]}")
    assert len(said.err.splitlines()) == 1 and not said.out, said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("policy", "check", "FILE"),
        ("rules", "check", "FILE"),
        ("users", "create", "kim", "--password-file", "FILE"),
        ("data", "check", "few.jsonl", "--mapping", "FILE"),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_read_is_told_in_words(
    arguments: tuple[str, ...], triage: Triage, few: Path, tmp_path: Path
) -> None:
    (tmp_path / "latin.toml").write_bytes("name = 'Büro'".encode("latin-1"))
    (tmp_path / "folder").mkdir()
    for name, said in (("nofile", "nothing is there"), ("folder", "it is a folder"), ("latin.toml", "no UTF-8 text")):
        words = {"FILE": tmp_path / name, "few.jsonl": few}
        error = triage(*(words.get(word, word) for word in arguments)).error
        assert said in error and "Errno" not in error and "codec" not in error, error
        for load in (load_helpdesks, load_mailboxes):
            with pytest.raises(InvalidRequest, match=said):
                load(tmp_path / name)


@pytest.mark.parametrize("verb", ["register", "promote"])
def test_a_bundle_that_does_not_load_never_becomes_a_version(
    verb: str, triage: Triage, bundle: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    (broken / "vectorizer.json").write_text("{}")
    manifest = json.loads((broken / MANIFEST).read_text())
    manifest["files"]["vectorizer.json"] = {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    manifest["digest"] = manifest_digest(manifest)
    (broken / MANIFEST).write_text(json.dumps(manifest))
    assert "does not fit together" in triage(verb, broken, "--name", "never").error
    assert triage("models", "never", "--json").document["versions"] == []


def test_a_version_that_was_altered_on_the_shelf_is_noticed(triage: Triage, bundle: Path, home: Path) -> None:
    assert triage("promote", bundle, "--name", "altered").status == 0
    (home / "models" / "altered" / "1" / "gate.json").write_text("{}")
    assert "gate.json" in triage("pull", "altered@champion").error


def test_numbers_in_the_column_of_the_text_are_no_fault_of_the_data_doctor(triage: Triage, tmp_path: Path) -> None:
    rows = [{"text": f"{place}.5", "category": f"c{place % 2}"} for place in range(60)]
    said = triage("data", "check", write_rows(tmp_path / "numbers.jsonl", rows), "--json")
    assert said.document["rows"] == 60


def test_what_no_verb_expected_is_one_line_and_the_traceback_is_kept(
    triage: Triage, few: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("something\nunheard of")

    monkeypatch.setattr("training.batch_scoring.score", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = triage("score", bundle, few, "--out", tmp_path / "out.jsonl")
    (kept,) = tmp_path.glob("triage-fault-*.txt")
    assert "ZeroDivisionError: something unheard of" in said.error and str(kept) in said.error
    assert "Traceback" in kept.read_text() and kept.stat().st_mode & 0o077 == 0


def test_a_terminal_that_knows_ascii_only_gets_an_escape(bundle: Path) -> None:
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for more in ([], ["--json"]):
        command = [sys.executable, "-P", "-m", "triage", "predict", str(bundle), "the printer is dead", *more]
        done = subprocess.run(command, capture_output=True, check=False, env={**plain, "PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
    json.loads(done.stdout)


@pytest.mark.parametrize("verb", ["train", "start", "evaluate", "score", "data check", "policy learn", "policy shares"])
def test_a_mapping_that_cannot_be_kept_is_refused_before_the_work(
    verb: str, triage: Triage, bundle: Path, few: Path, tmp_path: Path
) -> None:
    place = tmp_path / "file"
    place.touch()
    before = [bundle] if verb in ("evaluate", "score", "policy shares") else []
    out = {"train": "new", "start": "new", "score": "new.jsonl", "policy learn": "new.toml"}.get(verb)
    after = ["--out", tmp_path / out] if out else []
    for where in (place / "mapping.toml", tmp_path):
        said = triage(*verb.split(), *before, few, *after, "--save-mapping", where)
        assert said.status == 2 and "another --save-mapping" in said.error
        assert said.err.count("\n") == 1, "nothing was done before"
    assert left_behind(tmp_path) == ["few.jsonl", "file"]


def test_every_verb_that_takes_the_option_keeps_the_mapping(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "in.jsonl", [{"id": "1", "words": "no toner", "at": "03/04/2025"}])
    mapping = ["--map", "text=words", "--map", "opened_at=at", "--save-mapping", tmp_path / "mapping.toml"]
    assert triage("score", bundle, data, *mapping, "--out", tmp_path / "out.jsonl").status == 0
    assert 'text = "words"' in (tmp_path / "mapping.toml").read_text("utf-8")
