"""A history that grows month by month: every new version is compared with the one that serves, on tickets new to it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from models.home import STORE_FILE
from models.local_store import CHALLENGER, LocalModelStore
from models.triager import Triager
from training.cli import retrain as verb
from training.data.dataset import read_dataset
from training.evaluation.seen import Seen, fingerprint
from training.registry.promote import processor_times_ms
from training.retrain import gather, task_digest
from training.task import TrainSettings
from triage.__main__ import GROUP
from triage.errors import InvalidRequest, StoreUnavailable

from .conftest import MAP, MONTHS, Triage, as_exported, champion_number, history, write_rows

pytestmark = pytest.mark.slow


def test_retraining_waits_for_tickets_goes_on_where_it_was_and_stages(
    triage: Triage, champion: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = triage("retrain", tmp_path / "month-0.jsonl", *MAP, "--if-new", "1", "--json").document
    assert (same["trained"], same["new"]) == (False, 0)
    data = write_rows(tmp_path / "month-1.jsonl", as_exported(history(1)))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(verb, "publish", interrupted)
        assert triage("retrain", tmp_path / "month-0.jsonl", data, *MAP).status == 2
    again = triage("retrain", tmp_path / "month-0.jsonl", data, *MAP, "--json")
    assert "going on with the bundle" in again.err and again.document["trained"]
    kept = own_home / "retrain" / "helpdesk-triage"
    assert not [one for one in kept.iterdir() if one.is_dir()], "the registry has the bundle"
    (left,) = kept.glob("*.json")
    shutil.copytree(
        LocalModelStore.of().path(again.document["version"]), left.with_suffix("")
    )  # as versions before did
    third = triage("retrain", tmp_path / "month-0.jsonl", data, *MAP, "--json")
    assert "was trained on these tickets already" in third.err
    assert third.document["version"] == again.document["version"]
    assert not left.with_suffix("").exists()
    if again.document["staged"]:
        assert LocalModelStore.of().history(CHALLENGER)[-1].version == again.document["version"]
    assert champion_number(triage) == "1"
    made = LocalModelStore.of().path(again.document["version"])
    assert "triage retrain gathered them" in triage("report", made, tmp_path / "month-0.jsonl", *MAP, "--full").error


def test_every_process_knows_an_interrupted_training_again(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from training.data.dataset import read_dataset; from training.retrain import *;"
        "from training.task import TrainSettings;"
        "asked = frozenset(['tier', 'category', 'resolver_group', 'priority', 'product', 'site']);"
        "print(task_digest(read_dataset([Path('rows.jsonl')]), TrainSettings((), Path('out'), asked=asked)))"
    )
    write_rows(tmp_path / "rows.jsonl", history(0)[:3])
    told = {
        subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


def test_feedback_alone_and_beside_files_with_other_columns(triage: Triage, champion: Path, tmp_path: Path) -> None:
    rows = history(1)
    said = [{**row, "label_source": "person", "decision_id": str(n), "verdict": "accepted", "category": None}
            for n, row in enumerate(rows)]  # fmt: skip
    said[0] |= {"tier": "L3", "verdict": "corrected"}
    labels = write_rows(tmp_path / "labels.jsonl", said)
    few = write_rows(tmp_path / "few.jsonl", said[:100])
    alone = triage("retrain", "--feedback", labels, "--json")
    assert alone.status in (0, 1) and alone.document["version"] == "2", alone.err
    beside = triage("retrain", tmp_path / "month-0.jsonl", *MAP, "--feedback", few, "--json")
    assert "100 of the files judged by people" in beside.err and beside.document["version"] == "3"
    nothing = triage("retrain", "--no-feedback")
    assert "nothing to train on" in nothing.error


def test_a_judged_ticket_keeps_its_first_text_and_its_last_labels(tmp_path: Path) -> None:
    exported = [{"id": "7", "body": "VPN drops. Solved: new certificate", "tier": "L1", "category": "network"}]
    said = [
        {"id": "7", "body": "VPN drops", "tier": "L2", "label_source": "person"},
        {"id": "7", "body": "VPN drops, twice", "category": "access", "label_source": "person"},
        {"id": "8", "body": "printer jams", "tier": "L1", "label_source": "machine"},
    ]
    exports = read_dataset([write_rows(tmp_path / "exported.jsonl", exported * 2)])
    joined = gather(exports, read_dataset([write_rows(tmp_path / "said.jsonl", said)]))
    (row,) = joined.dataset.rows
    assert (row.ticket.body, dict(row.labels)) == ("VPN drops", {"tier": "L2", "category": "access"})
    assert (joined.repeated, joined.confirmed, joined.added) == (1, 1, 0)


def test_a_placeholder_that_a_person_chose_is_the_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = [
        {"id": "7", "body": "VPN drops", "tier": "L2", "category": "Unassigned", "label_source": "person"},
        {"id": "8", "body": "", "tier": "L1", "category": "access", "label_source": "person"},
    ]
    options = verb.RetrainOptions(feedback=write_rows(tmp_path / "said.jsonl", said))
    feedback = verb._feedback(options, tmp_path)
    exported = [{"id": "7", "body": "VPN drops", "tier": "L1", "category": "network"}]
    (row,) = gather(read_dataset([write_rows(tmp_path / "exported.jsonl", exported)]), feedback).dataset.rows
    assert dict(row.labels) == {"tier": "L2", "category": "Unassigned"}
    assert "left out" in (told := capsys.readouterr().err) and "no text" in told


def test_the_same_labels_are_another_task_where_people_judged_them(tmp_path: Path) -> None:
    rows = [{"id": str(n), "body": f"printer {n} jams", "tier": "L1", "category": "hardware"} for n in range(3)]
    exports = read_dataset([write_rows(tmp_path / "exported.jsonl", rows)])
    said = [{**row, "label_source": "person"} for row in rows]
    settings = TrainSettings((), tmp_path / "out")
    tasks = {
        task_digest(gather(exports, feedback).dataset, settings)
        for feedback in (
            None,
            *(read_dataset([write_rows(tmp_path / f"{n}.jsonl", said[:n])]) for n in (1, 2)),
            read_dataset([write_rows(tmp_path / "last.jsonl", said[2:])]),
        )
    }
    assert len(tasks) == 4


def test_rows_of_one_file_are_those_that_a_training_reads(tmp_path: Path) -> None:
    own = [{"id": str(n % 3), "group": site, "body": f"{site} printer {n} jams", "tier": "L1"}
           for n, site in enumerate(["north"] * 3 + ["south"] * 3)]  # fmt: skip
    alarms = [{"body": "disk space low on the backup server", "tier": "L2"}] * 5
    first = read_dataset([write_rows(tmp_path / "sites.jsonl", own), write_rows(tmp_path / "alarms.jsonl", alarms)])
    assert len(gather(first, None).dataset) == len(first) == 11
    later = write_rows(tmp_path / "later.jsonl", [*alarms[:2], {**own[0], "tier": "L3"}])
    again = gather(read_dataset([*first.files, later]), None)
    assert (len(again.dataset), again.repeated) == (11, 3)
    assert [row.labels["tier"] for row in again.dataset.rows][:2] == ["L3", "L1"]


def of_sites(tmp_path: Path, name: str, rows: Sequence[tuple[str, str | None, str, str]]) -> Path:
    keys = ("id", "group", "body", "category")
    return write_rows(tmp_path / name, [{k: v for k, v in zip(keys, row, strict=True) if v} for row in rows])


def kept(*files: Path) -> list[tuple[str, str | None, str]]:
    gathered = gather(read_dataset(list(files)), None).dataset
    return [(row.ticket.id, row.group, row.labels["category"]) for row in gathered.rows]


def test_a_file_without_groups_has_the_tickets_of_those_with_them(tmp_path: Path) -> None:
    site = ("north", "south")
    history = [(str(n), site[n % 2], f"printer {n} jams", "old") for n in range(6)]
    plain = of_sites(tmp_path, "plain.jsonl", [(one, None, text, "new") for one, _, text, _ in history[:4]])
    grouped = of_sites(tmp_path, "grouped.jsonl", history)
    after = [(one, group, "new" if int(one) < 4 else "old") for one, group, *_ in history]
    assert kept(grouped, plain) == after
    assert kept(plain, grouped) == [(one, group, "old") for one, group, *_ in history]
    moved = of_sites(tmp_path, "moved.jsonl", [("1", "north", "printer 1 jams", "new")])
    assert kept(grouped, plain, moved)[1] == ("1", "north", "new")
    # Each site numbers its own tickets; whose ticket 0 a row without a site is, its text tells.
    own = [(str(n % 3), site[n // 3], f"{site[n // 3]} printer {n} jams", "old") for n in range(6)]
    sites = [of_sites(tmp_path, f"{name}.jsonl", [row for row in own if row[1] == name]) for name in site]
    texts = [("0", None, own[3][2], "new"), ("1", None, "another text", "new")]
    unnamed = of_sites(tmp_path, "unnamed.jsonl", texts)
    expected = [(one, group, "old") for one, group, *_ in own]
    expected[3] = ("0", "south", "new")
    assert kept(*sites, unnamed) == [*expected, ("1", None, "new")]


def gathered(tmp_path: Path, exported: list[dict[str, Any]], said: list[dict[str, Any]]) -> list[tuple[str, str]]:
    said = [{"label_source": "person", **row} for row in said]
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("files", exported), ("said", said))]
    found = gather(read_dataset(files[:1]) if exported else None, read_dataset(files[1:])).dataset
    return sorted((row.ticket.body, row.labels["category"]) for row in found.rows)


def test_tickets_of_two_helpdesks_with_one_id_are_two(tmp_path: Path) -> None:
    printer, vpn = "the printer on floor two jams", "the vpn drops every hour"
    said = [
        {"id": "17", "desk": "redmine", "body": printer, "category": "printing"},
        {"id": "17", "desk": "acme", "body": vpn, "category": "network"},
        {"id": "17", "desk": "acme", "body": f"{vpn}, still", "category": "access"},
    ]
    both = sorted([(printer, "printing"), (vpn, "access")])
    assert gathered(tmp_path, [], said) == both
    solved = {"id": "17", "body": f"{printer}. Solved: new roller", "category": "hardware"}
    assert gathered(tmp_path, [solved], said) == both  # the text says which of the two was exported
    assert gathered(tmp_path, [solved], said[1:]) == sorted([(solved["body"], "hardware"), (vpn, "access")])
    other = {**solved, "body": "paper everywhere", "desk": "redmine"}
    assert gathered(tmp_path, [other], said) == both  # the desk says so
    alike = [{**row, "body": printer} for row in said[:2]]
    assert gathered(tmp_path, [solved], alike) == sorted([(printer, "printing"), (printer, "network")])
    desks = [{**row, "category": "hardware"} for row in said[:2]]
    assert gathered(tmp_path, desks, said[:2]) == sorted([(printer, "printing"), (vpn, "network")])


def test_feedback_without_the_column_of_desks_is_known_by_its_id(tmp_path: Path) -> None:
    exported = [{"id": "17", "body": "paper everywhere", "category": "hardware"}]
    said = [{"id": "17", "body": "the printer jams", "category": "printing"}]
    assert gathered(tmp_path, exported, said) == [("the printer jams", "printing")]


@pytest.mark.parametrize(("source", "group"), [("person", "desk"), ("machine", "networks"), (None, "networks")])
def test_a_group_that_a_person_named_goes_before_that_of_the_export(
    tmp_path: Path, source: str | None, group: str
) -> None:
    exported = [{"id": "7", "body": "VPN drops", "category": "network", "resolver_group": "networks"}]
    said: list[dict[str, Any]] = [
        {"id": "7", "body": "VPN drops", "category": "access", "resolver_group": "desk", "label_source": "person",
         "resolver_group_source": source},
        {"id": "7", "body": "VPN drops", "category": "access", "resolver_group": "vendor", "label_source": "person",
         "resolver_group_source": "machine"},
    ]  # fmt: skip
    exports = read_dataset([write_rows(tmp_path / "exported.jsonl", exported)])
    [row] = gather(exports, read_dataset([write_rows(tmp_path / "said.jsonl", said)])).dataset.rows
    assert (row.resolver_group, row.labels["category"]) == (group, "access")


def test_a_word_on_one_of_several_equal_texts_is_about_one_ticket(tmp_path: Path) -> None:
    alarms = [{"body": "disk space low on the backup server", "tier": "L2"}] * 5
    said = [{**alarms[0], "tier": "L1", "label_source": "person"}]
    exports = read_dataset([write_rows(tmp_path / "alarms.jsonl", alarms)])
    joined = gather(exports, read_dataset([write_rows(tmp_path / "said.jsonl", said)]))
    assert sorted(row.labels["tier"] for row in joined.dataset.rows) == ["L1", *["L2"] * 4]


def test_without_a_champion_one_line_says_what_to_do(triage: Triage, own_home: Path, tickets: Path) -> None:
    assert "triage train makes the first version" in triage("retrain", tickets).error


def test_what_people_said_and_cannot_be_read_is_not_taken_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    assert verb._exported(tmp_path / "said.jsonl") is None  # no store, so nothing was said
    (tmp_path / "home" / STORE_FILE).write_text("no store")
    with pytest.raises(StoreUnavailable):
        verb._exported(tmp_path / "said.jsonl")
    refusing = EntryPoint("feedback", f"{__name__}:_refused", GROUP)  # as by a service of another version
    monkeypatch.setattr(verb, "entry_points", lambda group: [refusing])
    with pytest.raises(InvalidRequest, match="what people said could not be read"):
        verb._exported(tmp_path / "said.jsonl")


@pytest.mark.parametrize("by_file", [False, True])
def test_a_stated_store_that_is_not_there_yet_holds_nothing_that_people_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by_file: bool
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    store, written = tmp_path / "store 1.sqlite", tmp_path / "url"
    written.write_text(f"sqlite:///{store}\n")
    name, value = ("TRIAGE_STORE_URL_FILE", str(written)) if by_file else ("TRIAGE_STORE_URL", f"sqlite:///{store}")
    monkeypatch.setenv(name, value)
    assert verb._exported(tmp_path / "said.jsonl") is None and not store.exists()
    assert f"there is no store at {store} yet" in capsys.readouterr().err
    store.write_text("no store")
    with pytest.raises(StoreUnavailable):
        verb._exported(tmp_path / "said.jsonl")
    written.unlink()
    monkeypatch.setenv(name, str(written) if by_file else "no URL")
    with pytest.raises(InvalidRequest):
        verb._exported(tmp_path / "said.jsonl")


def _refused(_: list[str]) -> int:
    return 2


def test_a_ticket_is_known_by_its_text_and_not_by_its_id(tmp_path: Path) -> None:
    rows = [{"id": str(n), "body": f"the disk of srv-{n} is full", "tier": "L1"} for n in range(3)]
    seen = Seen.of(read_dataset([write_rows(tmp_path / "seen.jsonl", rows)]).rows)
    others = [{"id": "0", "body": "my mouse is dead", "tier": "L1"}, {"id": "x", "body": "Disk of SRV-9 is full!"}]
    others[1]["body"] = "The disk of SRV-9 is full!"
    others[1]["tier"] = "L1"
    asked = read_dataset([write_rows(tmp_path / "asked.jsonl", others)]).rows
    assert seen.lacks(asked).tolist() == [True, False]
    assert fingerprint("a b") != fingerprint("b a")


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy_machine() -> Iterator[None]:
    """Every core has more to do than it can."""
    context = multiprocessing.get_context("fork")
    busy = [context.Process(target=_spin, daemon=True) for _ in range(2 * (os.cpu_count() or 1))]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.join()


def test_a_busy_machine_makes_no_version_slower(bundle: Path) -> None:
    one, other = Triager.load(bundle), Triager.load(bundle)
    with busy_machine():
        before, after = processor_times_ms(one, other)
    assert 0 < after <= max(2 * before, before + 20)


def test_one_person_who_flips_a_thousand_labels_gets_no_worse_model_promoted(
    triage: Triage, champion: Path, tmp_path: Path
) -> None:
    tiers = ("L0", "L1", "L2", "L3", "L4")
    flipped = [
        {**row, "tier": tiers[(tiers.index(str(row["tier"])) + 2) % len(tiers)], "label_source": "person",
         "decision_id": str(number), "verdict": "corrected", "category": None}
        for number, row in enumerate(history(MONTHS)[:1000])
    ]  # fmt: skip
    labels = write_rows(tmp_path / "flipped.jsonl", flipped)
    closed = write_rows(tmp_path / "closed.jsonl", as_exported(history(MONTHS)))
    beside = triage("retrain", closed, *MAP, "--feedback", labels, "--promote", "--json")
    assert beside.status == 1 and not beside.document["promoted"] and champion_number(triage) == "1", beside.err
    accuracy = next(one for one in beside.document["comparison"]["checks"] if one["what"] == "tier accuracy")
    assert accuracy["challenger"] < accuracy["champion"] and not accuracy["passed"]
    alone = triage("retrain", "--feedback", labels, "--promote", "--json")
    assert alone.status == 1 and champion_number(triage) == "1"
    assert "labelled in the service" in alone.document["comparison"]["obstacles"][-1]
