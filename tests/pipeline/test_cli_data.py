"""The verb `data`: the doctor's report, and public sets fetched from a local server."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from training.data import public as fetching
from training.data.public import SETS, Part, PublicSet

from .conftest import Triage, shipped_rows, write_rows


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def put(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def expect(monkeypatch: pytest.MonkeyPatch, name: str, digests: dict[str, str]) -> None:
    """Let a public set expect the files of the mirror."""
    known = SETS[name]
    parts = tuple(Part(part.path, digests[part.path]) for part in known.parts)
    changed = PublicSet(known.name, known.base, parts, known.licence, known.cite, known.convert)
    monkeypatch.setitem(fetching.SETS, name, changed)


CLINC = {
    split: [[f"{split} text", "oos" if "oos" in split else "transfer"]]
    for split in ("train", "val", "test", "oos_train", "oos_val", "oos_test")
}


def test_a_public_set_is_fetched_checked_and_its_licence_shown(
    triage: Triage, mirror: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = mirror
    digest = put(folder, "data/data_full.json", json.dumps(CLINC).encode())
    expect(monkeypatch, "clinc150", {"data/data_full.json": digest})
    said = triage("data", "fetch", "clinc150", "--url", url, "--out", tmp_path / "c.jsonl")
    assert said.status == 0 and "CC BY 3.0" in said.out and digest in said.out
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and {row["scope"] for row in rows} == {"in", "oos"}
    assert set(rows[0]) == {"id", "text", "category", "split", "scope"}


def test_another_file_than_expected_is_refused_and_nothing_is_written(
    triage: Triage, mirror: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = mirror
    put(folder, "data/data_full.json", json.dumps(CLINC).encode())
    said = triage("data", "fetch", "clinc150", "--url", url, "--out", tmp_path / "c.jsonl")
    assert "SHA-256" in said.error and not (tmp_path / "c.jsonl").exists()
    assert "404" in triage("data", "fetch", "banking77", "--url", url, "--out", tmp_path / "b.jsonl").error
    assert "cannot be fetched" in triage("data", "fetch", "banking77", "--url", "http://127.0.0.1:9").error
    assert "known are" in triage("data", "fetch", "nothing").error


def test_banking_and_the_zipped_mails_are_read(
    triage: Triage, mirror: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = mirror
    for name in ("train", "test"):
        put(folder, f"banking_data/{name}.csv", b"text,category\nmy card is late,card_arrival\n")
    files = {f"banking_data/{name}.csv": None for name in ("train", "test")}
    expect(monkeypatch, "banking77", {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in files})
    assert (
        triage("data", "fetch", "banking77", "--url", url, "--out", tmp_path / "b.jsonl", "--json").document["rows"]
        == 2
    )
    first, second = (part.path for part in SETS["endava"].parts)
    (folder / "data").mkdir()
    with zipfile.ZipFile(folder / first, "w") as archive:
        archive.writestr("tickets.csv", "Document,Topic_group\nneed a new laptop,Hardware\n")
    put(folder, second, b"Document,Topic_group\nlocked out,Access\n")
    asked = ("data", "fetch", "endava", "--url", url, "--out", tmp_path / "e.jsonl")
    found = triage(*asked, "--json").document
    assert found["rows"] == 2 and found["licence"].startswith("CC0") and found["unchecked"] == [first, second]
    digests = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in (first, second)}
    said = triage(*asked, "--sha256", f"{first}={digests[first].upper()}").out
    assert f"{second}: its digest is not known: not checked" in said and f"{first}: its" not in said
    assert all(digest in said for digest in digests.values())
    assert "its SHA-256 is not" in triage(*asked, "--sha256", f"{first}={digests[second]}").error
    assert "takes no digest for 'x'" in triage(*asked, "--sha256", f"x={digests[first]}").error
    assert "is not FILE=DIGEST" in triage(*asked, "--sha256", "x=12").error


def test_the_doctor_speaks_to_people_and_programs(triage: Triage, tmp_path: Path) -> None:
    rows = shipped_rows(200)
    data = write_rows(tmp_path / "rows.jsonl", rows)
    found = triage("data", "check", data, "--json").document
    assert found["rows"] == 200 and found["ignored_columns"] == ["organisation"]
    rows.append({"subject": "", "body": "", "tier": "L1"})
    said = triage("data", "check", write_rows(tmp_path / "rows.jsonl", rows))
    assert said.status == 1
    assert "what to mend first" in said.out and f"{data}:201: no text" in said.out
    assert not any(word in said.out + said.err for row in rows[:50] for word in [row["body"]] if len(word) > 20)


def test_the_doctor_examines_the_resolver_group_where_training_learns_it(triage: Triage, tmp_path: Path) -> None:
    draw = random.Random(3)
    teams = [draw.choice(("network", "apps")) for _ in range(200)]
    words = ["printer", "paper", "mail", "screen", "door", "badge", "phone", "cable"]
    texts = [
        " ".join(draw.choices(words, k=9)) + (f"\nhandled by {team}" if n % 2 else "") for n, team in enumerate(teams)
    ]
    data = write_rows(tmp_path / "teams.jsonl", [
        {"text": text, "resolver_group": team} for text, team in zip(texts, teams, strict=True)
    ])  # fmt: skip
    said = triage("data", "check", data, "--json")
    assert said.status == 1 and {one["label"] for one in said.document["targets"]["resolver_group"]} == set(teams)
    assert "resolver_group-given-away" in {one["code"] for one in said.document["findings"]}
    follows = write_rows(tmp_path / "rows.jsonl", shipped_rows(200))
    assert list(triage("data", "check", follows, "--json").document["targets"]) == ["tier", "category"]
    asked = triage("data", "check", follows, "--map", "resolver_group=resolver_group", "--json").document
    assert list(asked["targets"]) == ["tier", "category", "resolver_group"]
    alone = write_rows(tmp_path / "one.jsonl", [{"text": text, "resolver_group": "network"} for text in texts])
    found = triage("data", "check", alone, "--json").document["findings"]
    assert "resolver_group-unlearnable" in {one["code"] for one in found}


def test_labels_that_a_policy_lists_are_whole_for_the_check_as_for_the_training(triage: Triage, tmp_path: Path) -> None:
    labels = ["lamp"] * 12 + ["door"] * 12 + ["lamp;door"] * 6
    rows = [{"id": str(n), "body": f"ticket {n} is about {n * 7}", "category": one} for n, one in enumerate(labels)]
    data, policy = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "policy.toml"
    names = ("lamp", "door", "lamp;door", "other")
    policy.write_text('[[tiers]]\nlabel = "L1"\n' + "".join(f'[[categories]]\nlabel = "{name}"\n' for name in names))
    codes = []
    for stated in ([], ["--policy", policy]):
        done = triage("data", "check", data, *stated, "--json")
        codes.append({finding["code"] for finding in done.document["findings"]})
    assert "category-several-labels" in codes[0] and "category-several-labels" not in codes[1]
